"""How many requests at once, and how many bytes a second: as many as the endpoint bears, and as few as it asks for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drkeeper import clock
from drkeeper.errors import Interrupted
from drkeeper.throttle import current_stop

MOST = 32
FIRST = 8
SLOWING_SECONDS = 1.0
POLL_SECONDS = 0.5
ROOM_BYTES = 72 << 20


class Pace:
    """Slots that grow by one for each round of requests that went well, and halve when an endpoint asks for fewer.

    Attributes:
        most: Upper bound of requests at once.
    """

    def __init__(
        self,
        most: int = MOST,
        bytes_per_second: float | None = None,
        *,
        now: Callable[[], float] = clock.monotonic_seconds,
    ) -> None:
        self.most = most
        self._rate = bytes_per_second
        self._now = now
        self._limit = float(min(FIRST, most))
        self._taken = 0
        self._slowed_at = float("-inf")
        self._due = now()
        self._room_bytes = ROOM_BYTES
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """How many may work at once now."""
        return int(self._limit)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot, and work in it.

        Raises:
            Interrupted: The work was told to stop.
        """
        stop = current_stop()
        with self._changed:
            while self._taken >= int(self._limit):
                if stop.is_set():
                    raise Interrupted("interrupted")
                self._changed.wait(POLL_SECONDS)
            self._taken += 1
        before = self._slowed_at
        try:
            yield
            if before == self._slowed_at:
                self.went_well()
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()

    @contextmanager
    def room(self, size_bytes: int) -> Iterator[None]:
        """Wait until so many more bytes may be in memory at once; what is larger than all of it comes alone.

        Raises:
            Interrupted: The work was told to stop.
        """
        stop = current_stop()
        taken = min(size_bytes, ROOM_BYTES)
        with self._changed:
            while self._room_bytes < taken:
                if stop.is_set():
                    raise Interrupted("interrupted")
                self._changed.wait(POLL_SECONDS)
            self._room_bytes -= taken
        try:
            yield
        finally:
            with self._changed:
                self._room_bytes += taken
                self._changed.notify_all()

    def slow_down(self) -> None:
        """An endpoint asked for fewer requests; what several are told at once counts once."""
        with self._changed:
            if self._now() - self._slowed_at >= SLOWING_SECONDS:
                self._slowed_at = self._now()
                self._limit = max(1.0, self._limit / 2)

    def spend(self, size_bytes: int) -> None:
        """Wait until so many bytes may be moved.

        Raises:
            Interrupted: The work was told to stop.
        """
        with self._changed:
            if self._rate is None:
                return
            start = max(self._due, self._now())
            self._due = start + size_bytes / self._rate
        if current_stop().wait(max(0.0, start - self._now())):
            raise Interrupted("interrupted")

    def cap(self, bytes_per_second: float | None) -> None:
        """From now on at most so many bytes a second; None: as many as there are."""
        with self._changed:
            self._rate = bytes_per_second

    def went_well(self) -> None:
        """A request was answered as it should be: a little more may be asked at once."""
        with self._changed:
            if self._limit < self.most:
                self._limit = min(float(self.most), self._limit + 1.0 / self._limit)
                self._changed.notify()
