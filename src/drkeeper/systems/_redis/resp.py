"""A small RESP2 client: time-outs, TLS, AUTH, pipelines, and raw access for the replication protocol.

The protocol: https://valkey.io/topics/protocol/ . Replies become bytes (bulk), str (simple), int, list, None or
`RespError`. Socket errors become `SystemUnreachable`, naming the server.
"""

import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import Self, TypeAlias

from drkeeper.errors import DrkeeperError, SystemUnreachable
from drkeeper.systems._redis.options import Options, Tls

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "bytes | str | int | RespError | list[Reply] | None"
_READ_BUFFER_BYTES = 1 << 16
_LINE_LIMIT_BYTES = 1 << 16
_BULK_LIMIT_BYTES = 512 << 20


class RespError(DrkeeperError):
    """The server answered a command with an error.

    Attributes:
        code: First word (`NOPERM`, `ERR`).
        text: The whole answer.
    """

    def __init__(self, text: str, *, address: str = "", command: str = "") -> None:
        super().__init__(f"{address} refused {command}: {text}" if command else text)
        self.code = text.split(" ", 1)[0]
        self.text = text

    @property
    def refused_by_server(self) -> bool:
        """Whether the command is not there for us: no permission, renamed, or taken away by a managed service."""
        lowered = self.text.lower()
        return self.code == "NOPERM" or any(
            phrase in lowered for phrase in ("unknown command", "unknown subcommand", "not allowed", "not supported")
        )


def encode(arguments: Sequence[Argument]) -> bytes:
    """One command as a RESP array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        raw = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


class Connection:
    """One connection. Not for several threads. After an error on the socket it is of no more use."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self._drained = False
        self.reader = BufferedReader(socket.SocketIO(sock, "rb"), _READ_BUFFER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; closing twice is fine."""
        self.reader.close()
        self.sock.close()

    @property
    def local_host(self) -> str:
        """Our own address on this connection."""
        return str(self.sock.getsockname()[0])

    @property
    def peer_host(self) -> str:
        """The other side's address."""
        return str(self.sock.getpeername()[0])

    def call(self, *arguments: Argument) -> Reply:
        """One command and its reply.

        Raises:
            RespError: The server refused it.
        """
        self.send_command(*arguments)
        reply = self.read_reply()
        if isinstance(reply, RespError):
            raise RespError(reply.text, address=self.address, command=_shown(arguments))
        return reply

    def call_quietly(self, *arguments: Argument) -> bool:
        """One command that may be refused; whether it was accepted."""
        self.send_command(*arguments)
        return not isinstance(self.read_reply(), RespError)

    def send_command(self, *arguments: Argument) -> None:
        """One command whose reply is read otherwise."""
        self.send(encode(arguments))

    def pipeline(self, commands: Iterable[Sequence[Argument]]) -> list[Reply]:
        """Several commands in one go; errors are among the replies. Few enough to fit the server's buffers."""
        return list(self.stream(commands))

    def stream(self, commands: Iterable[Sequence[Argument]]) -> Iterator[Reply]:
        """Like `pipeline`, giving out one reply at a time, so that only one is in memory."""
        encoded = [encode(command) for command in commands]
        self.send(b"".join(encoded))
        for _ in encoded:
            yield self.read_reply()

    def send(self, raw: bytes | memoryview) -> None:
        """Send bytes as they are."""
        with self.translated():
            self.sock.sendall(raw)

    def read_line(self) -> bytes:
        """A line without its end; empty lines (keep-alives of a primary that forks) are given out as they come."""
        with self.translated():
            line = self.reader.readline(_LINE_LIMIT_BYTES)
        if not line.endswith(b"\n"):
            raise SystemUnreachable(f"{self.address} closed the connection")
        return line.rstrip(b"\r\n")

    def read_into(self, view: memoryview) -> int:
        """What is there now, at least one byte, at most the view; 0 at the end of the connection.

        Past the reader's buffer, which is empty after its first full read: then no reply can be read any more.
        (`readinto1` would wait for more where the buffer holds some bytes already.)
        """
        with self.translated():
            if self._drained:
                return self.sock.recv_into(view)
            piece = self.reader.read1(min(len(view), _READ_BUFFER_BYTES))
        self._drained = len(view) >= _READ_BUFFER_BYTES
        view[: len(piece)] = piece
        return len(piece)

    def read_exactly(self, size: int) -> bytes:
        """So many bytes."""
        with self.translated():
            raw = self.reader.read(size)
        if len(raw) != size:
            raise SystemUnreachable(f"{self.address} closed the connection")
        return raw

    def read_reply(self) -> Reply:
        """The next reply; errors are returned, not raised."""
        line = self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"-":
            return RespError(rest.decode("utf-8", "replace"))
        try:
            number = int(rest)
        except ValueError as error:
            raise SystemUnreachable(f"{self.address} does not speak the Redis protocol") from error
        if kind == b":":
            return number
        if kind == b"$":
            return self._read_bulk(number)
        if kind == b"*":
            return None if number < 0 else [self.read_reply() for _ in range(number)]
        raise SystemUnreachable(f"{self.address} does not speak the Redis protocol")

    def set_timeout(self, seconds: float) -> None:
        """Longest silence from now on."""
        self.sock.settimeout(seconds)

    def _read_bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        if size > _BULK_LIMIT_BYTES:
            raise SystemUnreachable(f"{self.address} announced a value of {size} bytes")
        return self.read_exactly(size + 2)[:-2]

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the socket become `SystemUnreachable`."""
        try:
            yield
        except TimeoutError as error:
            raise SystemUnreachable(
                f"{self.address} did not answer within {self.sock.gettimeout() or 0:g} seconds"
            ) from error
        except OSError as error:
            raise SystemUnreachable(f"the connection to {self.address} broke: {error}") from error


def connect(options: Options, *, host: str = "", port: int = 0) -> Connection:
    """Connect and authenticate; another node than the options' own where host and port are given.

    Raises:
        SystemUnreachable: No answer, no TLS, or our credentials are refused.
    """
    host, port = host or options.host, port or options.port
    address = f"{host}:{port}"
    try:
        sock = socket.create_connection((host, port), timeout=options.connect_timeout_seconds)
    except OSError as error:
        raise SystemUnreachable(f"cannot connect to {address}: {error}") from error
    try:
        sock = _with_tls(sock, options.tls, host) if options.tls.enabled else sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(options.timeout_seconds)
        connection = Connection(sock, address)
        _authenticate(connection, options)
    except OSError as error:
        sock.close()
        raise SystemUnreachable(f"no TLS with {address}: {error}", hint="check the system's tls settings") from error
    except BaseException:
        sock.close()
        raise
    return connection


def _with_tls(sock: socket.socket, tls: Tls, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context.wrap_socket(sock, server_hostname=tls.server_name or host)


def _authenticate(connection: Connection, options: Options) -> None:
    if options.password is not None:
        secret = options.password.get_secret_value()
        connection.send(encode(["AUTH", options.user, secret] if options.user else ["AUTH", secret]))
    else:
        connection.send(encode(["PING"]))
    reply = connection.read_reply()
    # A user without +ping is answered NOPERM: logged in all the same.
    if isinstance(reply, RespError) and reply.code not in {"NOPERM", "LOADING", "MASTERDOWN", "BUSY"}:
        raise SystemUnreachable(
            f"{connection.address} refused us: {reply.text}", hint="check the system's user and password"
        )


def _shown(arguments: Sequence[Argument]) -> str:
    """The command's name for messages: never its arguments, which may hold keys or secrets."""
    name = arguments[0]
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
