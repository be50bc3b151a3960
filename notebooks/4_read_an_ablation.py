# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reading an ablation
#
# `results/` holds sweeps that were run: of every point and seed the config, the environment, every row of metrics and
# the result. `python -m mobilenet_v2 report` makes a page of them; here are its table and figures, and then a question
# that it doesn't ask.
#
# Runs may be added to the folder later. Everything below, the numbers in sentences too, is computed from what is there.

# %%
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, Markdown, display
from scipy import stats

import configs
from mobilenet_v2.ablation import figures, results, statistics, table
from mobilenet_v2.ablation.figure_style import COLOURS, STYLE
from mobilenet_v2.ablation.labels import label_points

plt.rcParams.update(STYLE)

FOLDER = pathlib.Path(configs.__file__).parents[1] / "results"  # or a folder of yours, as `ablate --workdir` made it
print("sweeps:", *sorted(path.parent.name for path in FOLDER.glob("*/sweep.json")))
SWEEP = "expansion_factor_emoji"
found = results.read(FOLDER / SWEEP)

# %% [markdown]
# ## What was run
#
# `sweep.json` says what was varied and from which config; `rows` are the runs that were asked for.

# %%
sweep = found.sweep
finished = [row for row in found.rows if row.scores]
seeds = sorted({row.seed for row in finished})
counts = sorted({len(found.accuracies(point["name"])) for point in found.finished})
seeds_text = f"{counts[0]} … {counts[-1]} runs" if len(counts) > 1 else f"{counts[0]} run{'s' * (counts[0] > 1)}"
print(f"{sweep['question']}, from {sweep['config']}")
print(f"{len(finished)} of {len(found.rows)} runs are finished, seeds {seeds}")
print(f"{len(found.finished)} of {len(found.points)} points have a finished run, {seeds_text} each")
print(f"compared: {found.measure_text}")

# %% [markdown]
# ## The table
#
# A difference to the baseline is given where both have at least two seeds: of one run nobody can tell how much another
# seed would have changed. The notes below the table say when a difference counts as established.

# %%
Markdown(table.markdown(found))

# %% [markdown]
# ## The figures
#
# As `report` draws them. `save` gives the bytes of a PNG, a PDF or an SVG.

# %%
for figure, _ in figures.draw(found).values():
    display(Image(figures.save(figure, "png"), width=100 * figure.get_figwidth()))

# %% [markdown]
# ## How fine can this sweep measure?
#
# Two sources of chance. Seeds: their spread is in the table as soon as there are several. And the pictures that are
# scored: another sample of as many would give other accuracies, even for the same weights. The second does not shrink
# with more seeds. It is shared by all points, though, so that in their differences a part of it cancels.

# %%
done = [json.loads(path.read_text()) for path in (FOLDER / SWEEP).glob("*/seed_*/result.json")]
scored = min(result["examples"][found.split] for result in done)
shares = {point["name"]: statistics.mean(found.accuracies(point["name"])).mean for point in found.finished}
sampling = {name: np.sqrt(share * (1 - share) / scored) for name, share in shares.items()}
baseline, best = sweep["baseline"], max(shares, key=lambda name: shares[name])
print(f"{found.split} split: {scored} pictures, so that a picture is {1 / scored:.2%}")
print(f"{baseline}, the baseline: {shares[baseline]:.2%}, standard error by the pictures {sampling[baseline]:.2%}")
print(f"{best}, the best mean of {len(shares)}: {shares[best]:.2%}")

# %% [markdown]
# The best of many points looks better than it is: even if all were equally good, one of them would come out on top. A
# ranking says something where its steps are large against both errors.
#
# ## A question of your own: could the runs have been stopped earlier?
#
# A sweep costs hours. Had the points been ranked by an evaluation in the middle, would the order have been that of the
# end? `row.curve` has the validation accuracy at every evaluation. We take means over the seeds of a point and, for
# each step, Spearman's rank correlation with the last step over the points: 1 is the same order, 0 is no relation.
#
# What this can't tell: learning rates fall along a schedule that was made for the whole run. A run that is cut in the
# middle is not a run that was planned to be half as long.


# %%
def mean_curve(point: str) -> dict[int, float]:
    """Mean validation accuracy of a point's finished runs, by step."""
    curves = [dict(row.curve) for row in found.of_point(point) if row.scores]
    common = sorted(set.intersection(*map(set, curves)))
    return {step: float(np.mean([curve[step] for curve in curves])) for step in common}


curves = {point["name"]: mean_curve(point["name"]) for point in found.finished}
steps = sorted(set.intersection(*map(set, curves.values())))
last = [curve[steps[-1]] for curve in curves.values()]
order = [stats.spearmanr([curve[step] for curve in curves.values()], last).statistic for step in steps]
middle = min(steps, key=lambda step: abs(step - steps[-1] / 2))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.plot(steps, order, marker="o", color=COLOURS[0])
left.axvline(middle, color="0.4", linestyle="--", linewidth=1)
left.set_ylim(min(0.0, *order) - 0.05, 1.05)
left.set_xlabel("step")
left.set_ylabel("rank correlation with the last step")
left.set_title(f"order of {len(curves)} points, {seeds_text} each")
places = [(100 * curve[middle], 100 * curve[steps[-1]]) for curve in curves.values()]
right.plot(*zip(*places, strict=True), marker="o", linestyle="none", color=COLOURS[1])
right.margins(x=0.2, y=0.1)
right.set_xlabel(f"validation accuracy at step {middle} (%)")
right.set_ylabel(f"validation accuracy at step {steps[-1]} (%)")
right.set_title("a point against itself")
label_points(figure, right, [(*place, 0.0, name) for place, name in zip(places, curves, strict=True)])
plt.show()

other = [step for step, correlation in zip(steps, order, strict=True) if correlation < 0.9]
earliest = min(step for step in steps if step > max(other, default=-1))
print(f"from step {earliest} of {steps[-1]} on the correlation stays at 0.9 or above")

# %% [markdown]
# Read the number with the errors above in mind: where points lie closer together than these, even the order at the last
# step is partly chance, and a second set of seeds would correlate with it by less than 1.
#
# Another sweep is read by changing `SWEEP` or `FOLDER`. Other questions have their data in the same places:
# each run's `result.json` has its accuracies and cost, `metrics.jsonl` a JSON object an event, and
# `table.csv_text(found)` is a row a run for a spreadsheet.
