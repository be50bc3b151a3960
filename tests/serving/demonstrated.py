"""A page to test: a small network's, served by a thread of this process."""

import contextlib
import http.client
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import mobilenet_v2 as mnv2
from mobilenet_v2.models.mobilenet_v2 import Stage
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.demo.answers import Shown
from mobilenet_v2.serving.demo.server import HOST, Server
from mobilenet_v2.weights.save import save_weights
from tests.weights import small

CLASSES = ("ant", "bee", "<b>cat</b>", "dog", "eel")


def weights(folder: pathlib.Path) -> pathlib.Path:
    """A file with a small network for 32-pixel images."""
    model = small.network(num_classes=len(CLASSES), stages=(Stage(1, 16, 1, 1), Stage(6, 24, 2, 2)))
    preprocessing = Preprocessing("shorter_side", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 32, 36)
    path = folder / "w.safetensors"
    save_weights(path, model, mnv2.init(model, 32), source="x", preprocessing=preprocessing, report=small.quiet)
    return path


@contextlib.contextmanager
def served(path: pathlib.Path) -> Iterator[Server]:
    """Answers until the block ends."""
    model, variables = mnv2.load_pretrained(path, report=small.quiet)
    model = mnv2.with_preprocessing(model, model.provenance.preprocessing, CLASSES)
    with Server(0) as server:
        server.shown = Shown.of(model, variables, "a <small> network")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
    """(status, headers, body), the latter of JSON as values; names of headers have _ for -."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        content = response.read()
        as_json = response.getheader("Content-Type") == "application/json"
        return response.status, response.headers, json.loads(content) if as_json else content


def look(server: Server, encoded: bytes) -> tuple[int, Any]:
    """(status, what is said of a picture)."""
    status, _, said = ask(server, "POST", "/look", encoded)
    return status, said
