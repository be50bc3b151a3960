"""From a TFDS data set to batches on devices. Knows no model."""
