"""Prove a bucket and its replica: stored (listings), intact (bytes re-hashed), restorable (objects fetched).

Each region is judged by itself. One that does not answer is "not checked": that proves nothing, and takes nothing away.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import time_at
from drkeeper.buckets.errors import BucketUnreachable, BytesDamaged, ObjectGone
from drkeeper.buckets.listed import Listed
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.reserved import protects
from drkeeper.facts import Check
from drkeeper.progress import Progress, Silent
from drkeeper.replication.proof_intact import Walker
from drkeeper.replication.proof_records import (
    REGIONS,
    BucketLevel,
    BucketProof,
    Region,
    RegionProof,
    keep_proof,
    keep_walk,
    newest_walk,
)
from drkeeper.replication.proof_restorable import Fetcher, Fetching, chosen
from drkeeper.replication.proof_stored import Stored, compare_listings
from drkeeper.replication.proof_words import FINDINGS_KEPT, absent, fetched_proof, finding, rest, walk_proof
from drkeeper.replication.records import newest_complete
from drkeeper.replication.run import Pair
from drkeeper.replication.walk import first
from drkeeper.vault.vault import Vault

RESTORABLE_SHARE = 0.05
NOTHING_TO_COMPARE = "the other region does not answer: there is nothing to compare with"
Away = dict[Region, str]
"""Regions that do not answer, and what they said."""


@dataclass
class Prover:
    """Proves one pair; each proof is kept in the vault, too.

    Attributes:
        incomparable: Why the replica is no copy of the source now (it is primary); "" while it is one.
    """

    pair: Pair
    vault: Vault
    progress: Progress = field(default_factory=Silent)
    incomparable: str = ""

    def __post_init__(self) -> None:
        """Open both buckets; connects to nothing."""
        copier = self.pair.copier()
        self._copier = copier
        self._buckets: dict[Region, Bucket] = {"source": copier.source, "replica": copier.replica}
        self._protected = protects(self.pair.options.exclude)
        self._began = clock.monotonic_seconds()

    def prove(self, level: BucketLevel, *, share: float | None = None, seed: int | None = None) -> BucketProof:
        """Look, judge, and keep the record.

        Args:
            level: How deep.
            share: Of the objects that are looked at; None: all of them (with "restorable" a twentieth).
            seed: Of the sample that "restorable" draws; None: a random one, which is recorded.

        Raises:
            LeaseHeld: With "intact": another verification of this bucket is under way.
            Interrupted, VaultUnreachable: What "intact" looked at is kept.
        """
        match level:
            case "stored":
                return self._stored()
            case "intact":
                around = share or 1.0
                return self._intact(lambda walker: walker.go(around), around)
            case "restorable":
                chance = secrets.randbits(32) if seed is None else seed
                return self._restorable(share or RESTORABLE_SHARE, chance)

    def look_again(self) -> BucketProof:
        """At what is known to be damaged, and at nothing else: after it was healed."""
        return self._intact(Walker.look_again, 0.0)

    def _stored(self) -> BucketProof:
        due_by = self._due_by()
        away = self._away() or (dict.fromkeys(REGIONS, self.incomparable) if self.incomparable else {})
        stored = Stored()
        if not away:
            try:
                stored = compare_listings(self.pair, self._copier, due_by)
            except (BucketUnreachable, BytesDamaged) as error:
                away = self._away() or dict.fromkeys(REGIONS, str(error))
        if away:
            regions = [absent(name, self._url(name), away.get(name, NOTHING_TO_COMPARE)) for name in REGIONS]
        else:
            regions = [
                RegionProof(
                    region="source",
                    url=self._url("source"),
                    verdict="passed",
                    objects=stored.source_objects,
                    size_bytes=stored.source_bytes,
                ),
                RegionProof(
                    region="replica",
                    url=self._url("replica"),
                    verdict="failed" if stored.failed else "passed",
                    objects=stored.replica_objects,
                    size_bytes=stored.replica_bytes,
                    failed=stored.failed,
                ),
            ]
        more = {"due_by": due_by, "not_due": stored.not_due, "extra": stored.extra_count, "notes": tuple(stored.notes)}
        return self._kept("stored", regions, stored.checks, **more)

    def _intact(self, go: Callable[[Walker], None], share: float) -> BucketProof:
        """Both regions at once; each goes on from where it was."""
        away = self._away()
        walkers: dict[Region, Walker] = {name: self._walker(name) for name in REGIONS if name not in away}
        with ThreadPoolExecutor(len(REGIONS), thread_name_prefix="walk") as pool:
            futures = {name: pool.submit(copy_context().run, go, each) for name, each in walkers.items()}
        for name, future in futures.items():
            try:
                future.result()
            except (BucketUnreachable, BytesDamaged) as error:
                away[name] = str(error)
        regions = [
            walk_proof(name, walkers[name], away.get(name, ""))
            if name in walkers
            else absent(name, self._url(name), away[name])
            for name in REGIONS
        ]
        damaged = ((name, each) for name in walkers for each in walkers[name].walk.damaged)
        findings = [finding("intact", self.pair.system, name, each.key, each.detail) for name, each in damaged]
        asked = share or max((each.walk.share for each in walkers.values()), default=0.0)
        return self._kept("intact", regions, findings, sample=asked)

    def _restorable(self, share: float, seed: int) -> BucketProof:
        away = self._away()
        fetching = tuple(Fetching(self._buckets[name], name) for name in REGIONS if name not in away)
        together = [(each,) for each in fetching] if self.incomparable else [fetching] if fetching else []
        for regions in together:
            first = regions[0]
            try:
                self._fetch(regions, chosen(self._listed(first.bucket), share, seed))
            except (BucketUnreachable, BytesDamaged) as error:  # of the listing
                away[first.region] = str(error)
        came = {each.region: each for each in fetching}
        proofs = [
            fetched_proof(came[name], away.get(name, "")) if name in came else absent(name, self._url(name), away[name])
            for name in REGIONS
        ]
        failed = ((each.region, key, why) for each in fetching for key, why in each.failed.items())
        findings = [finding("restorable", self.pair.system, *each) for each in failed]
        return self._kept("restorable", proofs, findings, sample=share, seed=seed)

    def _fetch(self, regions: tuple[Fetching, ...], wanted: Iterator[Listed]) -> None:
        task = f"fetch {self.pair.system}"
        fetcher = Fetcher(regions, self._copier.pace, self._due_by(), self.progress, task, FINDINGS_KEPT)
        self.progress.begin(task)
        outcome = "failed"
        try:
            fetcher.fetch(wanted)
            outcome = "done"
        finally:
            self.progress.end(task, outcome)

    def _walker(self, region: Region) -> Walker:
        other: Region = "replica" if region == "source" else "source"
        return Walker(
            bucket=self._buckets[region],
            other=self._buckets[other],
            pace=self._copier.pace,
            keep=partial(keep_walk, self.vault, self.pair.system, region),
            protected=self._protected,
            progress=self.progress,
            task=f"re-hash {self.pair.system} {region}",
            walk=newest_walk(self.vault, self.pair.system, region) or first(clock.now()),
        )

    def _kept(
        self, level: BucketLevel, regions: Sequence[RegionProof], findings: Sequence[Check], **more: Any
    ) -> BucketProof:
        """Findings of both regions, as many of each as there is room for."""
        named = [check for name in REGIONS for check in self._of(findings, name)]
        checks = [*named, *rest(self.pair.system, regions, named)]
        proof = BucketProof(
            system=self.pair.system,
            level=level,
            at=clock.now(),
            elapsed_seconds=round(clock.monotonic_seconds() - self._began, 3),
            regions=tuple(regions),
            findings=tuple(checks),
            **more,
        )
        return keep_proof(self.vault, proof)

    def _of(self, findings: Sequence[Check], region: Region) -> list[Check]:
        own = [each for each in findings if each.subject.startswith(f"{self.pair.system}.{region}.")]
        return own[:FINDINGS_KEPT]

    def _away(self) -> Away:
        """Regions that do not answer."""
        away: Away = {}
        for name, bucket in self._buckets.items():
            try:
                time_at(bucket)
            except (BucketUnreachable, ObjectGone) as error:
                away[name] = str(error)
        return away

    def _due_by(self) -> datetime | None:
        urls = {"source_url": self._url("source"), "replica_url": self._url("replica")}
        record = newest_complete(self.vault, self.pair.system, **urls)
        return record.as_of if record else None

    def _listed(self, bucket: Bucket) -> Iterator[Listed]:
        return (one for one in list_objects(bucket) if self._protected(one.key))

    def _url(self, region: Region) -> str:
        return self._buckets[region].url
