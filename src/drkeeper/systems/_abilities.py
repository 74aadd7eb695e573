"""What not every kind of system can do: who has the methods is asked. Names are taken from `drkeeper.systems`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, SecretStr

from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord

if TYPE_CHECKING:
    import psycopg

    from drkeeper.systems import Streams, System


@runtime_checkable
class Noticing(Protocol):
    """A frozen view that noticed something worth telling while it was read."""

    @property
    def findings(self) -> tuple[Check, ...]:
        """Asked for after the last stream; one of severity "error" makes the system's record partial."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A system whose restored parts would touch the others: they come up held, and are released when all are back."""

    @property
    def holds(self) -> bool:
        """Whether a switch leaves anything to release."""
        ...

    def release(self) -> None:
        """Let everything that is held run; finds it by itself, and may be called again after a crash."""
        ...


@runtime_checkable
class Recognising(Protocol):
    """A system that can tell what its own switch put there, wholly or half, from what somebody else did.

    Without it, a switch that was cut off goes on only while the target is empty.
    """

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """Whether the live data come of a `switch` under this name, which ended or was cut off.

        Asked only of a switch that was begun. False where that is not certain.
        """
        ...


@runtime_checkable
class SelfProving(Protocol):
    """A system that can compare more than facts with a record after a restore."""

    def verify(self, record: SystemRecord, streams: "Streams") -> Iterable[Check]:
        """Statements about the live endpoint; subjects without the system's name. Changes nothing."""
        ...


@runtime_checkable
class Differing(Protocol):
    """A system that can show beforehand what a restore would change."""

    def difference(self, record: SystemRecord, streams: "Streams") -> Iterator[str]:
        """Lines of a unified diff; secrets masked. Changes nothing."""
        ...


@runtime_checkable
class Narrowing(Protocol):
    """A system of which a part can be restored, or that can be restored to another place than its own."""

    @property
    def place(self) -> str:
        """Where a restore goes, and how much of it; for people, without secrets."""
        ...

    def narrowed(self, only: Sequence[str], into: str, others: Sequence[BaseModel] = ()) -> "System":
        """The same system, of which nothing outside of `only` is touched, verified or counted.

        Args:
            only: Its parts, in the kind's own words; () for all of it.
            into: Another place, which must hold nothing of it yet; "" for the system's own.
            others: Options of all systems of the policy, which may know the other place.

        Raises:
            UsageInvalid: A part or the place cannot be one.
        """
        ...


@runtime_checkable
class Delivering(Protocol):
    """A system that sends a copy of what was captured elsewhere, and can do so later."""

    def undelivered(self, record: SystemRecord) -> bool:
        """Whether the record's copy did not get there when the point was taken."""
        ...

    def deliver(self, record: SystemRecord, streams: "Streams") -> str:
        """Send it now; says in a few words what came of it."""
        ...


@runtime_checkable
class Clearing(Protocol):
    """A system that can be emptied, where the endpoint itself says that it may be."""

    def insist_clearable(self) -> None:
        """Ask the endpoint whether it may be emptied.

        Raises:
            Refused: It does not carry the mark that allows it.
        """
        ...

    def clear(self) -> None:
        """Remove everything that a policy would protect.

        Raises:
            Refused: The endpoint does not carry the mark that allows it.
        """
        ...


@runtime_checkable
class Identifying(Protocol):
    """A system that gives new ids to what is restored."""

    def new_ids(self, record: SystemRecord, streams: "Streams") -> Iterator[tuple[str, str, str]]:
        """Former id, present id, and the path of each object that is in the record and live."""
        ...


@runtime_checkable
class Executing(Protocol):
    """A system in which programs can be run."""

    def execute(
        self, argv: Sequence[str], *, namespace: str, pod: str, selector: str, container: str, timeout_seconds: float
    ) -> tuple[int, str]:
        """Run a program, without standard input, in the named Pod, or in the first running one of the selector.

        Gives its exit code and the end of its stderr; raises what kept it from beginning, or from ending in time.
        """
        ...


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, for an SDK.

    Attributes:
        ca: PEM file of the authorities to trust; None: the system's.
    """

    host: str
    port: int
    user: str = ""
    password: SecretStr | None = None
    tls: bool = False
    ca: Path | None = None


@runtime_checkable
class Querying(Protocol):
    """A PostgreSQL server, or its frozen view, that an application may ask."""

    def databases(self) -> tuple[str, ...]:
        """What is protected there."""
        ...

    def connect(self, database: str, *, writing: bool = False) -> "AbstractContextManager[psycopg.Connection[Any]]":
        """A connection in autocommit mode: `connection.transaction()` begins one.

        Of a frozen view: one read-only transaction in its snapshot, as of the frozen moment.

        Args:
            database: One of `databases`.
            writing: Sessions of a system are read-only without it.

        Raises:
            SystemUnreachable: No connection, it was lost, or the server refused what was asked.
        """
        ...


@runtime_checkable
class Browsing(Protocol):
    """A system of objects."""

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`, without a slash at the end: keys are below it."""
        ...

    def entries(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Key and size in bytes of each object that is there now, by one listing; keys without the url's prefix."""
        ...

    def recorded(self, streams: "Streams") -> Iterator[tuple[str, int]]:
        """The same of a recovery point: no request at all."""
        ...

    def fetch(self, key: str) -> Iterator[bytes]:
        """The bytes of one object.

        Raises:
            ObjectGone: It is not there.
        """
        ...

    def sdk_environment(self) -> dict[str, SecretStr]:
        """What boto3 and what is built on it (MLflow, s3fs) finds the endpoint and its keys by."""
        ...


@runtime_checkable
class Sampling(Protocol):
    """A frozen key-value store that knows for certain what some of its hashes held at the frozen moment."""

    def samples(self) -> Mapping[bytes, Mapping[bytes, bytes]]:
        """Key -> field -> value, of random hashes of database 0 that did not change around the freeze."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A key-value store that keeps hashes."""

    @property
    def endpoint(self) -> Endpoint:
        """Where an SDK finds it."""
        ...

    def keys(self) -> Iterator[bytes]:
        """All keys of database 0, by SCAN; one may come twice."""
        ...

    def hashes(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, dict[bytes, bytes], int]]:
        """Key, fields and time to live in milliseconds (-1: for ever) of those keys that are hashes, in order.

        Takes keys as they come, in batches of bounded size.
        """
        ...

    def fields(self, keys: Iterable[bytes], names: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Key, and the values of these fields in order; None where one, or the key, is missing. Hashes only."""
        ...

    def information(self) -> dict[str, str]:
        """The fields of INFO (`maxmemory_policy`, `evicted_keys`, `expired_keys` …)."""
        ...

    def remove(self, keys: Iterable[bytes]) -> int:
        """Remove keys, in batches; how many there were."""
        ...


@runtime_checkable
class Registering(Protocol):
    """A Feast registry, or its frozen view."""

    def registry(self) -> bytes:
        """All of it as Feast's `Registry` message (`drkeeper.feature_registry` reads it).

        Raises:
            CaptureFailed: It is empty, or cannot be read.
        """
        ...

    def feast_config(self) -> tuple[dict[str, Any], dict[str, SecretStr]]:
        """The `registry` part of a Feast `RepoConfig`, and what its process finds in the environment.

        Of a live system only. Secrets stand in the environment wherever Feast can take them from there.
        """
        ...


@runtime_checkable
class Locked(Protocol):
    """A system whose writers take turns under a lock of drkeeper's (`drkeeper lock NAME -- COMMAND`)."""

    @property
    def lock_name(self) -> str:
        """Held while the system is frozen, and while a restore switches it."""
        ...
