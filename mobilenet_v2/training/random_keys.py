"""Keys for the uses of randomness in a step."""

import zlib

import jax


def named_key(rng: jax.Array, name: str) -> jax.Array:
    """A key for one use of randomness, independent of the others'."""
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))
