"""What holds a stream back: a bandwidth cap, so that those who are served have room; and the word to stop."""

import _thread
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from drkeeper import clock
from drkeeper.errors import Interrupted

PIECE_BYTES = 32 << 10
# What an idle moment may save up: short enough that a burst does not hurt anybody.
BURST_SECONDS = 0.01
_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


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


@contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    """In the block, in this thread, `current_stop` is this event: for what waits and gives no blocks (a long query)."""
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


def set_by_signal(stop: threading.Event) -> None:
    """Set the event out of a signal's handler.

    Not in the handler's own thread: that may hold the event's lock, as it is waiting for it, and would wait for ever.
    """
    _thread.start_new_thread(stop.set, ())


def current_stop() -> threading.Event:
    """The event that asks the work of this thread to end; one that is never set where nobody gave any."""
    return _STOP.get() or threading.Event()
