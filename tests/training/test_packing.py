import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.training import packing

ARRAYS = {
    "a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "step": np.array(7, np.int32),
    "a/bias": np.array([0.5, -0.5], np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def test_what_is_packed_is_unpacked_by_name_shape_and_dtype() -> None:
    vectors = packing.pack(ARRAYS)
    assert {name: vector.shape for name, vector in vectors.items()} == {"float32": (14,), "int32": (1,)}
    found = packing.unpack(vectors, packing.listed(ARRAYS))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_arrays_are_listed_by_their_path() -> None:
    tree = {"params": {"stem": {"kernel": np.ones(2)}}, "slots": (np.zeros(1, np.int32), None)}
    assert packing.listed(tree) == {
        "params/stem/kernel": {"dtype": "float64", "shape": [2]},
        "slots/0": {"dtype": "int32", "shape": [1]},
    }


def test_what_is_packed_outlives_the_state() -> None:
    state = {"a": jnp.ones(8)}
    vectors = packing.pack(state)
    donated = jax.jit(lambda tree: jax.tree.map(lambda array: array * 2, tree), donate_argnums=0)(state)
    np.testing.assert_array_equal(donated["a"], 2)
    np.testing.assert_array_equal(vectors["float32"], 1)


@pytest.mark.parametrize("bit", [0, 31])
def test_a_flipped_bit_changes_the_checksum(bit: int) -> None:
    flipped = ARRAYS["a/kernel"].copy()
    flipped.view(np.uint32)[1, 1] ^= np.uint32(1 << bit)
    assert packing.crc32(flipped) != packing.crc32(ARRAYS["a/kernel"])
