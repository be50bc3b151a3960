"""`results.csv` and `table.md`."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation import statistics
from mobilenet_v2.ablation.results import Results, Row

FEW = 3  # seeds, below which a table says so
HEADERS = (
    "point",
    "fields",
    "parameters",
    "multiply-adds",
    "n",
    "accuracy, %",
    "difference",
    "bootstrap 95 %",
    "Welch 95 %",
    "differs",
)


def csv_text(results: Results) -> str:
    """A row a run, every varied field a column; accuracies as shares, empty where there are none."""
    scores = [f"{split}_{name}" for split in ("validation", "test") for name in ("accuracy", "ema_accuracy")]
    best = [f"best_validation_{name}{what}" for name in ("accuracy", "ema_accuracy") for what in ("", "_step")]
    columns = ["point", "group", "x", "seed", "status", *results.varied, "parameters", "multiply_adds"]
    columns += [*scores, *best, "steps", "seconds", "jax", "device", "commit"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    points = {point["name"]: point for point in results.points}
    for row in results.rows:
        writer.writerow(_csv_row(row, points[row.point], results))
    return stream.getvalue()


def _csv_row(row: Row, point: dict[str, Any], results: Results) -> dict[str, Any]:
    values: dict[str, Any] = {"point": row.point, "seed": row.seed, "status": row.status, **row.environment}
    values |= {name: point[name] for name in ("group", "parameters", "multiply_adds")}
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


def table_rows(results: Results) -> list[list[str]]:
    """The cells below `HEADERS`, a row a point; the baseline first where it has runs."""
    baseline = results.sweep["baseline"]
    reference = results.accuracies(baseline)
    points = sorted(results.points, key=lambda point: point["name"] != baseline)
    return [_cells(point, results.accuracies(point["name"]), reference, baseline) for point in points]


def _cells(point: dict[str, Any], values: Sequence[float], reference: Sequence[float], baseline: str) -> list[str]:
    fields = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in point["overrides"].items())
    cells = [point["name"], fields, f"{point['parameters']:,}", f"{point['multiply_adds']:,}", str(len(values))]
    if not values:
        return [*cells, "—", "—", "—", "—", "no finished run"]
    found = statistics.mean(values)
    error = "" if math.isnan(found.standard_error) else f" ± {found.standard_error:.2%}".rstrip("%")
    cells.append(f"{found.mean:.2%}".rstrip("%") + error)
    if point["name"] == baseline:
        return [*cells, "baseline", "", "", ""]
    apart = statistics.difference(values, reference)
    if apart is None:
        return [*cells, "—", "—", "—", "needs two seeds of both"]
    differs = "yes" if apart.excludes_zero else "not shown"
    return [*cells, _signed(apart.difference), _interval(apart.bootstrap), _interval(apart.welch), differs]


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


def _interval(bounds: tuple[float, float]) -> str:
    return f"{_signed(bounds[0])} … {_signed(bounds[1])}"


def notes(results: Results) -> list[str]:
    """What must be known to read the table."""
    counts = {point["name"]: len(results.accuracies(point["name"])) for point in results.points}
    compared = sum(name != results.sweep["baseline"] and count > 1 for name, count in counts.items())
    lines = [
        f"Accuracy: {results.measure_text}, never the best one; mean ± standard error over n seeds, in per cent. "
        f"Differences are to {results.sweep['baseline']}, in points, with two intervals of 95 %: percentiles of a "
        "bootstrap over seeds, which is too narrow for few of them, and Welch's t. Only if both exclude 0 does a point "
        f"differ; of {compared} such comparisons {0.05 * compared:.1f} would seem to by chance alone."
    ]
    if few := [name for name, count in counts.items() if count < FEW]:
        lines.append(f"**Fewer than {FEW} seeds**: {', '.join(few)}. Nothing can be concluded of them.")
    for status in ("failed", "unfinished"):
        if these := [f"{row.point} seed {row.seed}" for row in results.rows if row.status == status]:
            lines.append(f"{status.capitalize()} and not counted: {', '.join(these)}.")
    if results.split == "validation":
        lines.append("There is no test split: if the recipe was chosen on the validation split, it flatters them all.")
    hours = sum({(row.point, row.seconds): row.seconds or 0.0 for row in results.rows}.values()) / 3600
    devices = ", ".join(sorted({row.environment["device"] for row in results.rows if row.environment}))
    lines.append(f"{len([r for r in results.rows if r.scores])} runs, {hours:.1f} hours of them{_on(devices)}.")
    return lines


def _on(devices: str) -> str:
    return f", on {devices}" if devices else ""


def markdown(results: Results) -> str:
    """The table and its notes."""
    rows = table_rows(results)
    rule = ["---", "---", *["---:"] * (len(HEADERS) - 3), "---"]
    lines = ["| " + " | ".join(cells) + " |" for cells in [list(HEADERS), rule, *rows]]
    return "\n".join([f"# {results.sweep['question']}", "", *lines, "", *_spaced(notes(results))]) + "\n"


def _spaced(lines: Sequence[str]) -> list[str]:
    return [text for line in lines for text in (line, "")][:-1]
