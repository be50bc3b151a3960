"""ImageNet in 150 epochs with a cosine: d-li14's PyTorch recipe, the shortest of the published ones.

    python train.py --config=configs/imagenet_dli14.py --workdir=runs/imagenet_dli14

Source: github.com/d-li14/mobilenetv2.pytorch, with batches of 256 images on 4 GPUs:

    python imagenet.py -a mobilenetv2 -d <path-to-ILSVRC2012-data> --epochs 150 --lr-decay cos --lr 0.05 --wd 4e-5

Published: 72.192 % top-1, 90.534 % top-5. We have not measured it.

The network has no dropout; everything decays, batch norm and biases included; crops and mirrored images are all the
augmentation; momentum is not Nesterov's. The rate falls each step, as ours.
"""

from ml_collections import ConfigDict

from configs import imagenet_torchvision


def get_config() -> ConfigDict:
    """`imagenet_torchvision` with a cosine."""
    config = imagenet_torchvision.get_config()
    config.model.dropout_rate = 0.0
    config.train.num_epochs = 150.0
    config.optimizer.update(learning_rate=0.05, schedule="cosine")
    return config
