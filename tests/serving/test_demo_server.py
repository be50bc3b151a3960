"""The page's server, by HTTP."""

import base64
import io
import pathlib
import queue
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mobilenet_v2 as mnv2
from mobilenet_v2.serving.demo import server as demo_server
from mobilenet_v2.serving.demo.server import HOST, MOST_BYTES, Server
from tests.serving import demonstrated
from tests.serving.demonstrated import ask, look
from tests.weights import small

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(name: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, name, **options)
    return stream.getvalue()


def bomb(side: int = 100_000) -> bytes:
    """A PNG of a few bytes whose header, with its right checksum, promises side² pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + encoded()[33:]


def animation() -> bytes:
    frames = [Image.fromarray(np.roll(PIXELS, 8 * step, axis=1)) for step in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return demonstrated.weights(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def server(weights: pathlib.Path) -> Iterator[Server]:
    with demonstrated.served(weights) as server:
        yield server


def test_the_page_needs_nothing_from_elsewhere(server: Server) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        status, headers, body = ask(server, "GET", path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert b"://" not in body  # no address of another host
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_network_is_described_with_the_cost_of_every_block(server: Server, weights: pathlib.Path) -> None:
    status, _, said = ask(server, "GET", "/network")
    assert status == 200
    model, _ = mnv2.load_pretrained(weights, report=small.quiet)
    cost = mnv2.summarize(model).cost
    assert [block["multiply_adds"] for block in said["blocks"]] == [block.multiply_adds for block in cost.blocks]
    assert (said["parameters"], said["classes"], said["most_bytes"]) == (cost.parameters, 5, MOST_BYTES)


def test_a_picture_gets_its_likeliest_classes_and_maps_of_every_block(server: Server, weights: pathlib.Path) -> None:
    status, said = look(server, encoded())
    assert status == 200
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    expected = mnv2.predict(model, variables, encoded())[0]
    assert [one["label"] for one in said["classes"]] == [one.label for one in expected]
    found = [one["probability"] for one in said["classes"]]
    assert found == pytest.approx([one.probability for one in expected], rel=1e-3)
    assert [one["name"] for one in said["classes"]] == [demonstrated.CLASSES[one.label] for one in expected]
    assert list(said["maps"]) == ["stem", "block_00", "block_01", "block_02", "head"]
    pixels = mnv2.prepare(encoded(), model.provenance.preprocessing)
    np.testing.assert_array_equal(decoded(said["seen"]), pixels)


def decoded(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize(
    "picture, says",
    [
        (bomb(), "of 10000000000 pixels, must be at most 89478485"),
        (b"", "the file is empty"),
        (b"%PDF-1.7\n" + bytes(2000), r"begins with b'%PDF-1.7'"),
        (encoded("JPEG")[:900], "it is damaged, or ends early"),
        (encoded("PNG")[:900], "it is damaged, or ends early"),
        (np.random.default_rng(1).bytes(5000), "can't decode an image of 5000 bytes"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "can't decode an image"),
        (b"\xff\xd8\xff", "can't decode an image of 3 bytes"),
    ],
    ids=["bomb", "empty", "PDF", "cut JPEG", "cut PNG", "noise", "SVG", "three bytes"],
)
def test_what_is_no_picture_is_refused_with_the_reason(picture: bytes, says: str, server: Server) -> None:
    status, said = look(server, picture)
    assert (status, list(said)) == (422, ["error"])
    assert says in said["error"]


@pytest.mark.parametrize(
    "picture, remark",
    [
        (animation(), "animation"),
        (encoded("JPEG", "CMYK"), "CMYK"),
        (encoded("PNG", "RGBA"), "transparent"),
        (encoded("JPEG", "L"), None),
        (encoded("WEBP"), None),
        (encoded("TIFF"), None),
    ],
    ids=["animation", "CMYK", "alpha", "grey", "WebP", "TIFF"],
)
def test_a_picture_of_another_kind_is_looked_at_and_remarked_upon(
    picture: bytes, remark: str | None, server: Server
) -> None:
    status, said = look(server, picture)
    assert status == 200
    assert len(said["remarks"]) == (remark is not None)
    assert remark is None or remark in said["remarks"][0]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(server: Server) -> None:
    for length in (str(MOST_BYTES + 1), "9" * 5000):
        status, _, said = ask(server, "POST", "/look", b"", Content_Length=length)
        assert status == 413
        assert "must have at most 20,000,000" in said["error"]


def test_a_file_that_is_too_large_and_sent_all_the_same_gets_its_answer(server: Server) -> None:
    status, said = look(server, bytes(MOST_BYTES + 1_000_000))
    assert status == 413
    assert "has 21,000,000 bytes, must have at most 20,000,000" in said["error"]


@pytest.mark.parametrize("length", [None, "-1", "1e3", "²"])
def test_a_file_of_no_length_is_refused(length: str | None, server: Server) -> None:
    with socket.create_connection((HOST, server.port), timeout=60) as connection:
        stated = "" if length is None else f"Content-Length: {length}\r\n"
        connection.sendall(f"POST /look HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{stated}\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.0 411 ")


def test_a_file_that_stops_on_its_way_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_server._Handler, "timeout", 0.2)
    for end, status in ((True, b"400"), (False, b"408")):
        with socket.create_connection((HOST, server.port), timeout=60) as connection:
            head = f"POST /look HTTP/1.1\r\nHost: {HOST}:{server.port}\r\nContent-Length: 100\r\n\r\nhalf"
            connection.sendall(head.encode())
            if end:
                connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000).startswith(b"HTTP/1.0 " + status)


@pytest.mark.parametrize(
    "path", ["/../answers.py", "/page.css/../../answers.py", "/%2e%2e/answers.py", "//etc/passwd", "/none"]
)
def test_nothing_but_the_page_is_served(path: str, server: Server) -> None:
    status, _, said = ask(server, "GET", path)
    assert status == 404
    assert "there is nothing at" in said["error"]
    assert ask(server, "POST", path, b"x")[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil:{port}"]
)
def test_another_host_s_name_is_refused(host: str, server: Server) -> None:
    named = host.format(port=server.port)
    for method, path in (("GET", "/"), ("GET", "/network"), ("POST", "/look")):
        status, _, said = ask(server, method, path, encoded() if method == "POST" else None, Host=named)
        assert (status, list(said)) == (403, ["error"])
        assert repr(named) in said["error"]


def test_pages_of_other_sites_get_no_answer(server: Server) -> None:
    for origin in ("http://evil.example", "null", f"http://{HOST}:1", f"https://{HOST}:{server.port}"):
        assert ask(server, "POST", "/look", encoded(), Origin=origin)[0] == 403
    assert ask(server, "POST", "/look", encoded(), Origin=f"http://{HOST}:{server.port}")[0] == 200
    local = f"localhost:{server.port}"
    assert ask(server, "POST", "/look", encoded(), Host=local, Origin=f"http://{local}")[0] == 200


def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_other_methods_are_not_known(server: Server) -> None:
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert ask(server, method, "/look")[0] == 501


def test_a_bug_is_told_here_and_its_traceback_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said_there: queue.Queue[str] = queue.Queue()

    def buggy(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(demo_server, "answer", buggy)
    monkeypatch.setattr("sys.stderr.write", said_there.put)
    status, said = look(server, encoded())
    assert (status, said) == (500, {"error": "the demo failed; its terminal says why"})
    while "ZeroDivisionError" not in said_there.get(timeout=60):
        pass
