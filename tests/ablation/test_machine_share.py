import os
import subprocess
import sys

import pytest

from mobilenet_v2.ablation import machine_share

TELLS = "import os; print(*sorted(os.sched_getaffinity(0))); print(os.environ.get('CUDA_VISIBLE_DEVICES'))"


def told(slot: int, jobs: int) -> list[str]:
    """The cores that a process of this slot may use, and the GPUs that it sees."""
    # It waits for a line, so that it has its cores before it tells of them.
    command = [sys.executable, "-c", f"input(); {TELLS}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with machine_share.start(command, slot, jobs, **pipes) as process:
        return process.communicate("\n")[0].splitlines()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no processes")
def test_slots_share_the_cores_and_all_are_used() -> None:
    cores = sorted(os.sched_getaffinity(0))
    parts = [set(map(int, told(slot, 2)[0].split())) for slot in range(2)]
    assert set.union(*parts) == set(cores)
    assert len(cores) == 1 or not set.intersection(*parts)


@pytest.mark.parametrize(
    "visible, jobs, expected", [("0,1,2,3", 2, ["0,2", "1,3"]), ("5", 2, ["5", "5"]), ("", 2, ["", ""])]
)
def test_slots_share_the_gpus_that_are_named(
    visible: str, jobs: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [told(slot, jobs)[1] for slot in range(jobs)] == expected


def test_without_named_gpus_none_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert told(0, 2)[1] == "None"
