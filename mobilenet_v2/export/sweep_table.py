"""What a format costs each point of a sweep: every finished run exported, and scored beside its network.

The question of the paper's §3: does ReLU6, whose values end at 6, lose less in 8 bits than ReLU, whose don't?
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence

from mobilenet_v2.ablation import results, statistics
from mobilenet_v2.ablation.rows import Row
from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.export.comparison import Comparison
from mobilenet_v2.export.exporting import compare_export
from mobilenet_v2.export.formats import find_format
from mobilenet_v2.export.pictures import of_split
from mobilenet_v2.serving.pretrained import load_pretrained
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.trained import is_run

_MOST = 1_000_000  # pictures: all


@dataclasses.dataclass(frozen=True)
class Scored:
    """A run of a point in one format."""

    point: str
    seed: int
    format: str
    comparison: Comparison

    @property
    def lost(self) -> float:
        """Accuracy of the network minus that of the file."""
        return (self.comparison.source_accuracy or 0) - (self.comparison.accuracy or 0)


def score(
    workdir: pathlib.Path, formats: Sequence[str], num_calibration: int, report: Callable[[str], None] = print
) -> list[Scored]:
    """Every finished run in every format, on all of its test split, or its validation split where it has no other.

    Raises:
      WorkdirError: if `workdir` is no sweep's, or its runs have no checkpoints any more.
      ConfigError: if there is no such format, or it lacks a package.
    """
    found = results.read(workdir)
    for name in formats:
        find_format(name)
    finished = [row for row in found.rows if row.status == "finished"]
    without = [row.folder for row in finished if not is_run(workdir / row.folder)]
    if without:
        raise WorkdirError(f"{without[0]!r} has no checkpoints any more: train with `ablate --keep=checkpoints`")
    return [one for row in finished for one in _of_run(workdir, row, formats, num_calibration, report)]


def _of_run(
    workdir: pathlib.Path, row: Row, formats: Sequence[str], num_calibration: int, report: Callable[[str], None]
) -> Iterator[Scored]:
    folder = workdir / row.folder
    config = run_directory.read_config(folder)
    replica = row.seed - config.seed if config.replicas > 1 else None
    model, variables = load_pretrained(folder, replica=replica, report=lambda line: None)
    preprocessing = model.provenance.preprocessing
    pictures = of_split(config, config.data.test_split or config.data.validation_split, preprocessing, _MOST)
    calibration = of_split(config, config.data.train_split, preprocessing, num_calibration)
    for name in formats:
        compared = compare_export(name, model, variables, pictures, calibration)
        report(f"{row.folder}, {name}: {compared.source_accuracy:.2%} → {compared.accuracy:.2%}")
        yield Scored(row.point, row.seed, name, compared)


def csv_text(scored: Sequence[Scored]) -> str:
    """A row a run and format; accuracies as shares."""
    stream = io.StringIO()
    measures = [field.name for field in dataclasses.fields(Comparison)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["point", "seed", "format", *measures, "lost"])
    for one in scored:
        writer.writerow([one.point, one.seed, one.format, *dataclasses.astuple(one.comparison), one.lost])
    return stream.getvalue()


def markdown(scored: Sequence[Scored], baseline: str) -> str:
    """A row a point and format: means over the seeds with their standard errors, and the loss beside the baseline's."""
    columns = ("point", "format", "seeds", "network, %", "file, %", "same top-1, %", "lost, points")
    lines = ["| " + " | ".join((*columns, "more than the baseline, Welch 95 %")) + " |"]
    lines.append("|" + "---|" * (len(columns) + 1))
    keys = dict.fromkeys((one.format, one.point) for one in scored)
    for name, point in keys:
        ours, theirs = (
            [one for one in scored if (one.format, one.point) == (name, which)] for which in (point, baseline)
        )
        compared = [one.comparison for one in ours]
        cells = [
            _mean([100 * (one.source_accuracy or 0) for one in compared]),
            _mean([100 * (one.accuracy or 0) for one in compared]),
            _mean([100 * one.agreement for one in compared]),
            _mean([100 * one.lost for one in ours]),
            "" if point == baseline else _apart([one.lost for one in ours], [one.lost for one in theirs]),
        ]
        lines.append("| " + " | ".join([point, name, str(len(ours)), *cells]) + " |")
    pictures = "; ".join(dict.fromkeys(one.comparison.pictures for one in scored))
    note = "Means of the seeds ± standard errors; a loss is the network's accuracy minus the file's."
    return "\n".join([*lines, "", f"{note} {pictures}."]) + "\n"


def _mean(values: Sequence[float]) -> str:
    found = statistics.mean(values)
    return f"{found.mean:.2f} ± {found.standard_error:.2f}" if found.n > 1 else f"{found.mean:.2f}"


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> str:
    found = statistics.difference([100 * value for value in ours], [100 * value for value in theirs])
    return "—" if found is None else f"{found.difference:+.2f} [{found.welch[0]:+.2f}, {found.welch[1]:+.2f}]"
