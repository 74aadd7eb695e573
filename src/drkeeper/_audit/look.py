"""Reads all that regions hold of the audit log, and what drills wrote down of it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

from drkeeper import clock
from drkeeper._audit.chain import Held
from drkeeper._audit.link import Link, Place
from drkeeper.errors import FrameMissing, RecordCorrupt, VaultUnreachable
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import AUDIT, DRILLS
from drkeeper.vault.vault import Vault

READ_THREADS = 8
JUST_NOW = timedelta(minutes=1)
COPY_SECONDS = 0.5
"""So long is waited once for links that were written just now: they go to one region after the other."""


def held(vault: Vault) -> tuple[list[Held], dict[str, str]]:
    """All links as each region has them, in their order; and why regions could not be asked, by name."""
    present, away = _listed(vault)
    everywhere = sorted(set().union(*present.values()))
    with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="audit-read") as pool:
        found = list(pool.map(lambda place: _held(vault, place, present), everywhere))
    if any(_on_its_way(each) for each in found):
        clock.sleep(COPY_SECONDS)
        found = [_held(vault, each.place, present) if _on_its_way(each) else each for each in found]
    return found, away


def _on_its_way(each: Held) -> bool:
    """Whether a region lacks a link that was written just now."""
    now = clock.now()
    return "missing" in each.faults.values() and any(now - link.at < JUST_NOW for link in each.links.values())


def _listed(vault: Vault) -> tuple[dict[str, set[Place]], dict[str, str]]:
    """What each region lists. The log goes on meanwhile: who was asked first may hold more by now than it said."""
    present: dict[str, set[Place]] = {}
    away = dict(vault.regions.unavailable)
    for region, store in vault.regions.available().items():
        try:
            places = (Place.of(entry.key) for entry in store.list(AUDIT))
            present[region] = {place for place in places if place is not None}
        except VaultUnreachable as error:
            away[region] = str(error)
    return present, away


def _held(vault: Vault, place: Place, regions: Iterable[str]) -> Held:
    each = Held(place)
    for region in regions:
        try:
            link = vault.read_record(place.key, Link, region=region)
        except FrameMissing:
            each.faults[region] = "missing"
        except RecordCorrupt:
            each.faults[region] = "damaged"
        else:
            alike = next((other for other in each.links.values() if other == link), link)  # kept once: logs grow long
            each.links[region] = alike
            each.digests[region] = vault.digest(alike)
    return each


def anchors(vault: Vault) -> dict[str, str]:
    """What drills wrote down of the log as they ended."""
    found: dict[str, str] = {}
    for key in vault.record_keys(DRILLS):
        with suppress(FrameMissing, RecordCorrupt):
            record = vault.read_record(key, DrillRecord)
            if record.audit_head:
                found[f"drill {record.drill_id}"] = record.audit_head
    return found
