"""Imagenette: ten easy classes of ImageNet, 9,469 training and 3,925 validation photographs; downloads 342 MB.

    python -m mobilenet_v2 prepare --config=configs/imagenette.py
    python train.py --config=configs/imagenette.py --workdir=runs/imagenette

Not measured yet. `config.data.name` may also be "imagenette/160px-v2" or "imagenette/full-size-v2".
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The paper's network on images of 160 pixels."""
    config = default.get_config()
    config.model.num_classes = 10
    config.data.update(
        name="imagenette/320px-v2",
        image_size=160,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize="shorter_side",
        resize_size=184,
        interpolation="area",
        num_threads=2,
    )
    config.augment.update(flip=True, rotation=10.0, zoom=0.2, shift=0.1)
    config.train.update(
        batch_size=64,
        num_epochs=80.0,
        label_smoothing=0.1,
        log_every=20,
        checkpoint_every=296,
        evaluate_every=592,
    )
    config.optimizer.update(
        name="sgd",
        learning_rate=0.1,
        weight_decay_mask="kernels",
        schedule="cosine",
        warmup_epochs=5.0,
        ema_decay=0.999,
    )
    return config
