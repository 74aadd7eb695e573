"""Which version of each object was there at a moment. Pure."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby

from drkeeper.buckets.listed import Version, moment


def as_of(
    versions: Iterable[Version], at: datetime, scattered: Callable[[str], None] = lambda _: None
) -> Iterator[Version]:
    """For each key its newest version that is no younger than `at`; none where that is a delete marker.

    Args:
        versions: Those of one key stand together; among those of one second the newest stands first.
        at: Versions of that very moment count.
        scattered: Called with a key of whose versions none is the latest: they do not stand together, then.
    """
    for key, group in groupby(versions, key=lambda one: one.key):
        newest: Version | None = None
        newest_at = at
        has_latest = False
        for one in group:
            has_latest = has_latest or one.is_latest
            modified_at = moment(one.modified_at)
            if modified_at <= at and (newest is None or modified_at > newest_at):
                newest, newest_at = one, modified_at
        if not has_latest:
            scattered(key)
        if newest is not None and not newest.is_marker:
            yield newest
