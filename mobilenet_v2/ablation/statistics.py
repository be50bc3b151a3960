"""Means of a few seeds, and whether two of them differ."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_RESAMPLES = 9999
_ROUNDING = 1e-12  # of shares; an interval's end at 0 may be a little beside it


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over n runs.

    Attributes:
      standard_error: sample deviation / √n; nan for n = 1.
    """

    mean: float
    standard_error: float
    n: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean minus the baseline's.

    Attributes:
      bootstrap: interval of 95 %: percentiles of means of runs drawn anew, with replacement, from each of the two. With
        so few runs it is too narrow: with 3, 5 and 10 seeds of both it holds the truth in 80, 88 and 92 of 100 cases,
        measured in 8,000 pairs of normally distributed samples or more.
      welch: interval of 95 % of Welch's t for runs whose accuracies are normally distributed, which holds with few: in
        97, 96 and 95 cases.
    """

    difference: float
    bootstrap: tuple[float, float]
    welch: tuple[float, float]

    @property
    def excludes_zero(self) -> bool:
        """Whether both intervals lie on one side of 0."""
        return all(low > _ROUNDING or high < -_ROUNDING for low, high in (self.bootstrap, self.welch))


def mean(values: Sequence[float]) -> Mean:
    """Mean and standard error of at least one value."""
    n = len(values)
    return Mean(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan, n)


def difference(values: Sequence[float], baseline: Sequence[float]) -> Difference | None:
    """What `values` have over `baseline`; None unless each has two runs, of which one can't tell a deviation.

    The two are taken as independent, also where their seeds are the same: initial weights of other shapes have little
    in common. The bootstrap's draws are the same each time.
    """
    if min(len(values), len(baseline)) < 2:
        return None
    ours, theirs = np.asarray(values, float), np.asarray(baseline, float)
    found = float(ours.mean() - theirs.mean())
    if ours.std() == theirs.std() == 0:
        return Difference(found, (found, found), (found, found))
    resampled = stats.bootstrap(
        (ours, theirs),
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # where all seeds of one came to the same
        welch = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(CONFIDENCE)
    return Difference(found, (float(resampled.low), float(resampled.high)), (float(welch.low), float(welch.high)))


def pareto(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Indices, by cost, of those that nothing as cheap or cheaper surpasses or equals."""
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -gains[index]))
    front: list[int] = []
    for index in order:
        if not front or gains[index] > gains[front[-1]]:
            front.append(index)
    return front
