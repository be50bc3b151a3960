"""Weights and images that are functions of their names alone: what the reference networks were computed with.

All integer arithmetic is modulo 2³². With i the flat index in the source's layout,

    h  = crc32(name) + 0x9E3779B9 · (i + 1)
    h ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16
    u  = (h >> 8) / 2²⁴,  s = 2u − 1

kernels are s · √(3 / fan_in), scales 0.5 + 1.5u, offsets 0.1 + 0.5s, means 0.3s, variances 0.5 · 4ᵘ and the
classifier's bias 0.1s, formed in float64 and kept in float32.
"""

import math
import zlib

import numpy as np

from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import PAPER_REPEATS, Entry, Source


def uniform(name: str, size: int) -> np.ndarray:
    """[size] numbers in [0, 1) on the grid of 2⁻²⁴."""
    i = np.arange(1, size + 1, dtype=np.uint64)
    h = (np.uint64(zlib.crc32(name.encode())) + i * np.uint64(0x9E3779B9)).astype(np.uint32)
    h ^= h >> np.uint32(16)
    h = (h.astype(np.uint64) * np.uint64(0x85EBCA6B)).astype(np.uint32)
    h ^= h >> np.uint32(13)
    h = (h.astype(np.uint64) * np.uint64(0xC2B2AE35)).astype(np.uint32)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float64) / 2.0**24


def array(entry: Entry, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a source's name, in its layout, of which `shape` is ours."""
    theirs = entry.to_foreign(np.broadcast_to(np.float32(0), shape)).shape
    u = uniform(entry.foreign, math.prod(theirs))
    s = 2.0 * u - 1.0
    leaf = entry.ours.rsplit("/", 1)[-1]
    if leaf == "kernel":
        values = s * math.sqrt(3.0 / math.prod(shape[:-1]))
    elif entry.ours == "params/classifier/bias":
        values = 0.1 * s
    else:
        values = {"scale": 0.5 + 1.5 * u, "bias": 0.1 + 0.5 * s, "mean": 0.3 * s, "var": 0.5 * 4.0**u}[leaf]
    return values.reshape(theirs).astype(np.float32)


def weights(source: Source, shapes: dict[str, tuple[int, ...]], repeats: tuple[int, ...] = PAPER_REPEATS) -> Arrays:
    """All arrays of a source's network, of which `shapes` are ours by path, under its names and in its layout."""
    return {entry.foreign: array(entry, shapes[entry.ours]) for entry in source.entries(repeats)}


def synthetic_image(size: int) -> np.ndarray:
    """A smooth uint8 image [size, size, 3] of triangle waves along three directions."""
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    waves = []
    for a, b, period in ((3, 1, 2), (-1, 2, 3), (2, -3, 4)):
        phase = ((a * x + b * y) * 1024 // size * period + 512) % 2048
        waves.append(np.abs(phase - 1024) * 255 // 1024)
    return np.stack(waves, -1).astype(np.uint8)


def normalised(images: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [−1, 1]."""
    return (images.astype(np.float32) / np.float32(127.5) - np.float32(1.0)).astype(np.float32)
