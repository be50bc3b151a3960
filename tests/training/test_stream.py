import contextlib
import itertools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.stream import training_stream


def taken(setup: Setup, start: int, count: int) -> list[dict[str, np.ndarray]]:
    with contextlib.closing(training_stream(setup, start)) as batches:
        return [jax.device_get(batch) for batch in itertools.islice(batches, count)]


@pytest.fixture(params=["host", "device"])
def setup(request: pytest.FixtureRequest, tiny_config: ConfigDict) -> Setup:
    tiny_config.data.residence = request.param
    return make_setup(tiny_config)


def test_a_step_is_the_whole_position_in_the_data(setup: Setup) -> None:
    whole, later = taken(setup, 0, 15), taken(setup, 11, 4)  # over the end of the first epoch, 200 / 16 steps
    for batch, again in zip(whole[11:], later, strict=True):
        jax.tree.map(np.testing.assert_array_equal, batch, again)


def test_batches_are_what_a_step_takes(setup: Setup) -> None:
    (batch,) = taken(setup, 0, 1)
    assert {name: (rows.dtype.name, rows.shape) for name, rows in batch.items()} == {
        "image": ("uint8", (16, 16, 16, 3)),
        "label": ("int32", (16,)),
        "mask": ("float32", (16,)),
    }


def test_wherever_the_data_lie_the_order_is_the_same(tiny_config: ConfigDict) -> None:
    labels = []
    for residence in ("host", "device"):
        tiny_config.data.residence = residence
        labels.append([batch["label"].tolist() for batch in taken(make_setup(tiny_config), 0, 14)])
    assert labels[0] == labels[1]
