"""What a scenario's plan does beside restoring: fail-overs, relocations, rebuilds, and what each waits for. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from drkeeper.forecast import Run, forecast_step
from drkeeper.report.record import Forecast
from drkeeper.steps import FailOver, Meaning, Prove, Rebuild, Relocate, Step, Way
from drkeeper.ways import taken


@dataclass(frozen=True)
class Course:
    """What was decided for a scenario.

    Attributes:
        scenario: Its name.
        ways: Of each system, with the chosen one.
        before: The moment since which data are wrong.
        point_why: Why this point.
        relocations: Application -> its database, then its buckets: where artifacts are is written down there.
        rebuilds: Application -> its online store, then the other systems that must be there.
        rebuild_forecasts: Application -> how long that takes.
        kinds: Application -> kind.
        stuck: System -> why it does not come back; the plan leaves it out.
        hosts: System -> host of the side that is to be primary, of buckets that fail over.
    """

    scenario: str
    ways: tuple[Way, ...] = ()
    before: datetime | None = None
    point_why: str = ""
    relocations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rebuilds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rebuild_forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    stuck: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)

    @property
    def failing_over(self) -> tuple[str, ...]:
        """Systems whose replica becomes primary."""
        return tuple(name for name, way in taken(self.ways).items() if way == "fail over")


def fail_overs(course: Course, history: Sequence[Run]) -> Iterator[FailOver]:
    """They wait for nothing: what they switch away from is gone."""
    kinds = {way.system: way.kind for way in course.ways}
    for name in course.failing_over:
        yield FailOver(
            step_id=f"fail-over:{name}",
            system=name,
            kind=kinds[name],
            host=course.hosts.get(name, ""),
            forecast=forecast_step(kinds[name], "fail over", 0, history),
        )


def following(course: Course, steps: Sequence[Step], history: Sequence[Run]) -> Iterator[Step]:
    """What is done once systems are back: locations are rewritten, then online stores are brought up to date.

    Each waits for the check of a system that was restored (it changes what that compares), and for a fail-over.
    """
    back = {system: name for name, system in _last_of(steps).items()}
    for application, systems in course.relocations.items():
        yield Relocate(
            step_id=f"relocate:{application}",
            application=application,
            kind=course.kinds[application],
            forecast=forecast_step(course.kinds[application], "relocate", 0, history),
            after=_waits(systems, back),
        )
    for application, systems in course.rebuilds.items():
        yield Rebuild(
            step_id=f"rebuild:{application}",
            application=application,
            kind=course.kinds[application],
            forecast=course.rebuild_forecasts[application],
            after=_waits(systems, back),
        )


def proofs(
    meanings: Sequence[Meaning], touched: set[str], steps: Sequence[Step], history: Sequence[Run]
) -> Iterator[Prove]:
    """One application after the other, once all else is done; those that none of this touches are not asked."""
    before = _ends(steps)
    for meaning in meanings:
        if not set(meaning.systems) & touched:
            continue
        yield Prove(
            step_id=f"prove:{meaning.application}",
            application=meaning.application,
            kind=meaning.kind,
            forecast=forecast_step(meaning.kind, "prove", 0, history),
            after=before,
        )
        before = (f"prove:{meaning.application}",)


def _last_of(steps: Sequence[Step]) -> dict[str, str]:
    """Step -> system, of the steps with which a system is back."""
    return {step.step_id: step.system for step in steps if step.verb in {"verify", "fail over"}}


def _waits(systems: Sequence[str], back: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(back[name] for name in systems if name in back))


def _ends(steps: Sequence[Step]) -> tuple[str, ...]:
    """Steps for which no other waits."""
    waited = {name for step in steps for name in step.after}
    return tuple(step.step_id for step in steps if step.step_id not in waited)
