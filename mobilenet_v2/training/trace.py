"""`--profile_steps=a:b`: what the devices did in steps a … b, for TensorBoard's profiler or xprof."""

import contextlib
import pathlib
import re
from collections.abc import Callable, Iterator

import jax

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training.processes import is_first

BeforeStep = Callable[[int, Callable[[], None]], None]


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
def tracing(folder: pathlib.Path, steps: range | None) -> Iterator[BeforeStep]:
    """Yields what is told each step before it is taken, and writes `folder`/plugins/profile/….

    It is told as well how to wait for the steps taken so far: the trace ends once the last one is done, or with the
    context. Of several processes the first writes its own devices' trace; those of others look alike.
    """
    on = False
    steps = steps if is_first() else None

    def stop() -> None:
        nonlocal on
        if on:
            jax.profiler.stop_trace()
            print(f"trace written to {folder / 'plugins' / 'profile'}; tensorboard --logdir={folder} shows it")
            on = False

    def before(step: int, wait: Callable[[], None]) -> None:
        nonlocal on
        if steps is None:
            return
        if step in steps and not on:
            jax.profiler.start_trace(str(folder))
            on = True
        elif step == steps.stop:
            wait()
            stop()

    try:
        yield before
    finally:
        stop()
