"""Restore: we take part in the replication protocol as a primary that has one RDB to give, once.

The target connects to us because it was told `REPLICAOF`; it loads at its own full speed and swaps the data in at
the end. Only the target's address is let in, one link only: a target whose sync failed tries again at once and
for ever, so after the first failure nobody listens any more.
"""

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drkeeper import clock
from drkeeper.errors import LoadFailed, SystemUnreachable
from drkeeper.systems._redis.resp import Connection

_SEND_BYTES = 4 << 20
_REPLICATION_ID_BYTES = 20
_ACCEPT_SLICE_SECONDS = 0.2


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that awaits the target.

    Raises:
        LoadFailed: The address is not ours, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=4)
    except OSError as error:
        raise LoadFailed(
            f"cannot listen on {host}:{port} to serve the data: {error.strerror}; the target was not touched",
            hint="set the system's `listen_host` and `listen_port`",
        ) from error
    with listener:
        listener.settimeout(_ACCEPT_SLICE_SECONDS)
        yield listener


def await_target(listener: socket.socket, target_host: str, within_seconds: float) -> Connection:
    """The target's link. Whoever else knocks is turned away.

    Raises:
        LoadFailed: It did not come.
    """
    deadline = clock.monotonic_seconds() + within_seconds
    turned_away = 0
    while clock.monotonic_seconds() < deadline:
        try:
            sock, address = listener.accept()
        except TimeoutError:
            continue
        if _plain(str(address[0])) == _plain(target_host):
            sock.settimeout(within_seconds)
            return Connection(sock, f"the target's replication link ({target_host})")
        sock.close()
        turned_away += 1
    others = f"; {turned_away} connections from other addresses were turned away" if turned_away else ""
    raise LoadFailed(
        f"the target did not connect to us within {within_seconds:g} seconds{others}",
        hint="it must reach this machine: set the system's `advertise_host` and `listen_port`, and open the firewall",
    )


def hand_over(link: Connection, rdb: Path) -> None:
    """Answer the handshake and send the RDB.

    Raises:
        LoadFailed: The target broke off.
    """
    try:
        _answer_handshake(link)
        size_bytes = rdb.stat().st_size
        link.send(b"+FULLRESYNC %b 1\r\n$%d\r\n" % (os.urandom(_REPLICATION_ID_BYTES).hex().encode(), size_bytes))
        with rdb.open("rb", buffering=0) as file:
            _send_file(link, file.fileno(), size_bytes)
    except SystemUnreachable as error:
        raise LoadFailed(f"the target broke off while the data were sent: {error}") from error


def await_loaded(link: Connection, loaded: Callable[[], bool], within_seconds: float) -> None:
    """Wait until the target says that it has everything.

    Raises:
        LoadFailed: It hung up, or did not say so in time.
    """
    deadline = clock.monotonic_seconds() + within_seconds
    while not loaded():
        if _hung_up(link.sock):
            raise LoadFailed("the target took the data and hung up: it could not load them, see its log")
        if clock.monotonic_seconds() > deadline:
            raise LoadFailed(f"the target did not finish loading within {within_seconds:g} seconds")
        clock.sleep(0.02)


def _answer_handshake(link: Connection) -> None:
    while True:
        request = link.read_reply()
        words = [word for word in request if isinstance(word, bytes)] if isinstance(request, list) else []
        name = words[0].upper() if words else b""
        if name in {b"PSYNC", b"SYNC"}:
            return
        # AUTH comes where the target has a `masterauth` for its real primary; any is right here.
        link.send(b"+PONG\r\n" if name == b"PING" else b"+OK\r\n")


def _send_file(link: Connection, descriptor: int, size_bytes: int) -> None:
    """By sendfile(2), without passing through us; the time-out is for each piece."""
    offset = 0
    with link.translated():
        while offset < size_bytes:
            offset += _send_piece(link.sock, descriptor, offset, min(_SEND_BYTES, size_bytes - offset))


def _send_piece(sock: socket.socket, descriptor: int, offset: int, size: int) -> int:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll((sock.gettimeout() or 0) * 1000):
        raise TimeoutError
    sent = os.sendfile(sock.fileno(), descriptor, offset, size)
    if not sent:
        raise ConnectionResetError("nothing more was taken")
    return sent


def _hung_up(sock: socket.socket) -> bool:
    """Whether the other side has closed; its acknowledgements are read and forgotten on the way."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    try:
        while poll.poll(0):
            if not sock.recv(1 << 16):
                return True
    except OSError:
        return True
    return False


def _plain(host: str) -> str:
    return host.removeprefix("::ffff:")
