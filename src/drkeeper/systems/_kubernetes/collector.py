"""Python's search for reference cycles, put off while a cluster is walked over.

Decoded JSON has no cycles, and its hundreds of thousands of dictionaries make the collector search again and again:
measured with 10,000 objects, it took six times as long as the decoding itself. What other threads leave meanwhile is
collected with `collect`, and at the end.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()


class _Pauses:
    """How many walks want the collector to rest, and whether it was at work before the first of them."""

    count = 0
    was_enabled = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector; where several threads pause it, until the last one is done."""
    with _LOCK:
        if _Pauses.count == 0:
            _Pauses.was_enabled = gc.isenabled()
            gc.disable()
        _Pauses.count += 1
    try:
        yield
    finally:
        with _LOCK:
            _Pauses.count -= 1
            if _Pauses.count == 0 and _Pauses.was_enabled:
                gc.enable()


def collect() -> None:
    """Search once, at a moment when little is in memory."""
    gc.collect()
