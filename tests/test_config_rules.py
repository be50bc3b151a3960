from typing import Any

import jax
import numpy as np
import pytest

from configs import digits
from mobilenet_v2 import config as config_lib
from mobilenet_v2.data.pipeline import training_indices
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import mixing
from tests.changed_config import changed


@pytest.mark.parametrize(
    "name, value, says",
    [
        (
            "model.stages",
            ((1, 16, 1),),
            r"stages\[0\] is \(1, 16, 1\), must be \(t or None, channels, repeats, stride\)",
        ),
        ("model.stages", ((1, 16, 1, 1), (6, 0, 1, 1)), r"stages\[1\] has channels 0, must be an integer ≥ 1"),
        ("model.stages", ((1, 16, 1, 3),), r"stages\[0\] has stride 3, must be an integer in 1 … 2"),
        ("model.stages", ((0.5, 16, 1, 1),), r"stages\[0\] has expansion_factor 0\.5, must be .*, or None"),
        ("model.separable_stages", ((1, 64, 1, 1),), r"separable_stages\[0\] is .*, must be \(channels, repeats, str"),
        ("model.separable_stages", ((64, 1, 3),), r"separable_stages\[0\] has stride 3, must be an integer in 1 … 2"),
        ("data.image_size", 7, r"data\.image_size is 7, must be at least 8, .*stem_stride.*model\.stages"),
        (
            "model.head_channels",
            7,
            r"model\.head_channels is 7, .*'paper'.* at least config\.model\.channel_divisor, 8",
        ),
        ("data.channels", 1, r"data\.mean is \(0\.305, .*, must have as many numbers as config\.data\.channels, 1"),
        ("data.std", (0.5,), r"data\.std is \(0\.5,\), must have as many numbers as config\.data\.channels, 3"),
        (
            "train.evaluate_every",
            150,
            r"evaluate_every is 150, must be a multiple of config\.train\.checkpoint_every, 100",
        ),
        ("train.accumulation_steps", 3, r"accumulation_steps is 3, must divide config\.train\.batch_size, 32"),
    ],
)
def test_a_rule_between_fields_names_what_breaks_it(name: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_lib.validate(changed(name, value))


def test_padding_is_smaller_than_the_image_that_is_cut() -> None:
    config = changed("augment.crop_padding", 32)
    config_lib.validate(config)
    config.augment.crop = "padded"
    with pytest.raises(ConfigError, match=r"crop_padding is 32, must be less than the image's 32 pixels"):
        config_lib.validate(config)


@pytest.mark.parametrize("crop", ["evaluation", "padded"])
def test_training_images_are_no_larger_than_what_they_are_cut_from(crop: str) -> None:
    config = changed("augment.image_size", 48)
    config_lib.validate(config)
    config.data.update(resize="shorter_side", resize_size=40)
    config.augment.crop = "random_resized"
    config_lib.validate(config)
    config.augment.crop = crop
    with pytest.raises(ConfigError, match=rf"augment\.image_size is 48, must be at most .*resize_size, 40, .*'{crop}'"):
        config_lib.validate(config)


def test_training_images_are_as_large_as_the_strides_at_least() -> None:
    with pytest.raises(ConfigError, match=r"augment\.image_size is 7, must be at least 8, .*model\.stages"):
        config_lib.validate(changed("augment.image_size", 7))


@pytest.mark.parametrize("name", ["contrast", "hue"])
def test_slims_fast_order_has_brightness_and_saturation_alone(name: str) -> None:
    config = changed(f"augment.{name}", 0.2)
    config_lib.validate(config)
    config.augment.colour_order = "slim_fast"
    with pytest.raises(ConfigError, match=rf"augment\.{name} is 0\.2, must be 0 where .*colour_order is 'slim_fast'"):
        config_lib.validate(config)


@pytest.mark.parametrize("policy", ["none", "trivial_augment_wide"])
@pytest.mark.parametrize("name, value, plain", [("policy_magnitude_std", 0.5, 0), ("policy_probability", 0.5, 1)])
def test_noise_and_probability_are_of_rand_augment_alone(policy: str, name: str, value: float, plain: int) -> None:
    config = changed(f"augment.{name}", value)
    config.augment.policy = "rand_augment"
    config_lib.validate(config)
    config.augment.policy = policy
    with pytest.raises(ConfigError, match=rf"augment\.{name} is 0\.5, must be {plain} where .*policy is '{policy}'"):
        config_lib.validate(config)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"name": "image_folder"}, "data.folder is None, must be a folder of pictures"),
        ({"folder": "mine"}, "data.folder is 'mine', must be None where config.data.name is 'digits'"),
        ({"name": "cifar10:3.0.2", "folder": "mine"}, "must be None where config.data.name is 'cifar10:3.0.2'"),
        ({"skip_unreadable": True}, "data.skip_unreadable is True, must be False where .* is 'digits'"),
    ],
)
def test_a_folder_goes_with_the_data_sets_that_are_made_of_one(fields: dict[str, Any], says: str) -> None:
    config = digits.get_config()
    config.data.update(fields)
    with pytest.raises(ConfigError, match=says):
        config_lib.validate(config)


