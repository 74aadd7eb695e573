"""Reads of a vault what `metrics` tells: every region is asked, and only records that are new are fetched.

Nothing here fails because a region or a record does: what could not be read is part of what is known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Generic, TypeVar, get_args

from drkeeper import clock
from drkeeper.bucket_metrics import BucketState
from drkeeper.catalog import LEVELS, Proof
from drkeeper.errors import DrkeeperError, FrameMissing, RecordCorrupt
from drkeeper.facts import Facts
from drkeeper.lease import latest
from drkeeper.metrics import RECOVERED, Known, LeaseState, RegionState
from drkeeper.objectives import Promise, outcome_of
from drkeeper.recovery_point import Record, RecoveryPoint
from drkeeper.replication.proof_records import BucketLevel, BucketProof
from drkeeper.replication.records import ReplicationRecord
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import BUCKET_PROOFS, DRILLS, HEADER, LEASES, POINTS, PROOFS, REPLICATIONS, point_id_of
from drkeeper.vault.store import Store
from drkeeper.vault.vault import Vault

READ_THREADS = 4
DRILLS_READ = 20
"""How far back a drill that recovered is looked for."""

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
    """

    def __init__(
        self, policy: str, systems: Mapping[str, str], objectives: Promise, regions: Mapping[str, Store]
    ) -> None:
        self._policy = policy
        self._systems = dict(systems)
        self._objectives = objectives
        self._regions = dict(regions)
        self._points: _Records[RecoveryPoint] = _Records(RecoveryPoint, _without_facts)
        self._proofs: _Records[Proof] = _Records(Proof)
        self._drills: _Records[DrillRecord] = _Records(DrillRecord)
        self._copies: _Records[ReplicationRecord] = _Records(ReplicationRecord)
        self._bucket_proofs: _Records[BucketProof] = _Records(BucketProof)

    def observe(self, now: datetime) -> Known:
        """Ask every region, and read what is new."""
        states = _ask(self._regions)
        up = {state.name: self._regions[state.name] for state in states if state.up}
        if not up:
            return self._unreadable(states, "no region of the vault answers")
        try:
            return self._read(states, Vault.open(up), now)
        except DrkeeperError as error:  # regions went away since they were asked, or are not of one vault
            return self._unreadable(states, str(error))

    def _unreadable(self, states: Sequence[RegionState], why: str) -> Known:
        return Known(self._policy, self._systems, self._objectives, states, readable=False, why=why)

    def _read(self, states: Sequence[RegionState], vault: Vault, now: datetime) -> Known:
        point_keys = vault.record_keys(POINTS)
        points = [point for point in self._points.all(vault, point_keys) if point.policy == self._policy]
        proof_keys = vault.record_keys(PROOFS)
        proofs = {point.point_id: self._proofs_of(vault, point.point_id, proof_keys) for point in points}
        drill_keys = vault.record_keys(DRILLS)
        drills = self._newest_drills(vault, drill_keys)
        primary = self._regions[states[0].name] if states[0].up else None
        for records, keys in ((self._points, point_keys), (self._proofs, proof_keys), (self._drills, drill_keys)):
            records.forget_all_but(keys)
        return Known(
            self._policy,
            self._systems,
            self._objectives,
            states,
            readable=True,
            points=points,
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
        )

    def _proofs_of(self, vault: Vault, point_id: str, keys: Iterable[str]) -> tuple[Proof, ...]:
        own = [key for key in keys if key.startswith(f"{PROOFS}{point_id}/")]
        return needed_proofs(own, lambda key: self._proofs.one(vault, key))

    def _newest_drills(self, vault: Vault, keys: Sequence[str]) -> list[DrillRecord]:
        """Back to the newest in which everything came back; oldest first."""
        found: list[DrillRecord] = []
        for key in reversed(keys[-DRILLS_READ:]):
            record = self._drills.one(vault, key)
            if record is not None and record.policy == self._policy:
                found.append(record)
                if outcome_of(record) in RECOVERED:
                    break
        return found[::-1]

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


class _Records(Generic[R]):
    """Records of one kind that were read, by key, and those that are damaged."""

    def __init__(self, model: type[R], slim: Callable[[R], R] = lambda record: record) -> None:
        self._model = model
        self._slim = slim
        self._known: dict[str, R] = {}
        self.damaged: set[str] = set()

    def all(self, vault: Vault, keys: Sequence[str]) -> list[R]:
        """All that can be read, in the order of the keys; new ones are fetched side by side."""
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="observe") as pool:
            return [record for record in pool.map(lambda key: self.one(vault, key), keys) if record is not None]

    def one(self, vault: Vault, key: str) -> R | None:
        """None where it is damaged, or was removed since it was listed."""
        if key in self._known:
            return self._known[key]
        try:
            record = self._slim(vault.read_record(key, self._model))
        except FrameMissing:
            return None
        except RecordCorrupt:
            self.damaged.add(key)  # tried again next time: it may be mended
            return None
        self.damaged.discard(key)
        self._known[key] = record
        return record

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """Drop what is no longer listed."""
        listed = set(keys)
        self._known = {key: record for key, record in self._known.items() if key in listed}
        self.damaged &= listed


def _ask(regions: Mapping[str, Store]) -> list[RegionState]:
    """All regions side by side, so that dead ones cost the longest time-out once."""
    with ThreadPoolExecutor(len(regions), thread_name_prefix="region") as pool:
        primary = next(iter(regions))
        return list(pool.map(lambda name: _ask_one(name, regions[name], primary=name == primary), regions))


def _ask_one(name: str, store: Store, *, primary: bool) -> RegionState:
    started = clock.monotonic_seconds()
    try:
        if store.head(HEADER) is None:
            return RegionState(name, primary, up=False, why="it holds no vault")
        ids = frozenset(point_id_of(entry.key) for entry in store.list(POINTS))
    except DrkeeperError as error:
        return RegionState(name, primary, up=False, why=str(error))
    return RegionState(
        name, primary, up=True, point_ids=ids, answered_seconds=round(clock.monotonic_seconds() - started, 3)
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


def _without_facts(point: RecoveryPoint) -> RecoveryPoint:
    """Facts are most of a record, and no gauge tells them."""
    bare = Facts()
    return point.model_copy(
        update={"systems": tuple(system.model_copy(update={"facts": bare}) for system in point.systems)}
    )
