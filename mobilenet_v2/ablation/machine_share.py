"""Processes that share the machine: each has its part of the cores, and of the GPUs that are named."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any


def start(words: Sequence[str], slot: int, jobs: int, **options: Any) -> subprocess.Popen[Any]:
    """Starts a command with what its slot, of `jobs`, has of the cores and of CUDA_VISIBLE_DEVICES.

    Args:
      options: of `subprocess.Popen`, but the environment.
    """
    environment = dict(os.environ)
    if visible := environment.get("CUDA_VISIBLE_DEVICES"):
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(_part(visible.split(","), slot, jobs))
    process = subprocess.Popen(words, env=environment, **options)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, _part(sorted(os.sched_getaffinity(0)), slot, jobs))
    return process


def _part(things: Sequence[Any], slot: int, jobs: int) -> list[Any]:
    """What the slot has of things that all slots share; where there are fewer than slots, several have the same."""
    return list(things[slot::jobs]) or [things[slot % len(things)]]
