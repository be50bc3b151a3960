"""CIFAR-10: 60,000 pictures of 32×32 pixels in ten classes; downloads 170 MB.

    python -m mobilenet_v2 prepare --config=configs/cifar10.py
    python train.py --config=configs/cifar10.py --workdir=runs/cifar10

Not measured yet. A tenth of the training pictures is set aside for validation; test pictures are scored once.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The paper's network, its stem and second stage without stride: 4×4 features of a 32-pixel image."""
    config = default.get_config()
    config.model.update(
        stem_stride=1,
        num_classes=10,
        padding="symmetric",
        batch_norm_epsilon=1e-5,
        batch_norm_momentum=0.9,
        initialization="torchvision",
    )
    config.model.stages = (
        (1, 16, 1, 1),
        (None, 24, 2, 1),
        (None, 32, 3, 2),
        (None, 64, 4, 2),
        (None, 96, 3, 1),
        (None, 160, 3, 2),
        (None, 320, 1, 1),
    )
    config.model.separable_stages = ((64, 1, 1), (128, 2, 1), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
    config.data.update(
        name="cifar10",
        train_split="train[:90%]",
        validation_split="train[90%:]",
        test_split="test",
        image_size=32,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        resize="whole_image",
        interpolation="area",
    )
    config.augment.update(flip=True, shift=0.125)
    config.train.update(batch_size=128, num_epochs=100.0, log_every=50, checkpoint_every=704, evaluate_every=1408)
    config.optimizer.update(
        name="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        weight_decay_mask="kernels",
        schedule="cosine",
        warmup_epochs=5.0,
        ema_decay=0.999,
    )
    return config
