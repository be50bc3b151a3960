import dataclasses
import json
import pathlib
from typing import Any

import pytest
from safetensors.numpy import save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.variants import PREPROCESSING, Preprocessing
from mobilenet_v2.weights.load import import_file
from mobilenet_v2.weights.preprocessing import at_size, checked
from tests.weights import small

TIMM = {
    "architecture": "mobilenetv2_100",
    "pretrained_cfg": {
        "input_size": [3, 160, 160],
        "crop_pct": 0.95,
        "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
}
HUGGINGFACE = {"size": {"shortest_edge": 176}, "crop_size": {"height": 160, "width": 160}, "resample": 3}


def stated(source: str, folder: pathlib.Path, name: str = "", content: Any = None) -> Preprocessing | None:
    save_file(small.arrays(source), folder / "model.safetensors")
    if name:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return import_file(folder / "model.safetensors", report=lambda line: None).preprocessing


@pytest.mark.parametrize(
    "source, preset",
    [("torchvision", "torchvision"), ("timm", "timm"), ("huggingface", "hf"), ("slim", "slim"), ("keras", "keras")],
)
def test_it_is_the_source_s_usual_one(source: str, preset: str, tmp_path: pathlib.Path) -> None:
    assert stated(source, tmp_path) == PREPROCESSING[preset]


def test_timm_s_config_beside_the_weights_is_believed(tmp_path: pathlib.Path) -> None:
    half = (0.5, 0.5, 0.5)
    expected = Preprocessing("shorter_side", "bilinear", half, half, crop_size=160, resize_size=168)
    assert stated("timm", tmp_path, "config.json", TIMM) == expected


def test_huggingface_s_processor_beside_the_weights_is_believed(tmp_path: pathlib.Path) -> None:
    found = stated("huggingface", tmp_path, "preprocessor_config.json", HUGGINGFACE)
    usual = PREPROCESSING["hf"]
    assert found == dataclasses.replace(usual, crop_size=160, resize_size=176, interpolation="bicubic")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"pretrained_cfg": {"crop_pct": 0}},
        {"pretrained_cfg": {"input_size": [3, 224, 0]}},
        {"pretrained_cfg": {"std": [0, 0, 0]}},
        {"pretrained_cfg": {"interpolation": "random"}},
    ],
)
def test_what_can_not_be_is_one_clear_error(content: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json"):
        stated("timm", tmp_path, "config.json", content)


def test_a_description_states_known_fields_and_all_of_the_needed() -> None:
    plain = PREPROCESSING["timm"].stated()
    assert checked("file", json.loads(json.dumps(plain))) == PREPROCESSING["timm"]
    with pytest.raises(WeightsError, match="must have fields of"):
        checked("file", {**plain, "colour": 1})
    with pytest.raises(WeightsError, match="a part of a preprocessing"):
        checked("file", {"mean": plain["mean"]})


def test_at_another_size_the_border_keeps_its_share() -> None:
    smaller = at_size(PREPROCESSING["timm"], 112)
    assert (smaller.crop_size, smaller.resize_size) == (112, 128)
    assert at_size(PREPROCESSING["slim"], 96).resize_size is None
    assert at_size(PREPROCESSING["timm"], 160).resize_size == 182  # ⌊160 / 0.875⌋, as timm


def test_huggingface_s_sizes_may_be_integers(tmp_path: pathlib.Path) -> None:
    found = stated("huggingface", tmp_path, "preprocessor_config.json", {"size": 176, "crop_size": 160})
    assert found == dataclasses.replace(PREPROCESSING["hf"], crop_size=160, resize_size=176)


@pytest.mark.parametrize("step", ["do_resize", "do_center_crop", "do_rescale", "do_normalize"])
def test_a_step_that_huggingface_leaves_out_is_refused(step: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match=rf"preprocessor_config\.json.*{step} is False, must be true"):
        stated("huggingface", tmp_path, "preprocessor_config.json", {step: False})


def test_what_is_resized_to_may_not_be_less_than_the_crop() -> None:
    plain = PREPROCESSING["timm"].stated()
    with pytest.raises(WeightsError, match="'file' states resize_size 200, must be at least the crop_size 224"):
        checked("file", {**plain, "resize_size": 200})
