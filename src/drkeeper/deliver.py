"""Send what could not be sent when its recovery point was taken: commits whose git remote was away.

What is sent lies in the point (`commit.bundle`); a small record in the vault says that it has arrived.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from threading import Event

from pydantic import AwareDatetime

from drkeeper import catalog, clock
from drkeeper.errors import DrkeeperError
from drkeeper.log import get_logger
from drkeeper.progress import Silent
from drkeeper.recovery_point import Record, RecoveryPoint, SystemRecord
from drkeeper.restore import VaultStreams
from drkeeper.systems import Delivering, System
from drkeeper.vault.layout import DELIVERIES
from drkeeper.vault.vault import Vault


class Delivery(Record):
    """That a system's copy of one point has arrived, and as what."""

    point_id: str
    system: str
    at: AwareDatetime
    words: str


@dataclass(frozen=True)
class Delivered:
    """What came of one try; `error` is empty where it arrived."""

    point_id: str
    system: str
    words: str = ""
    error: str = ""


def deliver(vault: Vault, systems: Mapping[str, System]) -> list[Delivered]:
    """Send everything that is waiting, oldest first; a system's later ones wait for its earlier ones."""
    results: list[Delivered] = []
    stuck: set[str] = set()
    for point, record, system in _waiting(vault, systems):
        if record.name in stuck:
            continue
        result = _send(vault, point, record, system)
        results.append(result)
        get_logger().info("not delivered" if result.error else "delivered", **asdict(result))
        if result.error:
            stuck.add(record.name)
    return results


def _waiting(vault: Vault, systems: Mapping[str, System]) -> Iterator[tuple[RecoveryPoint, SystemRecord, Delivering]]:
    able = {name: system for name, system in systems.items() if isinstance(system, Delivering)}
    if not able:
        return
    arrived = set(vault.record_keys(DELIVERIES))
    for point in catalog.list_points(vault).points:
        for record in point.systems:
            system = able.get(record.name)
            if system and system.undelivered(record) and _key(point, record) not in arrived:
                yield point, record, system


def _send(vault: Vault, point: RecoveryPoint, record: SystemRecord, system: Delivering) -> Delivered:
    try:
        words = system.deliver(record, VaultStreams(vault, record, Silent(), Event()))
    except DrkeeperError as error:
        return Delivered(point.point_id, record.name, error=str(error))
    delivery = Delivery(point_id=point.point_id, system=record.name, at=clock.now(), words=words)
    vault.create_record(_key(point, record), delivery)
    return Delivered(point.point_id, record.name, words=words)


def _key(point: RecoveryPoint, record: SystemRecord) -> str:
    return f"{DELIVERIES}{point.point_id}-{record.name}.json"
