"""Answers over HTTP what was seen last: to Prometheus, to probes, and to people's browsers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socket import AF_INET6, socket
from socketserver import TCPServer
from typing import Any

from drkeeper import clock
from drkeeper.errors import DrkeeperError
from drkeeper.log import get_logger
from drkeeper.report.status_page import NOTHING_YET, answered, content_security

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HTTP_THREADS = 4
CONNECTIONS_MAX = 32  # at work or waiting; more are closed at once
CLIENT_SECONDS = 10.0  # how long a client may keep silent
LATE_SECONDS = 60.0
NO_CONTENT = "default-src 'none'"
HARDENING = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store"))


@dataclass(frozen=True)
class Looked:
    """What one look at the vault says, in both forms."""

    metrics: str
    page: str


class Page:
    """What those who ask are answered with, and whether it is kept fresh.

    Args:
        look: Looks anew.
        every_seconds: How often.
    """

    def __init__(self, look: Callable[[], Looked], every_seconds: float) -> None:
        self._look = look
        self._every_seconds = every_seconds
        self._text: bytes | None = None
        self._status = NOTHING_YET.encode()
        self._ready = threading.Event()
        self._alive_at = clock.monotonic_seconds()

    def keep_fresh(self, stop: threading.Event) -> None:
        """Look again and again, until told to stop."""
        while not stop.is_set():
            try:
                looked = self._look()
                self._text, self._status = looked.metrics.encode(), looked.page.encode()
            except DrkeeperError as error:
                get_logger().error("metrics not read", error=str(error), hint=error.hint)
            except Exception:  # noqa: BLE001 - one look that went wrong must not end all later ones
                get_logger().exception("metrics not read")
            self._alive_at = clock.monotonic_seconds()
            self._ready.set()
            stop.wait(self._every_seconds)

    def text(self) -> bytes | None:
        """The newest; None where there is none yet. The very first scrape waits a little."""
        self._ready.wait(CLIENT_SECONDS / 2)
        return self._text

    def status(self) -> bytes:
        """The newest page for people; at first one that says that nothing is known yet. Waits for nothing."""
        return self._status

    def fresh(self) -> bool:
        """Whether looks come to an end, well or not. A vault that is away is no reason to restart the exporter."""
        return clock.monotonic_seconds() - self._alive_at < 2 * self._every_seconds + LATE_SECONDS


class Server(TCPServer):
    """Answers on a few threads; when too many wait, further ones are closed.

    Not http.server's own: that one asks DNS for its name before it listens.
    """

    allow_reuse_address = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, listen: tuple[str, int], page: Page) -> None:
        if ":" in listen[0]:
            self.address_family = AF_INET6
        self.page = page
        self._pool = ThreadPoolExecutor(HTTP_THREADS, thread_name_prefix="metrics-answer")
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(listen, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a thread."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._pool.submit(self._answer, request, client_address)

    def _answer(self, request: socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client went away
        finally:
            self.shutdown_request(request)
            self._room.release()

    def server_close(self) -> None:
        """Close the socket, and let answers end."""
        super().server_close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the page, the gauges, and a sign of life."""

    timeout = CLIENT_SECONDS
    server_version = "drkeeper"
    sys_version = ""
    server: Server

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            text = self.server.page.text()
            self._answer(*((200, text) if text is not None else (503, b"nothing was read yet\n")), CONTENT_TYPE)
        elif path == "/healthz":
            fresh = self.server.page.fresh()
            self._answer(*((200, b"ok\n") if fresh else (503, b"the vault has not been looked at for too long\n")))
        elif path == "/":
            page = answered(self.server.page.status(), clock.now().timestamp())
            self._answer(200, page, "text/html; charset=utf-8", content_security())
        else:
            self._answer(404, b"there are /, /metrics and /healthz\n")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing: a scrape is no event."""

    def _answer(
        self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8", security: str = NO_CONTENT
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in (("Content-Security-Policy", security), *HARDENING):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
