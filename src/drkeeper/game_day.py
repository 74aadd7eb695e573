"""A game day: people follow the runbook by hand; drkeeper gives them empty servers, keeps the clock, and checks.

What they work with is a policy of its own, in which the lost servers are empty ones on this machine and the vault is
only read: neither production nor the vault can come to harm, whatever command is typed.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, get_args

from drkeeper import catalog, clock
from drkeeper.drill import Opened, prove, read_beats, sandbox, unasked
from drkeeper.drill_places import here
from drkeeper.drill_record import build_record
from drkeeper.drill_request import DrillRequest, Measured
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check, compare
from drkeeper.game_policy import write_game_policy
from drkeeper.journal import Journal, read_journals
from drkeeper.policy import Policy, load_policy
from drkeeper.progress import Silent
from drkeeper.report.record import DrillRecord, Phase, PhaseName, StepRecord
from drkeeper.restore import VaultStreams
from drkeeper.systems import SelfProving, System
from drkeeper.vault.vault import Vault
from drkeeper.wiring import open_vault

PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
PEOPLES: tuple[PhaseName, ...] = ("detect", "decide", "serve")
"""Stretches in which no machine works for the people."""


@dataclass(frozen=True)
class Answer:
    """What was said at the end of a stretch.

    Attributes:
        remarks: What somebody wanted noted meanwhile.
    """

    gave_up: bool = False
    remarks: tuple[str, ...] = ()


class Host(Protocol):
    """Who talks with the people."""

    def welcome(self, policy_file: Path, request: DrillRequest) -> None:
        """Say what they have; then the clock runs."""
        ...

    def ended(self, phase: PhaseName) -> Answer:
        """Wait until they say that this stretch has ended."""
        ...


@dataclass
class Clock:
    """When the people began, and how long each stretch took."""

    started_at: datetime
    phases: list[Phase] = field(default_factory=list)
    error: str = ""

    @property
    def seconds(self) -> float:
        """All of them."""
        return round(sum(phase.seconds or 0 for phase in self.phases), 3)


def play(policy: Policy, policy_folder: Path, request: DrillRequest, host: Host) -> DrillRecord:
    """Start the servers, keep the clock, check what is there at the end, and clean up.

    Args:
        policy: Of production.
        policy_folder: Where it lies.
        request: As of a drill of the same scenario.
        host: Who talks with the people.

    Raises:
        DrkeeperError: The servers did not start; nothing is left.
    """
    measured = Measured()
    with sandbox(replace(request, fallbacks={}), measured) as opened:
        measured.provision.clear()  # the clock does not run yet
        file = write_game_policy(policy, request.exercise, opened.options, opened.folder, policy_folder)
        host.welcome(file, request)
        kept = _keep_time(host)
        measured.error = kept.error
        if not kept.error:
            measured.recovered_seconds = kept.seconds
        request = _look(file, request, opened, measured, kept)
        read_beats(opened.endpoints, measured)
    return build_record(
        request,
        measured,
        drill_id=request.drill_id,
        started_at=kept.started_at,
        ended_at=clock.now(),
        environment=here(),
    )


def _keep_time(host: Host) -> Clock:
    kept = Clock(clock.now())
    for name in PHASES:
        began = clock.monotonic_seconds()
        answer = host.ended(name)
        seconds = round(clock.monotonic_seconds() - began, 3)
        people = seconds if name in PEOPLES else 0.0
        kept.phases.append(Phase(name=name, seconds=seconds, people_seconds=people, note="; ".join(answer.remarks)))
        if answer.gave_up:
            kept.error = f"it was given up in the stretch {name!r}"
            break
    return kept


def _look(file: Path, request: DrillRequest, opened: Opened, measured: Measured, kept: Clock) -> DrillRequest:
    """Check what is in the servers against the point that it came from; the request with that point."""
    vault = open_vault(load_policy(file))
    journal = _journal(vault, kept.started_at)
    if journal is not None:
        request = replace(request, point=catalog.find_point(vault, journal.plan.point_id))
        measured.plan = journal.plan
        measured.notes.records.update(journal.done)
    else:
        measured.besides.extend(_by_hand(request, kept))
    machine = sum(step.elapsed_seconds for step in measured.notes.records.values())
    measured.phases = tuple(_with_people(phase, machine if journal else phase.seconds or 0) for phase in kept.phases)
    measured.checks.extend(_facts(request, opened.endpoints, vault))
    measured.usable.extend(_usable(request, opened.endpoints, vault))
    return request


def _with_people(phase: Phase, machine_seconds: float) -> Phase:
    """Of a restore, what was not the machine's work was people's."""
    if phase.name != "restore" or phase.seconds is None:
        return phase
    return phase.model_copy(update={"people_seconds": round(max(0.0, phase.seconds - machine_seconds), 3)})


def _journal(vault: Vault, since: datetime) -> Journal | None:
    """Of the restore that was carried out last; None where it was done without drkeeper."""
    own = (each for each in read_journals(vault) if each.begun_at >= since)  # others are production's
    journals = [each for each in own if each.entries[-1].event == "finished"]
    return max(journals, key=lambda each: each.begun_at, default=None)


def _by_hand(request: DrillRequest, kept: Clock) -> Iterator[StepRecord]:
    """One step for each system, as long as the stretch in which it came back."""
    restore = next((phase for phase in kept.phases if phase.name == "restore"), None)
    if restore is None or restore.seconds is None:
        return
    for record in request.systems:
        yield StepRecord(
            name=f"restore {record.name} by hand",
            verb="by hand",
            system=record.name,
            kind=record.kind,
            phase="restore",
            started_at=kept.started_at,
            elapsed_seconds=restore.seconds,
            size_bytes=record.size_bytes,
            outcome="failed" if kept.error and kept.phases[-1] is restore else "done",
        )


def _facts(request: DrillRequest, endpoints: Mapping[str, System], vault: Vault) -> Iterator[Check]:
    for record in request.systems:
        endpoint = endpoints.get(record.name)
        if endpoint is None:
            continue
        try:
            yield from list(compare(record.facts, endpoint.facts(record.facts), system=record.name))
            if isinstance(endpoint, SelfProving):
                streams = VaultStreams(vault, record, Silent(), threading.Event())
                for check in list(endpoint.verify(record, streams)):
                    yield check.model_copy(update={"subject": f"{record.name}.{check.subject}"})
        except DrkeeperError as error:
            yield Check(subject=record.name, verdict="failed", detail=str(error), remedy=error.hint)


def _usable(request: DrillRequest, endpoints: Mapping[str, System], vault: Vault) -> Iterator[Check]:
    for meaning in request.meanings:
        if set(meaning.systems) <= set(endpoints):
            try:
                yield from list(prove(request, meaning.application, endpoints, vault, threading.Event()))
            except DrkeeperError as error:
                yield Check(subject=meaning.application, verdict="failed", detail=str(error), remedy=error.hint)
    yield from unasked(request, endpoints)
