"""A bucket that is too large for one table, piece by piece: compare all of them, ask the guard, copy what lacks.

The guard's question is about the whole replica, and pieces are brought one by one, perhaps on several machines: so
nothing is overwritten before all of them were compared, and then each piece may overwrite what it was compared to, and
no more. A piece that finds more by then (the source is being written to) leaves it, and is granted it as long as the
whole stays within the guard's bound.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from drkeeper.errors import Refused
from drkeeper.replication.guard import GUARD_HINT, Guard
from drkeeper.replication.shard_run import Bringing, Tally, bring
from drkeeper.replication.shards import Shard

Bring = Callable[[Mapping[Shard, int], bool], Iterator[tuple[Shard, Tally]]]
"""Brings pieces, in any order: how many objects each may overwrite, and whether to compare only.

A tally with more `changed` than that says that none of them was overwritten."""


class _TooMany(Exception):
    """More would be overwritten than the piece may."""


def bring_piece(how: Bringing, shard: Shard, may_overwrite: int) -> Tally:
    """Bring one piece; where more than so many objects differ, these are left, and `changed` says how many they are."""
    seen: list[Tally] = []

    def judge(tally: Tally) -> None:
        how.may_overwrite(tally)
        if not how.dry_run and tally.changed > may_overwrite:
            seen.append(tally)
            raise _TooMany

    try:
        return bring(replace(how, may_overwrite=judge), shard)
    except _TooMany:
        return seen[0]


def bring_pieces(
    shards: Iterable[Shard], bring_them: Bring, guard: Guard, *, system: str, dry_run: bool, check: Callable[[], None]
) -> Tally:
    """Bring all of them.

    Raises:
        Refused: The guard stopped it; before the copying began, nothing was changed.
    """
    compared: dict[Shard, Tally] = {}
    for shard, tally in bring_them(dict.fromkeys(shards, 0), True):  # noqa: FBT003 - a callback's
        check()
        compared[shard] = tally
    whole = total_of(compared.values())
    if dry_run:
        return whole
    if not guard.allows(whole.replica_objects, overwritten=whole.changed, deleted=0):
        sentence = guard.sentence(whole.replica_objects, overwritten=whole.changed, deleted=0)
        raise Refused(f"{system}: {sentence}; nothing was overwritten", hint=GUARD_HINT)
    allowed = max(whole.changed, guard.objects, int(guard.share * whole.replica_objects))
    same = total_of(tally for tally in compared.values() if not lacks(tally))
    same.add(_copied({shard: tally for shard, tally in compared.items() if lacks(tally)}, bring_them, allowed, system))
    return same


def lacks(tally: Tally) -> bool:
    """Whether there is something to copy in a piece that was compared."""
    return bool(tally.new or tally.changed)


def total_of(tallies: Iterable[Tally]) -> Tally:
    """What pieces came to, all together."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _copied(compared: Mapping[Shard, Tally], bring_them: Bring, allowed: int, system: str) -> Tally:
    total = Tally()
    pieces = {shard: tally.changed for shard, tally in compared.items()}
    granted = sum(pieces.values())
    while pieces:
        left: dict[Shard, int] = {}
        for shard, tally in bring_them(pieces, False):  # noqa: FBT003 - a callback's
            if tally.changed > pieces[shard]:
                granted += tally.changed - pieces[shard]
                if granted > allowed:
                    raise Refused(f"{system}: more is being overwritten than was allowed; stopped", hint=GUARD_HINT)
                left[shard] = tally.changed
                total.add(_only_copies(tally))
            else:
                # What a worker had copied before it was lost lacks no more when the piece is done again.
                total.add(replace(tally, new=max(tally.new, compared[shard].new)))
        pieces = left
    return total


def _only_copies(tally: Tally) -> Tally:
    """Of a piece that will be brought again: what was copied, without what will be counted then."""
    return Tally(copied_bytes=tally.copied_bytes, verified=tally.verified)
