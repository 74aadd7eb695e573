"""The applications whose database says where artifacts are, and the buckets that it may lead to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drkeeper._relocation.records import MoveRecord, RelocationRecord
from drkeeper.applications._mlflow.moves import Move
from drkeeper.applications._mlflow.options import Options
from drkeeper.buckets.bucket import Bucket
from drkeeper.errors import UsageInvalid
from drkeeper.failover import current_roles
from drkeeper.failover.records import Side
from drkeeper.policy import Policy
from drkeeper.systems import Querying
from drkeeper.systems._objects.options import Options as BucketOptions
from drkeeper.vault.vault import Vault
from drkeeper.wiring import open_systems


@dataclass(frozen=True)
class Pair:
    """A bucket of an application, and its replica.

    Attributes:
        source: Its url, without a slash at the end.
        endpoints: Of both, in that order.
    """

    system: str
    source: str
    replica: str
    endpoints: tuple[str, str]

    def to(self, primary: Side) -> Move:
        """What makes locations lead to that side."""
        forth = Move(self.source, self.replica)
        return forth if primary == "replica" else forth.reversed

    def endpoint(self, side: Side) -> str:
        """Of one of them."""
        return self.endpoints[side == "replica"]

    def has(self, move: MoveRecord) -> bool:
        """Whether a move was from one of them to the other."""
        return {move.old, move.new} == {self.source, self.replica}


@dataclass(frozen=True)
class Toward:
    """The side of a pair to which locations are to lead."""

    pair: Pair
    side: Side

    @property
    def move(self) -> Move:
        """What makes them."""
        return self.pair.to(self.side)


@dataclass(frozen=True)
class Place:
    """An application's database, and the buckets that it refers to."""

    application: str
    options: Options
    policy: Policy
    pairs: tuple[Pair, ...]

    def database(self) -> tuple[Querying, str]:
        """The system, and the name of the database. Asks the server where the policy names none.

        Raises:
            SystemUnreachable: It does not answer.
            UsageInvalid: It has several databases, or cannot be asked.
        """
        name = self.options.database
        system = open_systems(self.policy, [name])[name]
        if not isinstance(system, Querying):
            raise UsageInvalid(f"{name} is of kind {system.kind}, which cannot be asked for rows")
        found = (self.options.database_name,) if self.options.database_name else system.databases()
        if len(found) != 1:
            raise UsageInvalid(f"{name} has {len(found)} databases", hint="say which one in `database_name`")
        return system, found[0]


def places(policy: Policy, names: Iterable[str] = ()) -> tuple[Place, ...]:
    """The applications that keep locations: those that are named, else all.

    Raises:
        UsageInvalid: One of the names is none.
    """
    found = {
        name: Place(name, application.options, policy, tuple(_pairs(policy, application.options)))
        for name, application in policy.applications.items()
        if isinstance(application.options, Options)
    }
    for name in names:
        if name not in found:
            there = f"there is {', '.join(found)}" if found else "the policy has none: applications with kind: mlflow"
            raise UsageInvalid(f"{name} is no application that keeps locations of artifacts", hint=there)
    return tuple(found[name] for name in (tuple(names) or found))


def derived(place: Place, vault: Vault, records: Iterable[RelocationRecord]) -> tuple[Toward, ...]:
    """What makes locations lead to the buckets that are primary.

    A bucket that was never switched needs nothing; after a fail-back, whatever leads to the replica leads back.
    """
    records, found = tuple(records), []
    for pair in place.pairs:
        roles = current_roles(vault, pair.system)
        if roles.primary == "replica" or roles.epoch or _went_to_the_replica(pair, records):
            found.append(Toward(pair, roles.primary))
    return tuple(found)


def _pairs(policy: Policy, options: Options) -> Iterator[Pair]:
    for name in options.artifacts:
        bucket = policy.systems[name].options
        if isinstance(bucket, BucketOptions) and bucket.replica is not None:
            source, replica = Bucket(bucket), Bucket(bucket.replica)
            urls = bucket.url.rstrip("/"), bucket.replica.url.rstrip("/")
            yield Pair(name, *urls, (source.endpoint, replica.endpoint))


def _went_to_the_replica(pair: Pair, records: Iterable[RelocationRecord]) -> bool:
    """Whether the newest relocation that has to do with the pair did."""
    moves = (move for record in records for move in record.moves if pair.has(move))
    newest = next(moves, None)
    return newest is not None and newest.new == pair.replica
