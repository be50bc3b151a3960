import itertools
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Sharding, SingleDeviceSharding
from ml_collections import ConfigDict

from mobilenet_v2.data import resident
from mobilenet_v2.data.pipeline import evaluation_batches, training_batches, training_places
from mobilenet_v2.data.prefetch import DeviceBatch, Prefetch
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.errors import ConfigError, DataError
from tests.data.test_pipeline import BATCH, EXAMPLES, assert_same, joined, labels, make_config, source, take

OFF = {"flip": False, "rotation": 0.0, "zoom": 0.0, "shift": 0.0}


def one_device() -> Sharding:
    return SingleDeviceSharding(jax.devices()[0])


def config_with(batch_size: int = BATCH, **augment: Any) -> ConfigDict:
    config = make_config(batch_size)
    config.augment.update({**OFF, **augment})
    config.data.residence = "device"
    return config


def held(records: Any, config: ConfigDict) -> DeviceBatch:
    return resident.hold(records, config, one_device(), Unreadable("train"))


def stream(config: ConfigDict, records: Any = None, start_step: int = 0) -> Prefetch:
    records = source() if records is None else records
    complete = resident.gathering(held(records, config), config, one_device())
    places = iter(training_places(records, config, start_step=start_step))
    return Prefetch(places, one_device(), complete=complete)


def taken(batches: Prefetch, count: int) -> list[dict[str, np.ndarray]]:
    return [jax.device_get(batch) for batch in itertools.islice(batches, count)]


def draws(rows: int = 400) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (rows, 5), minval=-1.0, maxval=1.0)


def moved(image: np.ndarray, rows: int = 400, **augment: Any) -> np.ndarray:
    """The same image augmented by as many draws."""
    images = jnp.repeat(jnp.asarray(image)[None], rows, axis=0)
    return np.asarray(resident.augmented(images, draws(rows), config_with(**augment).augment, (0, 0, 0)))


def spot(size: int, margin: int) -> np.ndarray:
    image = np.zeros((size, size, 3), np.uint8)
    image[margin:-margin, margin:-margin] = 255
    return image


def centres(images: np.ndarray) -> np.ndarray:
    """[B, 2]: centre of mass of each image's first channel."""
    weights = images[..., 0].astype(float)
    axes = np.indices(weights.shape[1:])
    return np.stack([(weights * axis).sum((1, 2)) for axis in axes], axis=1) / weights.sum((1, 2))[:, None]


def test_without_augmentation_batches_are_those_of_the_host() -> None:
    config = config_with()
    assert_same(taken(stream(config), 20), take(training_batches(source(), config), 20))


def test_augmented_or_not_labels_come_in_the_order_of_the_host() -> None:
    config = config_with(flip=True, rotation=10.0, zoom=0.1, shift=0.1)
    ours, hosts = taken(stream(config), 20), take(training_batches(source(), config), 20)
    np.testing.assert_array_equal(labels(ours), labels(hosts))
    assert any((one["image"] != other["image"]).any() for one, other in zip(ours, hosts, strict=True))


def test_a_held_split_is_what_evaluation_sees_unreadable_images_included() -> None:
    records = source()
    records[5] = {"image": b"damaged", "label": 5}
    whole = jax.device_get(held(records, config_with()))
    batches = list(evaluation_batches(records, make_config()))
    for name, rows in whole.items():
        np.testing.assert_array_equal(rows, np.concatenate([batch[name] for batch in batches])[:EXAMPLES])
    assert np.flatnonzero(whole["mask"] == 0).tolist() == [5]
    assert not whole["image"][5].any()


def test_an_unreadable_image_stays_black_and_masked_when_augmented() -> None:
    records = source()
    records[5] = {"image": b"damaged", "label": 5}
    batches = taken(stream(config_with(flip=True, rotation=10.0, zoom=0.1, shift=0.1), records), 25)
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert set(labels(batches)[mask == 0]) == {5}
    assert (mask == 0).sum() == 4
    assert not np.concatenate([batch["image"] for batch in batches])[mask == 0].any()


@pytest.mark.parametrize("before", [0, 1, 6, 13])
def test_resumed_anywhere_the_remaining_batches_are_the_same(before: int) -> None:
    config = config_with(flip=True, rotation=10.0, zoom=0.1, shift=0.1)
    whole = taken(stream(config), 16)
    assert_same(taken(stream(config, start_step=before), 16 - before), whole[before:])


def test_unreadable_images_are_named_and_a_split_of_nothing_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    records = source()
    records[5] = {"image": b"damaged", "label": 5}
    held(records, config_with())
    assert "left out of split 'train': record 5: can't decode" in capsys.readouterr().err
    with pytest.raises(DataError, match="none of the 2 training images can be decoded"):
        held([{"image": b"", "label": 0}] * 2, config_with())


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_every_host_count_names_the_same_rows(hosts: int) -> None:
    parts = [
        take(training_places(source(), config_with(), process_index=host, process_count=hosts), 15)
        for host in range(hosts)
    ]
    assert_same(joined(parts), take(training_places(source(), config_with()), 15))


