"""ImageNet as TF-slim trains the paper's network, on eight devices with 96 images each.

    python train.py --config=configs/imagenet.py --workdir=runs/imagenet

Source: slim's README of its mobile networks (72.0 % top-1 after about 700,000 steps on 8 GPUs, after 5.5 million on
one), `train_image_classifier.py` with preprocessing inception_v2. The paper reports 72.0 %. We have not measured it.

The rate is stated for 96 images and scaled with the batch, and stairs are of 2.5 epochs, so that this is one device:

    --config.train.batch_size=96 --config.train.num_steps=5500000

What differs: slim goes on in floats where ours rounds to 8 bits after scaling and after the colours. It scales crops on
TensorFlow 1's grid, which `--config.augment.interpolation=bilinear_tf1` does at four times the cost of "linear".
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """`default`, with slim's crops and colours and the rate of eight devices."""
    config = default.get_config()
    config.model.batch_norm_unbiased = True
    config.augment.update(
        crop="distorted_box",
        crop_area=(0.05, 1.0),
        crop_aspect=(0.75, 1.33),
        interpolation="linear",
        brightness=32 / 255,
        saturation=0.5,
        colour_order="slim_fast",  # slim's fast_mode is its default
    )
    config.train.update(batch_size=768, num_steps=700_000, label_smoothing=0.1)
    config.optimizer.reference_batch = 96
    return config
