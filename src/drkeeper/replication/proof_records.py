"""What is kept of proofs of a bucket and its replica: records of the vault, the newest ones of each level.

`bucket-proofs/<system>/<time>-<level>.json`, and `bucket-proofs/<system>/walk/<region>-<number>.json`: how far `intact`
has come around the ring, written while it goes, so that a run that was killed goes on where it was.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from pydantic import AwareDatetime, Field

from drkeeper.errors import FrameMissing, LeaseHeld, RecordCorrupt
from drkeeper.facts import Check, Verdict
from drkeeper.recovery_point import Record
from drkeeper.vault.layout import BUCKET_PROOFS, time_text
from drkeeper.vault.vault import Vault

KEPT = 100
WALKS_KEPT = 3
BucketLevel = Literal["stored", "intact", "restorable"]
Region = Literal["source", "replica"]
REGIONS: tuple[Region, ...] = get_args(Region)


class Damaged(Record):
    """An object that is not what its server says it is.

    Attributes:
        detail: What is wrong with it.
        since: When that was first seen.
    """

    key: str
    etag: str
    size_bytes: int
    detail: str
    since: AwareDatetime


class Circle(Record):
    """Once around the ring.

    Attributes:
        objects: Re-hashed on the way, each once, whatever came of it.
        overlooked: Damaged ones for which there was no room in `Walk.damaged`.
        ended_at: None: it is under way.
    """

    began_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    objects: int = 0
    size_bytes: int = 0
    overlooked: int = 0


class Walk(Record):
    """How far one region's objects have been re-hashed; the highest number counts.

    Attributes:
        cursor: Place on the ring: before it, all was looked at in the present circle.
        circle: The present one; None: the next object begins one.
        last_circle: The last one that went all around.
        damaged: Objects that were found damaged and were not seen intact, replaced or gone since.
        left: Length of the ring that the present run has still to go; 0: it is over.
        share: Of the ring, that the present run was asked for.
        objects: Re-hashed by the present run; so with the fields that follow.
        of_objects: How many the region lists.
        unchecked: How many were not checked, by reason.
    """

    number: int = 0
    at: AwareDatetime
    cursor: int = 0
    circle: Circle | None = None
    last_circle: Circle | None = None
    damaged: tuple[Damaged, ...] = ()
    left: int = 0
    share: float = 0
    run_began_at: AwareDatetime
    objects: int = 0
    size_bytes: int = 0
    unchecked: dict[str, int] = Field(default_factory=dict)
    of_objects: int = 0
    of_bytes: int = 0

    @property
    def overlooked(self) -> int:
        """How many more are damaged than are named, at least: found again, they are named when there is room."""
        return max((circle.overlooked for circle in (self.circle, self.last_circle) if circle), default=0)


class Coverage(Record):
    """How much of a region's objects has been re-hashed.

    Attributes:
        since: When the circle began of which this tells; every object that is counted was re-hashed since.
        ring: How much of the ring that circle has covered, 0 to 1; 1: it went all around, by `until`.
        of_objects: How many there are.
        all_since: All objects that were there then were re-hashed since; None: not yet once around.
    """

    since: AwareDatetime
    until: AwareDatetime
    ring: float
    objects: int
    size_bytes: int
    of_objects: int
    of_bytes: int
    all_since: AwareDatetime | None = None


class RegionProof(Record):
    """What was found in one region.

    Attributes:
        region: "source" or "replica".
        objects: That were looked at.
        unchecked: How many could not be checked, by reason.
        failed: How many did not pass; findings name the first ones.
        not_checked: Why the region proves nothing; "" where it proves something.
        bytes_per_second: At which they were read; None where nothing was.
    """

    region: Region
    url: str
    verdict: Verdict
    objects: int = 0
    size_bytes: int = 0
    unchecked: dict[str, int] = Field(default_factory=dict)
    failed: int = 0
    not_checked: str = ""
    coverage: Coverage | None = None
    elapsed_seconds: float = 0
    bytes_per_second: float | None = None


class BucketProof(Record):
    """What one verification found of a bucket and its replica.

    Attributes:
        sample: Share of the objects (of the ring, with "intact") that was looked at.
        seed: Of a sample; None where none was drawn.
        due_by: With "stored": what was in the source by then must be in the replica; None: all of it.
        not_due: How many objects are younger, and not in the replica yet.
        extra: How many the replica has and the source does not.
        findings: The first of those that failed or were not checked.
        notes: What an operator should know, and what is no failure.
    """

    system: str
    level: BucketLevel
    at: AwareDatetime
    elapsed_seconds: float
    sample: float = 1.0
    seed: int | None = None
    due_by: AwareDatetime | None = None
    not_due: int = 0
    extra: int = 0
    regions: tuple[RegionProof, ...]
    findings: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Failed where any region did; passed only where each region passed."""
        found = {region.verdict for region in self.regions}
        return "failed" if "failed" in found else "passed" if found == {"passed"} else "not checked"

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """By region."""
        return {region.region: region.verdict for region in self.regions}


