"""A restore plan on a terminal: its head, the ways that were weighed, its steps as a table or a tree; or as a page."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

import click

from drkeeper.cli.output import Column, human_duration, human_time, show

if TYPE_CHECKING:
    from drkeeper.preparing import Prepared
    from drkeeper.steps import RestorePlan, Way

PlanOutput = Literal["table", "wide", "tree", "html", "json", "yaml"]

plan_output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "tree", "html", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How the plan is shown; html is one page, with a timeline.",
)

WAY_COLUMNS = (
    Column("system"),
    Column("chosen", " ", form=lambda chosen: "->" if chosen else " "),
    Column("way"),
    Column("p50_seconds", "P50", form=human_duration, right=True),
    Column("p90_seconds", "P90", form=human_duration, right=True, wide=True),
    Column("loss", "LOSES", right=True),
    Column("why"),
)


def show_plan(prepared: "Prepared", output: PlanOutput, *, err: bool = False) -> None:
    """The plan's head, ways and steps, and what the targets said beforehand.

    Args:
        prepared: The plan and its checks.
        output: JSON and YAML hold the plan's own record.
        err: To stderr: stdout is for what comes of it.
    """
    from drkeeper.cli.rows import CHECK_COLUMNS, STEP_COLUMNS, check_rows
    from drkeeper.steps import explain

    stream = sys.stderr if err else sys.stdout
    plan = prepared.plan
    checks = [check for check in prepared.checks if check.verdict != "passed"]
    if output == "html":
        stream.write(page(prepared))
        return
    if output in {"json", "yaml"}:
        data = {**plan.model_dump(mode="json"), "checks": check_rows(prepared.checks)}
        show(data, "json" if output == "json" else "yaml", (), stream=stream)
        return
    width: Literal["table", "wide"] = "wide" if output == "wide" else "table"
    _show_head(plan, stream)
    if plan.ways:
        stream.write("\n")
        show_ways(plan.ways, width, stream)
    stream.write("\n")
    if output == "tree":
        stream.writelines(f"{line}\n" for line in tree_lines(prepared))
    else:
        show(explain(plan), width, STEP_COLUMNS, stream=stream)
    if checks:
        stream.write("\n")
        show(check_rows(checks), width, CHECK_COLUMNS, stream=stream)


def show_saved(plan: "RestorePlan", stream: TextIO) -> None:
    """What a plan that was saved says of itself: its head, ways and steps."""
    from drkeeper.cli.rows import STEP_COLUMNS
    from drkeeper.steps import explain

    _show_head(plan, stream)
    if plan.ways:
        stream.write("\n")
        show_ways(plan.ways, "table", stream)
    stream.write("\n")
    show(explain(plan), "table", STEP_COLUMNS, stream=stream)


def show_ways(ways: "Sequence[Way]", output: Literal["table", "wide"], stream: TextIO) -> None:
    """Every way back of every system; an arrow points at those that the plan takes.

    That a lost server cannot be restored to goes without saying, where there is another way.
    """
    from drkeeper.ways import SERVER_LOST

    shown = [way for way in ways if output == "wide" or way.why != SERVER_LOST]
    show([_way_row(way) for way in shown], output, WAY_COLUMNS, stream=stream)


def page(prepared: "Prepared") -> str:
    """The plan as one HTML page."""
    from drkeeper.forecast import Limits
    from drkeeper.report.plan_page import render_plan
    from drkeeper.timetable import plan_page

    how = prepared.policy.recovery
    title = prepared.scenario.title if prepared.scenario is not None else ""
    limits = Limits(how.at_once, how.at_once_per_host)
    return render_plan(plan_page(prepared.plan, limits, title=title, command=restore_command(prepared.plan)))


def restore_command(plan: "RestorePlan") -> str:
    """What carries the plan out, if the world stays as it is."""
    if not plan.scenario:
        systems = "".join(f" --system {target.system}" for target in plan.targets) if plan.left_out else ""
        return f"drkeeper restore {plan.point_id}{systems}{' --overwrite' if plan.overwrite else ''}"
    before = f" --before {plan.before:%Y-%m-%dT%H:%M:%SZ}" if plan.before else ""
    return f"drkeeper restore --scenario {plan.scenario}{before}"


def tree_lines(prepared: "Prepared") -> list[str]:
    """Each step below the one that it waits for last; `*` marks the critical path."""
    from drkeeper.forecast import Limits
    from drkeeper.steps import sentence
    from drkeeper.timetable import tree

    how, plan = prepared.policy.recovery, prepared.plan
    lines = []
    for depth, step, span, others in tree(plan, Limits(how.at_once, how.at_once_per_host)):
        mark = "*" if step.step_id in plan.critical_path else " "
        beside = f"  (also after {', '.join(others)})" if others else ""
        took = f"+{human_duration(span.start_seconds)}, {human_duration(step.forecast.p50_seconds)}"
        lines.append(f"{mark} {'  ' * depth}{'' if not depth else '- '}{sentence(step)}  [{took}]{beside}")
    return lines


def _show_head(plan: "RestorePlan", stream: TextIO) -> None:
    targets = ", ".join(
        f"{each.system} ({each.endpoint}{'' if each.empty else ', holds data'})" for each in plan.targets
    )
    head = {
        "scenario": plan.scenario,
        "point": f"{plan.point_id}, data of {human_time(plan.point_as_of)}"
        + (f" ({plan.point_why})" if plan.point_why else ""),
        "into": targets,
        "takes": f"{human_duration(plan.forecast.p50_seconds)}, at most {human_duration(plan.forecast.p90_seconds)}"
        f" nine times of ten ({plan.forecast.basis})",
        "left_out": "; ".join(f"{name}: {why}" for name, why in plan.left_out.items()),
    }
    show(head, "table", [Column(key) for key in head if head[key]], stream=stream)


def _way_row(way: "Way") -> dict[str, object]:
    known = way.loss_seconds is not None
    loss = human_duration(way.loss_seconds or 0) if way.loss_seconds else "nothing" if known else "not known"
    return {
        **way.model_dump(mode="json", exclude={"forecast"}),
        "p50_seconds": way.forecast.p50_seconds if way.forecast else None,
        "p90_seconds": way.forecast.p90_seconds if way.forecast else None,
        "loss": loss if way.possible or known else "",
    }
