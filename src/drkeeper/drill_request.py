"""What a drill is asked to do, and what it has found so far: the data between `drill` and its record."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from drkeeper.applications import Application, load_kind
from drkeeper.drill_places import Fallback
from drkeeper.facts import Check
from drkeeper.forecast import Limits, Run
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.report.record import FellBack, Objectives, Phase, StepRecord
from drkeeper.restore import STEP_SECONDS, MemoryNotes
from drkeeper.steps import Meaning, RestorePlan

EVERYTHING = "every protected server and its data are lost; the vault is left"


@dataclass(frozen=True)
class Exercise:
    """What is taken to be lost, and who takes note of how it comes back.

    Attributes:
        scenario: By name; "" for a plain drill of everything that a point holds.
        title: The same in words.
        gone: Systems that are lost or wrong; (): all of the point.
        left: Systems that are taken to be there still.
        regions_gone: Of the vault; never asked.
        data_wrong: The systems that are gone are there, and hold wrong data since `disaster_at`.
        partly: What is left of the systems would stay; a drill has nothing that is left.
        other_key: The vault was opened with an identity that is not the policy's usual one.
        disaster_at: When it is taken to strike; None: as the drill begins.
        seed: Of a surprise.
    """

    kind: Literal["drill", "game day"] = "drill"
    scenario: str = ""
    title: str = EVERYTHING
    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    regions_gone: tuple[str, ...] = ()
    data_wrong: bool = False
    partly: bool = False
    other_key: bool = False
    disaster_at: datetime | None = None
    seed: int | None = None
    lead: str = ""
    observers: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Described:
    """An application as plain data; secrets of its options are in the clear."""

    kind: str
    options: Mapping[str, JsonValue]


@dataclass(frozen=True)
class DrillRequest:
    """What is drilled, and against which promises: plain data, which goes to the drill's process as it is.

    Attributes:
        drill_id: Of the record, and in the name of the sandbox's folder.
        folder: Where the sandbox's folder is made; None: the system's temporary folder.
        carried: Options of the policy that say how to restore, not where to, by system.
        fallbacks: Where a system is restored to when no sandbox of its kind can be started here.
        applications: Those that are asked whether what was restored works; they hold no endpoint.
        regions: Names of the regions that hold the point.
        recipients: Public keys that the vault is sealed to.
        locked_until: Until when the point's record cannot be deleted, where the store tells.
        limits: How many steps run at once, as in production.
        step_seconds: A step that takes longer has failed, as in production.
        fall_back: How many earlier points are tried when `point` turns out to be corrupt.
    """

    point: RecoveryPoint
    objectives: Objectives
    drill_id: str = field(default_factory=lambda: secrets.token_hex(4))
    trigger: Literal["manual", "schedule"] = "manual"
    folder: Path | None = None
    carried: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    applications: Mapping[str, Described] = field(default_factory=dict)
    meanings: Sequence[Meaning] = ()
    regions: tuple[str, ...] = ()
    history: Sequence[Run] = ()
    exercise: Exercise = Exercise()
    recipients: tuple[str, ...] = ()
    locked_until: datetime | None = None
    limits: Limits = field(default_factory=Limits)
    step_seconds: float = STEP_SECONDS
    fall_back: int = 0

    @property
    def systems(self) -> tuple[SystemRecord, ...]:
        """What of the point is restored, or should have been."""
        gone = self.exercise.gone
        return tuple(record for record in self.point.systems if not gone or record.name in gone)

    def application(self, name: str) -> Application:
        """One of those that are asked; connects to nothing."""
        known = {
            each: load_kind(told.kind).options.model_validate(told.options) for each, told in self.applications.items()
        }
        own, kind = known[name], load_kind(self.applications[name].kind)
        return kind.open_application(name, own, {other: known[other] for other in own.companions})


@dataclass(frozen=True)
class Order:
    """All that the process of a drill is told.

    Attributes:
        regions: Options of the vault's stores, the primary first, secrets in the clear.
        identity: That opens the vault; "": it is not encrypted.
    """

    request: DrillRequest
    regions: Mapping[str, Mapping[str, JsonValue]]
    identity: str = ""


@dataclass
class Measured:
    """What a drill has found so far; it becomes the record, whatever went wrong.

    Attributes:
        places: What served instead of a sandbox, by system.
        asked_only: Of those the ones where nothing was restored: a server said what it would do.
        besides: Steps of no plan: a point that was given up because it is corrupt, what was done by hand.
        provisioned_seconds: From the beginning until every sandbox was there.
        recovered_seconds: From the beginning until the last check of the restored systems.
    """

    provision: dict[str, StepRecord] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    asked_only: set[str] = field(default_factory=set)
    plan: RestorePlan | None = None
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    besides: list[StepRecord] = field(default_factory=list)
    fell_back: list[FellBack] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    usable: list[Check] = field(default_factory=list)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    beat_notes: dict[str, str] = field(default_factory=dict)
    provisioned_seconds: float | None = None
    recovered_seconds: float | None = None
    phases: tuple[Phase, ...] = ()
    clean_up: list[Check] = field(default_factory=list)
    error: str = ""
