"""All recovery points of a vault: finding them, what is proven of each, and which are pinned."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import groupby
from typing import Literal, get_args

from pydantic import AwareDatetime, Field

from drkeeper import clock
from drkeeper.errors import FrameMissing, PointUnknown, RecordCorrupt, Refused, VaultUnreachable
from drkeeper.facts import Check, Verdict
from drkeeper.recovery_point import Record, RecoveryPoint
from drkeeper.vault.layout import PINS, POINTS, PROOFS, object_id, point_id_of, point_key, time_text
from drkeeper.vault.vault import Vault

Level = Literal["stored", "intact", "restorable", "usable"]
LEVELS: tuple[Level, ...] = get_args(Level)
LATEST = "latest"


class Proof(Record):
    """What one verification found of one point: `proofs/<point id>/<time>-<level>-<random>.json`.

    Attributes:
        verdict: "failed" where any region failed, "passed" where any other passed: the level is held only in
            `passed_in`. "not checked" proves nothing and disproves nothing.
        sample: Share of the frames that were looked at, 0 to 1.
        seed: Of the sample.
        regions: Regions that were looked at.
        verdicts: Of each region of the policy, also of those that could not be looked at; empty where regions were
            not looked at one by one (a drill).
    """

    point_id: str
    level: Level
    verdict: Literal["passed", "failed", "not checked"]
    at: AwareDatetime
    sample: float = 1.0
    seed: int = 0
    regions: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = Field(default_factory=dict)
    findings: tuple[Check, ...] = ()

    @property
    def passed_in(self) -> tuple[str, ...]:
        """Regions in which the level holds."""
        if self.verdicts:
            return tuple(region for region, verdict in self.verdicts.items() if verdict == "passed")
        return self.regions if self.verdict == "passed" else ()


class Pin(Record):
    """Exempts a point from retention."""

    point_id: str
    who: str
    why: str
    at: AwareDatetime


@dataclass(frozen=True)
class Standing:
    """The highest level that is proven of a point, and by what.

    Attributes:
        level: None: nothing is proven.
        proven_at: When; None with no level.
        sample: Of the proof.
        failed: The newest failed proof that no later success at its level has answered.
    """

    level: Level | None
    proven_at: datetime | None = None
    sample: float = 1.0
    failed: Proof | None = None

    def age_seconds(self, now: datetime) -> float | None:
        """Since it was proven."""
        return None if self.proven_at is None else (now - self.proven_at).total_seconds()


@dataclass(frozen=True)
class Listing:
    """The points of a vault, oldest first, and the records that cannot be read, by key."""

    points: tuple[RecoveryPoint, ...]
    damaged: dict[str, str]


def list_points(vault: Vault) -> Listing:
    """All points that any region names. A damaged record does not hide the others."""
    points = []
    damaged = {}
    for key in vault.record_keys(POINTS):
        try:
            points.append(vault.read_record(key, RecoveryPoint))
        except FrameMissing:
            continue  # forgotten since it was listed
        except RecordCorrupt as error:
            damaged[key] = str(error)
    return Listing(tuple(points), damaged)


def newest_first(vault: Vault, keys: Sequence[str] | None = None) -> Iterator[RecoveryPoint]:
    """Points as they are asked for, so that of thousands only a few are read; damaged records are passed over.

    Args:
        vault: Where they are.
        keys: Of their records, oldest first; all that any region names by default.
    """
    newest = reversed(vault.record_keys(POINTS) if keys is None else keys)
    for _, alike in groupby(newest, key=lambda key: key.rpartition("-")[0]):
        # Names tell seconds only; of one second there may be two.
        yield from sorted(_readable(vault, alike), key=lambda point: point.created_at, reverse=True)


def _readable(vault: Vault, keys: Iterable[str]) -> Iterator[RecoveryPoint]:
    for key in keys:
        with suppress(FrameMissing, RecordCorrupt):
            yield vault.read_record(key, RecoveryPoint)


def find_point(vault: Vault, wanted: str, *, allow_partial: bool = False) -> RecoveryPoint:
    """The point of an id, of an unambiguous beginning of one, or `latest`.

    Args:
        vault: Where to look.
        wanted: What somebody typed.
        allow_partial: Let `latest` be a point in which a system failed. One asked for by id is given anyway.

    Raises:
        PointUnknown: None, or more than one, answers to it.
        RecordCorrupt: Its record is damaged in every region.
    """
    if wanted == LATEST:
        return _latest(newest_first(vault), allow_partial=allow_partial)
    keys = vault.record_keys(POINTS)
    matching = [key for key in keys if wanted and point_id_of(key).startswith(wanted.lower())]
    if len(matching) == 1:
        return vault.read_record(matching[0], RecoveryPoint)
    if matching:
        raise PointUnknown(f"{len(matching)} points begin with {wanted}: {', '.join(map(point_id_of, matching))}")
    near = get_close_matches(wanted.lower(), [point_id_of(key) for key in keys], n=3, cutoff=0.5)
    raise PointUnknown(f"no recovery point {wanted}", hint=f"did you mean {' or '.join(near)}?" if near else "")


def insist_own(vault: Vault, policy: str) -> None:
    """Refuse a vault that another policy backs up into: `latest` and retention would mean the points of both.

    Raises:
        Refused: The newest backup is of another policy.
    """
    newest = next((point for point in newest_first(vault) if point.purpose == "backup"), None)
    if newest is not None and newest.policy != policy:
        raise Refused(
            f"the vault holds the recovery points of policy {newest.policy}, not of {policy}; nothing was changed",
            hint="give each policy a folder or bucket of its own under vault.regions, or this one its former name",
        )


def key_of(point: RecoveryPoint) -> str:
    """Where its record lies in the vault."""
    return point_key(point.created_at, point.point_id)


def holders(vault: Vault) -> dict[str, tuple[str, ...]]:
    """Point id -> regions that hold its record, for all points, with one listing for each region.

    A region gets the record only after all frames: so it holds the whole point. A point is durable when each region
    of the policy is named. Regions that do not answer are left out.
    """
    held: dict[str, list[str]] = {}
    for name, store in vault.regions.available().items():
        try:
            for entry in store.list(POINTS):
                held.setdefault(point_id_of(entry.key), []).append(name)
        except VaultUnreachable:
            vault.regions.shun(name)
    order = list(vault.regions.stores)
    return {point_id: tuple(sorted(names, key=order.index)) for point_id, names in held.items()}


def regions_of(vault: Vault, point: RecoveryPoint) -> tuple[str, ...]:
    """Regions that are known to hold the point, in the policy's order."""
    return holders(vault).get(point.point_id, ())


