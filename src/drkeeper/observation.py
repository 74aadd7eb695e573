"""Reads of a vault what `metrics` tells: every region is asked, and only records that are new are fetched.

Nothing here fails because a region or a record does: what could not be read is part of what is known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, get_args

from drkeeper import clock
from drkeeper._observation.records import READ_THREADS, Records
from drkeeper._observation.room import Room
from drkeeper._observation.runs import Runs
from drkeeper.bucket_metrics import BucketState
from drkeeper.catalog import LEVELS, Proof, standing
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Facts
from drkeeper.known import Expected, Known, LeaseState, PointSeen, RegionState, SlimPoint, backups_of
from drkeeper.lease import latest
from drkeeper.objectives import Promise
from drkeeper.recovery_point import Record, RecoveryPoint
from drkeeper.replication.proof_records import BucketLevel, BucketProof
from drkeeper.replication.records import ReplicationRecord
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import BUCKET_PROOFS, DRILLS, HEADER, LEASES, POINTS, PROOFS, REPLICATIONS, point_id_of
from drkeeper.vault.store import Store
from drkeeper.vault.vault import Vault

DRILLS_READ = 50
"""How far back deadlines, and the runs that forecasts learn from, are looked for."""

NAMES: tuple[str, ...] = LEVELS
BUCKETS = "objects"
"""The kind of systems that have a replica."""
BUCKET_LEVELS: tuple[BucketLevel, ...] = get_args(BucketLevel)
R = TypeVar("R", bound=Record)


class Observer:
    """Looks at one vault for one policy, as often as wanted. Not for several threads at once.

    Records are written once and never changed, so what was read is kept until it is no longer listed.

    Args:
        policy: The policy's name; points and drills of others are left out.
        systems: Name -> kind.
        objectives: What is promised.
        regions: Stores by name, the primary first; best with short time-outs.
        expected: What the policy expects besides.
    """

    def __init__(
        self,
        policy: str,
        systems: Mapping[str, str],
        objectives: Promise,
        regions: Mapping[str, Store],
        expected: Expected | None = None,
    ) -> None:
        self._policy = policy
        self._systems = dict(systems)
        self._objectives = objectives
        self._regions = dict(regions)
        self._expected = expected or Expected()
        self._points: Records[RecoveryPoint, SlimPoint] = Records(RecoveryPoint, SlimPoint.of)
        self._whole: Records[RecoveryPoint, RecoveryPoint] = Records(RecoveryPoint, _without_facts)
        self._proofs: Records[Proof, Proof] = Records(Proof, _as_it_is)
        self._drills: Records[DrillRecord, DrillRecord] = Records(DrillRecord, _as_it_is)
        self._copies: Records[ReplicationRecord, ReplicationRecord] = Records(ReplicationRecord, _as_it_is)
        self._bucket_proofs: Records[BucketProof, BucketProof] = Records(BucketProof, _as_it_is)
        self._runs = Runs()
        self._room = Room(self._regions, self._expected.capacity_bytes)

    def observe(self, now: datetime) -> Known:
        """Ask every region, and read what is new."""
        states = _ask(self._regions, self._room)
        up = {state.name: self._regions[state.name] for state in states if state.up}
        if not up:
            return self._known(states, "no region of the vault answers")
        try:
            return self._read(states, Vault.open(up), now)
        except DrkeeperError as error:  # regions went away since they were asked, or are not of one vault
            return self._known(states, str(error))

    def _known(self, states: Sequence[RegionState], why: str = "") -> Known:
        """Without what is read of the catalog."""
        return Known(
            self._policy,
            self._systems,
            self._objectives,
            states,
            readable=not why,
            why=why,
            expected=self._expected,
        )

    def _read(self, states: Sequence[RegionState], vault: Vault, now: datetime) -> Known:
        point_keys = vault.record_keys(POINTS)
        points = [point for point in self._points.all(vault, point_keys) if point.policy == self._policy]
        proof_keys = vault.record_keys(PROOFS)
        proofs = self._proofs_of(vault, points, proof_keys)
        drill_keys = vault.record_keys(DRILLS)
        drills = self._newest_drills(vault, drill_keys)
        newest, whole = self._newest(vault, states, points, proofs, point_keys)
        primary = self._regions[states[0].name] if states[0].up else None
        for forget, keys in (
            (self._points.forget_all_but, point_keys),
            (self._proofs.forget_all_but, proof_keys),
            (self._drills.forget_all_but, drill_keys),
        ):
            forget(keys)
        return replace(
            self._known(states),
            points=points,
            newest=newest,
            whole=whole,
            proofs=proofs,
            drills=drills,
            drill_count=len(drill_keys),
            leases=list(_leases(primary, now)) if primary else [],
            unreadable={
                "point": len(self._points.damaged),
                "proof": len(self._proofs.damaged),
                "drill": len(self._drills.damaged),
            },
            buckets=self._buckets(vault) if BUCKETS in self._systems.values() else (),
            backups=self._runs.look(vault, self._policy, now),
        )

    def _newest(
        self,
        vault: Vault,
        states: Sequence[RegionState],
        points: Sequence[SlimPoint],
        proofs: Mapping[str, Sequence[Proof]],
        keys: Sequence[str],
    ) -> tuple[RecoveryPoint | None, dict[str, RecoveryPoint]]:
        """The whole record of the newest backup, and of the newest in each region that a restore would take."""
        backups = backups_of(points)[::-1]
        wanted = {"": backups[0].point_id} if backups else {}
        for state in states:
            here = (each for each in backups if each.point_id in state.point_ids and not each.partial)
            taken = self._of_all(each for each in here if standing(proofs[each.point_id]).failed is None)
            if taken is not None:
                wanted[state.name] = taken.point_id
        by_id = {point_id_of(key): key for key in keys}
        self._whole.forget_all_but(by_id[point_id] for point_id in wanted.values())
        read = {place: self._whole.one(vault, by_id[point_id]) for place, point_id in wanted.items()}
        found = {place: record for place, record in read.items() if record is not None}
        return found.pop("", None), found

    def _of_all(self, newest_first: Iterable[PointSeen]) -> PointSeen | None:
        """The first that holds every system: a backup may be of some only. Where none does, one is new: the first."""
        first: PointSeen | None = None
        for point in newest_first:
            if all(point.system(name) for name in self._systems):
                return point
            first = first or point
        return first

    def _proofs_of(
        self, vault: Vault, points: Sequence[SlimPoint], keys: Iterable[str]
    ) -> dict[str, tuple[Proof, ...]]:
        own: dict[str, list[str]] = {}
        for key in keys:
            own.setdefault(key.removeprefix(PROOFS).partition("/")[0], []).append(key)
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="observe") as pool:
            found = pool.map(
                lambda point: needed_proofs(own.get(point.point_id, ()), lambda key: self._proofs.one(vault, key)),
                points,
            )
            return {point.point_id: proofs for point, proofs in zip(points, found, strict=True)}

    def _newest_drills(self, vault: Vault, keys: Sequence[str]) -> list[DrillRecord]:
        """As far back as forecasts and deadlines look; oldest first."""
        found = self._drills.all(vault, keys[-DRILLS_READ:])
        return [record for record in found if record.policy == self._policy]

    def _buckets(self, vault: Vault) -> list[BucketState]:
        copy_keys = vault.record_keys(REPLICATIONS)
        proof_keys = vault.record_keys(BUCKET_PROOFS)
        names = [name for name, kind in self._systems.items() if kind == BUCKETS]
        states = [self._bucket(vault, name, copy_keys, proof_keys) for name in names]
        self._copies.forget_all_but(copy_keys)
        self._bucket_proofs.forget_all_but(proof_keys)
        return states

    def _bucket(self, vault: Vault, system: str, copy_keys: Sequence[str], proof_keys: Sequence[str]) -> BucketState:
        """Copies back to the newest that copied everything, and the newest proof of each level."""
        newest = complete = None
        for key in reversed([key for key in copy_keys if key.startswith(f"{REPLICATIONS}{system}/")]):
            record = self._copies.one(vault, key)
            if record is None or record.dry_run:
                continue
            newest = newest or record
            if record.complete:
                complete = record
                break
        own = [key for key in proof_keys if key.startswith(f"{BUCKET_PROOFS}{system}/")]
        latest = (max((key for key in own if key.endswith(f"-{level}.json")), default="") for level in BUCKET_LEVELS)
        found = (self._bucket_proofs.one(vault, key) for key in latest if key)
        return BucketState(system, newest, complete, [proof for proof in found if proof is not None])


def needed_proofs(keys: Iterable[str], read: Callable[[str], Proof | None]) -> tuple[Proof, ...]:
    """The newest proofs of a point, oldest first: as many as `catalog.standing` needs to say what all of them would.

    Their keys name time and level, so an older proof is read only if it could raise the level that is proven, or as
    long as none was found that looked at the regions one by one.

    Args:
        keys: Of all proofs of one point.
        read: None where a proof cannot be read.
    """
    left = sorted(keys)
    found: list[Proof] = []
    proven, refuted = -1, len(LEVELS)  # the highest level proven later; the lowest found false later
    by_region = False
    while left and (not by_region or any(_level_of(key) > proven for key in left)):
        proof = read(left.pop())
        if proof is None:
            continue
        found.append(proof)
        by_region = by_region or bool(proof.verdicts)
        level = LEVELS.index(proof.level)
        if proof.verdict == "failed":
            refuted = min(refuted, level)
        elif proof.verdict == "passed" and level < refuted:
            proven = max(proven, level)
    return tuple(reversed(found))


def _ask(regions: Mapping[str, Store], room: Room) -> list[RegionState]:
    """All regions side by side, so that dead ones cost the longest time-out once."""
    with ThreadPoolExecutor(len(regions), thread_name_prefix="region") as pool:
        primary = next(iter(regions))
        return list(pool.map(lambda name: _ask_one(name, regions[name], room, primary=name == primary), regions))


def _ask_one(name: str, store: Store, room: Room, *, primary: bool) -> RegionState:
    started = clock.monotonic_seconds()
    try:
        if store.head(HEADER) is None:
            return RegionState(name, primary, up=False, why="it holds no vault")
        ids = frozenset(point_id_of(entry.key) for entry in store.list(POINTS))
    except DrkeeperError as error:
        return RegionState(name, primary, up=False, why=str(error))
    answered = round(clock.monotonic_seconds() - started, 3)
    used, capacity = room.look(name)
    return RegionState(
        name, primary, up=True, point_ids=ids, answered_seconds=answered, used_bytes=used, capacity_bytes=capacity
    )


def _leases(primary: Store, now: datetime) -> Iterator[LeaseState]:
    for name in sorted({entry.key.removeprefix(LEASES).partition("/")[0] for entry in primary.list(LEASES)}):
        state = latest(primary, name)
        until = state.held_until()
        held = until is not None and until > now
        yield LeaseState(name, held, state.record.acquired_at if held and state.record else None)


def _level_of(key: str) -> int:
    """`proofs/<point>/<time>-<level>-<random>.json`; a level of a newer drkeeper counts as above all."""
    level = key.rpartition("/")[2].split("-")[1]
    return NAMES.index(level) if level in NAMES else len(NAMES)


def _as_it_is(record: R) -> R:
    return record


def _without_facts(point: RecoveryPoint) -> RecoveryPoint:
    """Facts are most of a record, and no gauge tells them."""
    bare = Facts()
    return point.model_copy(
        update={"systems": tuple(system.model_copy(update={"facts": bare}) for system in point.systems)}
    )
