"""Times, and how much of a store was seen, in words."""

from datetime import datetime, timedelta

from drkeeper.applications._feast.online import Scan

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def duration(span: timedelta) -> str:
    """About so long: `3 days`, `1.5 hours`, `42 seconds`."""
    seconds = span.total_seconds()
    for unit, size in _UNITS:
        if seconds >= size:
            return _counted(round(seconds / size, 1), unit)
    return _counted(round(seconds), "second")


def moment(when: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def seen_words(seen: Scan) -> str:
    """How many entities were looked at, and whether that was all."""
    return f"{seen.entities} entities" if seen.complete else f"a sample of {seen.entities} entities"


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
