"""Which process of how many this is: by flags, or by what the cluster that started it sets."""

import dataclasses
import os
from collections.abc import Mapping

from mobilenet_v2 import command_line
from mobilenet_v2.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Place:
    """Which process this is. All None: JAX finds it out from the cluster that started it.

    Attributes:
      coordinator: HOST:PORT of process 0, which any of the others must reach.
      num_processes: how many there are.
      process_id: 0 … num_processes − 1.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def find_place(
    coordinator: str | None,
    num_processes: str | None,
    process_id: str | None,
    distributed: bool,
    environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """What flags, or the environment that a cluster sets, say of this process; None: it is the only one.

    Raises:
      ConfigError: if one of the three flags is missing or no number.
    """
    told = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [name for name, value in told.items() if value is None]
    if not missing:
        return _explicit(str(coordinator), str(num_processes), str(process_id))
    if len(missing) < len(told):
        raise ConfigError(
            f"flag --{missing[0]} is missing; --coordinator, --num_processes and --process_id go together"
        )
    return Place() if distributed or _in_a_cluster(environment) else None


def _explicit(coordinator: str, num_processes: str, process_id: str) -> Place:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--coordinator is {coordinator!r}, must be HOST:PORT of process 0")
    count = command_line.integer("num_processes", num_processes, 100_000)
    assert count is not None  # it was given
    if not process_id.isdecimal() or int(process_id) >= count:
        raise ConfigError(f"--process_id is {process_id!r}, must be an integer in 0 … {count - 1}")
    return Place(coordinator, count, int(process_id))


def _in_a_cluster(environment: Mapping[str, str]) -> bool:
    """Whether Slurm, Open MPI, Kubernetes or a TPU pod started several of these, by what JAX itself looks for."""

    def several(name: str) -> bool:
        return environment.get(name, "").isdecimal() and int(environment[name]) > 1

    slurm = several("SLURM_NTASKS") and "SLURM_PROCID" in environment and "SLURM_STEP_NODELIST" in environment
    open_mpi = several("OMPI_COMM_WORLD_SIZE")
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    tpu = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return slurm or open_mpi or kubernetes or tpu
