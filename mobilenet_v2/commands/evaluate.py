"""Scores the newest checkpoint of a run, or published weights, on the validation and test splits.

evaluate --workdir=FOLDER takes data and network from the run; of several replicas each is scored. evaluate
--weights=WEIGHTS --config=FILE takes the data set from the config, and the network and its preprocessing from the
weights: a file, a TensorFlow checkpoint's prefix, the folder of a run, or OWNER/NAME on the HuggingFace hub.
--image_size=N is for weights that were made for another size than their source's usual one; --preprocessing names
another source's, as torchvision_v2; --replica=N is which of a run's replicas, from 0 on.
"""

import json
import pathlib
import sys
from collections.abc import Sequence

from absl import flags as absl_flags
from rich.console import Console

from mobilenet_v2 import command_line, reporting
from mobilenet_v2.commands.flagged_weights import import_flagged
from mobilenet_v2.errors import CheckpointError, ConfigError, nearest
from mobilenet_v2.models.variants import PREPROCESSING
from mobilenet_v2.training import checkpoint, replicas, run_directory
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.published import evaluate_imported
from mobilenet_v2.training.setup import make_setup

_OF_WEIGHTS = ("image_size", "preprocessing", "replica", "revision")


def main(argv: Sequence[str]) -> None:
    """`evaluate --workdir=FOLDER [--json]`, or `evaluate --weights=WEIGHTS --config=FILE [--image_size=N] …`."""
    if any(argument.lstrip("-").partition("=")[0] == "weights" for argument in argv[1:]):
        flags = command_line.parse(
            argv, __doc__ or "", required=["weights", "config"], optional=_OF_WEIGHTS, switches=["offline", "json"]
        )
        _score_weights(flags)
    else:
        description = (
            f"{__doc__}\nwith --weights: {', '.join(f'--{name}' for name in ('config', *_OF_WEIGHTS, 'offline'))}"
        )
        flags = command_line.parse(argv, description, required=["workdir"], switches=["json"])
        _score_run(pathlib.Path(flags.workdir), flags.json)


def _score_run(workdir: pathlib.Path, as_json: bool) -> None:
    setup = make_setup(run_directory.read_config(workdir))
    if changed := run_directory.check_data(workdir, setup.data):
        print(changed, file=sys.stderr)
    restored = None
    if (workdir / "checkpoints").is_dir():
        manager = checkpoint.open_reader(workdir / "checkpoints")
        restored = checkpoint.restore_latest(manager, setup.abstract_state(), read_only=True)
        manager.close()
    if restored is None:
        raise CheckpointError(f"workdir {str(workdir)!r} has no checkpoint yet")
    step, diverged = int(restored.state.step), restored.extra.get("diverged") or [None] * setup.config.replicas
    splits = {use: source for use, source in setup.splits.items() if use != "train"}
    scores = {
        use: evaluate_state(setup.eval_step, restored.state, source, setup.config, setup.mesh, setup.unreadable[use])
        for use, source in splits.items()
    }
    told = replicas.result(setup.config, scores, diverged)
    if as_json:
        print(json.dumps({"step": step, **told}))
        return
    lines, examples = [f"step {step} of {setup.total_steps}"], {use: len(source) for use, source in splits.items()}
    for one in told.pop("replicas", []):
        lines += [f"seed {one['seed']} diverged at step {one['diverged']}"] if "diverged" in one else []
        lines += [
            f"seed {one['seed']}: {use} accuracy {reporting.format_scores(one[use], examples[use])}"
            for use in splits
            if use in one
        ]
    _print(lines, told, examples, reporting.of_replicas(diverged))


def _score_weights(flags: absl_flags.FlagValues) -> None:
    size, named = command_line.integer("image_size", flags.image_size, command_line.MOST_PIXELS), flags.preprocessing
    if named is not None and named not in PREPROCESSING:
        raise ConfigError(
            f"--preprocessing is {named!r}, must be one of {', '.join(PREPROCESSING)}{nearest(named, PREPROCESSING)}"
        )
    lines: list[str] = []
    imported = import_flagged(flags, lines.append)
    if named is not None:
        imported = imported._replace(preprocessing=PREPROCESSING[named])
    scores, examples = evaluate_imported(flags.weights, imported, flags.config, size, report=lines.append)
    if flags.json:
        print(json.dumps({"report": lines, "examples": examples, **scores}))
    else:
        _print(lines, scores, examples)


def _print(lines: list[str], scores: dict[str, dict[str, float]], examples: dict[str, int], what: str = "") -> None:
    console = Console()
    scored = [f"{use} accuracy {reporting.format_scores(scores[use], examples[use])}{what}" for use in scores]
    for line in (*lines, *scored):
        console.print(line, highlight=False, soft_wrap=True)
