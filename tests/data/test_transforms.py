from typing import Any

import cv2
import numpy as np
import pytest

from configs import default
from mobilenet_v2.data.colour import ColourJitter
from mobilenet_v2.data.crops import Crop
from mobilenet_v2.data.policies import Policy, rand_augment
from mobilenet_v2.data.transforms import Augment, Preprocess

CORRUPT = [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40]


def picture(height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image_rgb: np.ndarray, extension: str = ".png") -> bytes:
    flipped = image_rgb[..., ::-1] if image_rgb.ndim == 3 else image_rgb
    return cv2.imencode(extension, flipped)[1].tobytes()


def record(image: np.ndarray, label: int = 3) -> dict:
    return {"image": encoded(image), "label": label}


@pytest.mark.parametrize("size", [4, 8, 12])
@pytest.mark.parametrize("data", [encoded(picture()), CORRUPT[1]], ids=["image", "corrupt"])
def test_grey_examples_keep_their_axis_of_channels(size: int, data: bytes) -> None:
    element = {"image": data, "label": 3}
    augment = Augment(Preprocess(size, 1), rotation=10, zoom=0.1, shift=0.1, flip=True)
    for result in (Preprocess(size, 1).map(element), augment.random_map(element, np.random.default_rng(0))):
        assert result["image"].shape == (size, size, 1)
        assert result["image"].dtype == np.uint8


@pytest.mark.parametrize("data", CORRUPT)
def test_a_corrupt_image_becomes_zeros_with_mask_0(data: bytes) -> None:
    result = Preprocess(6).map({"image": data, "label": 7})
    np.testing.assert_array_equal(result["image"], np.zeros((6, 6, 3), np.uint8))
    assert (result["label"], result["mask"]) == (7, 0)


def test_an_example_has_the_types_of_the_batch() -> None:
    result = Preprocess(16).map(record(picture()))
    assert {name: (np.asarray(v).dtype, np.shape(v)) for name, v in result.items()} == {
        "image": (np.uint8, (16, 16, 3)),
        "label": (np.int32, ()),
        "mask": (np.float32, ()),
    }
    assert (result["label"], result["mask"]) == (3, 1)


