import colorsys
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from configs import default
from mobilenet_v2.data.colour import ColourJitter

STAGES = ("brightness", "contrast", "saturation", "hue")
MIDDLE = 0.5  # the number that changes nothing


def picture(channels: int = 3, size: int = 40) -> np.ndarray:
    """Every level, smooth and rough."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, size * size).reshape(size, size, 1)
    noise = rng.integers(0, 256, (size, size, channels))
    return np.where(rng.random((size, size, 1)) < 0.5, ramp, noise).astype(np.uint8)


def draws(order: float = 0.0, **numbers: float) -> np.ndarray:
    return np.array([*(numbers.get(name, MIDDLE) for name in STAGES), order])


def assert_close(one: Any, other: Any, levels: float) -> None:
    assert np.abs(np.asarray(one).astype(float) - np.asarray(other).astype(float)).max() <= levels


def test_without_a_strength_there_is_no_jitter() -> None:
    assert ColourJitter.of(default.get_config().augment) is None


def test_a_jitter_is_built_from_its_fields() -> None:
    augment = default.get_config().augment
    augment.update(brightness=0.1, hue=0.2, colour_order="slim")
    assert ColourJitter.of(augment) == ColourJitter(brightness=0.1, hue=0.2, order="slim")


@pytest.mark.parametrize("order", ["torchvision", "slim", "slim_fast"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_middle_of_every_range_changes_nothing(order: str, channels: int) -> None:
    hue = 0.0 if order == "torchvision" else 0.2  # 8 bits of hue would not come back
    jitter = ColourJitter(0.4, 0.4, 0.4, hue, order)
    for which in np.linspace(0, 0.999, 7):
        assert_close(jitter(picture(channels), draws(which)), picture(channels), 0)


@pytest.mark.parametrize(
    "name, enhancer", [("brightness", "Brightness"), ("contrast", "Contrast"), ("saturation", "Color")]
)
@pytest.mark.parametrize("number", [0.0, 0.1, 0.37, 0.5, 0.77, 0.999])
def test_a_stage_is_pillows_enhancement_to_a_level(name: str, enhancer: str, number: float) -> None:
    strengths: Any = {name: 0.8}
    result = ColourJitter(**strengths)(picture(), draws(**{name: number}))
    factor = 1 + 0.8 * (2 * number - 1)
    expected = getattr(ImageEnhance, enhancer)(Image.fromarray(picture())).enhance(factor)
    assert_close(result, expected, 0 if name == "brightness" else 1)


@pytest.mark.parametrize("number", [0.0, 0.3, 0.62, 0.9])
def test_hue_is_moved_on_pillows_circle(number: float) -> None:
    hue, saturation, value = Image.fromarray(picture()).convert("HSV").split()
    turned = (np.asarray(hue).astype(int) + int(0.4 * (2 * number - 1) * 255)) % 256
    expected = Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")
    assert_close(ColourJitter(hue=0.4)(picture(), draws(hue=number)), expected, 0)


def test_torchvisions_order_is_any_of_the_24() -> None:
    jitter = ColourJitter(0.5, 0.5, 0.5, 0.3)
    results = {
        jitter(picture(), draws((n + 0.5) / 24, brightness=0.9, contrast=0.8, saturation=0.2, hue=0.7)).tobytes()
        for n in range(24)
    }
    assert len(results) > 12  # of brightness and saturation either may come first: only the truncation differs


def slim_reference(image: np.ndarray, order: tuple[str, ...], amounts: dict[str, float]) -> np.ndarray:
    """TF-slim's distort_color pixel by pixel, float64."""
    x = image / 255.0
    for name in order:
        if name == "brightness":
            x = x + amounts[name]
        elif name == "contrast":
            mean = x.mean(axis=(0, 1))
            x = (x - mean) * (1 + amounts[name]) + mean
        else:
            for row, column in itertools.product(range(x.shape[0]), range(x.shape[1])):
                h, s, v = colorsys.rgb_to_hsv(*x[row, column])
                s = min(s * (1 + amounts[name]), 1) if name == "saturation" else s
                h = (h + amounts[name]) % 1 if name == "hue" else h
                x[row, column] = colorsys.hsv_to_rgb(h, s, v)
    return np.clip(x, 0, 1) * 255


@pytest.mark.parametrize(
    "which, order",
    [
        (0.1, ("brightness", "saturation", "hue", "contrast")),
        (0.3, ("saturation", "brightness", "contrast", "hue")),
        (0.6, ("contrast", "hue", "brightness", "saturation")),
        (0.9, ("hue", "saturation", "contrast", "brightness")),
    ],
)
def test_slims_orders_are_those_of_its_threads(which: float, order: tuple[str, ...]) -> None:
    # Mild enough that no pixel leaves [0, 1] on the way, where HSV means nothing.
    image = (picture(size=12) // 2 + 64).astype(np.uint8)
    numbers = {"brightness": 0.8, "contrast": 0.7, "saturation": 0.3, "hue": 0.9}
    strengths = {"brightness": 32 / 255, "contrast": 0.5, "saturation": 0.5, "hue": 0.2}
    amounts = {name: strengths[name] * (2 * numbers[name] - 1) for name in STAGES}
    result = ColourJitter(**strengths, order="slim")(image, draws(which, **numbers))
    assert_close(result, slim_reference(image, order, amounts), 0.51)


@pytest.mark.parametrize("which, order", [(0.1, ("brightness", "saturation")), (0.3, ("saturation", "brightness"))])
def test_slims_fast_order_begins_with_brightness_in_a_quarter(which: float, order: tuple[str, ...]) -> None:
    image = (picture(size=12) // 2 + 64).astype(np.uint8)
    jitter = ColourJitter(brightness=32 / 255, saturation=0.5, order="slim_fast")
    expected = slim_reference(image, order, {"brightness": 32 / 255 * 0.6, "saturation": -0.25})
    assert_close(jitter(image, draws(which, brightness=0.8, saturation=0.25)), expected, 0.51)


@pytest.mark.parametrize("order", ["torchvision", "slim"])
@pytest.mark.parametrize("number", [0.0, 0.999])
def test_the_ends_of_every_range_stay_within_the_levels(order: str, number: float) -> None:
    jitter = ColourJitter(1.0, 1.0, 1.0, 0.5, order)
    for extreme in (np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8), picture()):
        result = jitter(extreme, np.array([number] * 4 + [0.0]))
        assert (result.dtype, result.shape) == (np.uint8, extreme.shape)
    white = ColourJitter(brightness=1.0, order=order)(np.full((4, 4, 3), 255, np.uint8), draws(brightness=0.999))
    assert (white == 255).all()


@pytest.mark.parametrize("order", ["torchvision", "slim"])
def test_grey_images_have_neither_saturation_nor_hue(order: str) -> None:
    jitter = ColourJitter(saturation=0.9, hue=0.4, order=order)
    assert_close(jitter(picture(1), draws(saturation=0.1, hue=0.9)), picture(1), 0)
    brighter = ColourJitter(brightness=0.9, order=order)(picture(1), draws(brightness=0.9))
    assert brighter.shape == (40, 40, 1)
    assert brighter.mean() > picture(1).mean() + 20
