"""ImageNet as timm trained `mobilenetv2_100.ra_in1k`, as far as that is published.

    python train.py --config=configs/imagenet_timm.py --workdir=runs/imagenet_timm

Source: the model card names the RandAugment recipe of timm's EfficientNets, RMSProp, EMA and a staircase with warm-up;
its author says "hparams similar to efficientnet with rand augment and random erasing". No command for MobileNetV2 is
published. This is the one for EfficientNet-B0, on 2 GPUs with 384 images each:

    ./distributed_train.sh 2 /imagenet/ --model efficientnet_b0 -b 384 --sched step --epochs 450 --decay-epochs 2.4 \
        --decay-rate .97 --opt rmsproptf --opt-eps .001 -j 8 --warmup-lr 1e-6 --weight-decay 1e-5 --drop 0.2 \
        --drop-path 0.2 --model-ema --model-ema-decay 0.9999 --aa rand-m9-mstd0.5 --remode pixel --reprob 0.2 --amp \
        --lr .048

Published for mobilenetv2_100.ra_in1k: 73.0 % top-1. We have not measured it.

What differs:
- timm draws from 15 operations, among them inversion and additive solarisation, but not identity; ours are
  torchvision's 14. Its magnitude 9 of 10 is bin 27 of 30, its deviation of 0.5 is 1.5 bins.
- It erases with normal noise, at least 2 % and at most a third of an image; ours with the mean colour.
- There is no stochastic depth (--drop-path) here.
- Its crops and operations interpolate bilinearly or bicubically at random; ours bicubically.
- Its rate changes once an epoch, its warm-up of 3 epochs, the default, begins at 1e-6; ours changes each step, from 0.
  Stairs are counted from the first step, as in timm when the weights were made; since then it counts from the end of
  the warm-up.
- Its average starts without TensorFlow's warm-up.
"""

from ml_collections import ConfigDict

from configs import default
from mobilenet_v2.models.variants import find_variant


def get_config() -> ConfigDict:
    """timm's network and evaluation, and its RandAugment recipe."""
    config = default.get_config()
    config.update_from_flattened_dict(find_variant("timm/mobilenetv2_100").overrides())
    config.model.dropout_rate = 0.2
    config.data.background = (124, 116, 104)  # the mean, with which timm fills
    config.augment.update(
        crop="random_resized",
        interpolation="bicubic",
        policy="rand_augment",
        policy_magnitude=27,
        policy_magnitude_std=1.5,
        policy_probability=0.5,
        policy_interpolation="bicubic",
        erasing=0.2,
    )
    config.train.update(batch_size=768, num_epochs=450.0)
    config.optimizer.update(
        learning_rate=0.048,
        reference_batch=768,
        epsilon=1e-3,
        weight_decay=1e-5,
        weight_decay_mask="kernels",
        schedule="exponential",
        warmup_epochs=3.0,
        decay_rate=0.97,
        epochs_per_decay=2.4,
    )
    return config
