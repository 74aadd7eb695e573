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
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from drkeeper import __version__, clock
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.forecast import Run, forecast_step, total
from drkeeper.heartbeat import Heartbeat, loss_seconds
from drkeeper.plan import RestorePlan, Target, build_plan, sentence
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import (
    DrillRecord,
    Forecast,
    Objectives,
    PointSummary,
    StepRecord,
    SystemOutcome,
)
from drkeeper.restore import MemoryNotes, Restorer, preflight
from drkeeper.sandbox import SandboxServer, start_sandbox
from drkeeper.systems import System, load_kind
from drkeeper.vault.vault import Vault

SCENARIO = "every protected server and its data are lost; the vault is left"
NOT_TESTED = (
    "provisioning of production hardware, network and DNS: the sandbox runs on the machine of the drill",
    "the wait for disks: a sandbox server does not sync what it writes, as a production server does",
    "the applications on top of the restored systems: they were not started",
    "detecting the disaster and deciding to restore: no person took part",
)


@dataclass(frozen=True)
class DrillRequest:
    """What is drilled, and against which promises.

    Attributes:
        folder: Where the sandbox's folder is made; None: the system's temporary folder.
        sandbox_options: Extra options of the restored systems, by kind (`restore_jobs` …).
        regions: Names of the regions that hold the point.
    """

    point: RecoveryPoint
    objectives: Objectives
    trigger: Literal["manual", "schedule"] = "manual"
    folder: Path | None = None
    sandbox_options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    history: Sequence[Run] = ()


@dataclass
class _Measured:
    """What the drill has found so far; it becomes the record, whatever went wrong."""

    provision: dict[str, StepRecord] = field(default_factory=dict)
    plan: RestorePlan | None = None
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    checks: list[Check] = field(default_factory=list)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    beat_notes: dict[str, str] = field(default_factory=dict)
    recovered_at: datetime | None = None
    clean_up: list[Check] = field(default_factory=list)
    error: str = ""


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
    measured = _Measured()
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
    return _record(request, measured, disaster_at)


@contextmanager
def _sandbox(request: DrillRequest, measured: _Measured) -> Iterator[dict[str, System]]:
    """One fresh server for each system of the point, started side by side; gone afterwards, with proof."""
    if request.folder is not None:
        request.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="drkeeper-drill-", dir=request.folder))
    folder.chmod(0o711)  # servers that run as another user find their own folders in it
    servers: dict[str, SandboxServer] = {}
    try:
        complete = [record for record in request.point.systems if record.status == "complete"]
        with ThreadPoolExecutor(max_workers=max(1, len(complete))) as pool:
            started = {
                record.name: pool.submit(_provision, record.name, record.kind, folder, request, servers)
                for record in complete
            }
        for name, future in started.items():
            measured.provision[name] = future.result()
        yield {
            record.name: _open(record.name, record.kind, servers[record.name], folder, request) for record in complete
        }
    finally:
        measured.clean_up.extend(_remove(servers, folder))


def _provision(
    name: str, kind: str, folder: Path, request: DrillRequest, servers: dict[str, SandboxServer]
) -> StepRecord:
    started_at, started = clock.now(), clock.monotonic_seconds()
    servers[name] = start_sandbox(kind, folder / name)
    return StepRecord(
        name=f"start a sandbox for {name}",
        verb="provision",
        system=name,
        kind=kind,
        phase="provision",
        started_at=started_at,
        elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        forecast=forecast_step(kind, "provision", 0, request.history),
        outcome="done",
    )


def _open(name: str, kind: str, server: SandboxServer, folder: Path, request: DrillRequest) -> System:
    model = load_kind(kind).options
    options: dict[str, object] = {**server.options, **request.sandbox_options.get(kind, {})}
    if "scratch" in model.model_fields:
        scratch = folder / f"{name}-scratch"
        scratch.mkdir()
        options.setdefault("scratch", scratch)
    return load_kind(kind).open_system(name, model.model_validate(options))


def _recover(
    request: DrillRequest,
    endpoints: Mapping[str, System],
    measured: _Measured,
    *,
    vault: Vault,
    progress: Progress,
    stop: threading.Event,
) -> None:
    targets = [
        Target(system=name, kind=system.kind, endpoint="sandbox", empty=True) for name, system in endpoints.items()
    ]
    measured.plan = build_plan(
        request.point,
        targets,
        plan_id=secrets.token_hex(4),
        now=clock.now(),
        history=request.history,
        allow_partial=True,
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
        checks=measured.checks,
    )
    restorer.carry_out()


def _no_undo(systems: Sequence[str]) -> None:
    raise AssertionError(f"a fresh sandbox has nothing to undo: {systems}")


