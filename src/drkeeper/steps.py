"""The words of a restore plan, as data: its steps, its targets, and the plan itself. Plans are saved and read back."""

from typing import Annotated, Literal, assert_never

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record
from drkeeper.report.record import Forecast


class _Step(Record):
    """What all steps have: the steps that they wait for come earlier in the plan.

    Attributes:
        host: On which it works, for bounds on how many do at once; "": on none in particular.
    """

    step_id: str
    forecast: Forecast
    after: tuple[str, ...] = ()
    host: str = ""


class _SystemStep(_Step):
    """A step on one system."""

    system: str
    kind: str


class TakeUndo(_Step):
    """Take a recovery point of the targets that are not empty, before they are overwritten."""

    verb: Literal["undo"] = "undo"
    systems: tuple[str, ...]
    size_bytes: int = 0


class Load(_SystemStep):
    """Bring one system's bytes to a place beside its live data.

    Attributes:
        count: Rows, objects or keys; 0: not known.
        needs: What it takes of its host (`disk_bytes`, `memory_bytes`), at least.
    """

    verb: Literal["load"] = "load"
    size_bytes: int
    count: int = 0
    needs: dict[str, int] = Field(default_factory=dict)


class Switch(_SystemStep):
    """Put what was loaded in the place of the live data."""

    verb: Literal["switch"] = "switch"
    size_bytes: int
    count: int = 0


class VerifyFacts(_SystemStep):
    """Read the restored system's facts and compare them with the point's."""

    verb: Literal["verify"] = "verify"
    size_bytes: int = 0
    count: int = 0


class Prove(_Step):
    """Ask an application whether what was restored works."""

    verb: Literal["prove"] = "prove"
    application: str
    kind: str


class Release(_SystemStep):
    """Let what came up held run, now that everything that it uses is back."""

    verb: Literal["release"] = "release"


class FailOver(_SystemStep):
    """Make a bucket's replica the primary."""

    verb: Literal["fail over"] = "fail over"


class Relocate(_Step):
    """Have an application's database say where its artifacts are now."""

    verb: Literal["relocate"] = "relocate"
    application: str
    kind: str


class Rebuild(_Step):
    """Bring an application's online store up to date with its sources."""

    verb: Literal["rebuild"] = "rebuild"
    application: str
    kind: str


Step = Annotated[
    TakeUndo | Load | Switch | Release | VerifyFacts | Prove | FailOver | Relocate | Rebuild,
    Field(discriminator="verb"),
]

WayBack = Literal["restore", "restore elsewhere", "restore, then rebuild", "fail over", "rebuild", "leave"]
RESTORING: frozenset[WayBack] = frozenset({"restore", "restore elsewhere", "restore, then rebuild"})
"""Ways for which a recovery point is needed, and a key that opens it."""


class Way(Record):
    """One way in which a system could come back.

    Attributes:
        way: "restore": to where it was. "restore elsewhere": into a new server, which the policy names from now on.
        possible: Whether it can be taken; `why` says what is in its way.
        chosen: Whether the plan takes it; `why` says why, or why not.
        loss_seconds: How much of what was written would be lost, as time; None: nobody knows.
    """

    system: str
    kind: str
    way: WayBack
    possible: bool
    chosen: bool
    forecast: Forecast | None = None
    loss_seconds: float | None = None
    why: str


class Meaning(Record):
    """An application that says, after a restore, whether its systems work together.

    Attributes:
        systems: Those that it spans.
    """

    application: str
    kind: str
    systems: tuple[str, ...]


class Target(Record):
    """One endpoint that is restored into, as it was seen when the plan was made.

    Attributes:
        holds: What is restored there comes up held, and is released when every other system is back.
        host: Of the endpoint, without its port; "" where it is on none that is known.
    """

    system: str
    kind: str
    endpoint: str
    empty: bool
    holds: bool = False
    host: str = ""


class RestorePlan(Record):
    """A restore, step by step.

    Attributes:
        staging: The name under which targets keep what is loaded until the switch.
        forecast: Of the whole, with as many steps at once as the policy permits.
        critical_path: Step ids: the longest chain of steps that wait for one another.
        keep_held: What comes up held stays so.
        allow_partial: What the point lacks, or what does not come back, is left out.
        only: Parts of its only system that this plan restores; all of it where there is none.
        into: Where that system is restored to, instead of its own place.
        left_out: Systems of the point that this plan does not restore, with the reason.
        scenario: What is lost, by name; "" for a restore of what was asked for.
        ways: Of each system that is gone, every way back, the chosen one among them.
        before: The data of the point are of an earlier moment than this one.
        point_why: Why this point was chosen, and which newer ones were not.
        fell_back_from: Points that turned out to be corrupt, with the reason; this plan is of an earlier one.
    """

    format: Literal[1] = 1
    plan_id: str
    created_at: AwareDatetime
    policy: str
    point_id: str
    point_as_of: AwareDatetime
    staging: str
    overwrite: bool
    keep_held: bool = False
    allow_partial: bool = False
    only: tuple[str, ...] = ()
    into: str = ""
    targets: tuple[Target, ...]
    steps: tuple[Step, ...]
    forecast: Forecast
    critical_path: tuple[str, ...]
    left_out: dict[str, str] = Field(default_factory=dict)
    scenario: str = ""
    ways: tuple[Way, ...] = ()
    before: AwareDatetime | None = None
    point_why: str = ""
    fell_back_from: dict[str, str] = Field(default_factory=dict)


def sentence(step: Step) -> str:  # noqa: PLR0911 - one for each step
    """One step in words, as plans, journals and reports show it."""
    match step:
        case TakeUndo():
            return f"take an undo point of {', '.join(step.systems)}"
        case Load():
            return f"load {step.system}"
        case Switch():
            return f"switch {step.system}"
        case Release():
            return f"release {step.system}"
        case VerifyFacts():
            return f"verify {step.system}"
        case Prove():
            return f"prove that {step.application} works"
        case FailOver():
            return f"make the replica of {step.system} the primary"
        case Relocate():
            return f"relocate {step.application}"
        case Rebuild():
            return f"rebuild {step.application}"
        case _:
            assert_never(step)


def explain(plan: RestorePlan) -> list[dict[str, object]]:
    """The plan's steps as rows for people, in the order in which they may run."""
    return [
        {
            "step": step.step_id,
            "does": sentence(step),
            "after": ", ".join(step.after) or "-",
            "host": step.host,
            "size_bytes": getattr(step, "size_bytes", None),
            "p50_seconds": step.forecast.p50_seconds,
            "p90_seconds": step.forecast.p90_seconds,
            "basis": step.forecast.basis,
            "critical": step.step_id in plan.critical_path,
        }
        for step in plan.steps
    ]
