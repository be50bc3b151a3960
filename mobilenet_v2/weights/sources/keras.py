"""`keras.applications`' MobileNets: a name for each layer, or in Keras 3's weight files a number within its class."""

import re
from collections import Counter
from collections.abc import Iterator

from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import KERAS, PAPER_REPEATS, V1_BLOCKS, Layer, Source

_KERAS_LEAVES = ("/kernel", "/gamma")
_NUMBERED = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense):(\d{1,6})/(\d{1,6})")


def canonical(arrays: Arrays) -> Arrays:
    """The arrays by the names that `keras.applications` gives to layers.

    Numbered layers are named by their order, as are those of a legacy file whose names are others throughout: the
    published files' are. A classifier that a user put on top, whatever its name, becomes the network's.
    """
    if not {"Conv1/kernel", "conv1/kernel"} & arrays.keys() and any(name.endswith(_KERAS_LEAVES) for name in arrays):
        arrays = _numbered(arrays)
    if any(map(_NUMBERED.fullmatch, arrays)):
        arrays = _named(arrays)
    return _with_classifier(arrays)


def _numbered(arrays: Arrays) -> Arrays:
    """Numbers a legacy file's layers within their classes, which their variables tell."""
    layers: dict[str, Arrays] = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition("/")
        layers.setdefault(layer, {})[variable] = array
    numbered: Arrays = {}
    seen: Counter[str] = Counter()
    for variables in layers.values():
        kind, leaves = _class(variables)
        for variable, array in variables.items():
            number = leaves.index(variable) if variable in leaves else variable
            numbered[f"{kind}:{seen[kind]}/{number}"] = array
        seen[kind] += 1
    return numbered


def _class(variables: Arrays) -> tuple[str, tuple[str, ...]]:
    """The class of the layer that has these variables, and their order in it."""
    if "gamma" in variables:
        return "batch_normalization", KERAS.batch_norm
    shape = variables["kernel"].shape if "kernel" in variables else ()
    convolution = "depthwise_conv2d" if shape[-1:] == (1,) else "conv2d"
    return convolution if len(shape) == 4 else "dense", ("kernel", "bias")


def _named(arrays: Arrays) -> Arrays:
    """`conv2d:3/0` is the first variable of the fourth Conv2D."""
    depthwise = len({name for name in arrays if name.startswith("depthwise_conv2d:")})
    layers = list(_v1_layers(()) if depthwise == V1_BLOCKS else _v2_layers(PAPER_REPEATS))
    names = {
        "conv2d": [layer.conv for layer in layers if not layer.ours.endswith("depthwise")],
        "depthwise_conv2d": [layer.conv for layer in layers if layer.ours.endswith("depthwise")],
        "batch_normalization": [layer.bn for layer in layers],
        "dense": [],
    }
    variables = {"batch_normalization": KERAS.batch_norm}
    named: Arrays = {}
    for name, array in arrays.items():
        match = _NUMBERED.fullmatch(name)
        if match is None:
            named[name] = array
            continue
        kind, index, variable = match.groups()
        known, leaves = names[kind], variables.get(kind, ("kernel", "bias"))
        layer = known[int(index)] if int(index) < len(known) else f"{kind}_{index}"
        leaf = leaves[int(variable)] if int(variable) < len(leaves) else variable
        named[f"{layer}/{leaf}"] = array
    return named


def _with_classifier(arrays: Arrays) -> Arrays:
    """Gives the only layer with a bias, on top of the pooled features, the classifier's name and layout."""
    biased = [name.removesuffix("/bias") for name in arrays if name.endswith("/bias")]
    if len(biased) != 1 or f"{biased[0]}/kernel" not in arrays:
        return arrays
    rest = {name: array for name, array in arrays.items() if not name.startswith(f"{biased[0]}/")}
    kernel, bias = (arrays[f"{biased[0]}/{leaf}"] for leaf in ("kernel", "bias"))
    if "conv1/kernel" not in arrays:
        return {**rest, "predictions/kernel": kernel, "predictions/bias": bias}
    return {**rest, "conv_preds/kernel": kernel[None, None] if kernel.ndim == 2 else kernel, "conv_preds/bias": bias}


def _v2_layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    yield Layer("stem", "Conv1", "bn_Conv1")
    for index in range(sum(repeats)):
        block = f"block_{index}" if index else "expanded_conv"
        for name in ("expand", "depthwise", "project") if index >= repeats[0] else ("depthwise", "project"):
            yield Layer(f"block_{index:02d}/{name}", f"{block}_{name}", f"{block}_{name}_BN")
    yield Layer("head", "Conv_1", "Conv_1_bn")


def _v1_layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    yield Layer("stem", "conv1", "conv1_bn")
    for index in range(V1_BLOCKS):
        for ours, theirs in (("depthwise", "dw"), ("pointwise", "pw")):
            conv = f"conv_{theirs}_{index + 1}"
            yield Layer(f"block_{index:02d}/{ours}", conv, f"{conv}_bn")


# keras/src/applications/mobilenet_v2.py and mobilenet.py
KERAS_V2 = Source(
    name="keras",
    architecture="mobilenet_v2",
    layout=KERAS,
    stem="Conv1",
    layers=_v2_layers,
    classifier="predictions",
    variant="keras/mobilenet_v2_100",
    canonical=canonical,
)
KERAS_V1 = Source(
    name="keras_v1",
    architecture="mobilenet_v1",
    layout=KERAS,
    stem="conv1",
    layers=_v1_layers,
    classifier="conv_preds",
    variant="keras/mobilenet_v1_100",
    canonical=canonical,
    classifier_as_conv=True,
)
