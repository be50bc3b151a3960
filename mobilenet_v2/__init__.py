"""MobileNetV2 in JAX and Flax Linen.

In a notebook:

    import mobilenet_v2 as mnv2

    model, variables = mnv2.load_pretrained("timm/mobilenetv2_100.ra_in1k")
    mnv2.predict(model, variables, "cat.jpg")     # the likeliest classes, with their names
    mnv2.features(model, variables, ["cat.jpg"])  # float32 [1, 1280]
    mnv2.summarize(model)                         # a table of what each block costs

Names are imported when they are first used: a command must choose its malloc before JAX is (`process.py`).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilenet_v2.serving.photographs import prepare
    from mobilenet_v2.serving.prediction import Prediction, features, predict
    from mobilenet_v2.serving.pretrained import create_model, init, load_pretrained, with_preprocessing
    from mobilenet_v2.serving.summary import Summary, summarize

__version__ = "0.1.0"

__all__ = [
    "Prediction",
    "Summary",
    "create_model",
    "features",
    "init",
    "load_pretrained",
    "predict",
    "prepare",
    "summarize",
    "with_preprocessing",
]

_HOMES = {
    "prepare": "photographs",
    **dict.fromkeys(("Prediction", "features", "predict"), "prediction"),
    **dict.fromkeys(("create_model", "init", "load_pretrained", "with_preprocessing"), "pretrained"),
    **dict.fromkeys(("Summary", "summarize"), "summary"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"mobilenet_v2.serving.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
