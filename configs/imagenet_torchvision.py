"""ImageNet as torchvision trained its first weights, IMAGENET1K_V1.

    python train.py --config=configs/imagenet_torchvision.py --workdir=runs/imagenet_torchvision

Source: torchvision's references/classification, on 8 GPUs with the default of 32 images each:

    torchrun --nproc_per_node=8 train.py --model mobilenet_v2 --epochs 300 --lr 0.045 --wd 0.00004 \
        --lr-step-size 1 --lr-gamma 0.98

Published: 71.878 % top-1, 90.286 % top-5. We have not measured it.

Its StepLR falls after each epoch: "exponential" with stairs of one epoch. Its epoch has 5005 steps, the last of them
filled up; ours has 5004.56, and a stair 5004. Its normalisation is PyTorch's, unbiased in the running variance.
"""

from ml_collections import ConfigDict

from configs import default
from mobilenet_v2.models.variants import find_variant


def get_config() -> ConfigDict:
    """torchvision's network, evaluation and first recipe."""
    config = default.get_config()
    config.update_from_flattened_dict(find_variant("torchvision/mobilenet_v2_100").overrides())
    config.augment.update(crop="random_resized", interpolation="bilinear")
    config.train.update(batch_size=256, num_epochs=300.0)
    config.optimizer.update(
        name="sgd",
        learning_rate=0.045,
        reference_batch=256,
        nesterov=False,
        weight_decay=4e-5,
        weight_decay_mask="all",
        schedule="exponential",
        decay_rate=0.98,
        epochs_per_decay=1.0,
        ema_decay=0.0,
    )
    return config
