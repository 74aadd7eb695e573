"""Which recovery points stay, and why. Pure: points and a moment in, verdicts out.

The words are restic's: `keep_daily: 7` keeps the newest point of each of the seven newest UTC days that have one.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from drkeeper.recovery_point import RecoveryPoint

UNDO_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Rules:
    """How many points of each kind stay; all 0: every point stays.

    Attributes:
        undo_kept: How long undo points stay; they count for none of the other rules.
    """

    keep_last: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    undo_kept: timedelta = UNDO_KEPT

    @property
    def keeps_all(self) -> bool:
        """Whether nothing was ruled."""
        return not any(getattr(self, field.name) for field in fields(self) if field.name.startswith("keep_"))


@dataclass(frozen=True)
class Verdict:
    """What becomes of one point; a reason for each rule that keeps it, or one why it goes."""

    point_id: str
    created_at: datetime
    keep: bool
    reasons: tuple[str, ...]


def judge(
    points: Iterable[RecoveryPoint], rules: Rules, *, now: datetime, pinned: Container[str] = frozenset()
) -> tuple[Verdict, ...]:
    """One verdict for each point, oldest first.

    A partial point is never counted by a rule, so it cannot crowd out a complete one; it stays while no complete
    point is newer. The newest complete point always stays.
    """
    ordered = sorted(points, key=lambda point: (point.created_at, point.point_id))
    complete = [point for point in ordered if point.purpose == "backup" and not point.partial]
    ruled = _by_rules(complete, rules)
    newest = complete[-1] if complete else None
    return tuple(_verdict(point, rules, now=now, pinned=pinned, ruled=ruled, newest=newest) for point in ordered)


def _verdict(
    point: RecoveryPoint,
    rules: Rules,
    *,
    now: datetime,
    pinned: Container[str],
    ruled: dict[str, list[str]],
    newest: RecoveryPoint | None,
) -> Verdict:
    reasons = ["pinned"] if point.point_id in pinned else []
    otherwise = "no rule keeps it"
    if point.purpose == "undo":
        otherwise = f"an undo point older than {_days(rules.undo_kept)}"
        if now - point.created_at < rules.undo_kept:
            reasons.append(f"an undo point of the last {_days(rules.undo_kept)}")
    elif point.partial:
        otherwise = "partial, and a complete point is newer"
        if newest is None or newest.created_at <= point.created_at:
            reasons.append("partial, and no complete point is newer")
        elif rules.keeps_all:
            reasons.append("nothing is ruled")
    else:
        reasons += ruled[point.point_id]
        if not reasons and point is newest:
            reasons.append("the newest complete point")
    return Verdict(point.point_id, point.created_at, bool(reasons), tuple(reasons) or (otherwise,))


def _by_rules(complete: Sequence[RecoveryPoint], rules: Rules) -> dict[str, list[str]]:
    """Point id -> the rules that keep it."""
    kept: dict[str, list[str]] = {point.point_id: [] for point in complete}
    if rules.keeps_all:
        return {point_id: ["nothing is ruled"] for point_id in kept}
    for name, count, bucket_of in _series(rules):
        seen: set[object] = set()
        for point in reversed(complete):
            bucket = bucket_of(point)
            if bucket in seen:
                continue
            if len(seen) == count:
                break
            seen.add(bucket)
            kept[point.point_id].append(f"{name} {len(seen)} of {count}")
    return kept


def _series(rules: Rules) -> list[tuple[str, int, Callable[[RecoveryPoint], object]]]:
    return [
        ("last", rules.keep_last, lambda point: point.point_id),
        ("daily", rules.keep_daily, lambda point: _utc(point).date()),
        ("weekly", rules.keep_weekly, lambda point: _utc(point).isocalendar()[:2]),
        ("monthly", rules.keep_monthly, lambda point: (_utc(point).year, _utc(point).month)),
        ("yearly", rules.keep_yearly, lambda point: _utc(point).year),
    ]


def _days(span: timedelta) -> str:
    return f"{span.days} days"


def _utc(point: RecoveryPoint) -> datetime:
    return point.created_at.astimezone(UTC)
