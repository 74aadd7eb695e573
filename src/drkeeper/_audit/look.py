"""Reads all that regions hold of the audit log, and what drills wrote down of it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from drkeeper._audit.chain import Held
from drkeeper._audit.link import Link, Place
from drkeeper.errors import FrameMissing, RecordCorrupt, VaultUnreachable
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import AUDIT, DRILLS
from drkeeper.vault.vault import Vault

READ_THREADS = 8


def held(vault: Vault) -> tuple[list[Held], dict[str, str]]:
    """All links as each region has them, in their order; and why regions could not be asked, by name."""
    present, away = _listed(vault)
    everywhere = sorted(set().union(*present.values()))
    with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="audit-read") as pool:
        return list(pool.map(lambda place: _held(vault, place, present), everywhere)), away


def _listed(vault: Vault) -> tuple[dict[str, set[Place]], dict[str, str]]:
    present: dict[str, set[Place]] = {}
    away = dict(vault.regions.unavailable)
    for region, store in vault.regions.available().items():
        try:
            places = (Place.of(entry.key) for entry in store.list(AUDIT))
            present[region] = {place for place in places if place is not None}
        except VaultUnreachable as error:
            away[region] = str(error)
    return present, away


def _held(vault: Vault, place: Place, present: dict[str, set[Place]]) -> Held:
    each = Held(place)
    for region, places in present.items():
        if place not in places:
            each.faults[region] = "missing"
            continue
        try:
            link = vault.read_record(place.key, Link, region=region)
        except FrameMissing:
            each.faults[region] = "missing"
        except RecordCorrupt:
            each.faults[region] = "damaged"
        else:
            each.links[region] = link
            each.digests[region] = vault.digest(link)
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
