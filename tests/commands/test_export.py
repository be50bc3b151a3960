import importlib
import json
import pathlib

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.export import exporting
from mobilenet_v2.export.formats import FORMATS
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.training import loop
from mobilenet_v2.weights.save import save_weights
from tests.export import networks

pytest.importorskip("flatbuffers")
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing takes processes of its own."""
    monkeypatch.setattr(exporting, "median_milliseconds", lambda *arguments: 1.5)


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file of ours, and 20 pictures in its classes' folders."""
    model, variables = networks.network()
    preprocessing, names = networks.PREPROCESSING, networks.PROVENANCE.class_names
    save_weights(
        tmp_path / "w.safetensors",
        model.clone(provenance=None),
        variables,
        preprocessing=preprocessing,
        class_names=names,
    )
    random = np.random.default_rng(0)
    for index in range(20):
        path = tmp_path / "pictures" / "abcde"[index % 5] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return tmp_path / "w.safetensors"


def export(weights: pathlib.Path, format_name: str, output: pathlib.Path, *flags: str) -> int:
    words = ["mobilenet_v2", "export", f"--weights={weights}", f"--format={format_name}", f"--output={output}", *flags]
    return command_line.execute(commands.dispatch, words)


@pytest.mark.usefixtures("untimed")
def test_beside_the_file_is_said_how_it_is_used_and_how_near_it_is(
    weights: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "net.stablehlo"
    assert export(weights, "stablehlo", output, f"--pictures={tmp_path / 'pictures'}") == 0
    out = capsys.readouterr().out
    assert "same top-1" in out
    assert "100.00%" in out
    told = json.loads((tmp_path / "net.stablehlo.json").read_text())
    assert Preprocessing(**{k: tuple(v) if isinstance(v, list) else v for k, v in told["preprocessing"].items()}) == (
        networks.PREPROCESSING
    )
    assert (told["class_names"], told["format"]) == (list("abcde"), "stablehlo")
    assert told["input"]["shape"] == ["batch", networks.SIDE, networks.SIDE, 3]
    assert told["comparison"]["pictures"] == f"20 of 20 pictures in {tmp_path / 'pictures'}"
    assert told["comparison"]["accuracy"] is not None
    assert told["cost"]["file"] == {"bytes": output.stat().st_size, "milliseconds_on_one_core": 1.5}
    exported = jax.export.deserialize(bytearray(output.read_bytes()))
    assert exported.call(networks.images(2)).shape == (2, 5)


@pytest.mark.usefixtures("untimed")
def test_a_run_is_compared_and_calibrated_on_its_own_pictures(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    tiny_config.train.update(num_steps=4, log_every=4)
    loop.run(tiny_config, str(tmp_path / "run"))
    capsys.readouterr()
    flags = ["--num_calibration=16", "--json"]
    assert export(tmp_path / "run", "onnx_int8", tmp_path / "net.onnx", *flags) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["comparison"]["pictures"] == "50 of 50 pictures in digits validation[:50]"
    assert told["calibration"] == "16 of 200 pictures in digits train[:200]"
    assert told["class_names"] == list("0123456789")
    assert "averaged variables of step 4" in told["source"][0]
    assert told == json.loads((tmp_path / "net.onnx.json").read_text())


@pytest.mark.parametrize(
    "format_name, output, flags, says",
    [
        ("onxx", "net.onnx", [], "--format is 'onxx', must be one of stablehlo"),
        ("stablehlo", "net.bin", [], "must end in .stablehlo"),
        ("stablehlo", "there.stablehlo", [], "exists, must be a new file"),
        ("stablehlo", "absent/net.stablehlo", [], "can't be written: No such file"),
        ("stablehlo", "net.stablehlo", ["--weights=absent.safetensors"], "absent.safetensors"),
        ("stablehlo", "net.stablehlo", ["--pictures=absent"], "'absent' is no folder"),
        ("stablehlo", "net.stablehlo", ["--num_pictures=0"], "--num_pictures is '0', must be an integer in 1"),
        ("stablehlo", "net.stablehlo", ["--replica=0"], "--replica is 0, must not be given"),
        ("int8", "net.onnx", [], "--format is 'int8'"),
        ("calibrated", "net.onnx", [], "needs pictures to calibrate with: name a folder by --calibration"),
        ("calibrated", "net.onnx", ["--pictures=PICTURES", "--num_calibration=15"], "must be an integer in 16"),
        ("calibrated", "net.onnx", ["--calibration=PICTURES/a"], "4 of 4 pictures in", ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_leaves_no_file(
    format_name: str,
    output: str,
    flags: list[str],
    says: str,
    weights: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMATS, "calibrated", FORMATS["onnx_int8"].__class__("onnx_int8", ".onnx", calibrated=True))
    (tmp_path / "there.stablehlo").touch()
    before = set(tmp_path.rglob("*"))
    flags = [flag.replace("PICTURES", str(tmp_path / "pictures")) for flag in flags]
    assert export(weights, format_name, tmp_path / output, *flags) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert errors.startswith("error: ")
    assert says in errors
    assert set(tmp_path.rglob("*")) == before


def test_a_network_without_a_classifier_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, variables = networks.network()
    del variables["params"]["classifier"]
    save_weights(
        tmp_path / "w.safetensors",
        model.clone(provenance=None, num_classes=0),
        variables,
        preprocessing=networks.PREPROCESSING,
    )
    assert export(tmp_path / "w.safetensors", "stablehlo", tmp_path / "net.stablehlo") == 2
    assert "has no classifier, must have one" in capsys.readouterr().err


def test_the_page_on_exports_names_every_format_and_no_other_flag() -> None:
    page = pathlib.Path("docs/export.md").read_text()
    listed = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert listed == list(FORMATS)
    for line in page.splitlines():
        if line.startswith("python -m mobilenet_v2 "):
            _, _, _, name, *flags = line.split()
            module = importlib.import_module(f"mobilenet_v2.commands.{name}")
            assert name in commands.COMMANDS
            assert all(flag.split("=")[0] in module.__doc__ for flag in flags)
