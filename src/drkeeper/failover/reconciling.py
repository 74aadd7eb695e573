"""Bring to the source what was written or deleted at the replica: compare, guard, copy, put delete markers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from drkeeper.buckets.bulk import NotCopied, copy_all
from drkeeper.buckets.copied import Copied, Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.pacing import Pace
from drkeeper.buckets.uploads import discard_uploads
from drkeeper.errors import DrkeeperError, Refused
from drkeeper.failover.errors import ConflictsLate
from drkeeper.failover.parting import parting_of
from drkeeper.failover.reconcile import Parting, Prefer
from drkeeper.failover.sides import Sides, protection
from drkeeper.failover.steps import Reconciliation, World
from drkeeper.failover.survey import View, decisions, summarise
from drkeeper.progress import Progress, Silent

GUARD_HINT = "look at what was written at the replica; then give `--allow-share 1`"
KEPT_HINT = (
    "are the source's data wrong? `drkeeper failover run --system {system} --source-wrong` says so, and the replica "
    "counts for every object; else give `--allow-share 1`"
)


@dataclass
class Reconciler:
    """Reconciles one system.

    Attributes:
        check: Raises where we are not alone any more.
        brought: ETags of copies whose parts could not be kept, by key: what the replica has, and the source now.
    """

    sides: Sides
    world: World
    prefer: Prefer | None = None
    allow_share: float | None = None
    check: Callable[[], None] = lambda: None
    progress: Progress = field(default_factory=Silent)
    brought: dict[str, tuple[str, str]] = field(default_factory=dict)

    def look(self) -> Reconciliation:
        """Compare both sides. Changes nothing."""
        return summarise(self._view())

    def guard_says(self, found: Reconciliation) -> str:
        """Why the share guard stops it; "" where it does not.

        What stays as it is at the source counts, too: the next replication would carry it into the replica.
        """
        guard = self.sides.pair.guard(self.allow_share)
        if not guard.allows(found.source_objects, overwritten=found.overwrites, deleted=found.deletions):
            return (
                f"{found.overwrites:,} objects of the source would be overwritten and {found.deletions:,} deleted, of "
                f"{found.source_objects:,}, where a share of {guard.share:.0%} is allowed; {GUARD_HINT}"
            )
        if not guard.allows(found.replica_objects, overwritten=found.kept_overwrites, deleted=found.kept_deletions):
            return (
                f"{found.kept_overwrites:,} objects that the replica holds are others at the source, and "
                f"{found.kept_deletions:,} are deleted there: the next replication would overwrite and delete them, of "
                f"{found.replica_objects:,}, where a share of {guard.share:.0%} is allowed; "
                f"{KEPT_HINT.format(system=self.sides.pair.system)}"
            )
        return ""

    def carry_out(self, *, last: bool) -> None:
        """Compare again, and do it. May be done again: what is equal then is left alone.

        Args:
            last: Nobody writes any more; half-done uploads are taken away.

        Raises:
            ConflictsLate: Both sides were changed since the plan was made; nothing more was changed.
            Refused: The share guard stops it.
            DrkeeperError: Some objects were not copied; the message names one.
        """
        found = self.look()
        if found.conflict_count:
            first = found.conflicts[0]
            raise ConflictsLate(
                f"{found.conflict_count} conflicts came up meanwhile, the first: {first.key}: {first.why}; "
                "nothing of them was overwritten, and the replica is still primary",
                hint="see them with `drkeeper failback --dry-run`",
            )
        if said := self.guard_says(found):
            raise Refused(said)
        if found.copies or found.deletions:
            self._bring()
        if last:
            discard_uploads(self.sides.bucket("source"))

    def _bring(self) -> None:
        pair = self.sides.pair
        copier = Copier(
            self.sides.bucket("replica", read_only=True),
            self.sides.bucket("source"),
            Pace(pair.options.copying.requests, pair.rate_bytes_per_second),
        )
        deleted: list[str] = []
        in_parts: dict[str, str] = {}
        failed: list[NotCopied] = []
        task = f"bring back {pair.system}"
        self.progress.begin(task)
        for outcome in copy_all(copier, self._wanted(deleted, in_parts)):
            match outcome:
                case Copied():
                    self.progress.advance(task, outcome.size_bytes)
                    etag = in_parts.pop(outcome.key, outcome.etag)
                    if etag != outcome.etag:
                        self.brought[outcome.key] = (etag, outcome.etag)
                case NotCopied(gone=False):
                    failed.append(outcome)
                case NotCopied():
                    pass  # deleted at the replica meanwhile: the next look sees it
        self._delete(copier, deleted)
        self.progress.end(task, "failed" if failed else "done")
        if failed:
            raise DrkeeperError(
                f"{len(failed)} objects were not brought back, the first: {failed[0].key}: {failed[0].error}",
                hint="run it again; the replica is still primary",
            )

    def _wanted(self, deleted: list[str], in_parts: dict[str, str]) -> Iterator[Wanted]:
        for number, each in enumerate(decisions(self._view())):
            if number % 1000 == 0:
                self.check()
            if each.verdict == "delete":
                deleted.append(each.key)
            elif each.verdict == "copy" and each.replica is not None:
                there = each.replica
                if there.in_parts:
                    in_parts[each.key] = there.etag
                yield Wanted(each.key, there.size_bytes, there.etag, there.storage_class)

    def _delete(self, copier: Copier, keys: list[str]) -> None:
        """As delete markers: `resolve` asks for none where no versions are kept."""
        for key in keys:
            self.check()
            copier.replica.request("DELETE", key)

    @cached_property
    def _parting(self) -> Parting:
        return parting_of(self.sides, self.world, self.prefer)

    def _view(self) -> View:
        return View(
            source=self.sides.bucket("source", read_only=True),
            replica=self.sides.bucket("replica", read_only=True),
            parting=replace(self._parting, brought=self.brought),
            protected=protection(self.sides),
            replica_versioned=self.world.replica.versioned,
            prefer=self.prefer,
        )
