"""What the online store holds of a project: how many entities, event times of views, and when entities expire.

The store is read by scanning its keys. A scan of a large store is bounded, and then tells of a part of it; a key that
the server shows twice, which it may do while its table grows, counts twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drkeeper import clock
from drkeeper.applications._feast.layout import event_time_field, is_entity_of
from drkeeper.applications._feast.values import event_time
from drkeeper.systems import Keeping

NEVER_MS = -1


@dataclass
class EventTimes:
    """Of one view, over the entities that have it."""

    entities: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, moment: datetime) -> None:
        """Count one entity's event time."""
        self.entities += 1
        self.oldest = moment if self.oldest is None else min(self.oldest, moment)
        self.newest = moment if self.newest is None else max(self.newest, moment)


@dataclass
class Scan:
    """What a scan saw.

    Attributes:
        entities: Keys of the project.
        complete: Whether every key was looked at.
        views: View -> its event times; views without any value are there, with no entity.
        lives_ms: Time to live of each entity that has one, in milliseconds.
    """

    entities: int = 0
    complete: bool = True
    views: dict[str, EventTimes] = field(default_factory=dict)
    lives_ms: list[int] = field(default_factory=list)

    def expiring_within(self, span: timedelta) -> int:
        """Entities whose time to live is over within that time."""
        return sum(1 for life in self.lives_ms if life <= span.total_seconds() * 1000)


def entity_count(keeping: Keeping, project: str) -> int:
    """Entities of the project in the online store.

    Raises:
        SystemUnreachable: The store does not answer.
    """
    return sum(1 for _ in project_keys(keeping, project))


def newest_event_times(keeping: Keeping, project: str, views: Iterable[str]) -> dict[str, datetime | None]:
    """The newest event time of each view in the online store, over all its entities; None where it has none.

    Args:
        keeping: The online store.
        project: Feast's.
        views: Names by which the online store knows them (`View.online_name`).

    Raises:
        SystemUnreachable: The store does not answer.
        ValueUnreadable: A field holds no event time.
    """
    return {view: times.newest for view, times in event_times(keeping, project, views).items()}


def event_times(keeping: Keeping, project: str, views: Iterable[str]) -> dict[str, EventTimes]:
    """The oldest and the newest event time of each view, over all entities. Raises as `newest_event_times` does."""
    seen = {view: EventTimes() for view in views}
    names = [event_time_field(view) for view in seen]
    for _, values in keeping.fields(project_keys(keeping, project), names):
        for times, raw in zip(seen.values(), values, strict=True):
            if moment := event_time(raw):
                times.add(moment)
    return seen


def scan(keeping: Keeping, project: str, views: Iterable[str], *, keys: int, seconds: float) -> Scan:
    """Event times and times to live of the project's entities.

    Args:
        keeping: The online store.
        project: Feast's.
        views: Names by which the online store knows them.
        keys: At most so many keys are looked at, other projects' and other programs' among them.
        seconds: Nor is any key looked at after so many seconds.

    Raises:
        SystemUnreachable: The store does not answer.
        ValueUnreadable: A field holds no event time.
    """
    seen = Scan(views={view: EventTimes() for view in views})
    names = {event_time_field(view): times for view, times in seen.views.items()}
    mine = (key for key in _bounded(keeping.keys(), seen, keys, seconds) if is_entity_of(key, project.encode()))
    for _, fields, life_ms in keeping.hashes(mine):
        seen.entities += 1
        if life_ms != NEVER_MS:
            seen.lives_ms.append(life_ms)
        for name, times in names.items():
            if moment := event_time(fields.get(name)):
                times.add(moment)
    return seen


def project_keys(keeping: Keeping, project: str) -> Iterator[bytes]:
    """Keys of the project's entities."""
    ending = project.encode()
    return filter(lambda key: is_entity_of(key, ending), keeping.keys())


def _bounded(keys: Iterable[bytes], seen: Scan, most: int, seconds: float) -> Iterator[bytes]:
    end = clock.monotonic_seconds() + seconds
    for number, key in enumerate(keys):
        if number >= most or clock.monotonic_seconds() > end:
            seen.complete = False
            return
        yield key
