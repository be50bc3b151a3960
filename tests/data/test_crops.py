import math
from typing import Any

import numpy as np
import pytest

from configs import default
from mobilenet_v2.data.crops import Crop, distorted_box, padded, random_resized

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
FINDERS = {"random_resized": (random_resized, 10), "distorted_box": (distorted_box, 100)}
SIZES = [(375, 500), (500, 333), (224, 224), (1, 1), (1, 500), (500, 1), (2, 3), (30, 2000)]


def boxes(kind: str, height: int, width: int, count: int = 400, seed: int = 0, **ranges: Any) -> np.ndarray:
    """[count, 4] of top, left, height, width."""
    find, attempts = FINDERS[kind]
    rng = np.random.default_rng(seed)
    area, aspect = ranges.get("area", AREA), ranges.get("aspect", ASPECT)
    return np.array([find(height, width, area, aspect, rng.random((attempts, 4))) for _ in range(count)])


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("kind", FINDERS)
def test_a_box_has_pixels_and_lies_within_the_image(kind: str, height: int, width: int) -> None:
    top, left, rows, columns = boxes(kind, height, width).T
    assert (rows >= 1).all()
    assert (columns >= 1).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()


@pytest.mark.parametrize("kind, least", [("random_resized", 0.08), ("distorted_box", 0.1)])
def test_area_and_aspect_are_within_their_ranges(kind: str, least: float) -> None:
    _, _, rows, columns = boxes(kind, 375, 500, 2000).T
    share = rows * columns / (375 * 500)
    assert least - 0.005 < share.min() < least + 0.02
    assert share.max() > 0.9
    assert (columns / rows).min() == pytest.approx(3 / 4, abs=0.02)
    assert (columns / rows).max() == pytest.approx(4 / 3, abs=0.02)


def test_random_resized_areas_and_logarithms_of_the_aspect_are_uniform() -> None:
    # An aspect of the image's own and areas that always fit: no attempt fails, so that nothing is conditioned.
    _, _, rows, columns = boxes("random_resized", 1000, 1000, 4000, area=(0.1, 0.7)).T
    share, aspect = rows * columns / 1e6, np.log(columns / rows)
    np.testing.assert_allclose(np.quantile(share, [0.25, 0.5, 0.75]), [0.25, 0.4, 0.55], atol=0.02)
    quartile = math.log(4 / 3) / 2
    np.testing.assert_allclose(np.quantile(aspect, [0.25, 0.5, 0.75]), [-quartile, 0, quartile], atol=0.02)


def test_distorted_boxes_have_uniform_heights_so_that_small_ones_are_commoner() -> None:
    _, _, rows, columns = boxes("distorted_box", 1000, 1000, 4000, area=(0.1, 1.0), aspect=(1.0, 1.0)).T
    np.testing.assert_array_equal(rows, columns)
    low = math.sqrt(0.1) * 1000
    np.testing.assert_allclose(
        np.quantile(rows, [0.25, 0.5, 0.75]), low + (1000 - low) * np.array([1, 2, 3]) / 4, atol=20
    )


def test_distorted_boxes_of_less_than_a_tenth_are_drawn_anew() -> None:
    _, _, rows, columns = boxes("distorted_box", 375, 500, 2000, area=(0.05, 1.0), aspect=(0.75, 1.33)).T
    assert (rows * columns >= 0.1 * 375 * 500).all()


@pytest.mark.parametrize(
    "height, width, expected",
    [(1, 500, (0, 249, 1, 1)), (500, 1, (249, 0, 1, 1)), (30, 2000, (0, 980, 30, 40)), (2000, 30, (980, 0, 40, 30))],
)
def test_random_resized_falls_back_to_the_central_box_of_an_allowed_aspect(
    height: int, width: int, expected: tuple[int, ...]
) -> None:
    fitting_nowhere = np.full((10, 4), 0.999)
    assert random_resized(height, width, (0.9, 1.0), ASPECT, fitting_nowhere) == expected


@pytest.mark.parametrize("height, width", [(1, 500), (500, 1), (30, 2000)])
def test_a_distorted_box_falls_back_to_the_whole_image(height: int, width: int) -> None:
    assert set(map(tuple, boxes("distorted_box", height, width))) == {(0, 0, height, width)}


# Of torchvision 0.29, RandomResizedCrop.get_params, whose numbers were replaced by 0.37, 0.81, 0.42, 0.93 an attempt.
@pytest.mark.parametrize(
    "height, width, expected",
    [(375, 500, (49, 180, 257, 307)), (500, 375, (102, 64, 257, 307)), (64, 64, (11, 18, 38, 45))],
)
def test_a_random_resized_box_is_torchvisions(height: int, width: int, expected: tuple[int, ...]) -> None:
    draws = np.tile([0.37, 0.81, 0.42, 0.93], (10, 1))
    assert random_resized(height, width, AREA, ASPECT, draws) == expected


# By hand from TensorFlow's kernel: aspect 1, heights 119 … 375, the middle one of them; tops 0 … 127, lefts 0 … 252.
def test_a_distorted_box_is_that_of_tensorflows_kernel() -> None:
    draws = np.tile([0.5, 0.5, 0.999, 0.999], (100, 1))
    assert distorted_box(375, 500, (0.0757, 1.0), (0.5, 1.5), draws) == (127, 252, 247, 247)


@pytest.mark.parametrize("kind", ["random_resized", "distorted_box"])
def test_every_pixel_may_be_cut(kind: str) -> None:
    seen = np.zeros((12, 16), bool)
    for top, left, rows, columns in boxes(kind, 12, 16, 500):
        seen[top : top + rows, left : left + columns] = True
    assert seen.all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["area", "bilinear", "linear", "bilinear_tf1"])
@pytest.mark.parametrize("kind", ["random_resized", "distorted_box", "padded"])
def test_a_crop_is_a_square_of_the_size(kind: str, interpolation: str, channels: int) -> None:
    crop = Crop(kind, padding=2, interpolation=interpolation)
    rng = np.random.default_rng(0)
    for shape in ((20, 30), (1, 40), (40, 1), (8, 8)):
        image = picture(*shape, channels)
        result = crop(image, 8, lambda x: x[:1, :1].repeat(8, 0).repeat(8, 1), rng.random(crop.draws), [0] * channels)
        assert result.shape == (8, 8, channels)
        assert result.dtype == np.uint8


def test_evaluations_crop_takes_no_numbers_and_changes_nothing() -> None:
    crop, image = Crop(), picture(8, 8)
    assert crop.draws == 0
    assert crop(image, 8, lambda x: x, np.zeros(0), (0, 0, 0)) is image


def test_a_padded_crop_moves_the_image_by_at_most_the_padding_over_the_fill() -> None:
    image, rng, places = picture(8, 8), np.random.default_rng(0), set()
    framed = np.empty((12, 12, 3), np.uint8)
    framed[:] = (1, 2, 3)
    framed[2:10, 2:10] = image
    for _ in range(300):
        cut = padded(image, 2, rng.random(4), (1, 2, 3))
        found = [(y, x) for y in range(5) for x in range(5) if (framed[y : y + 8, x : x + 8] == cut).all()]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 25


def test_a_crop_is_built_from_its_fields() -> None:
    augment = default.get_config().augment
    augment.update(crop="distorted_box", crop_area=(0.05, 0.5), crop_padding=7, interpolation="linear")
    assert Crop.of(augment) == Crop("distorted_box", (0.05, 0.5), (3 / 4, 4 / 3), 7, "linear")
