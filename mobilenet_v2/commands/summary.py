"""Prints what a config's network costs, block by block."""

import dataclasses
import json
from collections.abc import Sequence

from mobilenet_v2 import command_line, reporting
from mobilenet_v2.config import validate
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model


def main(argv: Sequence[str]) -> None:
    """`summary --config=FILE [--config.FIELD=VALUE …] [--json]`."""
    flags = command_line.parse(argv, __doc__, required=["config"], switches=["json"])
    config = flags.config
    validate(config)
    counted = cost.count(build_model(config.model), config.data.image_size, config.data.channels)
    if flags.json:
        totals = ("parameters", "batch_stats", "multiply_adds", "peak_bytes")
        print(json.dumps({name: getattr(counted, name) for name in totals} | dataclasses.asdict(counted)))
    else:
        reporting.print_cost(counted)
