"""Runs `train.py` as it is launched: n processes of m simulated devices each, that find each other by flags."""

import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

REPOSITORY = pathlib.Path(__file__).parents[1]
# A run of a minute at most, to be met in the middle, that saves often: a kill now and then meets a save.
_LONGER = {"num_steps": 160, "log_every": 3, "checkpoint_every": 8, "evaluate_every": 40, "keep_checkpoints": 3}


def longer_run(data_dir: str) -> list[str]:
    """Overrides of a run that can be interrupted."""
    settings = [f"--config.train.{name}={value}" for name, value in _LONGER.items()]
    return [*settings, f"--config.data.data_dir={data_dir}", "--config.parallel.heartbeat_seconds=10"]


def start(
    workdir: pathlib.Path,
    overrides: Sequence[str] = (),
    *,
    processes: int = 1,
    devices: int = 1,
    config: str = "tests/tiny.py",
) -> list[subprocess.Popen[str]]:
    """Starts all of them; a single process is told of no other."""
    port = free_port()
    return [
        subprocess.Popen(
            [
                sys.executable,
                "train.py",
                f"--config={config}",
                f"--workdir={workdir}",
                *overrides,
                *(
                    [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}", f"--process_id={index}"]
                    * (processes > 1)
                ),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for index in range(processes)
    ]


def finish(started: list[subprocess.Popen[str]], timeout: float = 280) -> tuple[list[int], list[str], list[str]]:
    """Waits for all: exit statuses, what they said, and what they complained of. None outlives the call."""
    deadline = time.monotonic() + timeout
    try:
        said = [process.communicate(timeout=max(deadline - time.monotonic(), 0.1)) for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], [out for out, _ in said], [error for _, error in said]


def run(
    workdir: pathlib.Path,
    overrides: Sequence[str] = (),
    *,
    processes: int = 1,
    devices: int = 1,
    config: str = "tests/tiny.py",
) -> None:
    """A run to its end."""
    statuses, _, errors = finish(start(workdir, overrides, processes=processes, devices=devices, config=config))
    assert statuses == [0] * processes, "\n".join(errors)


def wait_for(holds: Callable[[], bool], started: Sequence[subprocess.Popen[str]], timeout: float = 200) -> None:
    """Until something holds; fails where a process ends before it does."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "took too long"
        ended = [process for process in started if process.poll() is not None]
        assert not ended, [process.communicate()[1] for process in ended]
        time.sleep(0.002)


def free_port() -> int:
    """One that nobody listens to at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
