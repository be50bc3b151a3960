"""`results.csv` and `table.md`."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation import statistics
from mobilenet_v2.ablation.notes import notes
from mobilenet_v2.ablation.results import FEW, Results
from mobilenet_v2.ablation.rows import STATUSES, Row

FIELDS_APART = "; "  # in a cell
_SCORES = ("accuracy", "ema_accuracy", "loss", "ema_loss")


def csv_text(results: Results) -> str:
    """A row a run, every varied field a column; accuracies as shares, losses in nats, empty where there are none."""
    scores = [f"{split}_{name}" for split in ("validation", "test") for name in _SCORES]
    best = [f"best_validation_{name}{what}" for name in ("accuracy", "ema_accuracy") for what in ("", "_step")]
    columns = ["point", "group", "x", "seed", "status", "reason", *results.varied, "parameters", "multiply_adds"]
    columns += [*scores, *best, "steps", "seconds", "jax", "device", "commit", "folder"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    points = {point["name"]: point for point in results.points}
    for row in results.rows:
        writer.writerow(_csv_row(row, points[row.point], results))
    return stream.getvalue()


def _csv_row(row: Row, point: dict[str, Any], results: Results) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(row, name) for name in ("point", "seed", "status", "reason", "folder")}
    values |= row.environment | {name: point[name] for name in ("group", "parameters", "multiply_adds")}
    values |= {"x": "" if point["x"] is None else point["x"], "steps": row.steps, "seconds": row.seconds}
    base = results.sweep["base"]
    values |= {name: point["overrides"].get(name, _field(base, name)) for name in results.varied}
    for split, scores in row.scores.items():
        values |= {f"{split}_{name}": value for name, value in scores.items()}
    for name, (step, value) in row.best.items():
        values |= {f"best_validation_{name}": value, f"best_validation_{name}_step": step}
    return values


def _field(base: dict[str, Any], name: str) -> Any:
    value: Any = base
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def headers(results: Results) -> list[str]:
    """Of the columns; intervals and differences are in points, which are per cent of the images."""
    costs = ["parameters", "multiply-adds", "seeds"]
    measures = [f"{results.split} accuracy, %", "validation loss, nats"]
    apart = ["difference, points", "bootstrap 95 %", "Welch 95 %", "differs"]
    return ["point", "fields", *costs, *measures, *apart, "remarks"]


def table_rows(results: Results) -> list[list[str]]:
    """The cells below `headers`: the baseline, then a row a point of which something was begun."""
    baseline = results.sweep["baseline"]
    first = [point for point in results.points if point["name"] == baseline]
    others = [point for point in results.begun if point["name"] != baseline]
    return [_cells(point, results) for point in (*first, *others)]


def _cells(point: dict[str, Any], results: Results) -> list[str]:
    name, rows = point["name"], results.of_point(point["name"])
    accuracies, losses = results.accuracies(name), results.losses(name)
    fields = FIELDS_APART.join(f"{field.rpartition('.')[2]} {value}" for field, value in point["overrides"].items())
    seeds = str(len(rows)) if len(rows) == len(accuracies) else f"{len(accuracies)} of {len(rows)}"
    cells = [name, fields, f"{point['parameters']:,}", f"{point['multiply_adds']:,}", seeds]
    cells += [_mean([100 * value for value in accuracies], 2), _mean(losses, 3)]
    return [*cells, *_comparison(name, accuracies, results), _remarks(rows)]


def _mean(values: Sequence[float], digits: int) -> str:
    if not values:
        return "—"
    found = statistics.mean(values)
    error = "" if math.isnan(found.standard_error) else f" ± {found.standard_error:.{digits}f}"
    return f"{found.mean:.{digits}f}{error}"


def _comparison(name: str, accuracies: Sequence[float], results: Results) -> list[str]:
    """Difference, two intervals, and whether both exclude 0."""
    if name == results.sweep["baseline"]:
        return ["baseline", "", "", ""]
    reference = results.accuracies(results.sweep["baseline"])
    apart = statistics.difference(accuracies, reference)
    if apart is None:
        return ["—", "—", "—", "too few seeds" if accuracies else "—"]
    differs = "yes" if apart.excludes_zero else "not established"
    if min(len(accuracies), len(reference)) < FEW:
        differs = "too few seeds"
    return [_signed(apart.difference), _interval(apart.bootstrap), _interval(apart.welch), differs]


def _signed(share: float) -> str:
    return f"{round(100 * share, 2) + 0.0:+.2f}"  # no "-0.00"


def _interval(bounds: tuple[float, float]) -> str:
    return f"{_signed(bounds[0])} … {_signed(bounds[1])}"


def _remarks(rows: Sequence[Row]) -> str:
    """What ails a point."""
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    few = [f"fewer than {FEW} seeds"] if counts["finished"] < FEW else []
    return ", ".join([*few, *(f"{counts[status]} {status}" for status in STATUSES[1:] if counts[status])])


def markdown(results: Results) -> str:
    """The table and its notes."""
    names = headers(results)
    rule = ["---", "---", *["---:"] * (len(names) - 4), "---", "---"]
    lines = ["| " + " | ".join(cells) + " |" for cells in [names, rule, *table_rows(results)]]
    return "\n\n".join([f"# {results.sweep['question']}", "\n".join(lines), *notes(results)]) + "\n"
