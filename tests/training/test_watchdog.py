import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.training import loop
from mobilenet_v2.training.setup import make_setup
from mobilenet_v2.training.watchdog import EXIT_STATUS, watchdog

HANGS = """
import threading, time
from mobilenet_v2.training.watchdog import watchdog

def wait_for_data():
    threading.Event().wait()

with watchdog(minutes=0.02) as progress:
    for _ in range(8):
        time.sleep(0.5)
        progress()
    print("eight signs of progress", flush=True)
    wait_for_data()
"""


def test_a_run_that_hangs_says_where_and_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60)
    assert ended.returncode == EXIT_STATUS
    assert ended.stdout == "eight signs of progress\n"
    assert "error: no progress for 0.02 minutes (config.parallel.stall_minutes); ends with status 76" in ended.stderr
    assert "in wait_for_data" in ended.stderr


def test_nothing_is_left_of_a_watch_that_has_ended() -> None:
    with watchdog(minutes=0.002):
        pass
    time.sleep(0.3)  # 0.12 seconds would have ended this process


def test_nobody_watches_for_0_minutes() -> None:
    with watchdog(minutes=0) as progress:
        progress()


def test_an_error_within_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), watchdog(minutes=1):
        raise ZeroDivisionError


def test_an_evaluation_of_many_batches_is_no_standstill(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.data.update(validation_split="validation[:200]", test_split="test[:200]")
    done, signs = [0], []

    @contextlib.contextmanager
    def recorded(minutes: float) -> Iterator[Callable[[], None]]:
        yield lambda: signs.append(done[0])

    setup = make_setup(tiny_config)

    def eval_step(*arguments: Any) -> Any:
        done[0] += 1
        return setup.eval_step(*arguments)

    monkeypatch.setattr(loop, "watchdog", recorded)
    monkeypatch.setattr(loop, "make_setup", lambda config: dataclasses.replace(setup, eval_step=eval_step))
    loop.run(tiny_config, str(tmp_path / "run"))
    assert done[0] == 2 * 3 * 13, "with averages, validation at steps 8 and 12, and the test"
    assert max(np.diff([0, *signs, done[0]])) == 1, "batches from one sign of progress to the next"
