"""Shows on a page in the browser what a network makes of a picture: classes, each block's activations and cost.

demo --weights=timm/mobilenetv2_100.ra_in1k prints the page's address once the network is compiled; Ctrl-C ends it. The
page is for this machine alone, and its pictures are kept nowhere. --weights is a file, a TensorFlow checkpoint's
prefix, the folder of a run, or OWNER/NAME on the HuggingFace hub; images are made ready as they were in training.
--port=N is another than 8017, 0 any that is free; --replica says which of a run's replicas, from 0 on.
"""

import sys
from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.commands.flagged_weights import load_classifier
from mobilenet_v2.serving.demo.answers import Shown
from mobilenet_v2.serving.demo.server import Server, serve

_PORT = 8017


def main(argv: Sequence[str]) -> None:
    """`demo --weights=WEIGHTS [--port=8017] [--image_size=N] [--replica=N] …`."""
    flags = command_line.parse(
        argv,
        __doc__ or "",
        required=["weights"],
        optional=["port", "image_size", "replica", "revision"],
        switches=["offline"],
    )
    port = command_line.integer("port", flags.port, 65535, least=0)
    with Server(_PORT if port is None else port) as server:  # first: weights may take long
        server.shown = Shown.of(*load_classifier(flags, _to_stderr), flags.weights)
        serve(server)
    print("ended")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
