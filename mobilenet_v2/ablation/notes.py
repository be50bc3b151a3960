"""What must be known to read a sweep's table and figures."""

import pathlib

from mobilenet_v2.ablation.results import FEW, Results

_NOT_COUNTED = ("diverged", "failed", "unfinished")
_MOST_NAMED = 12


def notes(results: Results) -> list[str]:
    """Paragraphs, with a word or two between `**`."""
    found = [_training(results), _measure(results), _intervals(results), *_few(results), *_not_counted(results)]
    return [*found, _cost(results)]


def caption(results: Results) -> str:
    """Of what data a figure is, how many seeds its points have, and what its bars are."""
    data = results.sweep["base"]["data"]
    name = pathlib.PurePath(data["folder"]).name if data.get("folder") else data["name"]
    return f"{name}: {_seeds_and_bars(results)}"


def _seeds_and_bars(results: Results) -> str:
    counts = sorted({len(results.accuracies(point["name"])) for point in results.finished})
    if counts == [1]:
        return "one seed a point, so no error can be told"
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{span} seeds a point, ± 1 standard error"


def _training(results: Results) -> str:
    """What all points share, so that a sweep that was cut short is not taken for a long one."""
    base, row = results.sweep["base"], next(row for row in results.rows if row.status == "finished")
    counts = ", ".join(f"{count:,} {split}" for split, count in row.examples.items())
    pictures = f", {counts} pictures" if counts else ""
    if scored := row.examples.get(results.split):
        pictures += f", of which one is {100 / scored:.2g} points of {results.split} accuracy"
    length = f"{base['train']['num_epochs']:g} epochs" if base["train"].get("num_epochs") else f"{row.steps:,} steps"
    return (
        f"**What is trained**, where a point does not say otherwise: `{results.sweep['config']}` on the data set "
        f"{base['data']['name']}, {base['data']['image_size']} pixels a side, {length} in batches of "
        f"{base['train']['batch_size']}, {row.steps:,} steps in a run{pictures}."
    )


def _measure(results: Results) -> str:
    once = (
        "The test split is scored once a run, after its last step; nothing is chosen by it."
        if results.split == "test"
        else "There is no test split: if the recipe was chosen on the validation split, it flatters them all."
    )
    return (
        f"**Accuracy** is {results.measure_text} after the last step, never the best one; loss, of the same weights, "
        "is the mean cross-entropy of the validation split. Both are mean ± standard error over finished seeds. "
        f"{once}"
    )


def _intervals(results: Results) -> str:
    counts = {point["name"]: len(results.accuracies(point["name"])) for point in results.points}
    baseline = results.sweep["baseline"]
    compared = sum(name != baseline and min(count, counts[baseline]) >= FEW for name, count in counts.items())
    chance = (
        f" Of {compared} such comparisons up to {0.05 * compared:.2g} would seem to differ by chance "
        "alone, and more where seeds are added until a point differs: decide on their number beforehand."
    )
    return (
        f"**Differences** are to {baseline}, in points, with two intervals of nominally 95 %: percentiles of a "
        "bootstrap over seeds, and Welch's t. With 3, 5 and 10 seeds of both the bootstrap's hold the true difference "
        "in 80, 88 and 92 of 100 cases, being too narrow for few seeds; Welch's in 97, 96 and 95, of normally "
        "distributed accuracies. Only if both exclude 0 does a point differ; otherwise no difference is established, "
        f"which is not to say that there is none.{chance if compared else ''}"
    )


def _few(results: Results) -> list[str]:
    counts = {point["name"]: len(results.accuracies(point["name"])) for point in results.begun}
    names = [name for name, count in counts.items() if count < FEW]
    text = f"**Fewer than {FEW} seeds**: {_listed(names)}. Nothing can be concluded of these points."
    return [text] if names else []


def _not_counted(results: Results) -> list[str]:
    """Runs without a score, with their reasons."""
    found = []
    for status in _NOT_COUNTED:
        rows = [row for row in results.rows if row.status == status]
        reasons = dict.fromkeys(row.reason for row in rows)
        told = [
            f"{_listed([f'{row.point} seed {row.seed}' for row in rows if row.reason == reason])} ({reason})"
            for reason in reasons
        ]
        if told:
            found.append(f"**{status.capitalize()} and not counted**: {'; '.join(told)}.")
    if any(row.status == "diverged" for row in results.rows):
        found.append("The means are of the seeds that did not diverge, and flatter a point of which some did.")
    begun = [point["name"] for point in results.begun]
    if absent := [point["name"] for point in results.points if point["name"] not in begun]:
        found.append(f"**Not begun**: {_listed(absent)}.")
    return found


def _cost(results: Results) -> str:
    hours = sum({row.folder: row.seconds or 0.0 for row in results.rows}.values()) / 3600
    devices = ", ".join(sorted({row.environment["device"] for row in results.rows if row.environment}))
    count = sum(row.status == "finished" for row in results.rows)
    return f"{count} finished runs, {hours:.1f} hours of training{f', on {devices}' if devices else ''}."


def _listed(names: list[str]) -> str:
    left = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