# --- proofs ---


def record_proof(vault: Vault, proof: Proof) -> None:
    """Store what a verification found."""
    name = f"{time_text(proof.at)}-{proof.level}-{secrets.token_hex(4)}"  # two may fall into one second
    vault.create_record(f"{PROOFS}{proof.point_id}/{name}.json", proof)


def proofs_of(vault: Vault, point_id: str) -> tuple[Proof, ...]:
    """All that were recorded of a point, oldest first."""
    proofs = []
    for key in vault.record_keys(f"{PROOFS}{point_id}/"):
        try:
            proofs.append(vault.read_record(key, Proof))
        except (FrameMissing, RecordCorrupt):
            continue  # a damaged proof proves nothing
    return tuple(sorted(proofs, key=lambda proof: proof.at))


def standing(proofs: Iterable[Proof]) -> Standing:
    """What proofs, oldest first, amount to: a later failure at a level takes it, and all above it, away."""
    proven: dict[Level, Proof] = {}
    failed: dict[Level, Proof] = {}
    for proof in proofs:
        reached = LEVELS.index(proof.level)
        if proof.verdict == "passed":
            proven[proof.level] = proof
            failed = {level: other for level, other in failed.items() if LEVELS.index(level) > reached}
        elif proof.verdict == "failed":
            proven = {level: other for level, other in proven.items() if LEVELS.index(level) < reached}
            failed[proof.level] = proof
    worst = max(failed.values(), key=lambda proof: proof.at, default=None)
    if not proven:
        return Standing(None, failed=worst)
    best = max(proven.values(), key=lambda proof: LEVELS.index(proof.level))
    return Standing(best.level, best.at, best.sample, worst)


def proven_in(proofs: Iterable[Proof]) -> tuple[str, ...]:
    """Regions in which the level of `standing` is proven, by proofs, oldest first.

    A region that could not be looked at later stays proven; a failure in any region takes the level away in all.
    """
    known = tuple(proofs)
    level = standing(known).level
    if level is None:
        return ()
    found: dict[str, None] = {}
    for proof in known:
        if proof.verdict == "failed" and LEVELS.index(proof.level) <= LEVELS.index(level):
            found.clear()
        elif proof.verdict == "passed" and proof.level == level:
            found.update(dict.fromkeys(proof.passed_in))
    return tuple(found)


def proof_of(vault: Vault, point_id: str) -> Standing:
    """What is proven of a point."""
    return standing(proofs_of(vault, point_id))


# --- pins ---


def pin(vault: Vault, point_id: str, *, who: str, why: str) -> Pin:
    """Exempt a point from retention; a pin that is there already stays as it is, and is returned."""
    made = Pin(point_id=point_id, who=who, why=why, at=clock.now())
    return made if vault.create_record(_pin_key(point_id), made) else vault.read_record(_pin_key(point_id), Pin)


def unpin(vault: Vault, point_id: str) -> None:
    """Take a pin away; none to take is fine."""
    vault.delete_record(_pin_key(point_id))


def pins(vault: Vault) -> dict[str, Pin]:
    """All pins, by point id. A damaged one still pins: its name says what."""
    found = {}
    for key in vault.record_keys(PINS):
        point_id = object_id(key)
        try:
            found[point_id] = vault.read_record(key, Pin)
        except FrameMissing:
            continue  # taken away since it was listed
        except RecordCorrupt as error:
            found[point_id] = Pin(point_id=point_id, who="unknown", why=str(error), at=datetime.fromtimestamp(0, UTC))
    return found


def _pin_key(point_id: str) -> str:
    return f"{PINS}{point_id}.json"


def _latest(points: Iterable[RecoveryPoint], *, allow_partial: bool) -> RecoveryPoint:
    """The newest backup of points, newest first."""
    partial = False
    for point in points:
        if point.purpose == "backup" and (allow_partial or not point.partial):
            return point
        partial = partial or point.purpose == "backup"
    if partial:
        raise PointUnknown("there are only partial recovery points", hint="name one by its id to use it all the same")
    raise PointUnknown("the vault holds no recovery point yet", hint="make one with `drkeeper backup`")
