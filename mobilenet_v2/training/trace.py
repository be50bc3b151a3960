"""`--profile_steps=a:b`: what the devices did in steps a … b, for TensorBoard's profiler or xprof."""

import contextlib
import pathlib
import re
from collections.abc import Callable, Iterator

import jax

from mobilenet_v2.errors import ConfigError


def parse_steps(text: str | None) -> range | None:
    """The steps that `a:b` names, both included; None where it is None.

    Raises:
      ConfigError: if it is anything else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"--profile_steps is {text!r}, must be FIRST:LAST with 1 ≤ FIRST ≤ LAST, as 10:14")
    return range(int(found[1]), int(found[2]) + 1)


@contextlib.contextmanager
def tracing(folder: pathlib.Path, steps: range | None) -> Iterator[Callable[[int], None]]:
    """Yields what is told each step before it is taken, and writes `folder`/plugins/profile/….

    The trace ends once the last step's results are there, or with the context.
    """
    on = False

    def stop() -> None:
        nonlocal on
        if on:
            jax.effects_barrier()
            jax.profiler.stop_trace()
            on = False

    def before(step: int) -> None:
        nonlocal on
        if steps is None:
            return
        if step == steps.start:
            jax.profiler.start_trace(str(folder))
            on = True
        elif step == steps.stop:
            stop()

    try:
        yield before
    finally:
        stop()
