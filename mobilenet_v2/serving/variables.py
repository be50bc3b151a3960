"""Whether variables are a network's own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from mobilenet_v2.weights.architecture import shapes_of

_MUST = "must be {'params': …, 'batch_stats': …}, as load_pretrained and init return them"


def misfit(model: Any, variables: Any, channels: int) -> str | None:
    """What is wrong with `variables`, for images of so many channels: the first array that differs, or None."""
    if not isinstance(variables, Mapping):
        return f"variables are of type {type(variables).__name__}, {_MUST}"
    expected = shapes_of(model, channels)
    collections = dict.fromkeys(name.partition("/")[0] for name in expected)
    if missing := [name for name in collections if name not in variables]:
        return f"variables hold {', '.join(map(str, variables)) or 'nothing'} and no {missing[0]}, {_MUST}"
    found: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    for name, shape in expected.items():
        if name not in found:
            return f"variables are another network's: {name} is missing, must be {list(shape)}"
        if np.shape(found[name]) != shape:
            return f"variables are another network's: {name} is {list(np.shape(found[name]))}, must be {list(shape)}"
    return None
