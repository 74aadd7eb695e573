"""The words of a fail-over: its steps, and what is seen beforehand, as data. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from drkeeper.failover.reconcile import Decision, Prefer
from drkeeper.failover.records import Loss, Phase, Role, RoleMark, Roles, Side

NOBODY = "nobody: no hook is configured"


# --- steps --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tell:
    """Call the hooks."""

    phase: Phase
    hooks: tuple[str, ...]


@dataclass(frozen=True)
class CatchUp:
    """Replicate once more, as the source still answers."""

    objects: int
    size_bytes: int


@dataclass(frozen=True)
class Reconcile:
    """Bring what was written or deleted at the replica to the source.

    Attributes:
        last: The second time, when nobody writes any more.
        source_wrong: The source is put right by the replica, whatever it holds.
    """

    last: bool
    copies: int = 0
    copy_bytes: int = 0
    deletions: int = 0
    overwrites: int = 0
    source_wrong: bool = False


@dataclass(frozen=True)
class Prove:
    """Read from the side that becomes primary, and write a key of ours to it."""

    side: Side
    url: str


@dataclass(frozen=True)
class Declare:
    """Record in the vault who is primary from now on; and, where so, that the source's data are wrong."""

    primary: Side
    epoch: int
    source_wrong: bool = False


@dataclass(frozen=True)
class PutMark:
    """Have a bucket say what it is."""

    side: Side
    url: str
    role: Role


@dataclass(frozen=True)
class Relocate:
    """Have an application's database say where its artifacts are now.

    Attributes:
        old: Url of the bucket that was primary; `new`: of the one that becomes it.
        rows: How many locations are to be rewritten; 0 where nobody knows.
        later: Why that has to be done later; "" where it can be done now.
        refused: Why it would be refused; "" where it would not.
    """

    application: str
    old: str
    new: str
    rows: int = 0
    later: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Conclude:
    """Record in the vault what came of it."""


Step = Tell | CatchUp | Reconcile | Prove | Declare | PutMark | Relocate | Conclude


def sentence(step: Step) -> str:  # noqa: PLR0911 - one for each step
    """A step in words."""
    match step:
        case Tell():
            when = {"before": "before", "after": "after", "stopped": "that it was stopped"}[step.phase]
            return f"consumers are told, {when} the switch: {', '.join(step.hooks) or NOBODY}"
        case CatchUp():
            return f"replicate once more: {step.objects:,} objects, {step.size_bytes:,} bytes"
        case Reconcile():
            return _of_reconciling(step)
        case Prove():
            return f"read from {step.url}, and write a key of ours to it"
        case Declare():
            wrong = ", and the source's data are wrong" if step.source_wrong else ""
            return f"record in the vault: the {step.primary} is primary (epoch {step.epoch}){wrong}"
        case PutMark():
            return f"mark {step.url} as {step.role}"
        case Relocate():
            return _of_locations(step)
        case Conclude():
            return "record what came of it"
        case _:
            assert_never(step)


def _of_reconciling(step: Reconcile) -> str:
    if step.last:
        return "bring to the source what is written at the replica meanwhile"
    much = f"{step.copies:,} objects ({step.copy_bytes:,} bytes)"
    if step.source_wrong:
        return (
            f"put the source right by the replica, whatever the source holds: {much}, {step.overwrites:,} of them over "
            f"others, and {step.deletions:,} deletions; former versions stay"
        )
    return f"bring to the source {much} that were written at the replica, and {step.deletions:,} deletions"


def _of_locations(step: Relocate) -> str:
    if step.later:
        return f"leave the locations of {step.application} for later: `{relocate_command(step)}`"
    return f"rewrite {step.rows:,} locations of {step.application}: {step.old} becomes {step.new}"


def relocate_command(step: Relocate) -> str:
    """What does the step by itself."""
    return f"drkeeper relocate run {step.application}"


# --- what is seen -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SideState:
    """One of the two buckets, as it was seen.

    Attributes:
        error: Why it counts as unreachable; "" where it answers.
        clock_at: By its own clock.
        empty: Whether it holds nothing that is protected.
    """

    side: Side
    url: str
    endpoint: str
    reachable: bool
    error: str = ""
    versioned: bool = False
    clock_at: datetime | None = None
    mark: RoleMark | None = None
    empty: bool = False


@dataclass(frozen=True)
class Replicated:
    """What the records of replication say.

    Attributes:
        complete_as_of: Of the newest run that was complete; None: there was none.
        failed: Objects that the newest run did not copy.
        at: When the newest run began.
    """

    at: datetime
    as_of: datetime
    complete_as_of: datetime | None
    failed: int
    behind_seconds: float


@dataclass(frozen=True)
class World:
    """All that a plan is made from.

    Attributes:
        hooks: Their labels.
        native: Whether the provider replicates by a rule of its own.
        relocations: For each application that keeps artifacts in the bucket, what makes its locations lead to the
            side that is to be primary.
    """

    roles: Roles
    source: SideState
    replica: SideState
    replicated: Replicated | None
    loss: Loss
    hooks: tuple[str, ...] = ()
    native: bool = False
    relocations: tuple[Relocate, ...] = ()

    def side(self, side: Side) -> SideState:
        """One of them."""
        return self.source if side == "source" else self.replica

    def distrusts(self, prefer: Prefer | None) -> bool:
        """Whether a fail-back takes nothing from the source: its data are wrong, and nobody says that it counts."""
        return self.roles.source_wrong and prefer != "source"


@dataclass(frozen=True)
class Reconciliation:
    """What a fail-back has to do, all keys taken together.

    Attributes:
        replica_objects: All that it holds.
        kept: How many keys stay as they are at the source, by why.
        kept_overwrites: For how many of them the replica holds another object, which replication would overwrite,
        kept_deletions: and for how many one that it would delete.
        righted: How many are put right by the replica, as the source's data are wrong, by what the source did.
        conflicts: The first of them.
        decided: The first of those that the operator's preference decides; they count as what is done with them.
    """

    source_objects: int = 0
    replica_objects: int = 0
    same: int = 0
    copies: int = 0
    copy_bytes: int = 0
    overwrites: int = 0
    deletions: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    kept_overwrites: int = 0
    kept_deletions: int = 0
    righted: dict[str, int] = field(default_factory=dict)
    conflicts: tuple[Decision, ...] = ()
    conflict_count: int = 0
    decided: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class SwitchPlan:
    """A fail-over or fail-back.

    Attributes:
        primary: Which side is primary afterwards.
        refusals: Why it is not carried out; empty: it can be.
        warnings: What an operator should know.
        source_wrong: The source's data are wrong: that is recorded, or heeded on the way back.
    """

    system: str
    primary: Side
    epoch: int
    reason: str
    roles: Roles
    source: SideState
    replica: SideState
    replicated: Replicated | None
    loss: Loss | None
    steps: tuple[Step, ...]
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reconciliation: Reconciliation | None = None
    prefer: Prefer | None = None
    source_wrong: bool = False

    @property
    def kind(self) -> Literal["failover", "failback"]:
        """Which of the two."""
        return "failover" if self.primary == "replica" else "failback"

    def side(self, side: Side) -> SideState:
        """One of them."""
        return self.source if side == "source" else self.replica


def explain(plan: SwitchPlan) -> list[dict[str, object]]:
    """The steps as rows for people, in order."""
    return [{"step": number, "does": sentence(step)} for number, step in enumerate(plan.steps, 1)]
