import subprocess
import sys
import time

import pytest

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
    assert "error: no step for 0.02 minutes (config.parallel.stall_minutes); ends with status 76" in ended.stderr
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
