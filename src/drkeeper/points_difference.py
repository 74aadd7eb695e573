"""What changed from one recovery point to another: of a Feast registry in words, of anything else its facts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from drkeeper.facts import Facts, Scalar
from drkeeper.feature_registry import FeatureRegistry, differences, parse
from drkeeper.recovery_point import ApplicationRecord, RecoveryPoint, SystemRecord
from drkeeper.vault.vault import Vault

AnyRecord = SystemRecord | ApplicationRecord
R = TypeVar("R", SystemRecord, ApplicationRecord)

REGISTRY_KIND = "feast_registry"
REGISTRY = "registry.pb"
MOST_FACTS = 20
"""Told of one system; more are counted."""
LONGEST_VALUE = 40
DIGITS = 12


@dataclass(frozen=True)
class Difference:
    """Of one system or application.

    Attributes:
        changes: In words, one line each; () where nothing changed.
    """

    name: str
    kind: str
    changes: tuple[str, ...]


def points_difference(vault: Vault, old: RecoveryPoint, new: RecoveryPoint) -> tuple[Difference, ...]:
    """Of each system, then each application, that is in either point, sorted by name.

    Raises:
        VaultUnreachable, FrameMissing, FrameCorrupt, KeyMissing: A registry cannot be read from the vault.
    """
    systems = _paired(old.systems, new.systems)
    applications = _paired(old.applications, new.applications)
    return (
        *(Difference(name, kind, tuple(_of_system(vault, was, now))) for name, kind, was, now in systems),
        *(Difference(name, kind, tuple(_of_records(was, now))) for name, kind, was, now in applications),
    )


def fact_changes(old: Facts, new: Facts) -> Iterator[str]:
    """What of the exact facts changed, the first of them named, the others counted. Pure."""
    changed = [name for name in sorted({*old.exact, *new.exact}) if _fact(old, name) != _fact(new, name)]
    for name in changed[:MOST_FACTS]:
        if name not in old.exact:
            yield f"{name}: {_said(new.exact[name])}, before nothing"
        elif name not in new.exact:
            yield f"{name}: nothing, before {_said(old.exact[name])}"
        else:
            yield f"{name}: {_said(new.exact[name])} instead of {_said(old.exact[name])}"
    if len(changed) > MOST_FACTS:
        yield f"and {len(changed) - MOST_FACTS} more facts"


def _paired(old: Sequence[R], new: Sequence[R]) -> Iterator[tuple[str, str, R | None, R | None]]:
    """Name, kind, the older record and the newer."""
    for name in sorted({one.name for one in (*old, *new)}):
        was = next((one for one in old if one.name == name), None)
        now = next((one for one in new if one.name == name), None)
        yield name, next(one.kind for one in (*new, *old) if one.name == name), was, now


def _of_system(vault: Vault, old: SystemRecord | None, new: SystemRecord | None) -> Iterator[str]:
    if old is None or new is None or new.kind != REGISTRY_KIND or "failed" in {old.status, new.status}:
        yield from _of_records(old, new)
        return
    before, after = _registry(vault, old), _registry(vault, new)
    told = differences(before, after)
    yield from told
    if not told and before.version_id != after.version_id:
        yield "written again, with the same objects"


def _of_records(old: AnyRecord | None, new: AnyRecord | None) -> Iterator[str]:
    if old is None or new is None:
        yield "only in the newer point" if old is None else "only in the older point"
        return
    for record, which in ((old, "older"), (new, "newer")):
        if record.error:
            yield f"the {which} point has less of it: {record.error}"
    if not (old.error or new.error):
        yield from fact_changes(old.facts, new.facts)


def _registry(vault: Vault, record: SystemRecord) -> FeatureRegistry:
    """The registry as it was captured; such a record always has one."""
    ref = next(stream.ref for stream in record.streams if stream.name == REGISTRY)
    return parse(b"".join(vault.read(ref)))


def _fact(facts: Facts, name: str) -> tuple[bool, Scalar]:
    return name in facts.exact, facts.exact.get(name)


def _said(value: Scalar) -> str:
    """Digests are long, and nobody compares them by eye."""
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:DIGITS]}…"
