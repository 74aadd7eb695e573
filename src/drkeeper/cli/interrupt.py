"""SIGINT and SIGTERM during long work: the first asks it to end in order, the second ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from drkeeper.throttle import set_by_signal


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that is set by the first signal; work that is given it ends with `Interrupted`.

    Raises:
        KeyboardInterrupt: At the second signal.
    """
    stop = threading.Event()
    asked: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if asked or stop.is_set():
            raise KeyboardInterrupt
        asked.append(number)
        set_by_signal(stop)

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
