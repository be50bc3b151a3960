"""Scores the newest checkpoint of a run on its validation and test splits."""

import json
import pathlib
from collections.abc import Sequence

from rich.console import Console

from mobilenet_v2 import command_line, reporting
from mobilenet_v2.errors import CheckpointError
from mobilenet_v2.training import checkpoint, run_directory
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.setup import make_setup


def main(argv: Sequence[str]) -> None:
    """`evaluate --workdir=FOLDER [--json]`."""
    flags = command_line.parse(argv, __doc__, required=["workdir"], switches=["json"])
    workdir = pathlib.Path(flags.workdir)
    setup = make_setup(run_directory.read_config(workdir))
    restored = None
    if (workdir / "checkpoints").is_dir():
        manager = checkpoint.open_reader(workdir / "checkpoints")
        restored = checkpoint.restore_latest(manager, setup.abstract_state(), read_only=True)
        manager.close()
    if restored is None:
        raise CheckpointError(f"workdir {str(workdir)!r} has no checkpoint yet")
    step = int(restored.state.step)
    scores = {
        use: evaluate_state(setup.eval_step, restored.state, source, setup.config, setup.mesh, setup.unreadable[use])
        for use, source in setup.splits.items()
        if use != "train"
    }
    if flags.json:
        print(json.dumps({"step": step, **scores}))
        return
    console = Console()
    console.print(f"step {step} of {setup.total_steps}", highlight=False)
    for use, score in scores.items():
        line = reporting.format_scores(score, len(setup.splits[use]))
        console.print(f"{use} accuracy {line}", highlight=False, soft_wrap=True)
