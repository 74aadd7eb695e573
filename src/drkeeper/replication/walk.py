"""Going around the ring: how a run begins, goes on and ends. Pure.

A run that was killed is finished by the next one that asks for the same share; any other begins where it was. So, of
one circle, no object is counted twice, and none is left out.
"""

from collections.abc import Iterable
from datetime import datetime

from drkeeper.replication.proof_records import Circle, Damaged, Walk
from drkeeper.replication.rehash import Rehashed
from drkeeper.replication.ring import FULL, length_of

DAMAGED_KEPT = 1_000
SLACK = FULL >> 24
"""A run that would end so close to the end of the circle ends there: thirty thirtieths are one, after rounding, too."""
REASONS_KEPT = 20
OTHER = "other reasons"


def first(now: datetime) -> Walk:
    """Before the first run."""
    return Walk(at=now, run_began_at=now)


def begun(walk: Walk, share: float, now: datetime) -> Walk:
    """A run of that share of the ring, from where the last one ended."""
    if walk.left and walk.share == share:
        return walk
    left = length_of(share)
    if abs(walk.cursor + left - FULL) < SLACK:
        left = FULL - walk.cursor
    fresh = {"objects": 0, "size_bytes": 0, "unchecked": {}, "run_began_at": now}
    return walk.model_copy(update={**fresh, "left": left, "share": share})


def leg_end(walk: Walk) -> int:
    """Up to where the run goes in this circle: at most FULL."""
    return min(FULL, walk.cursor + walk.left)


def moved(walk: Walk, cursor: int, came: Iterable[Rehashed], now: datetime) -> Walk:
    """After everything between the walk's cursor and this one was looked at, with what came of it.

    Args:
        walk: Before.
        cursor: At most `leg_end`; FULL ends the circle.
        came: One for each object there.
        now: When.
    """
    outcomes = tuple(came)
    damaged, overlooked = _damage(walk.damaged, outcomes, now)
    hashed = [each.one.size_bytes for each in outcomes if each.state in {"intact", "damaged"}]
    circle = walk.circle or Circle(began_at=max(walk.at, walk.run_began_at))
    over = cursor == FULL
    circle = circle.model_copy(
        update={
            "objects": circle.objects + len(hashed),
            "size_bytes": circle.size_bytes + sum(hashed),
            "overlooked": circle.overlooked + overlooked,
            "ended_at": now if over else None,
        }
    )
    return walk.model_copy(
        update={
            "at": now,
            "cursor": 0 if over else cursor,
            "circle": None if over else circle,
            "last_circle": circle if over else walk.last_circle,
            "left": walk.left - (cursor - walk.cursor),
            "objects": walk.objects + len(hashed),
            "size_bytes": walk.size_bytes + sum(hashed),
            "unchecked": _counted(walk.unchecked, outcomes),
            "damaged": damaged,
        }
    )


def looked_again(walk: Walk, came: Iterable[Rehashed], now: datetime) -> Walk:
    """With what is known to be damaged brought up to date; where the run is does not change.

    Args:
        walk: Before.
        came: One for each of the objects that are known to be damaged.
        now: When.
    """
    return walk.model_copy(update={"damaged": _damage(walk.damaged, came, now)[0], "at": now})


def numbered(walk: Walk) -> Walk:
    """Ready to be written down next."""
    return walk.model_copy(update={"number": walk.number + 1})


def _damage(known: Iterable[Damaged], came: Iterable[Rehashed], now: datetime) -> tuple[tuple[Damaged, ...], int]:
    """What is known to be damaged by now, and for how much there was no room."""
    named = {each.key: each for each in known}
    overlooked = 0
    for each in came:
        before = named.get(each.one.key)
        if each.state == "damaged":
            same = before is not None and before.etag == each.one.etag
            if before is None and len(named) >= DAMAGED_KEPT:
                overlooked += 1
                continue
            named[each.one.key] = Damaged(
                key=each.one.key,
                etag=each.one.etag,
                size_bytes=each.one.size_bytes,
                detail=each.detail,
                since=before.since if before and same else now,
            )
        elif each.state != "not checked":  # that takes nothing away
            named.pop(each.one.key, None)
    return tuple(named.values()), overlooked


def _counted(unchecked: dict[str, int], outcomes: Iterable[Rehashed]) -> dict[str, int]:
    counts = dict(unchecked)
    for each in outcomes:
        if each.state == "not checked":
            reason = each.detail if each.detail in counts or len(counts) < REASONS_KEPT else OTHER
            counts[reason] = counts.get(reason, 0) + 1
    return counts
