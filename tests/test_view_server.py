"""The server of a page, attacked: who lacks its address, or comes from elsewhere, gets nothing, and nothing hangs."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import msfit
from msfit.errors import InputError
from msfit.view.server import PageServer

SECRET = "<p>a face</p>"
BIG = SECRET + 3_000_000 * "x"


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(BIG) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join(5)
        assert not thread.is_alive()


def ask(
    server: PageServer, path: str | None = None, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest(method, server.path if path is None else path, skip_host=True)
    for name, value in ({"Host": server.hosts[0]} | {k.replace("_", "-"): v for k, v in headers.items()}).items():
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    with connection.getresponse() as response:
        return response.status, response.read(), dict(response.getheaders())


def raw(server: PageServer, request: bytes) -> bytes:
    with socket.create_connection(server.server_address, timeout=15) as connection:
        connection.sendall(request)
        parts = []
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


def test_the_page_comes_to_who_knows_where(server: PageServer) -> None:
    status, body, headers = ask(server)
    assert status == 200
    assert body.decode() == BIG
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert ask(server, Host=server.hosts[1])[0] == 200
    assert ask(server, Origin=f"http://{server.hosts[0]}")[0] == 200
    assert ask(server, method="HEAD")[:2] == (200, b"")
    assert server.server_address[0] == "127.0.0.1"


def test_two_addresses_differ() -> None:
    with PageServer("") as one, PageServer("") as other:
        assert one.path != other.path
        assert len(one.path) >= 43


@pytest.mark.parametrize(
    "path", ["/", "//", "/../", "/index.html", "/etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "*", "/x" * 9000]
)
def test_no_other_path(server: PageServer, path: str) -> None:
    status, body, _ = ask(server, path)
    assert status == 404
    assert body == b""


def test_what_is_near_the_address_is_not_it(server: PageServer) -> None:
    right = server.path
    wrong = [
        right[:-1],
        right + "..",
        right + "../" + right[1:],
        right.swapcase(),
        right + "?y=-1&x=99999999999",
        "/." + right,
    ]
    for path in [*wrong, f"http://{server.hosts[0]}{right}"]:
        status, body, _ = ask(server, path)
        assert (status, body) == (404, b""), path


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example"]
)
def test_another_host(server: PageServer, host: str) -> None:
    status, body, _ = ask(server, Host=host)
    assert (status, body) == (421, b"")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", "file://"]
)
def test_another_origin(server: PageServer, origin: str) -> None:
    status, body, headers = ask(server, Origin=origin)
    assert (status, body) == (403, b"")
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(server, Sec_Fetch_Site="cross-site")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_other_methods(server: PageServer, method: str) -> None:
    status, body, _ = ask(server, method=method)
    assert (status, body) == (501, b"")


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 9 + b"\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 70_000 + b"\r\n",
    ],
)
def test_what_is_no_request(server: PageServer, request_: bytes) -> None:
    answer = raw(server, request_)
    assert b"a face" not in answer
    assert ask(server)[0] == 200


def test_two_hosts_in_one_request(server: PageServer) -> None:
    host = server.hosts[0].encode()
    answer = raw(server, b"GET %b HTTP/1.1\r\nHost: %b\r\nHost: evil.example\r\n\r\n" % (server.path.encode(), host))
    assert b"421" in answer.splitlines()[0]
    assert b"a face" not in answer


def test_a_thousand_connections_that_say_nothing(server: PageServer) -> None:
    """Some are let in and time out, the others are closed; once they are gone all is as before."""
    held: list[socket.socket] = []
    threads = threading.active_count()
    try:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(server.server_address, timeout=2))
        assert threading.active_count() <= threads + 33
    finally:
        for connection in held:
            connection.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(server)[0] == 200:
                return
        time.sleep(0.1)
    pytest.fail("the server does not answer any more")


def test_a_browser_that_is_killed_in_the_middle(server: PageServer) -> None:
    request = f"GET {server.path} HTTP/1.1\r\nHost: {server.hosts[0]}\r\n\r\n".encode()
    for _ in range(40):  # more than are answered at once
        with socket.create_connection(server.server_address, timeout=5) as connection:
            connection.sendall(request)
            connection.recv(100)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a farewell
        time.sleep(0.01)
    assert ask(server)[0] == 200


def test_ports_that_cannot_be(server: PageServer) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        PageServer("", server.server_address[1])
    for port in (-1, 65536):
        with pytest.raises(InputError, match="expected 0 to 65535"):
            PageServer("", port)


@pytest.mark.skipif(os.name == "nt", reason="signals are sent in another way there")
def test_ctrl_c_ends_the_command_at_once(tmp_path: Path) -> None:
    nm = np.arange(400.0, 701.0, 10.0)
    msfit.fit(0.8 * msfit.reflectance(np.full((3, 4), 0.1), 0.03, nm) + 0.04, nm).save(tmp_path / "maps.h5")
    command = [sys.executable, "-c", "import sys; from msfit.cli import main; sys.exit(main())", "view", "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, str(tmp_path / "maps.h5")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        address = url.removeprefix("http://").split("/")
        host, port = address[0].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", f"/{address[1]}/")
        assert b"msfit" in connection.getresponse().read()
        with socket.create_connection((host, int(port)), timeout=5):  # one that says nothing does not delay it
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 130
        assert process.stderr.read() == "msfit: interrupted\n"


def test_ctrl_c_just_as_a_connection_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that has begun leaves its place once, whatever became of the loop that began it."""
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: failed.append(arguments.exc_value))
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        begun.append(thread)
        raise KeyboardInterrupt

    with PageServer(SECRET) as server, socket.create_connection(server.server_address, timeout=5):
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            server.handle_request()
    for thread in begun:
        thread.join(5)
    assert len(begun) == 1
    assert not failed
