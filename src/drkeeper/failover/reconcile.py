"""What a fail-back does with one key that differs between replica and source. Pure.

A three-way comparison: the replica's own versions say what the source's object was when both parted. An object that
the source has and the replica never had is something that would be lost, and is never overwritten unasked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

Verdict = Literal["same", "copy", "delete", "keep", "conflict"]
Prefer = Literal["replica", "source"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a key, or a delete marker.

    Attributes:
        in_parts: Whether it came in several: its ETag is no digest of its bytes, and depends on the parts.
        stands_for: ETag of what it is a copy of, in other parts; "" where nothing is known.
    """

    modified_at: datetime
    etag: str = ""
    size_bytes: int = 0
    is_marker: bool = False
    version_id: str = ""
    storage_class: str = ""
    stands_for: str = ""
    in_parts: bool = False


@dataclass(frozen=True)
class Parting:
    """When both sides parted, and what is known of them since.

    Attributes:
        source_at: Of the fail-over, by the source's clock.
        replica_at: Of the fail-over, by the replica's clock.
        replicated_until: What the source held before that (by its clock) had been replicated; None: unknown.
        source_versioned: Whether the source keeps versions: then what it does not know it never had.
        brought: ETags of replica and source, by key, of copies whose ETags differ: made by this run.
        source_wrong: The source's data are wrong: the replica counts for each key, whoever wrote when.
    """

    source_at: datetime
    replica_at: datetime
    replicated_until: datetime | None = None
    source_versioned: bool = True
    brought: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    source_wrong: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a key, and why.

    Attributes:
        source: What stands there now; None: nothing.
        replica: The same of the replica.
        preferred: Whose object counts; None where that was no question.
        righted: Whether something that the source did of its own is undone, as its data are wrong.
    """

    key: str
    verdict: Verdict
    why: str = ""
    source: Seen | None = None
    replica: Seen | None = None
    preferred: Prefer | None = None
    righted: bool = False

    @property
    def overwrites(self) -> bool:
        """Whether an object of the source is replaced."""
        return self.verdict == "copy" and self.source is not None

    @property
    def takes_from_replica(self) -> bool:
        """Whether the next replication would overwrite or delete an object of the replica, as the source's stays."""
        return self.verdict == "keep" and self.replica is not None


def decide(
    key: str, source: Sequence[Seen], replica: Sequence[Seen], parting: Parting, *, noted_missing: bool = False
) -> Decision:
    """What a fail-back does with a key.

    Args:
        key: Of both.
        source: Its versions there, newest first; without versioning, what is there now.
        replica: The same of the replica.
        parting: When both sides parted.
        noted_missing: Whether replication had seen it deleted at the source before the fail-over.
    """
    here, there = _present(source), _present(replica)
    verdict: Verdict
    if here is None and there is None:
        verdict, why = "same", ""
    elif here is not None and there is not None:
        verdict, why = _both(key, here, there, replica, parting)
    elif there is not None:
        verdict, why = _only_replica(there, source, replica, parting, noted_missing=noted_missing)
    else:
        assert here is not None  # noqa: S101 - the last of four cases
        verdict, why = _only_source(here, replica, parting)
    if parting.source_wrong and verdict in {"keep", "conflict"}:
        return Decision(key, "copy" if there is not None else "delete", why, here, there, righted=True)
    return Decision(key, verdict, why, here, there)


def resolve(decision: Decision, prefer: Prefer | None, *, source_versioned: bool) -> Decision:
    """A decision as it is carried out: conflicts as they were decided, no deletion where nothing would be kept."""
    verdict: Verdict = decision.verdict
    why = decision.why
    preferred = prefer if verdict == "conflict" else None
    if verdict == "conflict" and prefer is not None:
        why = f"{why}; the {prefer}'s was preferred"
        verdict = "keep" if prefer == "source" else "copy" if decision.replica else "delete"
    if verdict == "delete" and not source_versioned:
        verdict, why = "keep", "deleted at the replica; the source keeps no versions, so nothing is deleted there"
    return replace(decision, verdict=verdict, why=why, preferred=preferred)


