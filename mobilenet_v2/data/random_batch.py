"""A batch of noise, for what is timed or compiled without data."""

import numpy as np
from ml_collections import ConfigDict


def random_batch(config: ConfigDict) -> dict[str, np.ndarray]:
    """In the shapes and dtypes of the config's training batches; all labels are 0."""
    rows, size = config.train.batch_size, config.augment.image_size or config.data.image_size
    image = np.random.default_rng(0).integers(0, 256, (rows, size, size, config.data.channels), np.uint8)
    batch = {"image": image, "label": np.zeros(rows, np.int32), "mask": np.ones(rows, np.float32)}
    if config.replicas > 1 and config.replica_data == "own":
        return {name: np.stack([rows] * config.replicas) for name, rows in batch.items()}
    return batch