def keep_proof(vault: Vault, proof: BucketProof) -> BucketProof:
    """Write it, and drop the oldest of this system and level beyond the newest hundred.

    Returns:
        The proof as it was written: a second after the newest one, where there is one of that second.
    """
    keys = proof_keys(vault, proof.system, proof.level)
    while True:
        key = f"{BUCKET_PROOFS}{proof.system}/{time_text(proof.at)}-{proof.level}.json"
        if key > max(keys, default="") and vault.create_record(key, proof):
            _drop(vault, [*keys, key][:-KEPT])
            return proof
        proof = proof.model_copy(update={"at": proof.at + timedelta(seconds=1)})


def proof_keys(vault: Vault, system: str, level: BucketLevel) -> list[str]:
    """Of all that are kept, oldest first."""
    ending = f"-{level}.json"
    return [key for key in vault.record_keys(f"{BUCKET_PROOFS}{system}/") if key.endswith(ending)]


def newest_proof(vault: Vault, system: str, level: BucketLevel) -> BucketProof | None:
    """The last one at a level that can be read; None where there is none. A damaged proof proves nothing."""
    for key in reversed(proof_keys(vault, system, level)):
        try:
            return vault.read_record(key, BucketProof)
        except (FrameMissing, RecordCorrupt):
            continue
    return None


def newest_walk(vault: Vault, system: str, region: Region) -> Walk | None:
    """Where the last run came to; None before the first."""
    for key in reversed(_walk_keys(vault, system, region)):
        try:
            return vault.read_record(key, Walk)
        except (FrameMissing, RecordCorrupt):
            continue  # the one before it is as good, and a little behind
    return None


def keep_walk(vault: Vault, system: str, region: Region, walk: Walk) -> None:
    """Write where a run came to, and drop what came before.

    Raises:
        LeaseHeld: Somebody else walks there, too, and has come further.
    """
    if not vault.create_record(f"{_walks(system)}{region}-{walk.number:012}.json", walk):
        raise LeaseHeld(f"another verification re-hashes the {region} of {system}", hint="wait for it to end")
    _drop(vault, _walk_keys(vault, system, region)[:-WALKS_KEPT])


def _walks(system: str) -> str:
    return f"{BUCKET_PROOFS}{system}/walk/"


def _walk_keys(vault: Vault, system: str, region: Region) -> list[str]:
    return [key for key in vault.record_keys(_walks(system)) if key.rpartition("/")[2].startswith(f"{region}-")]


def _drop(vault: Vault, keys: list[str]) -> None:
    if keys:
        for store in vault.regions.available().values():
            store.delete(keys)


def coverage_of(walk: Walk, ring_covered: float) -> Coverage | None:
    """What a walk amounts to; None before its first object."""
    shown = walk.circle or walk.last_circle
    if shown is None:
        return None
    until: datetime = shown.ended_at or walk.at
    return Coverage(
        since=shown.began_at,
        until=until,
        ring=ring_covered if walk.circle else 1.0,
        objects=shown.objects,
        size_bytes=shown.size_bytes,
        of_objects=walk.of_objects,
        of_bytes=walk.of_bytes,
        all_since=walk.last_circle.began_at if walk.last_circle else None,
    )
