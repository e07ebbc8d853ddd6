"""Shows a page in a browser of this machine: a server on the loopback interface that knows one path alone.

Other programs of this machine, and pages of other sites in the same browser, can reach the loopback interface too. What
they lack is the path, which holds 256 random bits; names of hosts that lead here from elsewhere (DNS rebinding) and
requests that scripts of other sites make are refused by their headers.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
import urllib.parse
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msfit.errors import InputError

_AT_ONCE = 32  # connections that are answered; others are closed
_PATIENCE = 10.0  # seconds that a connection may take between two bytes
_HOST = "127.0.0.1"
_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page itself states the rest
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Answer:
    """What a server says: a status, and bytes of a type."""

    content: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class PageServer(ThreadingHTTPServer):
    """Serves one page at one address, until it is shut down. Servers of more override `get` and `post`.

    Parameters
    ----------
    page : str
        HTML.
    port : int
        0 takes a free one.

    Attributes
    ----------
    url : str
        Where the page is; whoever knows it can see it, from this machine.

    Raises
    ------
    InputError
        The port is taken, or no port.

    Examples
    --------
    >>> import threading, urllib.request
    >>> with PageServer("<p>hello</p>") as server:
    ...     threading.Thread(target=server.serve_forever, daemon=True).start()
    ...     print(urllib.request.urlopen(server.url).read().decode())
    ...     server.shutdown()
    <p>hello</p>
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # on Windows the option lets another program take the port over
    allow_reuse_address = False
    # bytes that may be sent here
    largest = 0

    def __init__(self, page: str, port: int = 0) -> None:
        self.content = page.encode("utf-8")
        self.path = f"/{secrets.token_urlsafe(32)}/"
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        if not 0 <= port < 2**16:
            raise InputError(f"port: found {port}; expected 0 to 65535")
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            raise InputError(f"port: {port} cannot be used ({error.strerror}); choose another, or 0") from None

    def get(self, below: str) -> Answer | None:
        """What lies at the address and `below` it, "" for the page itself; None where nothing does."""
        return Answer(self.content) if not below else None

    def post(self, below: str, body: bytes, name: str) -> Answer | None:
        """What is said to `body`, a file called `name`; None where nothing takes it."""
        return None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{_HOST}:{self.server_address[1]}{self.path}"

    @property
    def hosts(self) -> tuple[str, str]:
        """What the header Host may say."""
        port = self.server_address[1]
        return f"{_HOST}:{port}", f"localhost:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, where one is free; else close the connection."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started; one that runs leaves its place itself, Ctrl-C or not
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and leave the place to others."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers go away in the middle of an answer: nothing is to be done, and nothing to be said."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _PATIENCE
    server_version, sys_version = "msfit", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        refusal = self._refusal() if self.server.largest else HTTPStatus.NOT_IMPLEMENTED
        if refusal is None and not self.headers.get_all("Origin"):
            refusal = HTTPStatus.FORBIDDEN  # browsers name it with what scripts send
        stated = self.headers.get_all("Content-Length") or []
        if refusal is None and (len(stated) != 1 or not stated[0].isascii() or not stated[0].isdigit()):
            refusal = HTTPStatus.LENGTH_REQUIRED
        if refusal is None and (len(stated[0]) > 12 or int(stated[0]) > self.server.largest):
            refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if refusal is not None:
            self.send_error(refusal)
            return
        body = self.rfile.read(int(stated[0]))
        name = urllib.parse.unquote(self.headers.get("X-Name", ""), errors="replace")[:200]
        self._send(self.server.post(self._below(), body, name), body=True)

    def _answer(self, *, body: bool) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.send_error(refusal)
            return
        self._send(self.server.get(self._below()), body=body)

    def _below(self) -> str:
        return self.path[len(self.server.path) :]

    def _send(self, answer: Answer | None, *, body: bool) -> None:
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if body:
            self.wfile.write(answer.content)

    def _refusal(self) -> HTTPStatus | None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST
        origins = self.headers.get_all("Origin") or []
        if any(origin.lower() not in {f"http://{host}" for host in self.server.hosts} for origin in origins):
            return HTTPStatus.FORBIDDEN
        if self.headers.get("Sec-Fetch-Site", "none").lower() not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN
        expected = self.server.path.encode()
        given = self.path.encode("utf-8", "surrogateescape")[: len(expected)]
        # in constant time, or the time that a refusal takes would tell of the path
        return None if hmac.compare_digest(given, expected) else HTTPStatus.NOT_FOUND

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal that says nothing of what is here, and closes the connection."""
        self.close_connection = True
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: addresses of requests hold the token."""

    def finish(self) -> None:
        with contextlib.suppress(OSError, socket.timeout):
            super().finish()
