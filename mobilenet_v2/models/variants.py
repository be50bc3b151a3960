"""Named architectures: what each published implementation's network is, as plain data, and its preprocessing.

A name is source/architecture: `timm/mobilenetv2_110d`, `keras/mobilenet_v1_025`; the number is the width in hundredths.
The paper's own networks are TF-slim's. Values were read in the sources and run: the same weights under another
source's padding or ε lose accuracy silently. Shortcuts are everywhere as in the paper; at widths below 0.28, where stem
and block 00 are equally wide, Hugging Face alone has none in block 00: it has published no such network.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from mobilenet_v2.models.build import build_model


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """From a photograph to a network's input, in evaluation.

    Attributes:
      resize: "shorter_side" to `resize_size` pixels, then the central square of `crop_size` pixels, whose offset is
        rounded to the even pixel, "shorter_side_floor" down; "central_fraction" cuts the central `crop_fraction` of
        each side first and scales that to `crop_size`; "whole_image" scales all of the image to it. The last two do not
        keep the aspect.
      interpolation: "bilinear", "bicubic" and "nearest" are Pillow's, which average where they shrink (nearest does
        not); "bilinear_tf1" is TensorFlow 1's: output pixel i is read at i · in / out, nothing is averaged.
      mean, std: per channel, of pixels in [0, 1]: the input is (x − mean) / std.
      background, exif_orientation: of `decode`; None where the source does not say, as of the published ones: whoever
        makes images ready decides.
    """

    resize: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_size: int = 224
    resize_size: int | None = None
    crop_fraction: float = 1.0
    background: tuple[int, int, int] | None = None
    exif_orientation: bool | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """As the fields of `config.data` say."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "crop_size"]
        return cls(crop_size=data["image_size"], **{name: data[name] for name in names})

    def data_fields(self) -> dict[str, Any]:
        """The fields of `config.data` that say so; those that it leaves open are none of them."""
        stated = self.stated()
        stated["image_size"] = stated.pop("crop_size")
        return stated

    def stated(self) -> dict[str, Any]:
        """Its fields by name, without those that it leaves open."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in _MAY_BE_OPEN or value is not None}


_MAY_BE_OPEN = ("background", "exif_orientation")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a network's weights came from, and what goes with them.

    Attributes:
      source: "torchvision", "timm", "keras", "slim", "huggingface", "a run", ….
      preprocessing: how images are made ready; None where nothing says so.
      class_names: by logit; empty where nothing says so.
    """

    source: str
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] = ()


_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_PLUS_MINUS_1 = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

