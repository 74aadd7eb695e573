"""How an online feature store is rebuilt, as data: decided here, carried out by `rebuild`. Pure.

A store that was restored is as old as its recovery point, and what was materialised since is missing. The registry
may know of it: then Feast's incremental materialisation starts too late and leaves a gap that nobody sees. What the
store holds is what counts: each view is materialised again from the newest event time in it, and all views from the
oldest of these. Where that time does not tell how far it had come, as older entities are missing, the view is
materialised from the beginning. All of it is idempotent, for Feast leaves values alone that are as new or newer; so
it heals no values that are wrong and newer, which only an emptied store does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper._rebuild.seen import Demand, Mode, Past, Seen, ViewSeen, moment
from drkeeper._rebuild.warnings import obstacles, warnings
from drkeeper.recovery_point import Record
from drkeeper.report.record import Forecast

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# Measured on two shared cores: Feast 0.67 takes 1 s for three views of 9,000 rows, once it has told of the sources (a
# new process takes 2 s more); 210,000 rows of 30,000 entities in a parquet file take 3 s; 30,000 keys go in 0.6 s.
# These are for a machine that is busy.
FIXED_SECONDS = 5.0
LEAST_SECONDS = 0.001
ROWS_PER_SECOND = 20_000.0
REMOVED_KEYS_PER_SECOND = 20_000.0
P90_FACTOR = 2.0
# Below so many rows a rebuild's time is its fixed part, and scaling it by rows would be noise.
SCALED_FROM_ROWS = 50_000


class ViewRebuild(Record):
    """One view that is rebuilt.

    Attributes:
        start: Event times from here, included;
        end: to here, included.
        rows: Of its source within them; None where they cannot be counted.
        entities: Of which the store holds values of it now.
    """

    view: str
    start: AwareDatetime
    end: AwareDatetime
    rows: int | None = None
    entities: int = 0
    why: str


class RebuildPlan(Record):
    """A rebuild, view by view.

    Attributes:
        mode: "materialise": onto what the store holds. "full": the project's keys are removed first.
        left: Views that stay as they are, with the reason.
        keys: Of the project, in the store now; "full" removes them.
        reasons: Why it is done so.
        warnings: What it does not heal, and what will be served as absent.
        refusals: Why it is not carried out; empty: it may be.
    """

    format: Literal[1] = 1
    plan_id: str
    created_at: AwareDatetime
    policy: str
    application: str
    project: str
    mode: Mode
    until: AwareDatetime
    views: tuple[ViewRebuild, ...]
    left: dict[str, str] = Field(default_factory=dict)
    keys: int = 0
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    forecast: Forecast

    @property
    def starts(self) -> dict[str, datetime]:
        """View -> from when it is materialised."""
        return {each.view: each.start for each in self.views}


@dataclass(frozen=True)
class Start:
    """From when a view is materialised, and why."""

    at: datetime
    why: str


def build_plan(
    seen: Seen, demand: Demand, *, plan_id: str, policy: str, now: datetime, past: Sequence[Past] = ()
) -> RebuildPlan:
    """Decide how the store is rebuilt.

    Args:
        seen: Registry, store and sources, as they were found.
        demand: What is asked for.
        plan_id: Goes into the record.
        policy: Its name.
        now: Goes into the record.
        past: Earlier rebuilds, for the forecast.
    """
    wanted, left = _sorted_out(seen)
    onto, anew = starts(seen, demand.until), {view.name: _from_the_beginning() for view in wanted}
    times: dict[Mode, Forecast] = {
        "materialise": _forecast("materialise", _rows(wanted, onto), 0, past),
        "full": _forecast("full", _rows(wanted, anew), seen.keys, past),
    }
    refusals: dict[Mode, tuple[str, ...]] = {
        mode: tuple(obstacles(seen, wanted, left, mode)) for mode in ("materialise", "full")
    }
    mode, why = _mode(seen, demand, times, full_possible=not refusals["full"])
    chosen = anew if mode == "full" else onto
    never = ["the policy says `rebuild: never`"] if demand.wish == "never" else []
    return RebuildPlan(
        plan_id=plan_id,
        created_at=now,
        policy=policy,
        application=seen.application,
        project=seen.project,
        mode=mode,
        until=demand.until,
        views=tuple(_views(wanted, chosen, demand.until)),
        left=left,
        keys=seen.keys,
        reasons=(why, *_reasons(seen, mode)),
        warnings=tuple(warnings(seen, wanted, mode, within_seconds=times[mode].p90_seconds)),
        refusals=(*never, *refusals[mode]),
        forecast=times[mode],
    )


def starts(seen: Seen, until: datetime) -> dict[str, Start]:
    """From when each view that can be rebuilt is materialised onto what the store holds.

    A view that tells how far it had come starts no later than the one that had come least far: what a pipeline writes
    in one go it writes for all of them. One that does not tell starts at the beginning.
    """
    wanted, _ = _sorted_out(seen)
    own = {view.name: _own_start(view, seen) for view in wanted}
    told = {name: start for name, start in own.items() if start.at > BEGINNING}
    if not told:
        return own
    first = min(told, key=lambda name: told[name].at)
    earliest = min(told[first].at, until)
    shared = Start(earliest, f"as {first}, which had come least far")
    return {
        name: start if start.at <= earliest else Start(earliest, start.why) if name == first else shared
        for name, start in own.items()
    }


def predict(mode: Mode, rows: int | None, keys: int, past: Sequence[Past]) -> Forecast:
    """How long a rebuild of so many rows takes, with so many keys to remove first.

    Earlier rebuilds in the same mode are scaled to these rows; p50 is their median, p90 the larger of their 90th
    percentile and p50 x (1 + 1/sqrt(n)), as for the steps of a restore.
    """
    alike = [one for one in past if one.mode == mode]
    if not alike or rows is None:
        seconds = FIXED_SECONDS + (rows or 0) / ROWS_PER_SECOND + keys / REMOVED_KEYS_PER_SECOND
        basis = "no history" if rows is not None else "rows are not known" if alike else "no history, rows not known"
        return Forecast(p50_seconds=round(seconds, 3), p90_seconds=round(seconds * P90_FACTOR, 3), basis=basis)
    scaled = sorted(
        one.elapsed_seconds * max(rows, SCALED_FROM_ROWS) / max(one.rows, SCALED_FROM_ROWS) for one in alike
    )
    p50 = max(median(scaled), LEAST_SECONDS)
    p90 = max(scaled[min(len(scaled) - 1, int(0.9 * len(scaled)))], p50 * (1 + len(scaled) ** -0.5))
    basis = f"{len(scaled)} earlier rebuild{'s' if len(scaled) > 1 else ''}"
    return Forecast(p50_seconds=round(p50, 3), p90_seconds=round(p90, 3), basis=basis)


_forecast = predict


def explain(plan: RebuildPlan) -> list[dict[str, object]]:
    """The plan's views as rows for people, in the order in which they are rebuilt; what is left comes last."""
    rows: list[dict[str, object]] = [
        {**each.model_dump(), "does": "remove, then materialise" if plan.mode == "full" else "materialise"}
        for each in plan.views
    ]
    return rows + [{"view": name, "does": "leave", "why": why} for name, why in plan.left.items()]


