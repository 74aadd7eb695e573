"""Gives the gauges to Prometheus: as text once, or over HTTP.

The vault is looked at in the background, each so many seconds, and scrapes are answered from what was seen last. So
neither many scrapes nor a dead region can hold anybody up, and a scrape costs the vault nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socket import AF_INET6, socket
from socketserver import TCPServer
from typing import Any

from drkeeper import clock
from drkeeper.errors import DrkeeperError, ToolMissing, UsageInvalid
from drkeeper.gauges import GAUGES, PREFIX, Sample
from drkeeper.log import get_logger
from drkeeper.metrics import Known, samples
from drkeeper.observation import Observer
from drkeeper.policy import Policy
from drkeeper.wiring import open_regions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_SECONDS = 10.0  # for one request to a region
HTTP_THREADS = 4
CONNECTIONS_MAX = 32  # at work or waiting; more are closed at once
CLIENT_SECONDS = 10.0  # how long a client may keep silent
LATE_SECONDS = 60.0


def observer(policy: Policy) -> Observer:
    """Of the policy's vault. Connects to nothing, and needs neither the systems nor the vault's identity."""
    return Observer(
        policy.name,
        {name: system.kind for name, system in policy.systems.items()},
        policy.objectives,
        open_regions(policy, patience_seconds=PATIENCE_SECONDS),
    )


def look(watch: Observer) -> str:
    """Look at the vault once; the gauges as text.

    Raises:
        ToolMissing: The library that writes them is not installed.
    """
    _library()
    started = clock.monotonic_seconds()
    now = clock.now()
    known = watch.observe(now)
    _tell_what_is_wrong(known)
    return exposition(samples(known, now, round(clock.monotonic_seconds() - started, 3)))


def exposition(found: Iterable[Sample]) -> str:
    """Samples in Prometheus' text format, in the order of `GAUGES`.

    Raises:
        ToolMissing: The library that writes them is not installed.
    """
    client, core = _library()
    by_name: dict[str, list[Sample]] = {name: [] for name in GAUGES}
    for sample in found:
        by_name[sample.name].append(sample)

    class Collector:
        def collect(self) -> Iterator[Any]:
            for name, own in by_name.items():
                if own:
                    yield _family(core, name, own)

    registry = client.CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    text: bytes = client.generate_latest(registry)
    return text.decode()


@contextmanager
def serving(watch: Observer, listen: tuple[str, int], every_seconds: float) -> Iterator[tuple[str, int]]:
    """Serve /metrics and /healthz for the length of the block; yields the address that was bound.

    Args:
        watch: Nobody else may use it meanwhile.
        listen: Host and port; port 0 takes a free one.
        every_seconds: How often the vault is looked at.

    Raises:
        UsageInvalid: The address cannot be bound.
        ToolMissing: The library that writes the text is not installed.
    """
    _library()
    page = Page(lambda: look(watch), every_seconds)
    try:
        server = _Server(listen, page)
    except OSError as error:
        raise UsageInvalid(f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}") from error
    stop = threading.Event()
    threads = [
        threading.Thread(target=page.keep_fresh, args=(stop,), name="metrics-look", daemon=True),
        threading.Thread(target=server.serve_forever, name="metrics-http", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


class Page:
    """The text that scrapes are answered with, and whether it is kept fresh.

    Args:
        look: Makes a new text.
        every_seconds: How often it is made.
    """

    def __init__(self, look: Callable[[], str], every_seconds: float) -> None:
        self._look = look
        self._every_seconds = every_seconds
        self._text: bytes | None = None
        self._ready = threading.Event()
        self._alive_at = clock.monotonic_seconds()

    def keep_fresh(self, stop: threading.Event) -> None:
        """Look again and again, until told to stop."""
        while not stop.is_set():
            try:
                self._text = self._look().encode()
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

    def fresh(self) -> bool:
        """Whether looks come to an end, well or not. A vault that is away is no reason to restart the exporter."""
        return clock.monotonic_seconds() - self._alive_at < 2 * self._every_seconds + LATE_SECONDS


class _Server(TCPServer):
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
        super().__init__(listen, _Handler)

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


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of three paths."""

    timeout = CLIENT_SECONDS
    server_version = "drkeeper"
    sys_version = ""
    server: _Server

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
            self._answer(200, b"drkeeper: /metrics /healthz\n")
        else:
            self._answer(404, b"there are /metrics and /healthz\n")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing: a scrape is no event."""

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _tell_what_is_wrong(known: Known) -> None:
    for region in known.regions:
        if not region.up:
            get_logger().warning("region is not up", region=region.name, error=region.why)
    if not known.readable:
        get_logger().warning("the catalog cannot be read", error=known.why)
    for name, count in known.unreadable.items():
        if count:
            get_logger().warning("records are damaged", record=name, count=count)


def _family(core: Any, name: str, own: list[Sample]) -> Any:
    labels = list(own[0].labels)
    family = core.GaugeMetricFamily(f"{PREFIX}{name}", GAUGES[name], labels=labels)
    for sample in own:
        family.add_metric([sample.labels[label] for label in labels], float(sample.value))
    return family


def _library() -> tuple[Any, Any]:
    try:
        import prometheus_client
        from prometheus_client import core
    except ImportError as error:
        raise ToolMissing(
            "prometheus_client, which writes metrics, is not installed",
            hint="install it with `pip install 'drkeeper[metrics]'`",
        ) from error
    return prometheus_client, core
