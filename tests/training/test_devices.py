import pathlib
import types

import jax
import pytest

from mobilenet_v2.training import devices, sharding


def test_a_line_says_what_a_run_computes_on() -> None:
    mesh = sharding.make_mesh(1, jax.devices()[:1])
    assert devices.describe(mesh) == "devices: 1 × cpu, 1 process, mesh data=1"


def found(root: pathlib.Path, backend: str, platforms: str | None, **environment: str) -> str | None:
    """What is told by a JAX that uses `backend` and was told to use `platforms`."""
    config = types.SimpleNamespace(jax_platforms=platforms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "jax", types.SimpleNamespace(default_backend=lambda: backend, config=config))
        return devices.left_idle(root, environment)


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    """A machine with the driver that the test names; an NVIDIA GPU's."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / getattr(request, "param", "nvidia0")).touch()
    return tmp_path


@pytest.mark.parametrize(
    "root, what, package",
    [("nvidia0", "an NVIDIA GPU", "jax[cuda13]"), ("kfd", "an AMD GPU", "jax[rocm"), ("accel0", "a TPU", "jax[tpu]")],
    indirect=["root"],
)
def test_an_accelerator_that_jax_leaves_idle_is_told(root: pathlib.Path, what: str, package: str) -> None:
    line = found(root, "cpu", None)
    assert line is not None
    assert all(text in line for text in ("warning: ", f"{root}/dev/", what, f"pip install '{package}"))
    assert "\n" not in line


def test_nothing_is_told_where_there_is_none(tmp_path: pathlib.Path) -> None:
    assert found(tmp_path, "cpu", None) is None


def test_nothing_is_told_where_it_is_used_or_hidden_or_the_cpu_is_meant(root: pathlib.Path) -> None:
    assert found(root, "gpu", None) is None
    assert found(root, "cpu", "cpu") is None
    assert found(root, "cpu", None, CUDA_VISIBLE_DEVICES="") is None
    assert found(root, "cpu", None, CUDA_VISIBLE_DEVICES="0") is not None
