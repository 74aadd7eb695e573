"""Live probes of everything that the policy names, each failure with its remedy. Nothing is changed."""

from collections.abc import Iterator, Mapping

from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.systems import System
from drkeeper.vault.layout import HEADER
from drkeeper.vault.store import Store


def probe_systems(systems: Mapping[str, System]) -> Iterator[Check]:
    """Each system's own probes, its name before each subject."""
    for name, system in systems.items():
        for check in system.probe():
            yield check.model_copy(update={"subject": f"{name}.{check.subject}"})


def probe_regions(regions: Mapping[str, Store]) -> Iterator[Check]:
    """Whether each region answers and holds a vault."""
    for name, store in regions.items():
        subject = f"vault.{name}"
        try:
            there = store.head(HEADER) is not None
        except DrkeeperError as error:
            yield Check(subject=subject, verdict="failed", detail=str(error), remedy=error.hint)
            continue
        if there:
            yield Check(subject=subject, verdict="passed", detail="answers and holds a vault")
        else:
            yield Check(subject=subject, verdict="failed", detail="answers, and holds no vault", remedy="drkeeper init")
