"""A bandwidth cap for one system's stream, so that a backup leaves room for those who are served."""

import threading
from collections.abc import Callable, Iterable, Iterator

from drkeeper import clock
from drkeeper.errors import Interrupted

PIECE_BYTES = 32 << 10
# What an idle moment may save up: short enough that a burst does not hurt anybody.
BURST_SECONDS = 0.01


def throttle(
    chunks: Iterable[bytes],
    bytes_per_second: float | None,
    *,
    now: Callable[[], float] = clock.monotonic_seconds,
    wait: Callable[[float], None] = clock.sleep,
) -> Iterator[bytes]:
    """Give out the chunks no faster than the cap, in pieces small enough to be even. None: as fast as they come."""
    if bytes_per_second is None:
        yield from chunks
        return
    due = now()
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE_BYTES):
            piece = chunk[start : start + PIECE_BYTES]
            moment = now()
            due = max(due, moment - BURST_SECONDS) + len(piece) / bytes_per_second
            if due > moment:
                wait(due - moment)
            yield piece


def interruptible(chunks: Iterable[bytes], stop: threading.Event) -> Iterator[bytes]:
    """Give out the chunks until `stop` is set.

    Raises:
        Interrupted: `stop` was set.
    """
    for chunk in chunks:
        if stop.is_set():
            raise Interrupted("interrupted; nothing was committed")
        yield chunk
