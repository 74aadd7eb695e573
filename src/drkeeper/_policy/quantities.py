"""Values as people write them: `4h`, `1h30m`, `50MB/s`, cron lines, names, age recipients."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

UNIT_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
DURATION_PATTERN = r"^(\d+(\.\d+)?(w|d|h|m|s))+$"
SIZE_PATTERN = r"^\d+(\.\d+)? ?([kKMGT]i?)?B$"
RATE_PATTERN = SIZE_PATTERN[:-1] + "/s$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$"
RECIPIENT_PATTERN = r"^age1[02-9ac-hj-np-z]{50,}$"
"""An age X25519 recipient is bech32: https://github.com/C2SP/C2SP/blob/main/age.md"""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
CRON_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, WEEKDAYS),
)


def parse_duration(text: object) -> timedelta:
    """A duration such as `4h`, `90m`, `1d` or `1h30m`; a timedelta is taken as it is.

    Raises:
        ValueError: It is none, or it is zero.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.match(DURATION_PATTERN, text.strip()):
        raise ValueError("expected a duration such as 4h, 90m, 1d or 1h30m")
    parts = re.findall(r"(\d+(?:\.\d+)?)([wdhms])", text)
    seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError("expected a duration longer than nothing")
    try:
        return timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("expected a duration of less than some million years") from error


def format_duration(duration: timedelta) -> str:
    """The shortest form that `parse_duration` reads back: `4h`, `1h30m`."""
    rest = duration.total_seconds()
    text = ""
    for unit, size in UNIT_SECONDS.items():
        count, rest = divmod(rest, size)
        if unit == "s" and rest:
            count += round(rest, 6)
        if count:
            text += f"{count:g}{unit}"
    return text or "0s"


def parse_size(text: object) -> int:
    """Bytes of a size such as `64KiB`, `50MB` or `2 GB` (powers of 1000; with `i`, of 1024).

    Raises:
        ValueError: It is none.
    """
    if not isinstance(text, str) or not re.match(SIZE_PATTERN, text.strip()):
        raise ValueError("expected a size such as 50MB or 20MiB")
    match = re.match(r"([\d.]+) ?([kKMGT]?)(i?)B", text.strip())
    assert match is not None  # noqa: S101 - SIZE_PATTERN has matched
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(prefix.upper() or " ")))


def parse_rate(text: object) -> int:
    """Bytes per second of a bandwidth such as `50MB/s` or `20MiB/s`; a number is taken as it is.

    Raises:
        ValueError: It is none, or less than one byte per second.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    if not isinstance(text, str) or not re.match(RATE_PATTERN, text.strip()):
        raise ValueError("expected a bandwidth such as 50MB/s or 20MiB/s")
    rate = parse_size(text.strip().removesuffix("/s"))
    if rate < 1:
        raise ValueError("expected a bandwidth of at least 1B/s")
    return rate


def format_rate(rate: int) -> str:
    """The shortest form that `parse_rate` reads back: `50MB/s`, `20MiB/s`."""
    units = [(prefix + kind, base**power) for kind, base in (("B", 1000), ("iB", 1024)) for power, prefix in _POWERS]
    unit, size = max((each for each in units if rate % each[1] == 0), key=lambda each: each[1], default=("B", 1))
    return f"{rate // size}{unit}/s"


_POWERS = ((1, "K"), (2, "M"), (3, "G"), (4, "T"))


def check_name(text: str) -> str:
    """A name is safe in paths, URLs and databases.

    Raises:
        ValueError: It is none.
    """
    if not re.match(NAME_PATTERN, text):
        raise ValueError("a name is made of lower-case letters, digits, '-', '_' and '.', 63 at most")
    return text


def check_recipient(text: str) -> str:
    """A public key of age.

    Raises:
        ValueError: It is none; the message does not repeat it, for it could be a secret key put in the wrong place.
    """
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError("this is a secret key; a recipient is the public key, age1…")
    if not re.match(RECIPIENT_PATTERN, text):
        raise ValueError("expected the public key of an age identity, age1…")
    return text


def check_cron(text: object) -> str:
    """A cron line of five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday).

    Returns:
        The line with days of the week by name: schedulers disagree on what 0 is (APScheduler: Monday).

    Raises:
        ValueError: It is none; the message names the field.
    """
    if not isinstance(text, str):
        raise ValueError('expected a cron line such as "0 2 * * *", in quotes')  # noqa: TRY004 - pydantic's protocol
    fields = text.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError(f'expected a cron line of five fields such as "0 2 * * *", found {len(fields)}')
    for field, (name, low, high, words) in zip(fields, CRON_FIELDS, strict=True):
        if not all(_cron_part_is_valid(part.lower(), low, high, words) for part in field.split(",")):
            raise ValueError(f"expected the {name} as *, */n, or numbers from {low} to {high}, found {field}")
    return " ".join([*fields[:-1], _weekdays_by_name(fields[-1])])


def _weekdays_by_name(field: str) -> str:
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        start = int(_cron_number(first, 0, WEEKDAYS) or 0)
        end = int(_cron_number(last, 0, WEEKDAYS) or 0) if dash else (6 if step else start)
        days.update(day % 7 for day in range(start, end + 1, int(step or 1)))
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _cron_part_is_valid(part: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        return False
    if span == "*":
        return True
    ends = [_cron_number(end, low, words) for end in span.split("-")]
    numbers = [end for end in ends if end is not None]
    return len(numbers) == len(ends) <= 2 and low <= numbers[0] <= numbers[-1] <= high  # noqa: PLR2004 - from-to


def _cron_number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text in words:
        return words.index(text) + low
    return int(text) if text.isascii() and text.isdigit() else None


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["4h", "90m", "1d", "1h30m"]}),
]
Cron = Annotated[
    str,
    BeforeValidator(check_cron),
    WithJsonSchema({"type": "string", "examples": ["0 2 * * *", "*/5 * * * *", "0 5 1 */3 *"]}),
]
Size = Annotated[
    int,
    BeforeValidator(
        lambda value: value if isinstance(value, int) and not isinstance(value, bool) else parse_size(value)
    ),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["500GB", "2TiB"]}),
]
Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
Recipient = Annotated[
    str, AfterValidator(check_recipient), WithJsonSchema({"type": "string", "pattern": RECIPIENT_PATTERN})
]
