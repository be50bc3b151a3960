import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from tests.run_processes import REPOSITORY
from tests.serving import demonstrated


def start(*flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mobilenet_v2", "demo", *flags],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_where_the_page_is_and_ctrl_c_ends_it(tmp_path: pathlib.Path) -> None:
    process = start(f"--weights={demonstrated.weights(tmp_path)}", "--port=0")
    assert process.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/ and Ctrl-C ends it", process.stdout.readline())
        assert found, process.communicate()
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().read().startswith(b"<!doctype html>")
        connection.close()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "ended\n")
    assert errors.startswith("w.safetensors: ")  # what the weights are, and no traceback
    assert "Traceback" not in errors


def demo(*flags: str) -> int:
    return command_line.execute(commands.dispatch, ["mobilenet-v2", "demo", *flags])


def test_a_port_that_is_taken_is_one_line_before_weights_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert demo("--weights=none.h5", f"--port={port}") == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert f"--port is {port}, can't be listened to on 127.0.0.1: Address already in use" in errors


@pytest.mark.parametrize(
    "flags, says",
    [
        ([], "--weights is missing"),
        (["--weights=none.h5", "--port=0"], "weights 'none.h5'"),
        (["--weights=none.h5", "--port=65536"], "--port is '65536', must be an integer in 0 … 65535"),
        (["--weights=none.h5", "--port=0", "--image_size=x"], "--image_size is 'x', must be an integer"),
        (["--weights=none.h5", "--host=0.0.0.0"], "unknown flag --host"),
        (["--weights=none.h5", "picture.png"], "unexpected argument 'picture.png'"),
    ],
)
def test_what_is_wrong_is_one_line(flags: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(*flags) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert says in errors
