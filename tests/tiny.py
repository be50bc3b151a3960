"""A digits config small enough that a whole run takes a second; also the file that tests give to `--config`."""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
    config = digits.get_config()
    config.model.update(width_multiplier=0.25, head_channels=32)
    config.model.stages = ((1, 8, 1, 1), (2, 16, 2, 2))
    config.data.update(
        image_size=16, train_split="train[:200]", validation_split="validation[:50]", test_split="test[:40]"
    )
    config.train.update(batch_size=16, num_steps=12, log_every=2, checkpoint_every=4, evaluate_every=8)
    config.optimizer.update(warmup_epochs=0.1)
    return config
