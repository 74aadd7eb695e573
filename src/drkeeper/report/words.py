"""Figures as people read them: durations, sizes, moments. The exact value always stands beside, or in a title."""

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_PLACES = (100, 10)


def duration(seconds: float | None) -> str:
    """`420 ms`, `43.2 s`, `4 min 12 s`, `3 h 05 min`, `2 d 3 h`."""
    if seconds is None:
        return "not measured"
    sign, length = ("-", -seconds) if seconds < 0 else ("", seconds)
    return sign + _length(length)


def exact_duration(seconds: float | None) -> str:
    """To the millisecond, in seconds."""
    return "not measured" if seconds is None else f"{seconds:,.3f} s"


def size(count: int) -> str:
    """Decimal units, three digits: `1.24 GB`."""
    amount, unit = float(count), 0
    while round(amount) >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    if unit == 0:
        return f"{count} bytes"
    places = 0 if amount >= _PLACES[0] else 1 if amount >= _PLACES[1] else 2
    return f"{amount:.{places}f} {_UNITS[unit]}"


def exact_size(count: int) -> str:
    """In bytes."""
    return f"{count:,} bytes"


def moment(at: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "unknown" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock_time(at: datetime) -> str:
    """Time of day in UTC, to the second."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def count(amount: int, noun: str, plural: str = "") -> str:
    """`1 check`, `2 checks`."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def _length(seconds: float) -> str:
    if round(seconds, 3) < 1:
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return _pair(whole, _MINUTE, 1, "min", "s")
    if whole < _DAY:
        return _pair(whole, _HOUR, _MINUTE, "h", "min")
    return _pair(whole, _DAY, _HOUR, "d", "h")


def _pair(whole: int, big: int, small: int, big_unit: str, small_unit: str) -> str:
    first, rest = divmod(whole, big)
    second = rest // small
    width = 2 if small_unit == "min" else 1
    return f"{first} {big_unit} {second:0{width}d} {small_unit}" if second else f"{first} {big_unit}"