def _both(key: str, here: Seen, there: Seen, replica: Sequence[Seen], parting: Parting) -> tuple[Verdict, str]:
    if _same(key, here, there, parting):
        return "same", ""
    written_here = here.modified_at >= parting.source_at
    if there.modified_at >= parting.replica_at:
        if _was_at_replica(here, replica, parting):
            return "copy", "written at the replica"
        when = "since the fail-over" if written_here else "before the fail-over, too late to be replicated"
        return "conflict", f"written at both sides; at the source {when}"
    if written_here:
        return "conflict", "written at the source since the fail-over"
    return "keep", "written at the source before the fail-over, too late to be replicated"


def _only_replica(
    there: Seen, source: Sequence[Seen], replica: Sequence[Seen], parting: Parting, *, noted_missing: bool
) -> tuple[Verdict, str]:
    written = there.modified_at >= parting.replica_at
    marker = source[0] if source else None
    if marker is None:
        if noted_missing and not written:
            return "keep", "deleted at the source before the fail-over"
        return "copy", "written at the replica" if written else "the source has lost it"
    if marker.modified_at >= parting.source_at:
        # We ourselves put a marker there, in an earlier run, where the replica has one, too.
        if written and any(each.is_marker and each.modified_at >= parting.replica_at for each in replica):
            return "copy", "written at the replica"
        also = ", written at the replica" if written else ""
        return "conflict", f"deleted at the source since the fail-over{also}"
    return ("copy", "written at the replica") if written else ("keep", "deleted at the source before the fail-over")


def _only_source(here: Seen, replica: Sequence[Seen], parting: Parting) -> tuple[Verdict, str]:
    written_here = here.modified_at >= parting.source_at
    marker = replica[0] if replica else None
    deleted_there = marker is not None and marker.modified_at >= parting.replica_at
    if deleted_there or (marker is None and _replicated(here, parting)):
        if _was_at_replica(here, replica, parting):
            return "delete", "deleted at the replica"
        return "conflict", "deleted at the replica, written at the source"
    if written_here:
        return "conflict", "written at the source since the fail-over"
    return "keep", "written at the source before the fail-over, too late to be replicated"


def _present(versions: Sequence[Seen]) -> Seen | None:
    return versions[0] if versions and not versions[0].is_marker else None


def _same(key: str, here: Seen, there: Seen, parting: Parting) -> bool:
    """Whether both are one object; parts that could not be kept are told by a note, or by when they were written.

    Of a source whose data are wrong neither notes nor times count: encrypted in place, an object keeps its size, its
    metadata, and a time before the fail-over.
    """
    if here.size_bytes != there.size_bytes:
        return False
    if here.etag == there.etag or parting.brought.get(key) == (there.etag, here.etag):
        return True
    if here.etag == there.stands_for:
        return True
    if parting.source_wrong:
        return False
    return there.etag == here.stands_for or _copied_before(here, there, parting)


def _copied_before(here: Seen, there: Seen, parting: Parting) -> bool:
    """Whether a version of the same size is the copy of an object in parts: both from before, the copy no older."""
    ahead = parting.source_at - parting.replica_at
    before = here.modified_at < parting.source_at and there.modified_at < parting.replica_at
    return before and (here.in_parts or there.in_parts) and there.modified_at + ahead >= here.modified_at


def _was_at_replica(here: Seen, replica: Sequence[Seen], parting: Parting) -> bool:
    """Whether the replica has, or had, the object that the source has: then the source has nothing of its own."""
    for each in replica:
        if each.is_marker or each.size_bytes != here.size_bytes:
            continue
        if each.etag in {here.etag, here.stands_for} or _copied_before(here, each, parting):
            return True
    return _replicated(here, parting)


def _replicated(here: Seen, parting: Parting) -> bool:
    """Whether a run that was complete had brought it to the replica."""
    return parting.replicated_until is not None and here.modified_at < min(parting.replicated_until, parting.source_at)
