"""One request over HTTP, by libcurl: exact URLs, every header of the answer, time bounds, and an end when told to stop.

Why libcurl and not urllib3, aiohttp or obstore: `docs/adr/0120-one-client-for-buckets.md` has the figures.
"""

import math
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from drkeeper.errors import Interrupted, ToolMissing

CONNECT_SECONDS = 10.0
LONG_SECONDS = 900.0
STREAM_PATIENCE = 3
"""Silence that is borne of a streamed body, in time-outs of one request: its source may have to be asked again."""
LOOPBACK = ("http://127.", "https://127.", "http://localhost", "https://localhost", "http://[::1]", "https://[::1]")
"""Where a proxy of the environment leads nowhere."""
HANDLES = 64
BUFFER_BYTES = 256 << 10
STREAM_BUFFER_BYTES = 512 << 10
ABORT = 0x10000000  # CURL_READFUNC_ABORT


class NoAnswer(Exception):
    """The endpoint was not reached, was silent for too long, or hung up."""


@dataclass(frozen=True)
class Upload:
    """A body that does not fit into memory.

    Attributes:
        size_bytes: Sent as its length.
        open: Gives the blocks; called again for each try.
    """

    size_bytes: int
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Reply:
    """What came back; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Transport:
    """Connections to one endpoint; may be used from several threads.

    Attributes:
        timeout_seconds: Bound of one request that moves no more than a part; of a longer one, bound of its silence.
    """

    timeout_seconds: float
    ca_certificate: Path | None = None
    _idle: list[Any] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        stop: threading.Event,
        *,
        long: bool = False,
    ) -> Reply:
        """Ask once, and read the whole answer, which must fit into memory.

        Args:
            method: GET, PUT …
            url: Encoded.
            headers: All of them.
            body: Of the request.
            stop: Ends the request when it is set.
            long: Whether the server may be silent for minutes (it copies, or puts parts together).

        Raises:
            NoAnswer: The endpoint did not answer in time, or hung up.
            Interrupted: `stop` was set.
        """
        import pycurl

        handle = self.take()
        exchange = self.prepare(handle, method, url, headers, body, long=long)
        handle.setopt(pycurl.NOPROGRESS, 0)
        handle.setopt(pycurl.XFERINFOFUNCTION, lambda *_: stop.is_set())
        try:
            handle.perform()
        except pycurl.error as error:
            handle.close()  # its connection is in an unknown state
            raise exchange.failure(error, stop) from error
        reply = exchange.reply(handle)
        self.give_back(handle)
        return reply

    def prepare(
        self,
        handle: Any,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        *,
        long: bool = False,
    ) -> "Exchange":
        """Make a handle ready for one request, which whoever prepared it performs."""
        import pycurl

        receiver = _Receiver()
        sender = _Sender(body) if isinstance(body, Upload) else None
        self._configure(handle, url, headers)
        if sender is None and not long:
            handle.setopt(pycurl.TIMEOUT_MS, int(1000 * self.timeout_seconds))
        else:
            silence = LONG_SECONDS if sender is None else STREAM_PATIENCE * self.timeout_seconds
            handle.setopt(pycurl.LOW_SPEED_LIMIT, 1)
            handle.setopt(pycurl.LOW_SPEED_TIME, math.ceil(max(silence, self.timeout_seconds)))
        handle.setopt(pycurl.HEADERFUNCTION, receiver.lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, receiver.body.write)
        handle.setopt(pycurl.NOBODY, method == "HEAD")
        if method == "POST":  # on a connection that was in use, libcurl by itself would ask twice
            handle.setopt(pycurl.FRESH_CONNECT, 1)
        if sender is not None:
            handle.setopt(pycurl.UPLOAD, 1)
            handle.setopt(pycurl.UPLOAD_BUFFERSIZE, STREAM_BUFFER_BYTES)
            handle.setopt(pycurl.READFUNCTION, sender.read)
            handle.setopt(pycurl.INFILESIZE_LARGE, sender.size_bytes)
        elif body is not None:
            handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.CUSTOMREQUEST, method)
        return Exchange(receiver, sender)

    def _configure(self, handle: Any, url: str, headers: Mapping[str, str]) -> None:
        import pycurl

        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.PATH_AS_IS, 1)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        # A header without a value takes away what libcurl would add by itself.
        plain = {"expect": "", "accept": "", "content-type": "", **headers}
        lines = (f"{name}: {value}" if value else f"{name}:" for name, value in plain.items())
        handle.setopt(pycurl.HTTPHEADER, [line.encode(errors="surrogateescape") for line in lines])
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * min(CONNECT_SECONDS, self.timeout_seconds)))
        if url.startswith(LOOPBACK):
            handle.setopt(pycurl.NOPROXY, "*")
        if url.startswith("https:"):
            file, folder = _authorities()
            if self.ca_certificate or file:
                handle.setopt(pycurl.CAINFO, str(self.ca_certificate or file))
            elif folder:
                handle.setopt(pycurl.CAPATH, folder)

    def take(self) -> Any:
        """A handle, with its connection where one is idle."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _new_handle()

    def give_back(self, handle: Any) -> None:
        """A handle whose request ended well. It keeps its connection, and nothing of what it sent or received."""
        handle.reset()
        with self._lock:
            if len(self._idle) < HANDLES:
                self._idle.append(handle)
                return
        handle.close()


@dataclass(frozen=True)
class Exchange:
    """What one request sends and receives."""

    receiver: "_Receiver"
    sender: "_Sender | None"

    def failure(self, error: Exception, stop: threading.Event) -> BaseException:
        """Why libcurl ended the request: the body's own source failed, we were told to stop, or there was no answer."""
        if self.sender is not None and self.sender.error is not None:
            return self.sender.error
        if stop.is_set():
            return Interrupted("interrupted")
        return NoAnswer(str(error.args[1] or f"libcurl error {error.args[0]}"))

    def reply(self, handle: Any) -> Reply:
        """After the request was performed; once only."""
        import pycurl

        status = int(handle.getinfo(pycurl.RESPONSE_CODE))
        with self.receiver.body as body:
            return Reply(status, self.receiver.headers(), body.getvalue())


class _Receiver:
    """Takes an answer in, by methods that are no Python code: there are a dozen calls for each answer.

    The body grows in one piece: joined from blocks, a part of 8 MiB would be in memory twice.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.body = BytesIO()

    def headers(self) -> dict[str, str]:
        """By name in lower case; of several header blocks (100 Continue) the last one counts."""
        text = b"".join(self.lines).decode(errors="surrogateescape")
        found = {}
        for line in text[text.rfind("\nHTTP/") + 1 :].split("\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                found[name.lower()] = value.strip(" \t\r")
        return found


class _Sender:
    """Gives a body out in the pieces that libcurl asks for."""

    def __init__(self, upload: Upload) -> None:
        self.size_bytes = upload.size_bytes
        self.error: BaseException | None = None
        self._blocks = upload.open()
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes | int:
        try:
            while not self._rest:
                block = next(self._blocks, None)
                if block is None:
                    return b""
                self._rest = memoryview(block)
        except BaseException as error:  # noqa: BLE001 - raised again by `send`: it cannot pass through libcurl
            self.error = error
            return ABORT
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


@cache
def _authorities() -> tuple[str | None, str | None]:
    """File and folder of the certificates that this machine trusts."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile, paths.capath


def _new_handle() -> Any:
    try:
        import pycurl
    except ModuleNotFoundError as error:
        raise ToolMissing(
            "buckets need pycurl, which is not installed", hint="install it with `pip install 'drkeeper[objects]'`"
        ) from error
    return pycurl.Curl()
