import pathlib

import jax
import pytest
from jax.profiler import ProfileData
from ml_collections import ConfigDict

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import loop, trace


def test_steps_are_named_first_and_last() -> None:
    assert trace.parse_steps("3:5") == range(3, 6)
    assert trace.parse_steps("7:7") == range(7, 8)
    assert trace.parse_steps(None) is None


@pytest.mark.parametrize("text", ["", "3", "5:3", "0:2", "a:b", "3:", "-1:2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--profile_steps is .*, must be FIRST:LAST"):
        trace.parse_steps(text)


def test_the_trace_of_a_run_holds_the_steps_that_were_asked_for(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    loop.run(tiny_config, str(tmp_path / "run"), range(3, 6))
    files = list((tmp_path / "run" / "tensorboard").glob("plugins/profile/*/*.xplane.pb"))
    assert len(files) == 1
    profile = ProfileData.from_file(str(files[0]))
    names = [event.name for plane in profile.planes for line in plane.lines for event in line.events]
    assert sum(name == "train" for name in names) == 3


def test_a_trace_that_the_end_of_a_run_cuts_is_written_and_told(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with trace.tracing(tmp_path, range(1, 100)) as before_step:
        before_step(1, lambda: None)
        jax.block_until_ready(jax.numpy.ones(3) + 1)
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
    assert f"trace written to {tmp_path}/plugins/profile" in capsys.readouterr().out


def test_a_run_that_goes_on_after_the_first_step_asked_for_traces_the_rest(tmp_path: pathlib.Path) -> None:
    with trace.tracing(tmp_path, range(3, 6)) as before_step:
        for step in (5, 6):
            before_step(step, lambda: None)
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
