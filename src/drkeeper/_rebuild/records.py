"""What is written down of rebuilds: that one begins, and how it ended. Pure.

The first of both is what makes a rebuild that was killed safe to run again. The store tells how far it has come by
its newest event times; half a rebuild puts new ones there, and older ones are still missing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from drkeeper._rebuild.seen import Mode, Past, Pending
from drkeeper.facts import Check
from drkeeper.recovery_point import Record
from drkeeper.report.record import Forecast


class RebuildBegun(Record):
    """A rebuild is about to write into the store.

    Attributes:
        starts: View -> from when it is materialised.
    """

    format: Literal[1] = 1
    rebuild_id: str
    application: str
    project: str
    policy: str
    mode: Mode
    started_at: AwareDatetime
    until: AwareDatetime
    starts: dict[str, AwareDatetime]


class ViewOutcome(Record):
    """What came of one view.

    Attributes:
        start: Event times from here,
        end: to here, both included.
        rows: Of the source within them; None where they cannot be counted.
        written: Rows that Feast handed to the store: one for each entity; None where it did not tell.
        elapsed_seconds: None where it was not measured for itself.
        outcome: "left": it was not rebuilt, for the reason in `error`.
    """

    view: str
    start: AwareDatetime | None
    end: AwareDatetime | None
    rows: int | None = None
    written: int | None = None
    elapsed_seconds: float | None = None
    outcome: Literal["done", "failed", "left"]
    error: str = ""


class RebuildRecord(Record):
    """A rebuild that ended, well or not.

    Attributes:
        removed_keys: Before anything was written.
        rows: Of the sources within what was asked for; None where that is not known of a view.
        checks: Every statement that was put to the test afterwards.
        point_id: The recovery point whose witness the store was compared with; "" where there was none.
        error: Why it did not end well; "" where it did.
    """

    format: Literal[1] = 1
    rebuild_id: str
    application: str
    project: str
    policy: str
    mode: Mode
    started_at: AwareDatetime
    ended_at: AwareDatetime
    elapsed_seconds: float
    until: AwareDatetime
    views: tuple[ViewOutcome, ...]
    removed_keys: int = 0
    rows: int | None = None
    forecast: Forecast | None = None
    checks: tuple[Check, ...] = ()
    point_id: str = ""
    error: str = ""


Entry = RebuildBegun | RebuildRecord


def pending(entries: Sequence[Entry]) -> Pending:
    """What is left to do, by all entries of one application, oldest first.

    A view is done when a later rebuild, which began no later than the one that did not end, has done it.
    """
    begun: dict[str, RebuildBegun] = {}
    for entry in entries:
        if isinstance(entry, RebuildBegun):
            begun[entry.rebuild_id] = entry
        else:
            begun = _left_after(begun, entry)
    starts: dict[str, datetime] = {}
    for one in begun.values():
        for view, start in one.starts.items():
            starts[view] = min(start, starts.get(view, start))
    return Pending(starts=starts, full=any(one.mode == "full" for one in begun.values()), ids=tuple(begun))


def past(entries: Sequence[Entry]) -> list[Past]:
    """What forecasts can learn from: rebuilds that ended well, and whose rows are known."""
    return [
        Past(mode=entry.mode, rows=entry.rows, elapsed_seconds=entry.elapsed_seconds)
        for entry in entries
        if isinstance(entry, RebuildRecord) and not entry.error and entry.rows is not None
    ]


def _left_after(begun: dict[str, RebuildBegun], ended: RebuildRecord) -> dict[str, RebuildBegun]:
    done = {each.view: each.start for each in ended.views if each.outcome == "done" and each.start is not None}
    left = {}
    for rebuild_id, one in begun.items():
        starts = {view: start for view, start in one.starts.items() if view not in done or start < done[view]}
        if starts:
            left[rebuild_id] = one.model_copy(update={"starts": starts})
    return left
