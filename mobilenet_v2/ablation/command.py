"""The shell command that trains one point with one seed: what a person would type."""

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation.sweep_directory import Run

PROGRAM = ("-m", "mobilenet_v2", "train")


def arguments(run: Run, base: Sequence[str]) -> list[str]:
    """Flags of `train` for this run.

    Args:
      base: `--config=FILE` and the overrides that hold for the whole sweep.
    """
    own = [override(name, value) for name, value in run.planned.point.overrides.items()]
    return [*base, *own, override("seed", run.seed), f"--workdir={run.folder}"]


def override(name: str, value: Any) -> str:
    """A field as a flag."""
    return f"--config.{name}={value if isinstance(value, str) else repr(_plain(value))}"


def as_process(run: Run, base: Sequence[str]) -> list[str]:
    """The command, for this Python."""
    return [sys.executable, *PROGRAM, *arguments(run, base)]


def as_text(run: Run, base: Sequence[str]) -> str:
    """The command, for a shell."""
    return shlex.join(["python", *PROGRAM, *arguments(run, base)])


def base_flags(argv: Sequence[str]) -> list[str]:
    """`--config=FILE` and the overrides among a command's arguments, each as one word."""
    words, rest = [], list(argv[1:])
    while rest:
        word = rest.pop(0)
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and (name == "config" or name.startswith("config.")):
            words.append(word if "=" in word or not rest else f"{word}={rest.pop(0)}")
    return words


def _plain(value: Any) -> Any:
    """Lists as tuples, as fields have them."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else json.loads(json.dumps(value))
