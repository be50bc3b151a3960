"""Times each formulation of each kind of convolution, forward and with both gradients, against `lax`.

    python -m benchmarks.convolutions                # a table, then one JSON object
    python -m benchmarks.convolutions --only=depthwise_s1_14

Formulations take turns in one process; a ratio is the median over rounds of the quotient within a round.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mobilenet_v2.models.convolutions import conv_general_dilated


class Case(NamedTuple):
    """A convolution of the network at 224 pixels, width 1: image [B, H, W, C], kernel size, features, stride."""

    image: tuple[int, int, int, int]
    kernel_size: int
    features: int
    stride: int = 1
    depthwise: bool = False


CASES = {
    "stem_112": Case((16, 224, 224, 3), 3, 32, 2),
    "depthwise_s1_112": Case((16, 112, 112, 32), 3, 32, depthwise=True),
    "depthwise_s2_112": Case((8, 112, 112, 96), 3, 96, 2, depthwise=True),
    "depthwise_s1_56": Case((16, 56, 56, 144), 3, 144, depthwise=True),
    "depthwise_s1_14": Case((32, 14, 14, 384), 3, 384, depthwise=True),
    "depthwise_s2_14": Case((32, 14, 14, 576), 3, 576, 2, depthwise=True),
    "depthwise_s1_7": Case((32, 7, 7, 960), 3, 960, depthwise=True),
    "pointwise_56": Case((16, 56, 56, 24), 1, 144),
    "pointwise_14": Case((32, 14, 14, 384), 1, 64),
}


def steps(case: Case, formulation: Any, dtype: Any) -> dict[str, Callable[[], Any]]:
    """The compiled forward pass, and forward with the gradients of image and kernel."""
    conv = nn.Conv(
        case.features,
        (case.kernel_size, case.kernel_size),
        case.stride,
        ((case.kernel_size // 2,) * 2,) * 2,
        feature_group_count=case.image[-1] if case.depthwise else 1,
        use_bias=False,
        dtype=dtype,
        conv_general_dilated=functools.partial(conv_general_dilated, formulation=formulation),
    )
    x = jax.random.normal(jax.random.key(0), case.image, dtype)
    variables = conv.init(jax.random.key(1), x)
    cotangent = jnp.asarray(conv.apply(variables, x))

    @jax.jit
    def forward(variables: Any, x: jax.Array) -> Any:
        return conv.apply(variables, x)

    @jax.jit
    def gradients(variables: Any, x: jax.Array, cotangent: jax.Array) -> Any:
        y, transpose = jax.vjp(conv.apply, variables, x)
        return y, transpose(cotangent)

    return {"forward": lambda: forward(variables, x), "gradients": lambda: gradients(variables, x, cotangent)}


def measure(case: Case, rounds: int, dtype: Any) -> dict[str, Any]:
    """Milliseconds of each formulation, and their ratios to lax."""
    contestants = {name: steps(case, name, dtype) for name in ("lax", "shifted")}
    result: dict[str, Any] = {}
    for part in ("forward", "gradients"):
        turns: list[dict[str, float]] = []
        for turn in range(rounds + 1):
            seconds = {}
            for name, parts in contestants.items():
                started = time.perf_counter()
                jax.block_until_ready(parts[part]())
                seconds[name] = time.perf_counter() - started
            if turn:  # the first compiles
                turns.append(seconds)
        result[part] = {f"{name}_ms": round(1e3 * statistics.median(t[name] for t in turns), 2) for name in contestants}
        result[part]["shifted_to_lax"] = round(statistics.median(t["shifted"] / t["lax"] for t in turns), 3)
    return result


def main() -> None:
    """Reads the flags and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of cases, separated by commas", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    flags = parser.parse_args()
    names = flags.only.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; cases are {', '.join(CASES)}")
    results = {}
    for name in names:
        results[name] = measure(CASES[name], flags.rounds, jnp.dtype(flags.dtype))
        print(name, json.dumps(results[name]), flush=True)
    device = jax.devices()[0].device_kind
    machine = {"device": device, "devices": jax.device_count(), "jax": jax.__version__, "dtype": flags.dtype}
    print(json.dumps({"machine": machine, "results": results}))


if __name__ == "__main__":
    main()
