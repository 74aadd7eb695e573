"""When each step of a plan begins and ends, as its pages and trees show it. Pure."""

from collections.abc import Sequence

from drkeeper.forecast import Limits, Span, schedule
from drkeeper.report.plan_page import Bar, Lane, PlanPage, WayLine
from drkeeper.steps import RestorePlan, Step, Way, sentence

PHASES = (
    ("Before anything is replaced", ("undo", "fail over", "load")),
    ("Switch", ("switch", "release")),
    ("Verify", ("verify",)),
    ("Bring up to date", ("relocate", "rebuild")),
    ("Prove", ("prove",)),
)


def spans(plan: RestorePlan, limits: Limits) -> dict[str, Span]:
    """Step id -> when it runs if each takes its p50; hosts are the plan's."""
    hosts = {step.step_id: step.host for step in plan.steps}
    return schedule(plan.steps, Limits(limits.at_once, limits.at_once_per_host, hosts))


def plan_page(plan: RestorePlan, limits: Limits, *, title: str = "", command: str = "") -> PlanPage:
    """What a plan's page shows.

    Args:
        plan: The plan.
        limits: How many steps run at once.
        title: What happened, in words.
        command: What carries it out.
    """
    times = spans(plan, limits)
    bars = [_bar(step, times[step.step_id], critical=step.step_id in plan.critical_path) for step in plan.steps]
    length = max([plan.forecast.p90_seconds, *(bar.start_seconds + bar.p90_seconds for bar in bars)], default=0.0)
    verbs = {step.step_id: step.verb for step in plan.steps}
    lanes = [Lane(name, tuple(bar for bar in bars if verbs[bar.step_id] in chosen)) for name, chosen in PHASES]
    return PlanPage(
        plan_id=plan.plan_id,
        policy=plan.policy,
        scenario=plan.scenario,
        title=title,
        created_at=plan.created_at,
        point_id=plan.point_id,
        point_as_of=plan.point_as_of,
        point_why=plan.point_why,
        before=plan.before,
        forecast=plan.forecast,
        length_seconds=length or 1.0,
        lanes=tuple(lane for lane in lanes if lane.bars),
        ways=tuple(_way(way) for way in plan.ways),
        targets=tuple((each.system, each.endpoint, each.empty) for each in plan.targets),
        left_out=tuple(plan.left_out.items()),
        critical=tuple(sentence(step) for step in plan.steps if step.step_id in plan.critical_path),
        command=command,
    )


def _bar(step: Step, span: Span, *, critical: bool) -> Bar:
    return Bar(
        step_id=step.step_id,
        does=sentence(step),
        host=step.host,
        after=step.after,
        start_seconds=span.start_seconds,
        p50_seconds=step.forecast.p50_seconds,
        p90_seconds=step.forecast.p90_seconds,
        basis=step.forecast.basis,
        size_bytes=getattr(step, "size_bytes", 0),
        critical=critical,
    )


def _way(way: Way) -> WayLine:
    return WayLine(way.system, way.kind, way.way, way.possible, way.chosen, way.forecast, way.loss_seconds, way.why)


def tree(plan: RestorePlan, limits: Limits) -> list[tuple[int, Step, Span, tuple[str, ...]]]:
    """Depth, step, when it runs, and what it waits for beside the step above it; in the order of a tree's lines.

    A step stands below the one of those that it waits for that ends last.
    """
    times = spans(plan, limits)
    above = {step.step_id: max(step.after, key=lambda name: times[name].end_seconds, default="") for step in plan.steps}
    below: dict[str, list[Step]] = {}
    for step in plan.steps:
        below.setdefault(above[step.step_id], []).append(step)
    found: list[tuple[int, Step, Span, tuple[str, ...]]] = []

    def visit(steps: Sequence[Step], depth: int) -> None:
        for step in steps:
            others = tuple(name for name in step.after if name != above[step.step_id])
            found.append((depth, step, times[step.step_id], others))
            visit(below.get(step.step_id, ()), depth + 1)

    visit(below.get("", ()), 0)
    return found
