"""Reads weights of torchvision, timm, Keras, TF-slim or HuggingFace, or our own, and writes them as a file of ours.

--weights is a file, a TensorFlow checkpoint's prefix, or OWNER/NAME on the HuggingFace hub; --output is written with a
.json beside it that states the network. --names=timm, torchvision or keras writes for those libraries instead.
--num_classes draws a new classifier where the file has another number of classes. --offline asks the hub for nothing.
"""

import json
from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.weights.load import import_file, with_classes
from mobilenet_v2.weights.save import check_output, save_weights

_OPTIONAL = ("names", "num_classes", "revision")


def main(argv: Sequence[str]) -> None:
    """`import_weights --weights=FILE --output=FILE [--names=NAMES] [--num_classes=N] …`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["weights", "output"], optional=_OPTIONAL, switches=["offline", "json"]
    )
    lines: list[str] = []
    num_classes = _classes(flags.num_classes)
    names = flags.names or "ours"
    check_output(flags.output, names)
    imported = import_file(flags.weights, revision=flags.revision, offline=flags.offline, report=lines.append)
    found = with_classes(flags.weights, imported, num_classes, report=lines.append)
    written = save_weights(
        flags.output,
        found.model,
        found.variables,
        names=names,
        source=flags.weights,
        preprocessing=found.preprocessing,
        report=lines.append,
    )
    files = [str(path) for path in written]
    if flags.json:
        print(json.dumps({"report": lines, "files": files, "num_classes": found.model.num_classes}))
    else:
        print("\n".join([*lines, f"wrote {' and '.join(files)}"]))


def _classes(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ConfigError(f"--num_classes is {text!r}, must be an integer in 1 … 1000000")
    return int(text)
