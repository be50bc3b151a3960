"""Networks for a notebook: by name, or with weights and all that goes with them."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.variants import Preprocessing, Provenance
from mobilenet_v2.serving.class_names import class_names_of
from mobilenet_v2.serving.network_fields import network_fields
from mobilenet_v2.serving.numbers import whole_number
from mobilenet_v2.weights.load import Variables, with_classes
from mobilenet_v2.weights.preprocessing import at_size


def create_model(name: str = "mobilenet_v2", **fields: Any) -> nn.Module:
    """A network, without variables: `model.init(jax.random.key(0), images, train=False)` draws them.

    Args:
      name: "mobilenet_v2" or "mobilenet_v1"; or a published one, "timm/mobilenetv2_110d", of `models.variants`.
      fields: of `config.model`, which must be as the command line wants them; a table of stages may be of lists, and
        `num_classes` 0, which leaves the classifier out. Those that are missing are the published network's, or
        torchvision's.

    Raises:
      ValueError: if there is no such network or field, or a field has a value that it may not have: what is allowed.

    >>> import mobilenet_v2 as mnv2
    >>> mnv2.create_model("mobilenet_v2", width_multiplier=0.5).head_width()
    1280
    >>> mnv2.create_model("keras/mobilenet_v2_035", num_classes=10).padding
    'same'
    """
    return build_model(network_fields(name, fields))


def load_pretrained(
    name: str | os.PathLike[str],
    num_classes: int | None = None,
    *,
    image_size: int | None = None,
    revision: str | None = None,
    offline: bool = False,
    replica: int | None = None,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> tuple[nn.Module, Variables]:
    """A network and its variables, from a file, a TensorFlow checkpoint, the hub, or the folder of a run.

    `model.apply(variables, images, train=False)` are the logits of normalised images. `model.provenance` says where
    the weights came from, how images are made ready for them, and what the classes are called: `predict` and `features`
    do the former by themselves.

    Args:
      name: a file, a folder with one, a checkpoint's prefix, OWNER/NAME on the HuggingFace hub, a run's folder.
      num_classes: of the classifier. None keeps the weights' own; another number draws a new one, whose classes have no
        names (of 1001 classes 1000 are kept: the background, class 0, is dropped); 0 leaves it out.
      image_size: pixels a side, where the weights were made for another size than their source's usual one.
      revision, offline: of the hub.
      replica: which one, from 0 on, of a run that has several.
      seed: of a new classifier.
      report: gets what was found, line by line.

    Raises:
      UserError: one line: what was expected, what was found.

    >>> import tempfile
    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import PREPROCESSING
    >>> from mobilenet_v2.weights.save import save_weights
    >>> drawn = mnv2.create_model(stages=((1, 8, 1, 1),), head_channels=16, num_classes=2)
    >>> file = f"{tempfile.mkdtemp()}/drawn.safetensors"
    >>> made = {"source": "timm", "preprocessing": PREPROCESSING["timm"], "report": lambda line: None}
    >>> _ = save_weights(file, drawn, mnv2.init(drawn, 32), **made)
    >>> model, variables = mnv2.load_pretrained(file, num_classes=0, report=lambda line: None)
    >>> sorted(variables["params"])
    ['block_00', 'head', 'stem']
    """
    for field, value, least in (("num_classes", num_classes, 0), ("image_size", image_size, 1)):
        if value is not None:
            whole_number(field, value, least, WeightsError)
    from mobilenet_v2.training.trained import import_weights  # which has Orbax: half of what importing all takes

    imported = import_weights(os.fspath(name), revision=revision, offline=offline, replica=replica, report=report)
    preprocessing = _at_size(str(name), imported.preprocessing, image_size)
    found = with_classes(str(name), imported, num_classes, seed=seed, report=report)
    kept = found.model.num_classes == imported.model.num_classes
    provenance = Provenance(imported.source, preprocessing, class_names_of(imported) if kept else ())
    return found.model.clone(provenance=provenance), found.variables


def _at_size(name: str, preprocessing: Preprocessing | None, size: int | None) -> Preprocessing | None:
    if size is not None and preprocessing is None:
        raise WeightsError(f"weights {name!r} do not say how images are made ready, so image_size must be None")
    return preprocessing if size is None or preprocessing is None else at_size(preprocessing, size)


def with_preprocessing(model: Any, preprocessing: Preprocessing, class_names: tuple[str, ...] = ()) -> Any:
    """The network, said to take images that are made ready so; where its weights do not say it themselves.

    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import PREPROCESSING
    >>> mnv2.with_preprocessing(mnv2.create_model(), PREPROCESSING["timm"]).provenance.preprocessing.resize_size
    256
    """
    known = model.provenance or Provenance("")
    names = class_names or known.class_names
    return model.clone(provenance=dataclasses.replace(known, preprocessing=preprocessing, class_names=names))


def init(model: nn.Module, image_size: int = 224, channels: int = 3, seed: int = 0) -> Variables:
    """Variables drawn anew, as training would draw them: {"params": …, "batch_stats": …}, float32.

    Args:
      image_size: pixels a side.
      channels: of the images; the first layer's kernel depends on it.

    Raises:
      ValueError: if a number is no integer ≥ 1, or the seed none ≥ 0.

    >>> import mobilenet_v2 as mnv2
    >>> sorted(mnv2.init(mnv2.create_model(width_multiplier=0.25, num_classes=2), 32))
    ['batch_stats', 'params']
    """
    whole_number("image_size", image_size, least=1)
    whole_number("channels", channels, least=1)
    whole_number("seed", seed, least=0)
    images = jax.numpy.zeros((1, image_size, image_size, channels))
    draw = jax.jit(functools.partial(model.init, train=False))
    return dict(draw({"params": jax.random.key(seed)}, images))
