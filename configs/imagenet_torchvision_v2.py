"""ImageNet as torchvision trained its second weights, IMAGENET1K_V2.

    python train.py --config=configs/imagenet_torchvision_v2.py --workdir=runs/imagenet_torchvision_v2

Source: the pull request that added them (pytorch/vision, number 5560), on 8 GPUs with 128 images each:

    torchrun --nproc_per_node=8 train.py --model mobilenet_v2 --batch-size 128 --lr 0.5 \
        --lr-scheduler cosineannealinglr --lr-warmup-epochs 5 --lr-warmup-method linear --auto-augment ta_wide \
        --epochs 600 --random-erase 0.1 --label-smoothing 0.1 --mixup-alpha 0.2 --cutmix-alpha 1.0 \
        --weight-decay 0.00002 --norm-weight-decay 0.0 --train-crop-size 176 --model-ema --val-resize-size 232 \
        --ra-sampler --ra-reps 4

Published: 72.154 % top-1, 90.822 % top-5. We have not measured it.

What differs:
- Its rate changes once an epoch and its warm-up begins at a hundredth of the peak; ours changes each step, from 0.
- It averages every 32 steps with decay 1 − (1 − 0.99998) · 1024 · 32 / 600 = 0.99890773 and copies the weights during
  the warm-up; ours averages each step with the 32nd root of that, and warms up as TensorFlow does.
- It decays the classifier's bias, too, but not batch norm.
- Its repeats drop the rest of the shuffled order after each epoch; ours go on with it in the next.
"""

from ml_collections import ConfigDict

from configs import imagenet_torchvision


def get_config() -> ConfigDict:
    """`imagenet_torchvision` with the second recipe."""
    config = imagenet_torchvision.get_config()
    config.data.resize_size = 232
    config.augment.update(
        image_size=176,
        policy="trivial_augment_wide",
        policy_interpolation="bilinear",
        repeats=4,
        erasing=0.1,
        mixup=0.2,
        cutmix=1.0,
    )
    config.train.update(batch_size=1024, num_epochs=600.0, label_smoothing=0.1)
    config.optimizer.update(
        learning_rate=0.5,
        reference_batch=1024,
        weight_decay=2e-5,
        weight_decay_mask="kernels",
        schedule="cosine",
        warmup_epochs=5.0,
        ema_decay=0.99890773 ** (1 / 32),
    )
    return config
