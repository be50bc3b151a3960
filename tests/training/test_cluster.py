import pytest

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training.cluster import Place, find_place

SLURM = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "a"}


@pytest.mark.parametrize(
    "environment, place",
    [
        ({}, None),
        (SLURM, Place()),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_NTASKS": "2"}, None),  # in an allocation, but not started by srun
        ({"OMPI_COMM_WORLD_SIZE": "4"}, Place()),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}, Place()),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, Place()),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
    ],
)
def test_a_cluster_shows_by_what_it_sets(environment: dict[str, str], place: Place | None) -> None:
    assert find_place(None, None, None, False, environment) == place


def test_flags_say_it_where_the_environment_does_not() -> None:
    assert find_place(None, None, None, True, {}) == Place()
    assert find_place("host:80", "3", "2", False, SLURM) == Place("host:80", 3, 2)


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ("host:80", None, None),
            "flag --num_processes is missing; --coordinator, --num_processes and --process_id",
        ),
        ((None, "2", "0"), "flag --coordinator is missing"),
        (("host", "2", "0"), "--coordinator is 'host', must be HOST:PORT"),
        (("host:99999", "2", "0"), "--coordinator is 'host:99999', must be HOST:PORT"),
        (("host:80", "0", "0"), "--num_processes is '0', must be an integer in 1"),
        (("host:80", "2", "2"), "--process_id is '2', must be an integer in 0 … 1"),
        (("host:80", "2", "-1"), "--process_id is '-1', must be an integer in 0 … 1"),
    ],
)
def test_a_wrong_flag_is_named(flags: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_place(*flags, False, {})
