"""What is put to the test after a rebuild, besides what the application says of itself. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue

from drkeeper._rebuild.held import Held
from drkeeper._rebuild.seen import ViewSeen, moment
from drkeeper.facts import Check
from drkeeper.recovery_point import ApplicationRecord

FULL = "run it again with `--mode full`"


def proofs(views: Iterable[ViewSeen], held: Mapping[str, Held], at: datetime, *, expiring: bool) -> Iterator[Check]:
    """Whether the store holds of each rebuilt view what its source has, entity for entity, by their event times.

    A sum over all entities is enough to find one that was left behind: nothing in the store is newer than the source
    is when it is read, but what came into the source since.

    Args:
        views: As they were seen before, with their sources.
        held: View -> what the store holds now.
        at: Now.
        expiring: Whether keys of the store expire.
    """
    for view in views:
        subject = f"rebuild.{view.name}"
        now = held[view.name]
        if view.source_entities is None or view.source_times_sum is None:
            yield Check(subject=f"{subject}.entities", verdict="not checked", detail="its source cannot be counted")
            continue
        yield _entities(subject, view.source_entities, now.entities, expiring=expiring)
        if now.entities == view.source_entities:
            yield _event_times(subject, view, now)
        if view.kind == "batch" and view.source_newest_at and now.newest_at and now.newest_at > view.source_newest_at:
            yield _ahead(subject, now.newest_at, view.source_newest_at, at)


def _ahead(subject: str, newest_at: datetime, source_newest_at: datetime, at: datetime) -> Check:
    """What is newer than the source was may have come meanwhile, unless it comes out of the future."""
    return Check(
        subject=f"{subject}.ahead",
        verdict="failed",
        severity="error" if newest_at > at else "warning",
        detail=f"the store holds values of {moment(newest_at)}, and its source ended at {moment(source_newest_at)}",
        remedy=FULL,
    )


def until(witness: ApplicationRecord, end: datetime) -> ApplicationRecord:
    """What a recovery point remembers, without values of a later event time: a rebuild does not bring these back."""
    entities = witness.samples.get("entities")
    if not isinstance(entities, list):
        return witness
    kept: list[JsonValue] = [
        {**entity, "views": {name: view for name, view in views.items() if _is_within(view, end)}}
        for entity in entities
        if isinstance(entity, dict) and isinstance(views := entity.get("views"), dict)
    ]
    return witness.model_copy(update={"samples": {**witness.samples, "entities": kept}})


def _is_within(view: JsonValue, end: datetime) -> bool:
    return isinstance(view, dict) and datetime.fromisoformat(str(view["event_time"])) <= end


def left(names: Mapping[str, str]) -> Iterator[Check]:
    """Views that stay as they were."""
    for name, why in names.items():
        yield Check(
            subject=f"rebuild.{name}.left",
            verdict="not checked",
            severity="warning",
            detail=f"it stays as it was: {why}",
        )


def _entities(subject: str, expected: int, found: int, *, expiring: bool) -> Check:
    detail = f"{found:,} are in the store, {expected:,} in the source"
    subject = f"{subject}.entities"
    if found < expected and expiring:
        return Check(subject=subject, verdict="not checked", detail=f"{detail}; keys of the store expire")
    if found < expected:
        return Check(subject=subject, verdict="failed", detail=detail, remedy=FULL)
    return Check(subject=subject, verdict="passed", detail=detail)


def _event_times(subject: str, view: ViewSeen, now: Held) -> Check:
    behind = (view.source_times_sum or 0) - now.times_sum
    subject = f"{subject}.event_times"
    if behind > 0:
        detail = f"entities are older than in the source, by {behind / 1e6:,.0f} s altogether"
        return Check(subject=subject, verdict="failed", detail=detail, remedy=FULL)
    newest = moment(view.source_newest_at) if view.source_newest_at else "nothing"
    return Check(subject=subject, verdict="passed", detail=f"all as new as the source, which ends at {newest}")
