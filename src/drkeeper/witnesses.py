"""What applications say of a platform: witnesses when a recovery point is taken, statements when one was restored.

An application that fails costs nobody the point, and no statement is left out: what could not be asked is "not
checked".
"""

import json
from collections.abc import Iterator, Mapping

from drkeeper import clock
from drkeeper.applications import Application, Restored
from drkeeper.errors import DrkeeperError, FrameCorrupt, FrameMissing, Interrupted
from drkeeper.facts import Check
from drkeeper.log import get_logger
from drkeeper.recovery_point import ApplicationRecord, RecoveryPoint
from drkeeper.systems import Browsing, Frozen, System
from drkeeper.vault.vault import Vault


def take_witnesses(
    applications: Mapping[str, Application],
    spans: Mapping[str, tuple[str, ...]],
    views: Mapping[str, Frozen],
    systems: Mapping[str, System],
) -> tuple[ApplicationRecord, ...]:
    """A record of each application whose systems are all among those that are backed up.

    Args:
        applications: By name.
        spans: Application -> its systems.
        views: Frozen views by system; one that could not be frozen is not there.
        systems: Those that are backed up.
    """
    return tuple(
        _witness(application, spans[name], views, systems)
        for name, application in applications.items()
        if set(spans[name]) <= set(systems)
    )


def statements(application: Application, restored: Restored) -> Iterator[Check]:
    """What it says of a restored platform; subjects begin with its name."""
    try:
        for check in application.check(restored):
            yield check.model_copy(update={"subject": f"{application.name}.{check.subject}"})
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - a statement that could not be asked is none that failed
        hint = error.hint if isinstance(error, DrkeeperError) else ""
        yield Check(subject=application.name, verdict="not checked", detail=_one_line(error), remedy=hint)


def witness_of(vault: Vault, point: RecoveryPoint, application: str) -> ApplicationRecord | None:
    """What an application gave to a point, with its samples; None where it gave nothing.

    Samples that are damaged everywhere are its `error`: a restore whose systems are live ends all the same.

    Raises:
        KeyMissing: They are sealed, and no identity was given.
    """
    record = point.application(application)
    if record is None or record.witness is None:
        return record
    try:
        samples = json.loads(b"".join(vault.read(record.witness.ref)))
    except (FrameMissing, FrameCorrupt) as error:
        return record.model_copy(update={"error": f"it is damaged in the vault: {_one_line(error)}"})
    return record.model_copy(update={"samples": samples})


def elsewhere(point: RecoveryPoint, systems: Mapping[str, System]) -> dict[str, str]:
    """Where objects were when the point was taken -> where they are now, of systems that are somewhere else."""
    moved: dict[str, str] = {}
    for record in point.systems:
        system, url = systems.get(record.name), record.facts.info.get("url")
        if isinstance(system, Browsing) and isinstance(url, str) and url != system.url:
            moved[url] = system.url
    return moved


def _witness(
    application: Application, spans: tuple[str, ...], views: Mapping[str, Frozen], systems: Mapping[str, System]
) -> ApplicationRecord:
    started = clock.monotonic_seconds()
    record = ApplicationRecord(name=application.name, kind=application.kind, systems=spans)
    log = get_logger().bind(application=application.name, kind=application.kind)
    missing = [name for name in spans if name not in views]
    try:
        if missing:
            return record.model_copy(update={"error": f"{', '.join(missing)} could not be frozen"})
        said = application.witness(views, systems)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - a point without this witness is better than none
        log.error("no witness", error=_one_line(error))  # noqa: TRY400 - as for systems: a line, no stack
        return record.model_copy(update={"error": _one_line(error)})
    elapsed = round(clock.monotonic_seconds() - started, 3)
    log.info("witness taken", facts=len(said.facts.exact) + len(said.facts.bounds), elapsed_seconds=elapsed)
    return record.model_copy(
        update={
            "facts": said.facts,
            "samples": dict(said.samples),
            "findings": said.findings,
            "elapsed_seconds": elapsed,
        }
    )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, DrkeeperError) else f"{type(error).__name__}: {text}"
