"""Where points of alike cost are drawn: side by side, since they would hide each other at their places."""

from collections.abc import Sequence

import numpy as np

ALIKE = 0.02  # costs that differ by no more than this share
_STEP = 0.017  # of the axis, between two of them


def side_by_side(costs: Sequence[float], logarithmic: bool) -> list[float]:
    """Places on the axis, in the costs' unit and order; what costs like no other is where it is.

    All are left where they are if they are all alike: the axis then shows how they differ.
    """
    if max(costs) <= (1 + ALIKE) * min(costs):
        return list(costs)
    places = np.log(costs) if logarithmic else np.asarray(costs, float)
    step = _STEP * (places.max() - places.min())
    for alike in _alike(costs):
        if len(alike) > 1:
            places[alike] = places[alike].mean() + step * (np.arange(len(alike)) - (len(alike) - 1) / 2)
    return (np.exp(places) if logarithmic else places).tolist()


def _alike(costs: Sequence[float]) -> list[list[int]]:
    """Indices by cost, in groups whose dearest costs at most 2 % more than their cheapest."""
    found: list[list[int]] = []
    for index in np.argsort(costs, kind="stable").tolist():
        if found and costs[index] <= (1 + ALIKE) * costs[found[-1][0]]:
            found[-1].append(index)
        else:
            found.append([index])
    return found