PREPROCESSING = {
    "slim": Preprocessing("central_fraction", "bilinear_tf1", **_PLUS_MINUS_1, crop_fraction=0.875),
    "keras": Preprocessing("whole_image", "nearest", **_PLUS_MINUS_1),
    "torchvision": Preprocessing("shorter_side", "bilinear", **_IMAGENET, resize_size=256),
    "torchvision_v2": Preprocessing("shorter_side", "bilinear", **_IMAGENET, resize_size=232),  # IMAGENET1K_V2
    "timm": Preprocessing("shorter_side", "bicubic", **_IMAGENET, resize_size=256),
    "hf": Preprocessing("shorter_side_floor", "bilinear", **_PLUS_MINUS_1, resize_size=256),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One source's architecture.

    Attributes:
      model: fields of `config.model`; those that are missing are the paper's.
      preprocessing: a key of `PREPROCESSING`.
    """

    model: Mapping[str, Any]
    preprocessing: str

    def overrides(self) -> dict[str, Any]:
        """The config fields by dotted name: {"model.padding": "same", …, "data.mean": (0.5, 0.5, 0.5), …}."""
        data = PREPROCESSING[self.preprocessing].data_fields()
        fields = {f"model.{name}": value for name, value in self.model.items()}
        return fields | {f"data.{name}": value for name, value in data.items()}


# The networks that sources share: α of the widths' names, and the paper's tables.
_V2 = {"name": "mobilenet_v2", "head_rule": "paper", "activation": "relu6"}
_V1 = {"name": "mobilenet_v1", "activation": "relu6"}

# Momentum is the weight of the old value. Class 0 of 1001 is the background.
_SOURCES: dict[str, dict[str, Any]] = {
    "slim": {
        **_V2,
        "num_classes": 1001,
        "dropout_rate": 0.2,
        "padding": "same",
        "batch_norm_epsilon": 1e-3,
        "batch_norm_momentum": 0.997,
        "batch_norm_unbiased": True,
        "initialization": "slim",
    },
    "keras": {
        **_V2,
        "num_classes": 1000,
        "dropout_rate": 0.0,
        "padding": "same",
        "batch_norm_epsilon": 1e-3,
        "batch_norm_momentum": 0.999,
        "batch_norm_unbiased": False,
        "initialization": "keras",
    },
    "torchvision": {
        **_V2,
        "num_classes": 1000,
        "dropout_rate": 0.2,
        "padding": "symmetric",
        "batch_norm_epsilon": 1e-5,
        "batch_norm_momentum": 0.9,
        "batch_norm_unbiased": True,
        "initialization": "torchvision",
    },
    "timm": {
        **_V2,
        "num_classes": 1000,
        "dropout_rate": 0.0,
        "padding": "symmetric",
        "batch_norm_epsilon": 1e-5,
        "batch_norm_momentum": 0.9,
        "batch_norm_unbiased": True,
        "initialization": "timm",
    },
    # Dropout and momentum are slim's keep probability and old value, taken for their complements: so it is published.
    "hf": {
        **_V2,
        "num_classes": 1001,
        "dropout_rate": 0.8,
        "padding": "same",
        "batch_norm_epsilon": 1e-3,
        "batch_norm_momentum": 0.003,
        "batch_norm_unbiased": True,
        "initialization": "huggingface",
    },
}
_V1_SOURCES = {
    "slim": {**_SOURCES["slim"], **_V1, "dropout_rate": 0.001, "batch_norm_momentum": 0.9997},
    "keras": {
        **_SOURCES["keras"],
        **_V1,
        "dropout_rate": 0.001,
        "batch_norm_momentum": 0.99,
        "padding": "keras_v1",
    },
}
_TF_STYLE = {"padding": "same", "batch_norm_epsilon": 1e-3, "batch_norm_momentum": 0.99}

_WIDTHS = {
    "slim": ("035", "050", "075", "100", "130", "140"),
    "keras": ("035", "050", "075", "100", "130", "140"),
    "torchvision": ("025", "035", "050", "075", "100", "140"),
    "timm": ("035", "050", "075", "100", "140"),
    "hf": ("035", "075", "100", "140"),
}
_V1_WIDTHS = ("025", "050", "075", "100")


def _deep(width: float, repeats: tuple[int, ...]) -> dict[str, Any]:
    """timm's deeper networks: rows repeated otherwise, the stem at 32 and the head at 1280 channels."""
    channels, strides = (16, 24, 32, 64, 96, 160, 320), (1, 2, 2, 2, 1, 2, 1)
    factors = (1, None, None, None, None, None, None)
    stages = tuple(zip(factors, channels, repeats, strides, strict=True))
    return {"width_multiplier": width, "stages": stages, "stem_rule": "fixed", "head_rule": "fixed"}


def _published() -> dict[str, Variant]:
    found = {}
    for source, widths in _WIDTHS.items():
        architecture = "mobilenetv2" if source == "timm" else "mobilenet_v2"
        for width in widths:
            fields = {**_SOURCES[source], "width_multiplier": int(width) / 100}
            found[f"{source}/{architecture}_{width}"] = Variant(fields, source)
    for source, fields in _V1_SOURCES.items():
        for width in _V1_WIDTHS:
            found[f"{source}/mobilenet_v1_{width}"] = Variant({**fields, "width_multiplier": int(width) / 100}, source)
    more = {
        # TF-slim's bare default scales the head below a width of 1, too.
        "slim/mobilenet_v2_050_shrunk_head": {"width_multiplier": 0.5, "head_rule": "shrink"},
        "timm/mobilenetv2_110d": _deep(1.1, (1, 3, 4, 5, 4, 4, 1)),
        "timm/mobilenetv2_120d": _deep(1.2, (1, 3, 5, 6, 5, 5, 1)),
        # timm's own preset for weights that were trained by TensorFlow.
        "timm/mobilenetv2_100_tfsame": {"width_multiplier": 1.0, **_TF_STYLE},
    }
    for name, fields in more.items():
        source = name.split("/")[0]
        found[name] = Variant({**_SOURCES[source], **fields}, source)
    return found


VARIANTS: dict[str, Variant] = _published()


def find_variant(name: str) -> Variant:
    """The variant of this name.

    Raises:
      ValueError: if there is none, with the nearest names.
    """
    if name not in VARIANTS:
        near = difflib.get_close_matches(name, VARIANTS, n=3) or list(VARIANTS)
        raise ValueError(f"no variant {name!r}; there are {', '.join(near)}")
    return VARIANTS[name]


def build_variant(name: str, **overrides: Any) -> Any:
    """The variant's network, with fields of `config.model` changed by `overrides`: `num_classes=0`, say.

    Raises:
      ValueError: if there is no such variant or field.
    """
    return build_model({**find_variant(name).model, **overrides})
