from typing import Any

import jax
import numpy as np
import pytest

from mobilenet_v2.models.initializers import kernel_initializers
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage


def deviation(initializer: Any, shape: tuple[int, ...]) -> float:
    kernel = np.asarray(initializer(jax.random.key(3), shape, np.float32))
    # Six standard errors of a mean.
    assert abs(kernel.mean()) < 6 * kernel.std() / kernel.size**0.5
    return float(kernel.std())


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((1, 1, 256, 512), (2 / 512) ** 0.5),
        ((3, 3, 3, 1280), (2 / (9 * 1280)) ** 0.5),
        ((3, 3, 1, 4096), (2 / (9 * 4096)) ** 0.5),  # depthwise: all its features, not one
    ],
)
def test_torchvision_scales_convolutions_by_their_fan_out(shape: tuple[int, ...], expected: float) -> None:
    convolution = kernel_initializers("torchvision").convolution
    assert deviation(convolution, shape) == pytest.approx(expected, rel=0.02)


def test_torchvision_draws_a_depthwise_kernel_of_96_channels_at_0_048() -> None:
    convolution = kernel_initializers("torchvision").convolution
    kernels = [convolution(jax.random.key(seed), (3, 3, 1, 96), np.float32) for seed in range(20)]
    assert np.std(kernels) == pytest.approx(0.0481, rel=0.03)


def test_torchvision_draws_the_classifier_at_0_01() -> None:
    classifier = kernel_initializers("torchvision").classifier
    assert deviation(classifier, (1280, 100)) == pytest.approx(0.01, rel=0.02)


def test_slim_draws_every_kernel_at_0_09_cut_at_two_deviations() -> None:
    for initializer, shape in zip(
        kernel_initializers("slim"), [(1, 1, 256, 512), (3, 3, 1, 8192), (1280, 100)], strict=True
    ):
        assert deviation(initializer, shape) == pytest.approx(0.0792, rel=0.01)
        assert np.abs(initializer(jax.random.key(0), shape, np.float32)).max() <= 0.18


def test_an_unknown_initialization_is_refused_by_name() -> None:
    unknown: Any = "kaiming"
    with pytest.raises(ValueError, match=r"one of 'torchvision', 'slim', .*, got 'kaiming'"):
        kernel_initializers(unknown)


@pytest.mark.parametrize("initialization, stem, classifier", [("torchvision", 1 / 6, 0.01), ("slim", 0.0792, 0.0792)])
def test_the_network_draws_its_kernels_so(initialization: Any, stem: float, classifier: float) -> None:
    model = MobileNetV2(
        num_classes=100, stages=(Stage(1, 8, 1, 1),), stem_channels=8, head_channels=64, initialization=initialization
    )
    image = np.zeros((1, 8, 8, 3), np.float32)
    params = jax.jit(lambda key: model.init(key, image, train=False)["params"])(jax.random.key(0))
    assert params["stem"]["conv"]["kernel"].std() == pytest.approx(stem, rel=0.2)
    assert params["classifier"]["kernel"].std() == pytest.approx(classifier, rel=0.05)
    assert not params["classifier"]["bias"].any()
    assert (params["stem"]["bn"]["scale"] == 1).all()
