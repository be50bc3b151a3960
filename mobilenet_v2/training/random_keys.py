"""Keys for the uses of randomness in a step."""

import zlib

import jax


def named_key(rng: jax.Array, name: str) -> jax.Array:
    """A key for one use of randomness, independent of the others'."""
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))


def training_key(seed: int, sharding: jax.sharding.Sharding | None = None) -> jax.Array:
    """What the train step folds its number into, made where it will lie: another process's devices take no copies."""
    return jax.jit(lambda: jax.random.fold_in(jax.random.key(seed), 1), out_shardings=sharding)()
