"""Every command of the README and of `docs/`: that it exists and, slowly, that it runs, in a copy of the repository."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from mobilenet_v2.__main__ import COMMANDS
from mobilenet_v2.config_fields import FIELDS
from tests.data import pictures
from tests.documents import DOCUMENTS, REPOSITORY, blocks, commands, settings, value_of
from tests.weights import small

# A run of seconds, where a page has one of minutes; the network's table only of configs whose point it is not.
SHORT = ["num_steps=4", "log_every=1", "checkpoint_every=2", "evaluate_every=4", "batch_size=16"]
SHORT_RUN = [*(f"--config.train.{field}" for field in SHORT), "--config.optimizer.warmup_epochs=0"]
SMALL_NETWORK = ["--config.model.stages=((1,8,1,1),(2,16,2,2))", "--config.model.head_channels=32"]
OF_A_USUAL_NETWORK = ("configs/digits.py", "configs/image_folder.py")
# Commands that need what a test does not have, by how they begin.
NOT_RUN = {
    "npm": "needs npm's registry",
    "python -m benchmarks.emoji": "needs what npm fetches; tests/benchmarks/test_emoji.py has pictures of its own",
    "python -m mobilenet_v2 evaluate --weights": "needs ImageNet; tests/training/test_published.py scores digits",
    "pip install": "downloads for minutes; the extras' names are checked",
    "sbatch": "tests/launch/test_slurm.py starts a Slurm and runs the file",
    "kubectl": "tests/launch/test_kubernetes.py checks the file against the schemas",
    "launch/tpu_vm.sh": "tests/launch/test_tpu_vm.py runs it with a stand-in for gcloud",
}
# Pages whose Python shows the beginning of something.
OF_EXCERPTS = ("README.md", "docs/weights.md")
NAME = "timm/mobilenetv2_100.ra_in1k"

ALL = [(document, words) for document in DOCUMENTS for block in blocks(document) for words in commands(block)]


def test_commands_are_found() -> None:
    assert {document for document, _ in ALL} == set(DOCUMENTS)
    assert len(ALL) > 30


@pytest.mark.parametrize("document, words", ALL, ids=[" ".join(words)[:80] for _, words in ALL])
def test_a_command_names_what_exists(document: str, words: list[str]) -> None:
    _, words = settings(words)
    shown = {block.file for block in blocks(document)}
    for path in [value_of(words, "--config"), *(word for word in words if re.match(r"(launch|configs)/", word))]:
        assert path is None or path.split(":")[0] in shown or (REPOSITORY / path.split(":")[0]).is_file()
    for word in words:
        if found := re.match(r"--config\.([\w.]+)=", word):
            assert found[1] in FIELDS
    if words[:2] == ["python", "-m"]:
        package, _, module = words[2].partition(".")
        assert (REPOSITORY / package / f"{module or '__main__'}.py").is_file()
        assert package != "mobilenet_v2" or words[3] in (*COMMANDS, "--help")
    elif words[0] == "make":
        assert all(f"\n{target}:" in (REPOSITORY / "Makefile").read_text() for target in words[1:] if "=" not in target)
    elif words[0] == "pip":
        extras = re.findall(r"jax\[(\w+)\]", " ".join(words))
        assert set(extras) <= set(importlib.metadata.metadata("jax").get_all("Provides-Extra") or [])
        ours = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
        assert set(re.findall(r"\.\[(\w+)\]", " ".join(words))) <= set(ours["optional-dependencies"])
    else:
        assert words[0] in ("python", "source", "npm", "sbatch", "kubectl", "launch/tpu_vm.sh")


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the repository, with pictures and a published network to work on."""
    folder = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "emoji", "results", "build", "*.egg-info")
    shutil.copytree(REPOSITORY, folder, ignore=left_out)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    # The paper's sweep is of nineteen points.
    shutil.copy(REPOSITORY / "tests/ablation/small_sweep.py", folder / "configs/ablations/expansion_factor.py")
    for name, classes in {"emoji": 9, "pictures": 3}.items():
        places = [f"{split}/class_{index}" for split in ("train", "validation") for index in range(classes)]
        pictures.fill(folder / name, [f"{place}/{index}.png" for place in places for index in range(20)])
    (folder / "photographs").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for path in (folder / "photographs" / "cat.jpg", folder / "cat.jpg"):
        Image.fromarray(noise).save(path)
    snapshot = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    save_file(small.arrays("timm"), snapshot / "model.safetensors")
    return folder


def shortened(words: list[str]) -> list[str]:
    """The same command, so that it takes seconds."""
    config = value_of(words, "--config") or ""
    if words == ["make", "train"]:  # pages go on from the run that it leaves
        return shortened(["python", "train.py", "--config=configs/digits.py", "--workdir=runs/digits"])
    if words[0] == "make":
        return ["make", "--dry-run", *words[1:]]
    if "train.py" in words:
        return [*words, *SHORT_RUN, *(SMALL_NETWORK if config in OF_A_USUAL_NETWORK else [])]
    if "ablate" in words:
        return [*words, "--seeds=1", "--jobs=1", *SHORT_RUN]
    if "benchmarks.scaling" in words:
        return [*words, "--scaling=weak", *SMALL_NETWORK]
    return [*words, "--port=0"] if "demo" in words else words


def run(words: list[str], folder: pathlib.Path, data_dir: str) -> tuple[int, str]:
    """(exit status, what it said); what serves until Ctrl-C gets one once it says that it does."""
    variables, words = settings(words)
    environment = {
        **os.environ,
        **dict(variable.split("=", 1) for variable in variables),
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TFDS_DATA_DIR": data_dir,
        "HF_HUB_CACHE": str(folder.parent / "hub"),
        "HF_HUB_OFFLINE": "1",
    }
    command = ["bash", "-c", 'source "$0"', words[1]] if words[0] == "source" else shortened(words)
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    if "demo" in words and process.stdout is not None:
        while "Ctrl-C ends it" not in said and process.poll() is None:
            said += process.stdout.readline()
        process.send_signal(signal.SIGINT)
    said += process.communicate()[0]
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_can_be_followed_from_top_to_bottom(document: str, checkout: pathlib.Path, data_dir: str) -> None:
    for block in blocks(document):
        if block.file:
            (checkout / block.file).write_text(block.text)
        elif block.language == "diff":
            subprocess.run(["git", "apply", "-"], cwd=checkout, input=block.text, text=True, check=True)
        elif block.language == "python" and document not in OF_EXCERPTS:
            assert run(["python", "-c", block.text], checkout, data_dir)[0] == 0
        for words in commands(block):
            line = " ".join(words)
            if any(line.startswith(begin) for begin in NOT_RUN):
                continue
            status, said = run(words, checkout, data_dir)
            print(status, line)
            assert status == 0, f"{line}\n{said}"
