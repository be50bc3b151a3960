"""1,797 scanned 8×8 digits, enlarged to 32×32: trains for real on a laptop's CPU, with no download.

    make train
    python train.py --config=configs/digits.py --workdir=runs/digits

The recipe is that of a PyTorch baseline on the same split. Measured: test accuracy of averaged weights 99.14 %, of the
last ones 99.26 %, means of seeds 0, 1, 2 (270 images); 2.5 minutes on two cores of an AMD EPYC.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """A half-width network whose strides leave 4×4 features of a 32-pixel image."""
    config = default.get_config()
    config.model.update(width_multiplier=0.5, stem_stride=1, num_classes=10, padding="symmetric")
    config.model.update(batch_norm_epsilon=1e-5, batch_norm_momentum=0.9, initialization="torchvision")
    config.model.stages = (
        (1, 16, 1, 1),
        (None, 24, 2, 2),
        (None, 32, 3, 2),
        (None, 64, 4, 2),
        (None, 96, 3, 1),
        (None, 160, 3, 1),
        (None, 320, 1, 1),
    )
    config.model.separable_stages = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 1))
    config.data.update(name="digits", test_split="test", image_size=32, num_threads=0, cache="memory")
    config.data.update(mean=(0.305, 0.305, 0.305), std=(0.323, 0.323, 0.323), resize="whole_image")
    config.data.update(interpolation="area")
    config.augment.update(flip=False, rotation=10.0, zoom=0.1, shift=0.1)
    config.train.update(batch_size=32, num_epochs=24.0, label_smoothing=0.1, log_every=20, checkpoint_every=100)
    config.train.update(evaluate_every=200)
    config.optimizer.update(name="adamw", learning_rate=3e-3, decay=0.999, epsilon=1e-8, weight_decay=0.05)
    config.optimizer.update(weight_decay_mask="kernels", schedule="cosine", warmup_epochs=2.4, ema_decay=0.99)
    return config
