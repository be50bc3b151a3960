"""The evaluation preprocessing that published weights were made for: their source's, or what lies beside them."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.variants import PREPROCESSING, Preprocessing, find_variant
from mobilenet_v2.weights.json_file import read_object
from mobilenet_v2.weights.name_map import Source

# Pillow's numbers of its filters, which HuggingFace's processors state.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


def preprocessing_of(path: pathlib.Path, source: Source) -> Preprocessing:
    """What the weights at `path` expect.

    timm states it in `config.json`, HuggingFace in `preprocessor_config.json`; where these are not beside the weights,
    and for every other source, it is the source's usual one, at 224 pixels.

    Raises:
      WeightsError: if such a file states what can't be.
    """
    usual = PREPROCESSING[find_variant(source.variant).preprocessing]
    readers = {"timm": ("config.json", _of_timm), "huggingface": ("preprocessor_config.json", _of_huggingface)}
    if source.name not in readers:
        return usual
    name, read = readers[source.name]
    beside = path.with_name(name)
    if not beside.is_file():
        return usual
    try:
        stated = read(read_object(beside), usual)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise WeightsError(f"{name} beside {path.name!r} states no preprocessing: {error!r}") from error
    return checked(name, stated.stated())


def checked(file: str, values: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing that `values` state.

    Raises:
      WeightsError: if a field is none, or is what no config may state.
    """
    names = {field.name for field in dataclasses.fields(Preprocessing)}
    if not isinstance(values, Mapping) or not values.keys() <= names:
        raise WeightsError(f"{file!r} states preprocessing {values!r}, must have fields of {', '.join(sorted(names))}")
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in plain.items():
        field = FIELDS["data.image_size" if name == "crop_size" else f"data.{name}"]
        if not field.accepts(value):
            raise WeightsError(f"{file!r} states {name} {value!r}, must be {field.allowed}")
    build: Any = Preprocessing
    try:
        found = build(**plain)
    except TypeError as error:
        raise WeightsError(f"{file!r} states a part of a preprocessing only: {error}") from error
    if found.resize_size is not None and found.resize_size < found.crop_size:
        raise WeightsError(
            f"{file!r} states resize_size {found.resize_size}, must be at least the crop_size {found.crop_size}"
        )
    return found


def describe(preprocessing: Preprocessing) -> str:
    """A line for a person: what is done to a photograph."""
    size, by = preprocessing.crop_size, f"by {preprocessing.interpolation!r}"
    cut = {
        "whole_image": f"all of it to {size} × {size} {by}",
        "central_fraction": f"the central {preprocessing.crop_fraction:g} of each side to {size} × {size} {by}",
    }
    shorter = f"the shorter side to {preprocessing.resize_size or size} {by}, then the central {size} × {size}"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    decoded = _describe_decoding(preprocessing)
    return f"{decoded}{cut.get(preprocessing.resize, shorter)}; (x / 255 − ({mean})) / ({std})"


def _describe_decoding(preprocessing: Preprocessing) -> str:
    """What is done before, where the source says it."""
    turned, behind = preprocessing.exif_orientation, preprocessing.background
    parts = [] if turned is None else ["turned as the camera noted" if turned else "as it is stored"]
    parts += [] if behind is None else [f"transparency over RGB ({', '.join(map(str, behind))})"]
    return "".join(f"{part}, " for part in parts)


def at_size(preprocessing: Preprocessing, size: int) -> Preprocessing:
    """The same at another number of pixels: what is resized to first keeps its proportion, rounded down as in timm."""
    first = preprocessing.resize_size
    resize_size = None if first is None else first * size // preprocessing.crop_size
    return dataclasses.replace(preprocessing, crop_size=size, resize_size=resize_size)


def _of_timm(config: dict[str, Any], usual: Preprocessing) -> Preprocessing:
    """timm/data/transforms_factory.py: the shorter side is resized to ⌊size / crop_pct⌋."""
    stated = config.get("pretrained_cfg", config)
    size = int(stated.get("input_size", (3, usual.crop_size))[-1])
    return dataclasses.replace(
        usual,
        crop_size=size,
        resize_size=math.floor(size / float(stated.get("crop_pct", 0.875))),
        interpolation=stated.get("interpolation", usual.interpolation),
        mean=tuple(stated.get("mean", usual.mean)),
        std=tuple(stated.get("std", usual.std)),
    )


def _of_huggingface(config: dict[str, Any], usual: Preprocessing) -> Preprocessing:
    """transformers' MobileNetV2ImageProcessor. A size may be stated as an integer.

    Raises:
      ValueError: if a step is left out.
    """
    for step in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if config.get(step, True) is not True:
            raise ValueError(f"{step} is {config[step]!r}, must be true")
    crop, first = config.get("crop_size", {}), config.get("size", {})
    return dataclasses.replace(
        usual,
        crop_size=crop if isinstance(crop, int) else crop.get("height", usual.crop_size),
        resize_size=first if isinstance(first, int) else first.get("shortest_edge", usual.resize_size),
        interpolation=_RESAMPLE[config.get("resample", 2)],
        mean=tuple(config.get("image_mean", usual.mean)),
        std=tuple(config.get("image_std", usual.std)),
    )
