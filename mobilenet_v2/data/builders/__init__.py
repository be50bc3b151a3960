"""Data sets that this package prepares itself, without TensorFlow, by their TFDS names.

A name here comes before TFDS's own data set of that name. `cifar10`, `imagenette` and `imagenet2012` have the names,
versions, features, keys and classes of TFDS's, so that either reads what the other has prepared as ArrayRecord; the
pictures of `cifar10` are other PNGs of the same pixels, and those of `imagenet2012` are never re-encoded.
"""

from mobilenet_v2.data.builders.cifar10 import Cifar10
from mobilenet_v2.data.builders.digits import Digits
from mobilenet_v2.data.builders.image_folder import ImageFolder
from mobilenet_v2.data.builders.imagenet2012 import Imagenet2012
from mobilenet_v2.data.builders.imagenette import Imagenette

BUILDERS = {builder.name: builder for builder in (Cifar10, Digits, ImageFolder, Imagenet2012, Imagenette)}
