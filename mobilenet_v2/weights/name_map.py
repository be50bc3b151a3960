"""How other code bases name and lay out the arrays of a MobileNet: rules, from which every name follows.

Ours are `params/block_01/expand/conv/kernel` and `batch_stats/block_01/expand/bn/mean`: kernels are HWIO, a depthwise
kernel is [3, 3, 1, C], the classifier's [in, out].
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.mobilenet_v1 import V1_STAGES
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES
from mobilenet_v2.models.variants import find_variant
from mobilenet_v2.weights.arrays import Arrays, first

# Blocks in each of the paper's seven stages (Table 2), and in MobileNetV1 (its Table 1).
PAPER_REPEATS = tuple(stage.repeats for stage in PAPER_STAGES)
V1_BLOCKS = sum(stage.repeats for stage in V1_STAGES)


class Layer(NamedTuple):
    """One of our layers and what a source calls its convolution and its batch norm."""

    ours: str
    conv: str
    bn: str


class Entry(NamedTuple):
    """One array: its name there, its path here, the permutation of its axes that makes them ours.

    `as_conv` says that the source keeps a classifier as a 1×1 convolution, [1, 1, in, out].
    """

    foreign: str
    ours: str
    axes: tuple[int, ...]
    as_conv: bool = False

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """The array in our layout.

        Raises:
          WeightsError: if it has another rank than the source's.
        """
        if array.ndim != len(self.axes) + 2 * self.as_conv or (self.as_conv and array.shape[:2] != (1, 1)):
            must = "be [1, 1, in, out]" if self.as_conv and len(self.axes) == 2 else f"have {len(self.axes)} axes"
            raise WeightsError(f"{self.foreign!r} has shape {array.shape}, must {must}")
        return np.transpose(array[0, 0] if self.as_conv else array, self.axes)

    def to_foreign(self, array: np.ndarray) -> np.ndarray:
        """The array in the source's layout: what `to_ours` undoes."""
        transposed = np.transpose(array, np.argsort(self.axes))
        return transposed[None, None] if self.as_conv else transposed


@dataclasses.dataclass(frozen=True)
class Layout:
    """A framework's names of a layer's arrays, and the axes that make them ours."""

    separator: str
    kernel: str
    depthwise_kernel: str
    kernel_axes: tuple[int, ...]
    depthwise_axes: tuple[int, ...]
    dense_axes: tuple[int, ...]
    batch_norm: tuple[str, str, str, str]  # scale, bias, mean, variance
    bias: str = "bias"


TORCH = Layout(
    ".",
    "weight",
    "weight",
    (2, 3, 1, 0),
    (2, 3, 1, 0),
    (1, 0),
    ("weight", "bias", "running_mean", "running_var"),
)
KERAS = Layout(
    "/",
    "kernel",
    "kernel",
    (0, 1, 2, 3),
    (0, 1, 3, 2),
    (0, 1),
    ("gamma", "beta", "moving_mean", "moving_variance"),
)
SLIM = dataclasses.replace(KERAS, kernel="weights", depthwise_kernel="depthwise_weights", bias="biases")


@dataclasses.dataclass(frozen=True)
class Source:
    """A code base that publishes weights.

    Attributes:
      name: of the source, `timm`.
      architecture: "mobilenet_v2" or "mobilenet_v1".
      layout: its framework's.
      stem: the name of the stem's convolution, by which a file is recognised, with `mark` in some other name.
      layers: the network's layers in order, for so many blocks in each stage.
      classifier: its name.
      variant: one of its networks, by name in `models.variants`: of what its arrays do not show.
      changes: fields in which its networks differ from that.
      canonical: the file's arrays under the names of `layers`, without what is no weight of the network.
      repeats: blocks in each stage, from the names in a file.
      classifier_as_conv: it is a 1×1 convolution.
    """

    name: str
    architecture: str
    layout: Layout
    stem: str
    layers: Callable[[tuple[int, ...]], Iterator[Layer]]
    classifier: str
    variant: str
    mark: str = ""
    canonical: Callable[[Arrays], Arrays] = dict
    repeats: Callable[[Collection[str]], tuple[int, ...]] = lambda names: PAPER_REPEATS
    classifier_as_conv: bool = False
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The source's own fields of a network: padding, batch norm's constants, dropout, initialisation."""
        return {**find_variant(self.variant).model, **self.changes}

    def recognises(self, names: Collection[str]) -> bool:
        """Whether these are the names of a file of this source."""
        stem = f"{self.stem}{self.layout.separator}{self.layout.kernel}"
        return stem in names and any(self.mark in name for name in names)

    def entries(self, repeats: tuple[int, ...]) -> Iterator[Entry]:
        """Every array of the network, in its order."""
        layout, join = self.layout, self.layout.separator
        for ours, conv, bn in self.layers(repeats):
            if ours.endswith("depthwise"):
                kernel, axes = layout.depthwise_kernel, layout.depthwise_axes
            else:
                kernel, axes = layout.kernel, layout.kernel_axes
            yield Entry(f"{conv}{join}{kernel}", f"params/{ours}/conv/kernel", axes)
            leaves = ("params/{}/bn/scale", "params/{}/bn/bias", "batch_stats/{}/bn/mean", "batch_stats/{}/bn/var")
            for leaf, name in zip(leaves, layout.batch_norm, strict=True):
                yield Entry(f"{bn}{join}{name}", leaf.format(ours), (0,))
        kernel = f"{self.classifier}{join}{layout.kernel}"
        yield Entry(kernel, "params/classifier/kernel", layout.dense_axes, self.classifier_as_conv)
        yield Entry(f"{self.classifier}{join}{layout.bias}", "params/classifier/bias", (0,))


def to_ours(file: str, source: Source, arrays: Arrays) -> tuple[Arrays, tuple[int, ...]]:
    """Arrays under a source's names by our paths, and the blocks in each stage. The classifier may be absent.

    Raises:
      WeightsError: names what is missing and what is not expected.
    """
    repeats = source.repeats(arrays)
    entries = list(source.entries(repeats))
    missing = [e.foreign for e in entries if e.foreign not in arrays and not e.ours.startswith("params/classifier")]
    known = {entry.foreign for entry in entries}
    unexpected = [name for name in arrays if name not in known]
    if missing or unexpected:
        raise WeightsError(
            f"{file!r} must hold the {len(entries)} arrays of {source.name}'s {source.architecture}; "
            f"missing: {first(missing)}; not expected: {first(unexpected)}"
        )
    try:
        return {
            entry.ours: entry.to_ours(arrays[entry.foreign]) for entry in entries if entry.foreign in arrays
        }, repeats
    except WeightsError as error:
        raise WeightsError(
            f"{file!r} holds another network than {source.name}'s {source.architecture}: {error}"
        ) from error


def to_foreign(source: Source, arrays: Arrays, repeats: tuple[int, ...]) -> Arrays:
    """Our arrays by path, under a source's names and in its layout.

    Raises:
      WeightsError: if it has no names for this network.
    """
    entries = list(source.entries(repeats))
    nameless = sorted({entry.ours for entry in entries} ^ arrays.keys())
    if nameless:
        raise WeightsError(f"{source.name} has no such {source.architecture}; the paths that differ: {first(nameless)}")
    return {entry.foreign: entry.to_foreign(arrays[entry.ours]) for entry in entries}