def _read_beats(endpoints: Mapping[str, System], measured: _Measured) -> None:
    for name, system in endpoints.items():
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
        process_id, port = server.process_id, server.options.get("port")
        server.stop()
        yield _proof(f"{name}.process", gone=not Path(f"/proc/{process_id}").exists(), what=f"process {process_id}")
        yield _proof(f"{name}.port", gone=not _answers(port), what=f"port {port}")
        shutil.rmtree(server.folder, ignore_errors=True)
        yield _proof(f"{name}.folder", gone=not server.folder.exists(), what="the server's data folder")
    shutil.rmtree(folder, ignore_errors=True)
    yield _proof("sandbox.folder", gone=not folder.exists(), what="the sandbox folder")


def _proof(subject: str, *, gone: bool, what: str) -> Check:
    if gone:
        return Check(subject=subject, verdict="passed", detail=f"{what} is gone")
    return Check(subject=subject, verdict="failed", detail=f"{what} is still there", remedy="remove it by hand")


def _answers(port: object) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(str(port))), timeout=1):
            return True
    except OSError:
        return False


def _record(request: DrillRequest, measured: _Measured, disaster_at: datetime) -> DrillRecord:
    steps = (*measured.provision.values(), *_plan_steps(measured))
    outcomes = tuple(_outcomes(request.point, measured, steps, disaster_at))
    losses = [outcome.rpo_seconds for outcome in outcomes]
    known = [loss for loss in losses if loss is not None]
    rto = (measured.recovered_at - disaster_at).total_seconds() if measured.recovered_at else None
    failed = tuple(
        f"{record.name}: it failed at backup" for record in request.point.systems if record.status == "failed"
    )
    return DrillRecord(
        drill_id=secrets.token_hex(4),
        policy=request.point.policy,
        trigger=request.trigger,
        scenario=SCENARIO,
        started_at=disaster_at,
        ended_at=clock.now(),
        disaster_at=disaster_at,
        drkeeper_version=__version__,
        point=_summary(request),
        objectives=request.objectives,
        rto_seconds=rto,
        rto_forecast=_rto_forecast(measured),
        rpo_seconds=max(known) if known and len(known) == len(losses) else None,
        systems=outcomes,
        steps=steps,
        checks=tuple(measured.checks),
        clean_up=tuple(measured.clean_up),
        not_tested=failed + NOT_TESTED,
        error=measured.error,
    )


def _summary(request: DrillRequest) -> PointSummary:
    point = request.point
    return PointSummary(
        point_id=point.point_id,
        created_at=point.created_at,
        as_of=point.as_of,
        skew_seconds=point.skew_seconds,
        size_bytes=point.size_bytes,
        partial=point.partial,
        regions=request.regions,
    )


def _rto_forecast(measured: _Measured) -> Forecast | None:
    """Sandboxes start side by side, so the slowest counts; then the plan's critical path."""
    if measured.plan is None:
        return None
    starts = [step.forecast for step in measured.provision.values() if step.forecast is not None]
    slowest = sorted(starts, key=lambda forecast: forecast.p50_seconds)[-1:]
    return total([*slowest, measured.plan.forecast])


def _plan_steps(measured: _Measured) -> Iterator[StepRecord]:
    if measured.plan is None:
        return
    ended_at = clock.now()
    for step in measured.plan.steps:
        if step.step_id in measured.notes.records:
            yield measured.notes.records[step.step_id]
            continue
        started_at = measured.notes.started.get(step.step_id)
        failure = measured.notes.failures.get(step.step_id, "")
        yield StepRecord(
            name=sentence(step),
            verb=step.verb,
            system=getattr(step, "system", ""),
            kind=getattr(step, "kind", ""),
            phase="verify" if step.verb == "verify" else "restore",
            started_at=started_at or ended_at,
            elapsed_seconds=round((ended_at - started_at).total_seconds(), 3) if started_at else 0.0,
            forecast=step.forecast,
            outcome="failed" if started_at else "not run",
            error=failure,
        )


def _outcomes(
    point: RecoveryPoint, measured: _Measured, steps: Sequence[StepRecord], disaster_at: datetime
) -> Iterator[SystemOutcome]:
    for record in point.systems:
        own = [step for step in steps if step.system == record.name]
        beat = measured.beats.get(record.name)
        complete = bool(own) and all(step.outcome == "done" for step in own)
        yield SystemOutcome(
            name=record.name,
            kind=record.kind,
            as_of=record.as_of,
            size_bytes=record.size_bytes,
            rto_seconds=_span_seconds(own) if complete else None,
            rto_forecast=total([step.forecast for step in own if step.forecast is not None]) if own else None,
            rpo_seconds=loss_seconds(disaster_at, beat) if beat else None,
            rpo_note=measured.beat_notes.get(record.name, "" if beat else "not measured: it was not restored"),
            newest_beat=beat,
        )


def _span_seconds(steps: Sequence[StepRecord]) -> float:
    start = min(step.started_at for step in steps)
    return round(max((step.started_at - start).total_seconds() + step.elapsed_seconds for step in steps), 3)
