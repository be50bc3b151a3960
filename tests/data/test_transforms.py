import cv2
import numpy as np
import pytest

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


def test_a_corrupt_image_stays_black_and_masked_when_augmented() -> None:
    augment = Augment(Preprocess(8), rotation=10, zoom=0.1, shift=0.1, flip=True)
    result = augment.random_map({"image": b"", "label": 1}, np.random.default_rng(0))
    assert result["mask"] == 0
    assert not result["image"].any()