def test_augmentation_is_a_function_of_the_generator() -> None:
    augment = Augment(Preprocess(16), rotation=10, zoom=0.1, shift=0.1, flip=True)
    first, again, other = (augment.random_map(record(picture()), np.random.default_rng(s))["image"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_with_everything_off_the_image_is_that_of_evaluation() -> None:
    for seed in range(5):
        augmented = Augment(Preprocess(16)).random_map(record(picture()), np.random.default_rng(seed))
        np.testing.assert_array_equal(augmented["image"], Preprocess(16).map(record(picture()))["image"])


def test_about_half_of_the_images_are_mirrored_left_to_right() -> None:
    plain, rng, mirrored = picture(), np.random.default_rng(0), 0
    for _ in range(400):
        image = Augment(Preprocess(8), flip=True).random_map(record(plain), rng)["image"]
        if (image == plain[:, ::-1]).all():
            mirrored += 1
        else:
            np.testing.assert_array_equal(image, plain)
    assert 160 < mirrored < 240


def test_switching_the_flip_on_leaves_the_other_draws_alone() -> None:
    for seed in range(10):
        plain, flipped = (
            Augment(Preprocess(8), shift=0.3, flip=flip).random_map(record(picture()), np.random.default_rng(seed))[
                "image"
            ]
            for flip in (False, True)
        )
        assert (flipped == plain).all() or (flipped == plain[:, ::-1]).all()


def centre_of_mass(image: np.ndarray) -> np.ndarray:
    weights = image[..., 0].astype(float)
    return np.array([(weights * axis).sum() for axis in np.indices(weights.shape)]) / weights.sum()


def test_shifts_stay_within_their_share_of_the_side() -> None:
    spot = np.zeros((41, 41, 3), np.uint8)
    spot[19:22, 19:22] = 255
    rng = np.random.default_rng(0)
    augment = Augment(Preprocess(41), shift=0.2)
    moved = np.array([centre_of_mass(augment.random_map(record(spot), rng)["image"]) for _ in range(200)]) - 20
    assert np.abs(moved).max() <= 0.2 * 41 + 0.1
    assert (np.abs(moved).max(axis=0) > 0.15 * 41).all()


def test_zoom_and_rotation_keep_the_centre() -> None:
    spot = np.zeros((41, 41, 3), np.uint8)
    spot[17:24, 17:24] = 255
    rng = np.random.default_rng(0)
    augment = Augment(Preprocess(41), rotation=45, zoom=0.3)
    centres = np.array([centre_of_mass(augment.random_map(record(spot), rng)["image"]) for _ in range(50)])
    assert np.abs(centres - 20).max() < 0.2


def test_zoom_is_a_factor_of_the_side() -> None:
    square = np.zeros((64, 64, 3), np.uint8)
    square[16:48, 16:48] = 255
    rng = np.random.default_rng(0)
    augment = Augment(Preprocess(64), zoom=0.2)
    areas = [augment.random_map(record(square), rng)["image"][..., 0].sum() / 255 for _ in range(200)]
    sides = np.sqrt(areas) / 32
    assert sides.min() >= 0.79
    assert sides.max() <= 1.21
    assert sides.max() - sides.min() > 0.3


# All stages at once, each strong enough to be seen.
STAGES: dict[str, Any] = {
    "flip": True,
    "shift": 0.3,
    "random_background": 0.5,
    "crop": Crop("random_resized"),
    "colour": ColourJitter(0.4, 0.4, 0.4, 0.1),
    "policy": Policy(rand_augment(16), 2, 20),
}


def augmented(seed: int, image: np.ndarray, **stages: Any) -> np.ndarray:
    augment = Augment(Preprocess(16), **stages)
    return augment.random_map(record(image), np.random.default_rng(seed))["image"]


def test_the_first_five_numbers_are_of_the_affine_map_and_the_mirror() -> None:
    for seed in range(5):
        turn, zoom, right, down, mirror = np.random.default_rng(seed).uniform(-1, 1, 5)
        affine = cv2.getRotationMatrix2D((7.5, 7.5), turn * 10, 1 + zoom * 0.1)
        affine[:, 2] += 16 * 0.1 * np.array([right, down])
        expected = cv2.warpAffine(picture(16, 16), affine, (16, 16), flags=cv2.INTER_LINEAR)
        expected = expected[:, ::-1] if mirror < 0 else expected
        result = augmented(seed, picture(16, 16), rotation=10, zoom=0.1, shift=0.1, flip=True)
        np.testing.assert_array_equal(result, expected)


def test_all_stages_together_are_a_function_of_the_generator() -> None:
    first, again, other = (augmented(seed, picture(30, 40), **STAGES) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("crop", ["random_resized", "distorted_box", "padded"])
def test_another_crop_leaves_the_draws_of_all_other_stages_alone(crop: str) -> None:
    # An image of one colour: the same square is cut of it everywhere.
    plain = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    stages = {name: stage for name, stage in STAGES.items() if name != "crop"}
    for seed in range(10):
        result = augmented(seed, plain, crop=Crop(crop, padding=0), **stages)
        np.testing.assert_array_equal(result, augmented(seed, plain, **stages))


@pytest.mark.parametrize("name", ["colour", "policy", "random_background"])
def test_a_stage_switched_on_leaves_the_box_and_the_mirror_alone(name: str) -> None:
    # Each is on, but has no effect on this opaque image beyond a level that is rounded.
    harmless = {
        "colour": ColourJitter(1e-9),
        "policy": Policy((("Solarize", (255.0,) * 31, False),)),
        "random_background": 1.0,
    }
    image = (picture(30, 40) > 128).astype(np.uint8) * 254
    geometry = {"crop": Crop("random_resized", interpolation="nearest"), "flip": True}
    for seed in range(10):
        without = augmented(seed, image, **geometry)
        result = augmented(seed, image, **geometry, **{name: harmless[name]})
        assert (np.abs(result.astype(int) - without) <= 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_all_stages_keep_shape_type_label_and_mask(channels: int) -> None:
    augment = Augment(Preprocess(16, channels), **STAGES)
    for seed, image in enumerate([picture(30, 40), picture(1, 40), picture(40, 1), picture(30, 40)[..., 0]]):
        result = augment.random_map(record(image, 5), np.random.default_rng(seed))
        assert (result["image"].shape, result["image"].dtype) == ((16, 16, channels), np.uint8)
        assert (result["label"], result["mask"]) == (5, 1)
        assert result["image"].flags.c_contiguous


@pytest.mark.parametrize("channels, expected", [(3, (10, 200, 90)), (1, (131,))])
def test_beyond_the_borders_lies_the_background(channels: int, expected: tuple[int, ...]) -> None:
    augment = Augment(Preprocess(16, channels, background=(10, 200, 90)), rotation=45, zoom=0.5)
    black = np.zeros((16, 16, 3), np.uint8)
    seen = [augment.random_map(record(black), np.random.default_rng(seed))["image"][0, 0] for seed in range(30)]
    assert any((corner == expected).all() for corner in seen)
    padded = Augment(Preprocess(16, channels, background=(10, 200, 90)), crop=Crop("padded", padding=8))
    image = padded.random_map(record(black), np.random.default_rng(1))["image"].reshape(-1, channels)
    assert {tuple(pixel) for pixel in image.tolist()} == {(0,) * channels, expected}


def transparent(alpha: int) -> bytes:
    pixels = np.full((16, 16, 4), (30, 60, 90, alpha), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_what_is_transparent_shows_a_random_colour_with_its_probability() -> None:
    rng = np.random.default_rng(0)
    augment = Augment(Preprocess(16, background=(1, 2, 3)), random_background=0.3)
    images = [augment.random_map({"image": transparent(0), "label": 0}, rng)["image"] for _ in range(600)]
    assert all((image == image[0, 0]).all() for image in images)
    colours = np.array([image[0, 0] for image in images])
    replaced = (colours != (1, 2, 3)).any(axis=1)
    assert 140 < replaced.sum() < 220
    np.testing.assert_allclose(colours[replaced].mean(axis=0), 127.5, atol=20)
    opaque = augment.random_map({"image": transparent(255), "label": 0}, np.random.default_rng(0))["image"]
    assert (opaque == (90, 60, 30)).all()


def test_an_augmentation_is_built_from_its_fields_once() -> None:
    config = default.get_config()
    config.augment.update(rotation=5.0, crop="padded", brightness=0.1, policy="rand_augment", random_background=0.2)
    augment = Augment.of(config)
    assert (augment.rotation, augment.flip, augment.random_background) == (5.0, True, 0.2)
    assert augment.crop == Crop("padded", padding=4)
    assert augment.colour == ColourJitter(0.1)
    assert augment.policy == Policy(rand_augment(224), 2, 9)
    assert augment == Augment.of(config)


@pytest.mark.parametrize("data", CORRUPT)
def test_a_corrupt_image_stays_black_and_masked_whatever_the_stages(data: bytes) -> None:
    augment = Augment(Preprocess(16, background=(9, 9, 9)), **STAGES)
    result = augment.random_map({"image": data, "label": 1}, np.random.default_rng(0))
    assert result["mask"] == 0
    assert result["image"].shape == (16, 16, 3)
    assert not result["image"].any()


def test_a_corrupt_image_stays_black_and_masked_when_augmented() -> None:
    augment = Augment(Preprocess(8), rotation=10, zoom=0.1, shift=0.1, flip=True)
    result = augment.random_map({"image": b"", "label": 1}, np.random.default_rng(0))
    assert result["mask"] == 0
    assert not result["image"].any()
