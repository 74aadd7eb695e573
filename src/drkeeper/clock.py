"""The only place that asks what time it is, so that everything else takes time as an argument."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, aware, UTC."""
    return datetime.now(UTC)


def monotonic_seconds() -> float:
    """Seconds that never go back and that go on while the process is stopped or the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
