import numpy as np
import pytest

from mobilenet_v2.ablation.places import side_by_side


@pytest.mark.parametrize("logarithmic", [False, True])
def test_costs_that_differ_stay_where_they_are(logarithmic: bool) -> None:
    np.testing.assert_allclose(side_by_side([5.0, 1.0, 2.0, 2.1], logarithmic), [5.0, 1.0, 2.0, 2.1])


@pytest.mark.parametrize("logarithmic", [False, True])
def test_costs_that_are_alike_are_apart_around_their_mean_in_their_order(logarithmic: bool) -> None:
    first, second, third, cheap, dear = side_by_side([4.01, 4.0, 4.05, 1.0, 9.0], logarithmic)
    assert second < first < third
    assert (cheap, dear) == pytest.approx((1.0, 9.0))
    mean = np.exp(np.log([second, first, third]).mean()) if logarithmic else (first + second + third) / 3
    assert mean == pytest.approx(4.02, rel=1e-3)
    gaps = np.diff(np.log([second, first, third])) if logarithmic else np.diff([second, first, third])
    assert gaps == pytest.approx([0.017 * (np.log(9) if logarithmic else 8)] * 2)


def test_where_all_are_alike_the_axis_shows_how_they_differ() -> None:
    assert side_by_side([4.0, 4.01, 4.05], False) == [4.0, 4.01, 4.05]
