"""A process that ends shows to the others of its run at once, and each of them says so in one line, and ends too.

JAX's own service needs several heartbeats to find it out, and says it by a stack of C++; a collective on GPUs waits for
that. So each process holds a connection to process 0. The system closes it when either ends, however it does.
"""

import contextlib
import os
import secrets
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from mobilenet_v2.training.watchdog import EXIT_STATUS

# A message is a number: of the process that has ended, or one of these.
_ALIVE, _GOODBYE = -1, -2
_MESSAGE = struct.Struct("!i")
_HELLO = struct.Struct("!16si")  # what only this run's processes know, and which of them it is
_CONNECT_SECONDS = 10.0
# What process 0 leaves the others to say what happened, before JAX ends them for want of process 0.
_LAST_WORDS_SECONDS = 1.0

Leave = Callable[[bool], None]


def watch(index: int, count: int, host: str | None, exchange: Callable[[Any], Any], heartbeat_seconds: int) -> Leave:
    """Ends this process, with the watchdog's status, where another of the run has ended before it left.

    One that reaches process 0 not, or whose machine vanishes, is left to JAX's heartbeats.

    Args:
      index: which process this is, of `count`.
      host: of process 0; None: nobody knows it.
      exchange: gives all processes what process 0 calls it with; each calls it once.

    Returns:
      Leave, to be called once: with True where this process ends in order, which it tells the others; with False where
      it has an end of its own to tell, which they see when it comes.
    """
    listener = _listen() if index == 0 else None
    port, token = exchange((listener.getsockname()[1], secrets.token_bytes(16)) if listener else None)
    links: dict[socket.socket, int] = {}
    if listener is None:
        try:
            if host is None:
                raise OSError("nobody knows where process 0 is")
            link = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
            link.sendall(_HELLO.pack(token, index))
        except OSError:
            return lambda in_order: None
        links[_patient(link, heartbeat_seconds)] = 0
    told, tell = socket.socketpair()
    arguments = (index, count, links, listener, token, told, heartbeat_seconds)
    thread = threading.Thread(target=_watch, args=arguments, name="peers", daemon=True)
    thread.start()

    def leave(in_order: bool) -> None:
        tell.sendall(b"1" if in_order else b"0")
        thread.join()
        if in_order:  # else the system closes them, with the process
            for link in links:
                link.close()

    return leave


def _watch(
    index: int,
    count: int,
    links: dict[socket.socket, int],
    listener: socket.socket | None,
    token: bytes,
    told: socket.socket,
    heartbeat_seconds: int,
) -> None:
    """Until `told`. So that nobody on the way takes a link for idle, each carries something now and then."""
    with selectors.DefaultSelector() as ready:
        for one in filter(None, (told, listener, *links)):
            ready.register(one, selectors.EVENT_READ)
        while True:
            found = [key.fileobj for key, _ in ready.select(heartbeat_seconds / 4)]
            if told in found:
                if told.recv(1) == b"1":
                    _send(links, _GOODBYE)
                return
            if not found:
                _send(links, _ALIVE)
            if listener in found and (accepted := _accept(listener, token, heartbeat_seconds)):
                links[accepted[0]] = accepted[1]
                ready.register(accepted[0], selectors.EVENT_READ)
            for link in [one for one in found if one in links]:
                message = _receive(link, links[link])
                if message >= 0:
                    _end(index, count, message, links)
                if message == _GOODBYE:
                    ready.unregister(link)
                    del links[link]


def _end(index: int, count: int, ended: int, links: dict[socket.socket, int]) -> NoReturn:
    text = f"error: process {index} of {count}: process {ended} has ended before the run, its last lines say why; "
    rest = f"this one ends with status {EXIT_STATUS}. Start all of them again: they go on from the newest checkpoint"
    os.write(2, f"\n{text}{rest}\n".encode())  # before JAX says it, and ends this process
    sys.stdout.flush()
    if index == 0:
        _send(links, ended)
        time.sleep(_LAST_WORDS_SECONDS)
    os._exit(EXIT_STATUS)


def _listen() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    return socket.create_server(("", 0), backlog=1024)


def _accept(listener: socket.socket, token: bytes, heartbeat_seconds: int) -> tuple[socket.socket, int] | None:
    """A process of this run, and which; None if it is somebody else."""
    link, _ = listener.accept()
    with contextlib.suppress(OSError):
        link.settimeout(_CONNECT_SECONDS)
        hello = link.recv(_HELLO.size, socket.MSG_WAITALL)
        if len(hello) == _HELLO.size and secrets.compare_digest(_HELLO.unpack(hello)[0], token):
            return _patient(link, heartbeat_seconds), _HELLO.unpack(hello)[1]
    link.close()
    return None


def _patient(link: socket.socket, heartbeat_seconds: int) -> socket.socket:
    """Waits for the other side as long as it lives; its machine may be silent for half of the heartbeats' time."""
    link.settimeout(None)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500 * heartbeat_seconds)
    return link


def _receive(link: socket.socket, other: int) -> int:
    """What the other says, or its own number if it is gone."""
    try:
        said = link.recv(_MESSAGE.size, socket.MSG_WAITALL)
    except OSError:
        said = b""
    return _MESSAGE.unpack(said)[0] if len(said) == _MESSAGE.size else other


def _send(links: dict[socket.socket, int], message: int) -> None:
    for link in links:
        with contextlib.suppress(OSError):  # that it is gone shows when it is read
            link.send(_MESSAGE.pack(message), socket.MSG_DONTWAIT)
