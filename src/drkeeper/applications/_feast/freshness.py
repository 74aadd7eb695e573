"""Whether the online store is as new as the registry says that it is. Pure.

A registry's intervals say what was materialised, not what the store holds: a store of one moment beside a registry of
a later one looks complete to `materialize-incremental`, which then leaves the gap for good.
"""

from collections.abc import Iterator
from datetime import timedelta

from drkeeper.applications._feast.definitions import Definitions, View
from drkeeper.applications._feast.online import EventTimes, Scan
from drkeeper.applications._feast.words import duration, moment, seen_words
from drkeeper.facts import Check


def freshness_checks(definitions: Definitions, seen: Scan, lag: timedelta) -> Iterator[Check]:
    """Whether each view's newest event is of its last materialisation.

    Args:
        definitions: Of the project.
        seen: What a scan of the online store saw.
        lag: The newest event may lie so long before the end of the last interval; in any case it lies in it.
    """
    for view in definitions.views:
        if view.online:
            yield _freshness(view, seen.views.get(view.online_name, EventTimes()), seen, lag)


def _freshness(view: View, times: EventTimes, seen: Scan, lag: timedelta) -> Check:
    subject, interval = f"online.{view.name}.newest_event", view.last_interval
    if interval is None:
        detail = f"never materialised; {times.entities} of {seen_words(seen)} have the view"
        return Check(subject=subject, verdict="not checked", detail=detail)
    until = f"materialised until {moment(interval.end)}"
    if times.newest is None:
        return Check(
            subject=subject,
            verdict="failed" if seen.complete else "not checked",
            detail=f"{until}, and none of {seen_words(seen)} has the view",
            remedy="materialise the whole view" if seen.complete else "",
        )
    gap = interval.end - times.newest
    late = times.newest < interval.start or gap > lag
    away = f"{duration(gap)} before that" if gap > timedelta() else "later than that"
    return Check(
        subject=subject,
        verdict="failed" if late else "passed",
        severity="warning",
        detail=f"{until}; the newest event in {seen_words(seen)} is of {moment(times.newest)}, {away}",
        remedy=f"materialise from {moment(times.newest)} to {moment(interval.end)}, whatever the registry says"
        if late
        else "",
    )
