import jax
import numpy as np
import pytest

import mobilenet_v2 as mnv2
from mobilenet_v2.models import cost
from mobilenet_v2.models.mobilenet_v2 import Stage
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.activations import endpoint_of, probabilities_and_maps

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
PREPROCESSING = Preprocessing("whole_image", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 32)
STAGES = {
    "mobilenet_v2": {"stages": (Stage(1, 16, 1, 1), Stage(6, 24, 1, 2))},
    "mobilenet_v1": {"separable_stages": ((64, 1, 1), (128, 1, 2))},
}


@pytest.mark.parametrize("name", STAGES)
def test_maps_are_of_each_blocks_output_and_probabilities_of_the_logits(name: str) -> None:
    model = mnv2.create_model(name, num_classes=5, width_multiplier=0.25, **STAGES[name])
    model, variables = mnv2.with_preprocessing(model, PREPROCESSING), mnv2.init(model, 32)
    blocks = tuple(block.name for block in cost.count(model, 32).blocks if endpoint_of(model, block.name))
    probabilities, maps = probabilities_and_maps(model, variables, PIXELS, blocks, channels=10)
    image = ((PIXELS / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]).astype(np.float32)[None]
    endpoints = ["features" if block == "head" else block for block in blocks]
    expected = jax.jit(lambda x: model.endpoints(variables, x, [*endpoints, "logits"]))(image)
    np.testing.assert_allclose(probabilities, jax.nn.softmax(expected["logits"][0]), rtol=1e-4)
    assert list(maps) == list(blocks)
    for block, endpoint in zip(blocks, endpoints, strict=True):
        found, output = maps[block], np.asarray(expected[endpoint])[0]
        np.testing.assert_allclose(found.mean, np.abs(output).mean(-1), rtol=1e-3, atol=1e-5)
        strength, channels = np.abs(output).mean((0, 1)), list(found.channels)
        assert len(channels) == min(10, output.shape[-1])  # the stem has 8
        np.testing.assert_allclose(strength[channels], np.sort(strength)[::-1][: len(channels)], rtol=1e-3)
        np.testing.assert_allclose(found.strongest, np.moveaxis(output[..., channels], -1, 0), rtol=1e-3, atol=1e-4)


def test_what_is_no_map_has_no_endpoint() -> None:
    assert endpoint_of(mnv2.create_model(), "classifier") is None
    assert endpoint_of(mnv2.create_model(), "head") == "features"
