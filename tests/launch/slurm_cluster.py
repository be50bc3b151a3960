"""A Slurm of one node and two cores, with everything that it writes in one folder."""

import contextlib
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from tests.run_processes import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

# The node is called localhost, a name that leads to it on any machine. A requeued job waits for cred_expire seconds,
# 120 if not told; the schedulers look for work every second.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=5
MpiDefault=none
ReturnToService=2
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=2
PartitionName=test Nodes=localhost Default=YES
"""


def is_installed() -> bool:
    """Whether the programs are there, and may be run by this user."""
    return all(shutil.which(program, path=_search_path()) for program in PROGRAMS)


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[dict[str, str]]:
    """A cluster while the context lasts; yields the environment in which Slurm's commands find it."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    config = CONFIG.format(
        host=socket.gethostname().split(".")[0],
        user=getpass.getuser(),
        folder=folder,
        controller_port=free_port(),
        node_port=free_port(),
    )
    (folder / "slurm.conf").write_text(config)
    environment = {**os.environ, "PATH": _search_path(), "SLURM_CONF": str(folder / "slurm.conf")}
    munge_files = [f"--{name}-file={folder}/munge.{name.split('-')[-1]}" for name in ("key", "pid", "log", "seed")]
    with contextlib.ExitStack() as daemons:
        for command in (
            ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge_files],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-c", "-N", "localhost"],
        ):
            daemons.enter_context(_daemon(command, environment, folder / f"{command[0]}.out"))
        _wait_until_idle(environment, folder)
        yield environment


@contextlib.contextmanager
def _daemon(command: list[str], environment: dict[str, str], output: pathlib.Path) -> Iterator[None]:
    with output.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def _wait_until_idle(environment: dict[str, str], folder: pathlib.Path) -> None:
    deadline = time.monotonic() + 30
    state = ""
    while state != "idle":
        said = "\n".join(path.read_text() for path in folder.glob("*.out"))
        assert time.monotonic() < deadline, f"the node is {state!r}, not idle:\n{said}"
        time.sleep(0.2)
        state = _output(["sinfo", "--noheader", "--format=%t"], environment)


def state(job: str, environment: dict[str, str]) -> str:
    """PENDING, RUNNING, COMPLETED, …"""
    fields = _output(["scontrol", "show", "job", job], environment).split()
    return next((field.removeprefix("JobState=") for field in fields if field.startswith("JobState=")), "")


def wait_for_end(job: str, environment: dict[str, str], timeout: float = 200) -> str:
    """The state in which a job ends for good."""
    deadline = time.monotonic() + timeout
    while (found := state(job, environment)) in ("", "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"):
        assert time.monotonic() < deadline, f"job {job} is still {found!r}"
        time.sleep(0.2)
    return found


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _search_path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"
