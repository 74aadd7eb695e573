"""Restore a recovery point into a sandbox, with a clock: RTO and RPO, measured.

A drill is given a recovery point and a vault, and no production endpoint at all: what it restores into are
servers that it started itself, in a folder of its own, and that it removes, with proof, whatever happens.
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from drkeeper import clock
from drkeeper.applications import Restored
from drkeeper.drill_places import Places, folder_of, here, make_folder, remove
from drkeeper.drill_record import build_record
from drkeeper.drill_request import DrillRequest, Measured
from drkeeper.errors import DrkeeperError, Interrupted, LoadFailed, PointCorrupt
from drkeeper.facts import Check
from drkeeper.fallback import falling_back
from drkeeper.forecast import forecast_step
from drkeeper.plan import Choice, build_plan
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import DrillRecord, FellBack, StepRecord
from drkeeper.restore import MemoryNotes, Restorer, VaultStreams, abandon, preflight
from drkeeper.steps import Meaning, RestorePlan, Target
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
    drill = _Drill(request, vault, progress or Silent(), stop or threading.Event())
    return drill.run()


class _Drill:
    """One drill, from its beginning to the record."""

    def __init__(self, request: DrillRequest, vault: Vault, progress: Progress, stop: threading.Event) -> None:
        self.request = request
        self.measured = Measured()
        self._vault, self._progress, self._stop = vault, progress, stop
        self._started_at, self._started = clock.now(), clock.monotonic_seconds()

    def run(self) -> DrillRecord:
        """All of it."""
        measured = self.measured
        try:
            with sandbox(self.request, measured) as opened:
                measured.provisioned_seconds = self._passed()
                self._recover(opened.endpoints)
                measured.recovered_seconds = self._passed()
                read_beats(opened.endpoints, measured)
        except Interrupted:
            raise
        except DrkeeperError as error:
            measured.error = str(error)
        return build_record(
            self.request,
            measured,
            drill_id=self.request.drill_id,
            started_at=self._started_at,
            ended_at=clock.now(),
            environment=here(),
        )

    def _passed(self) -> float:
        return round(clock.monotonic_seconds() - self._started, 3)

    def _recover(self, endpoints: Mapping[str, System]) -> None:
        """Restore the point; where it turns out to be corrupt, the one before it."""
        request = self.request
        falling_back(
            self._vault,
            request.point,
            lambda point, fell: self._attempt(point, fell, endpoints),
            systems=tuple(endpoints),
            times=request.fall_back,
        )

    def _attempt(self, point: RecoveryPoint, fell: Mapping[str, str], endpoints: Mapping[str, System]) -> None:
        measured = self.measured
        self.request = replace(self.request, point=point)
        measured.fell_back = [FellBack(point_id=each, reason=reason) for each, reason in fell.items()]
        measured.notes = MemoryNotes()
        plan = self._plan(endpoints)
        began_at, began = clock.now(), clock.monotonic_seconds()
        try:
            self._carry_out(plan, endpoints)
        except PointCorrupt:
            if len(fell) < self.request.fall_back:
                abandon(plan, endpoints)
                measured.besides.append(
                    StepRecord(
                        name=f"give up point {point.point_id}, which is corrupt",
                        verb="give up",
                        phase="restore",
                        started_at=began_at,
                        elapsed_seconds=round(clock.monotonic_seconds() - began, 3),
                        outcome="done",
                    )
                )
            raise

    def _plan(self, endpoints: Mapping[str, System]) -> RestorePlan:
        request, measured = self.request, self.measured
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
            limits=request.limits,
            meanings=[meaning for meaning in request.meanings if not _lacking(meaning, endpoints)],
        )
        return measured.plan

    def _carry_out(self, plan: RestorePlan, endpoints: Mapping[str, System]) -> None:
        request, measured = self.request, self.measured
        preflight(request.point, plan, endpoints, self._vault)
        restorer = Restorer(
            plan=plan,
            point=request.point,
            endpoints=endpoints,
            vault=self._vault,
            notes=measured.notes,
            take_undo=_no_undo,
            limits=request.limits,
            step_seconds=request.step_seconds,
            progress=self._progress,
            stop=self._stop,
            prove=lambda name: prove(request, name, endpoints, self._vault, self._stop),
            checks=measured.checks,
            usable=measured.usable,
        )
        restorer.carry_out()
        measured.usable.extend(unasked(request, endpoints))


@dataclass(frozen=True)
class Opened:
    """Servers that are up.

    Attributes:
        endpoints: The systems that are restored into.
        options: What a policy would say to reach them.
        folder: Of their data; it goes away with them.
    """

    endpoints: Mapping[str, System]
    options: Mapping[str, Mapping[str, object]]
    folder: Path


@contextmanager
def sandbox(request: DrillRequest, measured: Measured) -> Iterator[Opened]:
    """One fresh server for each system that is restored, started side by side; gone afterwards, with proof.

    Raises:
        DrkeeperError: One of them did not start; `measured` says which, and nothing is left.
    """
    folder = folder_of(request.folder, request.drill_id)
    make_folder(folder)
    places = Places(folder=folder, carried=request.carried, fallbacks=request.fallbacks)
    try:
        complete = [record for record in request.systems if record.status != "failed"]
        with ThreadPoolExecutor(max_workers=max(1, len(complete))) as pool:
            started = [pool.submit(_provision, record.name, record.kind, places, request) for record in complete]
        measured.provision.update({step.system: step for step in (future.result() for future in started)})
        measured.places.update(places.words)
        measured.asked_only.update(name for name in places.words if not request.fallbacks[name].scratch)
        broken = [f"{step.system}: {step.error}" for step in measured.provision.values() if step.error]
        if broken:
            raise LoadFailed(f"the sandbox did not start: {'; '.join(broken)}")
        endpoints = {record.name: places.open(record.name, record.kind) for record in complete}
        yield Opened(endpoints, {name: server.options for name, server in places.servers.items()}, folder)
    finally:
        measured.clean_up.extend(places.clear_borrowed())
        measured.clean_up.extend(remove(places.servers, folder))


def _provision(name: str, kind: str, places: Places, request: DrillRequest) -> StepRecord:
    started_at, started = clock.now(), clock.monotonic_seconds()
    problem = ""
    try:
        places.provision(name, kind)
    except DrkeeperError as error:
        problem = "; ".join(filter(None, (str(error), error.hint)))
    except OSError as error:  # no room, no right, no more processes
        problem = f"{error.strerror or error}"
    borrowed = places.words.get(name)
    return StepRecord(
        name=f"take {borrowed} for {name}" if borrowed else f"start a sandbox for {name}",
        verb="provision",
        system=name,
        kind=kind,
        phase="provision",
        started_at=started_at,
        elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        forecast=forecast_step(kind, "provision", 0, request.history),
        outcome="failed" if problem else "done",
        error=problem,
    )


def unasked(request: DrillRequest, endpoints: Mapping[str, System]) -> Iterator[Check]:
    """Applications of which some systems were restored and some were not: nobody knows whether these work."""
    left = request.exercise.left
    for meaning in request.meanings:
        lacking = _lacking(meaning, endpoints)
        if not lacking or (left and not set(meaning.systems) & set(endpoints)):
            continue
        why = "which are taken to be there still" if set(lacking) <= set(left) else "which the point lacks"
        detail = f"the drill did not restore {', '.join(lacking)}, {why}"
        yield Check(subject=meaning.application, verdict="not checked", detail=detail)


def _lacking(meaning: Meaning, endpoints: Mapping[str, System]) -> list[str]:
    return [name for name in meaning.systems if name not in endpoints]


def prove(
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
    return statements(request.application(name), restored)


def _no_undo(systems: Sequence[str]) -> None:
    raise AssertionError(f"a fresh sandbox has nothing to undo: {systems}")


def read_beats(endpoints: Mapping[str, System], measured: Measured) -> None:
    """The newest heartbeat of each system, out of what was restored."""
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
