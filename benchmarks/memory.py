"""Peak bytes of the train step at batch 32, 224 pixels, width 1, under each rematerialisation policy.

    python -m benchmarks.memory

The figures are the compiled program's own analysis: nothing is run. The last line is one JSON object.
"""

import argparse
import json

import jax

from benchmarks.contestants import train_step_memory

VARIANTS = {
    "fused": {"formulation": "fused"},
    "lax": {"formulation": "lax"},
    "lax_remat_convolutions": {"formulation": "lax", "remat": "convolutions"},
    "lax_remat_blocks": {"formulation": "lax", "remat": "blocks"},
}


def main() -> None:
    """Compiles each variant and prints what XLA says of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--only", help="names of variants, separated by commas", default=",".join(VARIANTS))
    flags = parser.parse_args()
    results = {}
    names = flags.only.split(",")
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant {unknown[0]!r}; variants are {', '.join(VARIANTS)}")
    for name in names:
        results[name] = train_step_memory(flags.size, flags.batch, flags.width, **VARIANTS[name])
        print(name, json.dumps(results[name]), flush=True)
    machine = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    print(json.dumps({"machine": machine, "size": flags.size, "batch": flags.batch, "results": results}))


if __name__ == "__main__":
    main()
