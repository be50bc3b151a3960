"""Serves the page to this machine alone, by Python's own `http.server`: two pages of code instead of a web framework.

Four fixed addresses are read and one takes a picture; no name of a file comes from a request. It listens on 127.0.0.1.
A page of another site that is open in the same browser can't use it: the Host header must be this server's, so that a
foreign name that is made to point here is refused (DNS rebinding), and so must Origin, where a browser states one.
A connection is one request long. Pictures are looked at one at a time.
"""

import contextlib
import http.server
import importlib.resources
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from mobilenet_v2.errors import ConfigError, DataError
from mobilenet_v2.serving.demo.answers import Shown, answer, network

HOST = "127.0.0.1"
MOST_BYTES = 20_000_000  # of a picture's file
_SECONDS = 30  # for all of an upload
_LINGER = 2  # seconds in which what was refused is still taken off the line, so that the answer is read
_CHUNK = 1 << 16

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is answered by a status and one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


class Server(socketserver.ThreadingTCPServer):
    """Listens from its birth on; answers once `show` was called and while `serve_forever` runs.

    Raises:
      ConfigError: if the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int):
        self.looking = threading.Lock()
        self.shown: Shown | None = None
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"--port is {port}, can't be listened to on {HOST}: {error.strerror}; 0 takes one that is free"
            ) from error

    @property
    def port(self) -> int:
        """What it listens to."""
        return self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error; anything else is a bug, whose traceback is printed."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any  # a Server
    server_version, sys_version = "mobilenet-v2", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._look)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of requests."""

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            self._check_addressee()
            kind, body = make()
            self._send(HTTPStatus.OK, kind, body)
        except Refused as refused:
            self._send(refused.status, *_json({"error": str(refused)}))
            self._linger()
        except ConnectionError:
            raise
        except Exception:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, *_json({"error": "the demo failed; its terminal says why"}))
            raise

    def _read(self) -> tuple[str, bytes]:
        if self.path == "/network":
            return _json({**network(self._shown()), "most_bytes": MOST_BYTES})
        if self.path not in _FILES:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path[:100]!r}")
        name, kind = _FILES[self.path]
        return kind, importlib.resources.files("mobilenet_v2.serving.demo").joinpath(name).read_bytes()

    def _look(self) -> tuple[str, bytes]:
        if self.path != "/look":
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path[:100]!r}")
        encoded = self._body()
        try:
            with self.server.looking:
                return _json(answer(self._shown(), encoded))
        except DataError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    def _shown(self) -> Shown:
        assert self.server.shown is not None
        return self.server.shown

    def _check_addressee(self) -> None:
        hosts = {f"{name}:{self.server.port}" for name in (HOST, "localhost")}
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if host not in hosts:
            raise Refused(HTTPStatus.FORBIDDEN, f"the Host is {host!r}, must be {HOST}:{self.server.port}")
        if origin not in (None, f"http://{host}"):
            raise Refused(HTTPStatus.FORBIDDEN, f"the Origin is {origin!r}, must be http://{host}")

    def _body(self) -> bytes:
        """The picture's bytes.

        Raises:
          Refused: if there are none, too many, fewer than announced, or they take too long.
        """
        length = self.headers.get("Content-Length")
        if length is None or not (length.isascii() and length.isdecimal()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the picture's Content-Length must be stated")
        if len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the file has {_grouped(length)} bytes, must have at most {MOST_BYTES:,}",
            )
        if int(length) == 0:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "the file is empty: it has 0 bytes")
        body, deadline = bytearray(), time.monotonic() + _SECONDS
        while len(body) < int(length):
            received = self._receive(min(_CHUNK, int(length) - len(body)), deadline)
            if not received:
                raise Refused(HTTPStatus.BAD_REQUEST, f"only {len(body)} of {length} bytes have arrived")
            body += received
        return bytes(body)

    def _receive(self, most: int, deadline: float) -> bytes:
        try:
            if time.monotonic() > deadline:
                raise TimeoutError
            return self.rfile.read1(most)
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"the file took longer than {_SECONDS} s to arrive") from None

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _linger(self) -> None:
        """Reads on for a moment: to close upon bytes that nobody has read would take the answer back."""
        deadline = time.monotonic() + _LINGER
        self.connection.settimeout(_LINGER)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self.rfile.read1(_CHUNK):
                pass


def _grouped(digits: str) -> str:
    """As the other numbers are written; of what is no size of any file the first digits."""
    return f"{int(digits):,}" if len(digits) <= 20 else f"{digits[:20]}…"


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value, allow_nan=False).encode()


def serve(server: Server) -> None:
    """Says where, and answers until Ctrl-C; returns once the picture that is being looked at is done."""
    try:
        print(f"the page is at http://{HOST}:{server.port}/ and Ctrl-C ends it", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        with server.looking:
            return