def test_a_row_is_augmented_by_its_place_in_the_stream_whatever_the_batch() -> None:
    fields = {"flip": True, "rotation": 10.0, "zoom": 0.1, "shift": 0.1}
    small, large = (
        np.concatenate([batch["image"] for batch in taken(stream(config_with(size, **fields)), 80 // size)])
        for size in (4, 16)
    )
    np.testing.assert_array_equal(small, large)
    first, again = (np.flatnonzero(labels(taken(stream(config_with(**fields)), 10)) == 3))[:2]
    assert (small[first] != small[again]).any()


def test_the_seed_decides_the_augmentation() -> None:
    config = config_with(shift=0.3)
    examples = held(source(), config)
    places = {"index": jnp.zeros(8, jnp.int32), "position": jnp.arange(8, dtype=jnp.uint32)}
    first = resident.gather_and_augment(examples, places, config)["image"]
    config.seed = 1
    assert (first != resident.gather_and_augment(examples, places, config)["image"]).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_draws_give_the_picture_that_opencv_gives(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 33, 33, channels), np.uint8)
    images = np.stack([cv2.GaussianBlur(image, (5, 5), 0).reshape(image.shape) for image in images])
    augment = config_with(rotation=60.0, zoom=0.4, shift=0.3, flip=True).augment
    ours = np.asarray(resident.augmented(jnp.asarray(images), draws(40), augment, (0,) * channels)).astype(int)
    for row, (turn, zoom, right, down, mirror) in enumerate(np.asarray(draws(40), np.float64)):
        affine = cv2.getRotationMatrix2D((16, 16), turn * 60, 1 + zoom * 0.4)
        affine[:, 2] += 33 * 0.3 * np.array([right, down])
        expected = cv2.warpAffine(images[row], affine, (33, 33), flags=cv2.INTER_LINEAR).reshape(images[row].shape)
        apart = np.abs(ours[row] - (expected[:, ::-1] if mirror < 0 else expected))
        # A 64th of a pixel, times the steepest slope.
        assert apart.max() <= 8
        assert apart.mean() < 0.5


def test_about_half_of_the_images_are_mirrored_left_to_right() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    images = moved(image, flip=True)
    mirrored = (images == image[:, ::-1]).all((1, 2, 3))
    assert 160 < mirrored.sum() < 240
    assert (images[~mirrored] == image).all()


def test_shifts_stay_within_their_share_of_the_side() -> None:
    apart = centres(moved(spot(41, 19), shift=0.2)) - 20
    assert np.abs(apart).max() <= 0.2 * 41 + 0.1
    assert (np.abs(apart).max(axis=0) > 0.15 * 41).all()


def test_zoom_and_rotation_keep_the_centre_and_zoom_is_a_factor_of_the_side() -> None:
    assert np.abs(centres(moved(spot(41, 17), rotation=45.0, zoom=0.3)) - 20).max() < 0.2
    sides = np.sqrt(moved(spot(64, 16), zoom=0.2)[..., 0].sum((1, 2)) / 255) / 32
    assert sides.min() >= 0.79
    assert sides.max() <= 1.21
    assert sides.max() - sides.min() > 0.3


def test_draws_of_different_places_are_uniform() -> None:
    config = config_with(4000, shift=0.2)
    config.data.image_size = 41
    held = {"image": jnp.asarray(spot(41, 19))[None], "label": jnp.zeros(1, jnp.int32), "mask": jnp.ones(1)}
    places = {"index": jnp.zeros(4000, jnp.int32), "position": jnp.arange(4000, dtype=jnp.uint32)}
    apart = (centres(np.asarray(resident.gather_and_augment(held, places, config)["image"])) - 20) / 8.2
    assert np.abs(apart.mean(axis=0)).max() < 0.03
    np.testing.assert_allclose(apart.var(axis=0), 1 / 3, rtol=0.05)
    assert np.abs(np.corrcoef(apart.T)[0, 1]) < 0.05


def test_a_split_that_is_too_large_for_the_devices_is_refused_with_its_bytes() -> None:
    config = config_with()
    config.data.device_bytes = EXAMPLES * (8 * 8 * 3 + 8)
    resident.check_residence(source(), config)
    config.data.device_bytes -= 1
    with pytest.raises(ConfigError, match=r"must hold 10000 bytes \(50 images of 8 × 8 × 3\); .*device_bytes.* 9999"):
        resident.check_residence(source(), config)
    config.data.residence = "host"
    resident.check_residence(source(), config)
