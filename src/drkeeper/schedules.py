"""When a cron line of a policy is due: counted without walking through every minute. Pure.

Means what the scheduler means by it (APScheduler): a day must fit the day of the month and the day of the week.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOKED_AHEAD = timedelta(days=8 * 366)
"""29 February comes back within eight years, whatever the century."""


@dataclass(frozen=True)
class Cron:
    """A cron line of five fields, as a policy holds it (checked, days of the week by name), in UTC."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, line: str) -> "Cron":
        """Of a line that the policy has accepted."""
        minute, hour, day, month, weekday = line.lower().split()
        return cls(
            tuple(sorted(_numbers(minute, 0, 59, ()))),
            tuple(sorted(_numbers(hour, 0, 23, ()))),
            frozenset(_numbers(day, 1, 31, ())),
            frozenset(_numbers(month, 1, 12, MONTHS)),
            frozenset(_numbers(weekday, 0, 6, WEEKDAYS)),
        )

    def count(self, since: datetime, until: datetime) -> int:
        """How often it is due from `since` on, and before `until`."""
        return sum(len(self._of_day(day, since, until)) for day in self._days(since, until))

    def times(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """When it is due from `since` on, and before `until`; oldest first."""
        for day in self._days(since, until):
            for minute in self._of_day(day, since, until):
                yield datetime.combine(day, time(minute // 60, minute % 60), UTC)

    def next(self, after: datetime) -> datetime | None:
        """The first time after that moment; None where there is none (30 February)."""
        return next(self.times(after + timedelta(microseconds=1), after + LOOKED_AHEAD), None)

    def _days(self, since: datetime, until: datetime) -> Iterator[date]:
        day, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
        while day <= last:
            if day.day in self.days and day.month in self.months and day.weekday() in self.weekdays:
                yield day
            day += timedelta(days=1)

    def _of_day(self, day: date, since: datetime, until: datetime) -> list[int]:
        minutes = [60 * hour + minute for hour in self.hours for minute in self.minutes]
        midnight = datetime.combine(day, time(), UTC)
        first, last = ((each - midnight) / timedelta(minutes=1) for each in (since, until))
        return minutes[bisect_left(minutes, first) : bisect_left(minutes, last)]


def _numbers(field: str, low: int, high: int, words: tuple[str, ...]) -> Iterator[int]:
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
        begin = _number(first, low, words)
        end = _number(last, low, words) if dash else high if slash else begin
        yield from range(begin, end + 1, int(step or 1))


def _number(text: str, low: int, words: tuple[str, ...]) -> int:
    return words.index(text) + low if text in words else int(text)
