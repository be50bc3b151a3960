import importlib
import json
import pathlib

import pytest
from ml_collections import ConfigDict

from configs import default, digits, image_folder
from mobilenet_v2 import config as config_lib
from mobilenet_v2.config_fields import CAME_LATER
from mobilenet_v2.errors import ConfigError
from tests.changed_config import changed

CONFIGS = sorted(
    path.stem for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py") if path.stem != "__init__"
)


def test_configs_are_found() -> None:
    assert {"default", "digits"} <= set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_of_the_repository_is_valid(name: str) -> None:
    config_lib.validate(importlib.import_module(f"configs.{name}").get_config())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_the_same_after_json_tuples_included(name: str) -> None:
    config = importlib.import_module(f"configs.{name}").get_config()
    back = config_lib.from_json(config_lib.to_json(config))
    assert back.to_dict() == config.to_dict()
    assert isinstance(back.model.stages, tuple)
    assert all(isinstance(row, tuple) for row in back.model.stages)
    assert list(config_lib.flatten(back)) == list(config_lib.flatten(config))
    assert config_lib.differences(config, back) == []
    config_lib.validate(back)


def test_json_has_a_line_a_field_and_ends_with_a_newline() -> None:
    text = config_lib.to_json(default.get_config())
    assert json.loads(text)["train"]["batch_size"] == 96
    assert '    "batch_size": 96,\n' in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("text, says", [("", "not JSON"), ("{", "not JSON"), ("[1]", "found list"), ("3", "found int")])
def test_text_that_is_no_config_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_lib.from_json(text)


def test_differences_name_each_field_with_both_values() -> None:
    assert config_lib.differences(digits.get_config(), digits.get_config()) == []
    new = digits.get_config()
    new.train.batch_size = 64
    new.data.test_split = None
    assert config_lib.differences(digits.get_config(), new) == [
        "data.test_split: 'test' → None",
        "train.batch_size: 32 → 64",
    ]


def test_a_field_that_one_config_lacks_differs_even_from_none() -> None:
    old, new = ConfigDict({"a": 1}), ConfigDict({"a": 1, "b": None})
    assert config_lib.differences(old, new) == ["b: 'absent' → None"]
    assert config_lib.differences(new, old) == ["b: None → 'absent'"]


@pytest.mark.parametrize("name", ["model.width", "train.bach_size", "extra"])
def test_a_field_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"config has no field '{name}'"):
        config_lib.validate(changed(name, 1))


def test_a_missing_field_is_named_with_what_it_may_be() -> None:
    config = digits.get_config()
    del config.train["batch_size"]
    with pytest.raises(ConfigError, match=r"config\.train\.batch_size is missing; it must be an integer ≥ 1"):
        config_lib.validate(config)


@pytest.mark.parametrize("batch_size, devices, accumulation", [(32, 1, 1), (32, 8, 1), (32, 8, 4), (24, 3, 2)])
def test_batches_that_split_evenly_are_accepted(batch_size: int, devices: int, accumulation: int) -> None:
    config = digits.get_config()
    config.train.update(batch_size=batch_size, accumulation_steps=accumulation)
    config_lib.validate_topology(config, devices, 1)


@pytest.mark.parametrize(
    "batch_size, devices, accumulation, nearby", [(33, 8, 1, "32 or 40"), (4, 8, 1, "8"), (40, 8, 2, "32 or 48")]
)
def test_batches_that_do_not_split_evenly_get_the_nearest_that_do(
    batch_size: int, devices: int, accumulation: int, nearby: str
) -> None:
    config = digits.get_config()
    config.train.update(batch_size=batch_size, accumulation_steps=accumulation)
    with pytest.raises(ConfigError, match=rf"batch_size is {batch_size}, .* by {devices} devices .*, as {nearby}$"):
        config_lib.validate_topology(config, devices, 1)


@pytest.mark.parametrize("devices, accumulation", [(32, 1), (8, 4)])
def test_a_device_with_statistics_of_its_own_has_two_rows_or_more(devices: int, accumulation: int) -> None:
    config = changed("parallel.batch_norm", "per_device")
    config.train.accumulation_steps = accumulation
    config_lib.validate_topology(config, devices // 2, 1)
    with pytest.raises(ConfigError, match=rf"batch_size is 32, must be at least 64 .*'per_device': {devices} devices"):
        config_lib.validate_topology(config, devices, 1)


def test_there_may_be_more_logits_than_labels_but_not_fewer() -> None:
    config = digits.get_config()
    config_lib.validate_classes(config, 10)
    config_lib.validate_classes(config, 9)
    with pytest.raises(ConfigError, match=r"config\.model\.num_classes is 10, must be at least 11, .*'digits'"):
        config_lib.validate_classes(config, 11)


def test_a_folder_of_pictures_has_as_many_classes_as_the_classifier() -> None:
    config = image_folder.get_config()
    config_lib.validate_classes(config, 9)
    with pytest.raises(
        ConfigError, match=r"num_classes is 9, must be the 3 .* 'emoji': --config\.model\.num_classes=3"
    ):
        config_lib.validate_classes(config, 3)


def test_a_config_of_before_a_field_came_is_as_it_then_was() -> None:
    config = digits.get_config()
    values = json.loads(config_lib.to_json(config))
    for name in CAME_LATER:
        del values[name]
    assert config_lib.differences(config_lib.from_json(json.dumps(values)), config) == []
