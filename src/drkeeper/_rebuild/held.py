"""What an online store holds of each view, over all entities of a project, by one walk through its keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from drkeeper.applications._feast.layout import event_time_field
from drkeeper.applications._feast.online import project_keys
from drkeeper.applications._feast.values import event_time
from drkeeper.systems import Keeping

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass
class Held:
    """Of one view.

    Attributes:
        times_sum: Of each entity's event time, in microseconds since 1970: two stores in which as many entities have
            the same sum do not differ by one that was left behind.
    """

    entities: int = 0
    oldest_at: datetime | None = None
    newest_at: datetime | None = None
    times_sum: int = 0

    def add(self, at: datetime) -> None:
        """Count one entity's event time."""
        self.entities += 1
        self.oldest_at = min(at, self.oldest_at or at)
        self.newest_at = max(at, self.newest_at or at)
        self.times_sum += (at - EPOCH) // MICROSECOND


@dataclass
class Holding:
    """Of a project.

    Attributes:
        keys: Of entities.
        views: By the name that the store knows.
    """

    keys: int = 0
    views: dict[str, Held] = field(default_factory=dict)


def walk(store: Keeping, project: str, views: Iterable[str]) -> Holding:
    """Look at every key of the project; one that the server shows twice counts twice.

    Args:
        store: The online store.
        project: Feast's.
        views: Names by which the store knows them.

    Raises:
        SystemUnreachable: The store does not answer.
        ValueUnreadable: A field holds no event time.
    """
    found = Holding(views={view: Held() for view in views})
    names = [event_time_field(view) for view in found.views]
    for values in _values(store, project, names):
        found.keys += 1
        for held, raw in zip(found.views.values(), values, strict=True):
            if at := event_time(raw):
                held.add(at)
    return found


def _values(store: Keeping, project: str, names: list[bytes]) -> Iterator[list[bytes | None]]:
    if not names:
        return ([] for _ in project_keys(store, project))
    return (values for _, values in store.fields(project_keys(store, project), names))
