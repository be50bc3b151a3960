import pathlib

import numpy as np
import pytest
import sklearn

from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.resizing import resize_to_square, scale
from mobilenet_v2.models.variants import PREPROCESSING

REFERENCE = np.load(pathlib.Path(__file__).parent / "reference" / "preprocess.npz")
PHOTOGRAPH = pathlib.Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
INTERPOLATIONS = ["nearest", "box", "bilinear", "bicubic", "lanczos", "bilinear_tf1", "area", "linear"]
RESIZES = ["whole_image", "shorter_side", "shorter_side_floor", "central_fraction"]


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def preprocessed(name: str) -> np.ndarray:
    preset = PREPROCESSING[name]
    image = resize_to_square(
        decode(PHOTOGRAPH.read_bytes()),
        preset.crop_size,
        resize=preset.resize,
        interpolation=preset.interpolation,
        resize_size=preset.resize_size,
        crop_fraction=preset.crop_fraction,
    )
    return (image.astype(np.float32) / 255 - np.float32(preset.mean)) / np.float32(preset.std)


@pytest.mark.parametrize("name", PREPROCESSING)
def test_a_photograph_is_cut_and_scaled_as_its_source_does(name: str) -> None:
    x, level = preprocessed(name), 1 / (255 * min(PREPROCESSING[name].std))
    patches = {"corner8": x[:8, :8], "center8": x[108:116, 108:116], "stride16": x[::16, ::16]}
    # TF-slim's pixels are rounded to whole levels here; of HuggingFace's one differs by a level, and no other source's.
    bound = {"slim": 0.51 * level, "hf": 1.01 * level}.get(name, 1e-6)
    for patch, found in patches.items():
        assert np.abs(found - REFERENCE[f"{name}/{patch}"]).max() <= bound, patch
        assert np.abs(found - REFERENCE[f"{name}/{patch}"]).mean() <= level / 2
    np.testing.assert_allclose(x.mean((0, 1)), REFERENCE[f"{name}/mean"], atol=1e-4)
    np.testing.assert_allclose(x.std((0, 1)), REFERENCE[f"{name}/std"], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_image_becomes_a_square(resize: str, interpolation: str, channels: int) -> None:
    for height, width in [(8, 8), (4, 4), (16, 16), (20, 11), (3, 30), (1, 1)]:
        square = resize_to_square(
            picture(height, width, channels), 8, resize=resize, interpolation=interpolation, crop_fraction=0.875
        )
        assert square.shape == (8, 8, channels)
        assert square.dtype == np.uint8


def test_a_config_may_say_each_of_them() -> None:
    assert all(map(FIELDS["data.resize"].accepts, RESIZES))
    assert all(map(FIELDS["data.interpolation"].accepts, INTERPOLATIONS))


@pytest.mark.parametrize("interpolation", ["area", "box"])
def test_shrinking_averages(interpolation: str) -> None:
    image = picture(16, 16)
    averages = image.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(scale(image, 8, 8, interpolation) - averages).max() <= 1


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = picture(8, 8)
    assert all(scale(image, 8, 8, interpolation) is image for interpolation in INTERPOLATIONS)


def test_the_centre_of_the_shorter_side_is_kept() -> None:
    image = np.zeros((10, 31, 3), np.uint8)
    image[:, 10:20] = 255  # 21 columns are left over: 10 on one side, 11 on the other
    assert resize_to_square(image, 10, resize="shorter_side_floor").all()
    assert resize_to_square(image, 10, resize="shorter_side").all()


def test_half_a_pixel_left_over_goes_to_the_even_side_or_down() -> None:
    image = np.arange(13, dtype=np.uint8).reshape(1, 13, 1).repeat(10, axis=0)  # 3 columns are left over
    assert resize_to_square(image, 10, resize="shorter_side")[0, 0, 0] == 2
    assert resize_to_square(image, 10, resize="shorter_side_floor")[0, 0, 0] == 1


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1)])
def test_a_very_long_image_is_cut_before_it_is_enlarged(shape: tuple[int, int]) -> None:
    image = np.arange(4000, dtype=np.int32).reshape(*shape, 1).astype(np.uint8)
    square = resize_to_square(image, 4, resize="shorter_side", resize_size=8, interpolation="bilinear")
    assert square.shape == (4, 4, 1)
    middle = 2000 % 256
    assert np.abs(square.astype(int) - middle).max() <= 1


def test_tensorflow_1_reads_at_whole_pixels() -> None:
    ramp = np.arange(0, 160, 10, dtype=np.uint8).reshape(1, 16, 1).repeat(16, axis=0)
    np.testing.assert_array_equal(scale(ramp, 8, 8, "bilinear_tf1")[0, :, 0], ramp[0, ::2, 0])
