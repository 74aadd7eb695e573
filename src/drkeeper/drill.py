"""Restore a recovery point into a sandbox, with a clock: RTO and RPO, measured.

A drill is given a recovery point and a vault, and no production endpoint at all: what it restores into are
servers that it started itself, in a folder of its own, and that it removes, with proof, whatever happens.
"""

import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from drkeeper import clock
from drkeeper.applications import Restored
from drkeeper.drill_places import Places
from drkeeper.drill_record import DrillRequest, Measured, build_record
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.forecast import forecast_step
from drkeeper.plan import Choice, build_plan
from drkeeper.progress import Progress, Silent
from drkeeper.report.record import (
    DrillRecord,
    StepRecord,
)
from drkeeper.restore import Restorer, VaultStreams, preflight
from drkeeper.sandbox import SandboxServer
from drkeeper.steps import Meaning, Target
from drkeeper.systems import Holding, System
from drkeeper.vault.vault import Vault
from drkeeper.witnesses import elsewhere, statements, witness_of


def run_drill(
    request: DrillRequest,
    *,
    vault: Vault,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DrillRecord:
    """Restore into a sandbox, check, measure, clean up.

    A restore that fails makes a record that says so; only an interruption raises.

    Raises:
        Interrupted: `stop` was set; the sandbox is gone.
    """
    disaster_at = clock.now()
    measured = Measured()
    stop = stop or threading.Event()
    try:
        with _sandbox(request, measured) as endpoints:
            _recover(request, endpoints, measured, vault=vault, progress=progress or Silent(), stop=stop)
            measured.recovered_at = clock.now()
            _read_beats(endpoints, measured)
    except Interrupted:
        raise
    except DrkeeperError as error:
        measured.error = str(error)
    return build_record(request, measured, drill_id=secrets.token_hex(4), disaster_at=disaster_at, ended_at=clock.now())


@contextmanager
def _sandbox(request: DrillRequest, measured: Measured) -> Iterator[dict[str, System]]:
    """One fresh server for each system of the point, started side by side; gone afterwards, with proof."""
    if request.folder is not None:
        request.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="drkeeper-drill-", dir=request.folder))
    folder.chmod(0o711)  # servers that run as another user find their own folders in it
    places = Places(folder=folder, carried=request.carried, fallbacks=request.fallbacks)
    try:
        complete = [record for record in request.point.systems if record.status != "failed"]
        with ThreadPoolExecutor(max_workers=max(1, len(complete))) as pool:
            started = {
                record.name: pool.submit(_provision, record.name, record.kind, places, request) for record in complete
            }
        for name, future in started.items():
            measured.provision[name] = future.result()
        measured.places.update(places.words)
        measured.asked_only.update(name for name in places.words if request.fallbacks[name].clear is None)
        yield {record.name: places.open(record.name, record.kind) for record in complete}
    finally:
        measured.clean_up.extend(places.clear_borrowed())
        measured.clean_up.extend(_remove(places.servers, folder))


def _provision(name: str, kind: str, places: Places, request: DrillRequest) -> StepRecord:
    started_at, started = clock.now(), clock.monotonic_seconds()
    places.provision(name, kind)
    return StepRecord(
        name=f"start a sandbox for {name}" if name in places.servers else f"take {places.words[name]} for {name}",
        verb="provision",
        system=name,
        kind=kind,
        phase="provision",
        started_at=started_at,
        elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        forecast=forecast_step(kind, "provision", 0, request.history),
        outcome="done",
    )


def _recover(
    request: DrillRequest,
    endpoints: Mapping[str, System],
    measured: Measured,
    *,
    vault: Vault,
    progress: Progress,
    stop: threading.Event,
) -> None:
    targets = [
        Target(
            system=name,
            kind=system.kind,
            endpoint=measured.places.get(name, "sandbox"),
            empty=True,
            holds=isinstance(system, Holding) and system.holds,
        )
        for name, system in endpoints.items()
    ]
    measured.plan = build_plan(
        request.point,
        targets,
        plan_id=secrets.token_hex(4),
        now=clock.now(),
        history=request.history,
        choice=Choice(allow_partial=True),
        meanings=[meaning for meaning in request.meanings if not _lacking(meaning, endpoints)],
    )
    preflight(request.point, measured.plan, endpoints)
    restorer = Restorer(
        plan=measured.plan,
        point=request.point,
        endpoints=endpoints,
        vault=vault,
        notes=measured.notes,
        take_undo=_no_undo,
        progress=progress,
        stop=stop,
        prove=lambda name: _prove(request, name, endpoints, vault, stop),
        checks=measured.checks,
        usable=measured.usable,
    )
    restorer.carry_out()
    measured.usable.extend(_unasked(request.meanings, endpoints))


def _unasked(meanings: Sequence[Meaning], endpoints: Mapping[str, System]) -> Iterator[Check]:
    """Applications of which not every system was restored: nobody knows whether these work."""
    for meaning in meanings:
        if lacking := _lacking(meaning, endpoints):
            detail = f"the drill did not restore {', '.join(lacking)}, which the point lacks"
            yield Check(subject=meaning.application, verdict="not checked", detail=detail)


def _lacking(meaning: Meaning, endpoints: Mapping[str, System]) -> list[str]:
    return [name for name in meaning.systems if name not in endpoints]


def _prove(
    request: DrillRequest, name: str, endpoints: Mapping[str, System], vault: Vault, stop: threading.Event
) -> Iterator[Check]:
    """What an application says of the sandbox."""
    point = request.point
    records = {record.name: record for record in point.systems if record.name in endpoints}
    restored = Restored(
        systems=endpoints,
        streams={each: VaultStreams(vault, record, Silent(), stop) for each, record in records.items()},
        record=witness_of(vault, point, name),
        elsewhere=elsewhere(point, endpoints),
    )
    return statements(request.applications[name], restored)


def _no_undo(systems: Sequence[str]) -> None:
    raise AssertionError(f"a fresh sandbox has nothing to undo: {systems}")


def _read_beats(endpoints: Mapping[str, System], measured: Measured) -> None:
    for name, system in endpoints.items():
        if name in measured.asked_only:
            measured.beat_notes[name] = "not measured: nothing was restored, the server was only asked"
            continue
        try:
            beat = system.newest_beat()
        except DrkeeperError as error:
            measured.beat_notes[name] = f"not measured: {error}"
            continue
        if beat is None:
            measured.beat_notes[name] = "not measured: the point holds no heartbeat; schedule `drkeeper beat`"
        else:
            measured.beats[name] = beat


def _remove(servers: Mapping[str, SandboxServer], folder: Path) -> Iterator[Check]:
    for name, server in sorted(servers.items()):
        process_ids, port = server.process_ids, server.port
        server.stop()
        for process_id in process_ids:
            gone = not Path(f"/proc/{process_id}").exists()
            yield _proof(f"{name}.process", gone=gone, what=f"process {process_id}")
        if port:
            yield _proof(f"{name}.port", gone=not _answers(port), what=f"port {port}")
        shutil.rmtree(server.folder, ignore_errors=True)
        yield _proof(f"{name}.folder", gone=not server.folder.exists(), what="the server's data folder")
    shutil.rmtree(folder, ignore_errors=True)
    yield _proof("sandbox.folder", gone=not folder.exists(), what="the sandbox folder")


def _proof(subject: str, *, gone: bool, what: str) -> Check:
    if gone:
        return Check(subject=subject, verdict="passed", detail=f"{what} is gone")
    return Check(subject=subject, verdict="failed", detail=f"{what} is still there", remedy="remove it by hand")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