def test_a_folder_of_pictures_or_of_imagenets_archives_is_accepted() -> None:
    config = digits.get_config()
    config.data.update(name="image_folder", folder="mine", skip_unreadable=True)
    config_lib.validate(config)
    config.data.update(name="imagenet2012", skip_unreadable=False)
    config_lib.validate(config)


@pytest.mark.parametrize(
    "name, value",
    [
        ("expansion_factor", 4),
        ("linear_bottleneck", False),
        ("residual", "none"),
        ("batch_norm_placement", "not_after_depthwise"),
        ("depthwise_order", "before_expansion"),
    ],
)
def test_an_ablation_is_refused_where_the_network_has_nothing_to_ablate(name: str, value: Any) -> None:
    config = changed(f"model.{name}", value)
    config_lib.validate(config)
    config.model.name = "mobilenet_v1"
    with pytest.raises(
        ConfigError, match=rf"model\.{name} is {value!r}, must be .* config\.model\.name is 'mobilenet_v1'"
    ):
        config_lib.validate(config)


def test_the_smallest_image_is_that_of_the_chosen_network_and_output_stride() -> None:
    config = changed("data.image_size", 8)
    config_lib.validate(config)
    config.model.name = "mobilenet_v1"
    config_lib.validate(config)
    config.data.image_size = 7
    with pytest.raises(ConfigError, match=r"image_size is 7, must be at least 8, .*model\.separable_stages"):
        config_lib.validate(config)
    config.model.output_stride = 4
    config_lib.validate(config)


def test_a_frozen_backbone_has_no_learning_rate_of_its_own() -> None:
    config = changed("optimizer.backbone_rate", 0.1)
    config_lib.validate(config)
    config.train.frozen = "backbone"
    with pytest.raises(ConfigError, match=r"backbone_rate is 0\.1, must be 1\.0 where config\.train\.frozen is 'backb"):
        config_lib.validate(config)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_of_one_image_has_none_to_mix_it_with(name: str) -> None:
    config = changed(f"augment.{name}", 0.2)
    config_lib.validate(config)
    config.train.batch_size = 1
    with pytest.raises(
        ConfigError, match=rf"augment\.{name} is 0\.2, must be 0 where config\.train\.batch_size is 1 and"
    ):
        config_lib.validate(config)


def mixes_an_example_with_itself(batch_size: int, repeats: int) -> bool:
    """Whether any row of the first batches has a partner that is the same example."""
    config = changed("augment.mixup", 0.2)
    config.augment.repeats, config.train.batch_size = repeats, batch_size
    rows = training_indices(range(1000), config)
    for step in range(repeats):
        labels = np.array([rows[step * batch_size + row] for row in range(batch_size)], np.int32)
        batch = {"image": np.zeros((batch_size, 1, 1, 3), np.uint8), "label": labels, "mask": np.ones(batch_size)}
        mixture = mixing.with_mixture(batch, jax.random.key(step), config.augment)
        if np.any(mixture["partner"]["label"] == labels):
            return True
    return False


@pytest.mark.parametrize("accumulation_steps", [1, 2])
@pytest.mark.parametrize("batch_size, repeats", [(2, 1), (4, 3), (4, 4), (6, 4), (6, 3), (8, 4), (10, 4), (2, 2)])
def test_no_accepted_batch_mixes_an_example_with_itself_and_no_other_is_refused(
    batch_size: int, repeats: int, accumulation_steps: int
) -> None:
    config = changed("augment.cutmix", 1.0)
    config.train.update(batch_size=batch_size, accumulation_steps=accumulation_steps)
    config.augment.repeats = repeats
    if not mixes_an_example_with_itself(batch_size, repeats):
        config_lib.validate(config)
        return
    with pytest.raises(
        ConfigError,
        match=rf"is {batch_size} and config\.augment\.repeats {repeats}: .* at least 2 × repeats, {2 * repeats}",
    ):
        config_lib.validate(config)


@pytest.mark.parametrize(
    "name, value",
    [("crop", "random_resized"), ("brightness", 0.1), ("policy", "rand_augment"), ("image_size", 176)],
)
def test_images_on_the_device_are_not_augmented_by_the_host(name: str, value: Any) -> None:
    config = changed(f"augment.{name}", value)
    config_lib.validate(config)
    config.data.residence = "device"
    with pytest.raises(
        ConfigError, match=rf"augment\.{name} is {value!r}, must be .* config\.data\.residence is 'device'"
    ):
        config_lib.validate(config)
