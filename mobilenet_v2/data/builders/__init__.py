"""Data sets that this package prepares itself, by their TFDS names."""

from mobilenet_v2.data.builders.digits import Digits

BUILDERS = {"digits": Digits}
