import math

import numpy as np
import pytest
from scipy import stats

from mobilenet_v2.ablation import statistics

VALUES, BASELINE = [0.61, 0.63, 0.66, 0.64], [0.60, 0.58, 0.61]


def test_a_mean_has_scipys_standard_error() -> None:
    found = statistics.mean(VALUES)
    assert found.mean == pytest.approx(np.mean(VALUES), rel=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(VALUES), rel=1e-12)
    assert found.n == 4


def test_one_run_has_no_standard_error() -> None:
    assert statistics.mean([0.5]).mean == 0.5
    assert math.isnan(statistics.mean([0.5]).standard_error)


def test_an_interval_is_welchs() -> None:
    found = statistics.difference(VALUES, BASELINE)
    assert found is not None
    difference = np.mean(VALUES) - np.mean(BASELINE)
    assert found.difference == pytest.approx(difference)
    one, other = np.var(VALUES, ddof=1) / len(VALUES), np.var(BASELINE, ddof=1) / len(BASELINE)
    # Welch (1947), with Satterthwaite's degrees of freedom.
    freedom = (one + other) ** 2 / (one**2 / (len(VALUES) - 1) + other**2 / (len(BASELINE) - 1))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(one + other)
    assert found.welch == pytest.approx((difference - half, difference + half), rel=1e-9)
    unlike = statistics.difference([0.4, 0.5, 0.9], [0.2, 0.21, 0.22, 0.2, 0.21])
    assert unlike is not None
    assert unlike.welch[0] < 0 < unlike.bootstrap[0]
    assert not unlike.excludes_zero  # one interval is not enough


def test_seeds_that_all_came_to_the_same_leave_the_baselines_deviation(recwarn: pytest.WarningsRecorder) -> None:
    found = statistics.difference([0.7, 0.7, 0.7], BASELINE)
    assert found is not None
    half = stats.t.ppf(0.975, len(BASELINE) - 1) * stats.sem(BASELINE)
    assert found.welch == pytest.approx((0.7 - np.mean(BASELINE) - half, 0.7 - np.mean(BASELINE) + half), rel=1e-6)
    assert not recwarn.list


def test_the_bootstrap_draws_runs_of_both_anew() -> None:
    found = statistics.difference(VALUES, BASELINE)
    assert found is not None
    draw = np.random.default_rng(5)
    means = [
        draw.choice(VALUES, (40_000, len(VALUES))).mean(axis=1),
        draw.choice(BASELINE, (40_000, len(BASELINE))).mean(axis=1),
    ]
    assert found.bootstrap == pytest.approx(np.percentile(means[0] - means[1], [2.5, 97.5]), abs=0.001)
    assert statistics.difference(VALUES, BASELINE) == found


@pytest.mark.parametrize("n", [3, 5])
def test_a_difference_of_three_standard_errors_is_told_and_none_is_not(n: int) -> None:
    shape = np.linspace(-1, 1, n)
    shape /= shape.std(ddof=1) / math.sqrt(n)  # a standard error of 1
    of_difference = math.sqrt(2)
    for distance, told in ((3 * of_difference, True), (-3 * of_difference, True), (0.0, False), (0.5, False)):
        found = statistics.difference(0.6 + 0.01 * (shape + distance), 0.6 + 0.01 * shape)
        assert found is not None
        assert found.excludes_zero is told


def test_chance_alone_is_told_as_a_difference_in_a_twentieth_of_the_cases_at_most() -> None:
    draw = np.random.default_rng(0)
    told = []
    for _ in range(300):
        found = statistics.difference(draw.normal(0.6, 0.01, 5), draw.normal(0.6, 0.01, 5))
        assert found is not None
        told.append(found.excludes_zero)
    assert 0.005 < np.mean(told) < 0.07


@pytest.mark.parametrize("n, bootstrap, welch", [(3, 0.80, 0.97), (5, 0.88, 0.96), (10, 0.92, 0.95)])
def test_intervals_hold_the_true_difference_as_often_as_the_table_says(n: int, bootstrap: float, welch: float) -> None:
    draw, held = np.random.default_rng(n), []
    for _ in range(400):
        found = statistics.difference(draw.normal(0.62, 0.01, n), draw.normal(0.60, 0.01, n))
        assert found is not None
        held.append([low <= 0.02 <= high for low, high in (found.bootstrap, found.welch)])
    assert np.mean(held, axis=0) == pytest.approx([bootstrap, welch], abs=0.05)


def test_a_difference_needs_two_runs_of_both() -> None:
    assert statistics.difference([0.5], VALUES) is None
    assert statistics.difference(VALUES, [0.5]) is None


def test_runs_that_are_all_alike_differ_or_do_not() -> None:
    same, other = statistics.difference([0.5, 0.5], [0.5, 0.5]), statistics.difference([0.6, 0.6], [0.5, 0.5])
    assert same is not None
    assert other is not None
    assert (same.excludes_zero, other.excludes_zero) == (False, True)


def test_the_pareto_front_is_what_nothing_cheaper_surpasses() -> None:
    costs, gains = [3, 1, 2, 2, 4, 5], [0.6, 0.5, 0.4, 0.55, 0.6, 0.7]
    assert statistics.pareto(costs, gains) == [1, 3, 0, 5]
