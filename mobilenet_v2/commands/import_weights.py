"""Reads weights of torchvision, timm, Keras, TF-slim or HuggingFace, or our own, and writes them as a file of ours.

--weights is a file, a TensorFlow checkpoint's prefix, the folder of a run, or OWNER/NAME on the HuggingFace hub;
--output is written with a .json beside it that states the network and what images must be like. --names=timm,
torchvision or keras writes for those libraries instead. --num_classes draws a new classifier where the file has another
number of classes; --replica says which of a run's replicas, from 0 on; --image_size which size the weights were made
for, if not their source's usual one. --offline asks the hub for nothing.
"""

import json
from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.commands.flagged_weights import import_flagged
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.class_names import class_names_of
from mobilenet_v2.weights.load import with_classes
from mobilenet_v2.weights.preprocessing import at_size
from mobilenet_v2.weights.save import check_output, save_weights

_OPTIONAL = ("names", "num_classes", "image_size", "replica", "revision")


def main(argv: Sequence[str]) -> None:
    """`import_weights --weights=FILE --output=FILE [--names=NAMES] [--num_classes=N] …`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["weights", "output"], optional=_OPTIONAL, switches=["offline", "json"]
    )
    lines: list[str] = []
    num_classes = command_line.integer("num_classes", flags.num_classes, 1_000_000)
    image_size = command_line.integer("image_size", flags.image_size, command_line.MOST_PIXELS)
    names = flags.names or "ours"
    check_output(flags.output, names)
    imported = import_flagged(flags, lines.append)
    found = with_classes(flags.weights, imported, num_classes, report=lines.append)
    written = save_weights(
        flags.output,
        found.model,
        found.variables,
        names=names,
        source=flags.weights,
        preprocessing=_resized(found.preprocessing, image_size),
        class_names=class_names_of(imported) if found.model.num_classes == imported.model.num_classes else (),
        report=lines.append,
    )
    files = [str(path) for path in written]
    if flags.json:
        print(json.dumps({"report": lines, "files": files, "num_classes": found.model.num_classes}))
    else:
        print("\n".join([*lines, f"wrote {' and '.join(files)}"]))


def _resized(preprocessing: Preprocessing | None, image_size: int | None) -> Preprocessing | None:
    return preprocessing if preprocessing is None or image_size is None else at_size(preprocessing, image_size)