def _sorted_out(seen: Seen) -> tuple[list[ViewSeen], dict[str, str]]:
    """Views that are rebuilt, and why the others are not. On-demand views come after those they are made of."""
    left = {view.name: why for view in seen.views if (why := _why_left(view))}
    wanted = [view for view in seen.views if view.name not in left]
    return sorted(wanted, key=lambda view: view.kind == "on demand"), left


def _why_left(view: ViewSeen) -> str:
    if not view.served:
        return "it is not served online"
    if view.kind == "pushes only":
        return "its values come by pushes only, and no source has their history"
    if view.source_there is False:
        return f"its source {view.source} is gone"
    return ""


def _own_start(view: ViewSeen, seen: Seen) -> Start:
    pending = seen.pending.starts.get(view.name)
    if view.newest_at is None:
        return Start(BEGINNING, "the store holds nothing of it")
    if view.newest_at > seen.at:
        return Start(BEGINNING, f"the store holds values of the future ({moment(view.newest_at)})")
    if view.kind == "batch" and view.source_newest_at is not None and view.newest_at > view.source_newest_at:
        return Start(BEGINNING, f"the store holds values newer than its source ({moment(view.newest_at)})")
    if behind := _behind(view, expiring=bool(seen.lives_seconds)):
        return Start(BEGINNING, behind)
    if pending is not None and pending < view.newest_at:
        return Start(pending, "a rebuild from there did not end")
    return Start(view.newest_at, "its newest event time in the store")


def _behind(view: ViewSeen, *, expiring: bool) -> str:
    """Why the store does not hold all that its source had by the store's newest event time, in words; "" if it does.

    It was captured while it was being written, or keys were evicted, or rows came late into the source. Where keys
    expire, fewer entities are no sign of it; where there are more than in the source, that has been cut short.
    """
    if view.kind != "batch" or view.then_entities is None or view.then_times_sum is None:
        return ""
    if view.entities < view.then_entities:
        return "" if expiring else f"{view.then_entities - view.entities:,} entities of its source are missing"
    if view.entities == view.then_entities and view.times_sum < view.then_times_sum:
        return "entities in the store are older than in its source"
    return ""


def _from_the_beginning() -> Start:
    return Start(BEGINNING, "everything")


def _rows(wanted: Sequence[ViewSeen], chosen: dict[str, Start]) -> int | None:
    counted = [_rows_within(view, chosen[view.name]) for view in wanted]
    known = [each for each in counted if each is not None]
    return sum(known) if len(known) == len(counted) else None


def _rows_within(view: ViewSeen, start: Start) -> int | None:
    if start.at == BEGINNING:
        return view.rows
    return view.rows_after if view.counted_after == start.at else None


def _mode(seen: Seen, demand: Demand, times: dict[Mode, Forecast], *, full_possible: bool) -> tuple[Mode, str]:
    """What is asked for; else what an earlier rebuild began; else what earlier rebuilds say is quicker."""
    if demand.wish in {"materialise", "full"}:
        return ("full" if demand.wish == "full" else "materialise"), f"{demand.wish} was asked for"
    if seen.pending.full:
        return "full", "a full rebuild did not end: the store may hold what it was to remove"
    if not seen.keys:
        return "materialise", "the store holds nothing of the project: there is nothing to remove"
    learned = all(time.basis.endswith(("rebuild", "rebuilds")) for time in times.values())
    if full_possible and learned and times["full"].p50_seconds < times["materialise"].p50_seconds:
        return "full", "a full rebuild is quicker, by earlier ones"
    return "materialise", "what the store holds is kept, and nothing is served as absent meanwhile"


def _views(wanted: Sequence[ViewSeen], chosen: dict[str, Start], until: datetime) -> Iterator[ViewRebuild]:
    for view in wanted:
        start = chosen[view.name]
        yield ViewRebuild(
            view=view.name,
            start=start.at,
            end=until,
            rows=_rows_within(view, start),
            entities=view.entities,
            why=start.why,
        )


def _reasons(seen: Seen, mode: Mode) -> Iterator[str]:
    if seen.pending.ids:
        yield f"unfinished before: {', '.join(seen.pending.ids)}"
    if mode == "full":
        yield f"{seen.keys:,} keys of project {seen.project} are removed first, then each view is materialised anew"
