"""Looking on while a plan is carried out: a tree on a terminal, JSON lines elsewhere."""

import io
import json
from datetime import UTC, datetime

import pytest

from drkeeper.cli.live import StepLines, chosen_rows, onlooker, table
from drkeeper.cli.plan_state import PlanState
from drkeeper.clock import monotonic_seconds
from drkeeper.report.record import Forecast
from drkeeper.steps import Load, RestorePlan, Switch, VerifyFacts

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def forecast(seconds):
    return Forecast(p50_seconds=seconds, p90_seconds=2 * seconds, basis="no history")


def plan(systems=2):
    loads = [
        Load(step_id=f"load:s{n}", system=f"s{n}", kind="redis", size_bytes=10**9, forecast=forecast(30 + n))
        for n in range(systems)
    ]
    switches = [
        Switch(
            step_id=f"switch:s{n}",
            system=f"s{n}",
            kind="redis",
            size_bytes=10**9,
            forecast=forecast(2),
            after=tuple(load.step_id for load in loads),
        )
        for n in range(systems)
    ]
    check = VerifyFacts(
        step_id="verify:s0", system="s0", kind="redis", forecast=forecast(1), after=tuple(s.step_id for s in switches)
    )
    return RestorePlan(
        plan_id="0123abcd",
        created_at=NOW,
        policy="prod",
        point_id="aaaaaaaaaaaa",
        point_as_of=NOW,
        staging="dr0123abcd",
        overwrite=False,
        targets=(),
        steps=(*loads, *switches, check),
        forecast=forecast(40),
        critical_path=(loads[-1].step_id, switches[0].step_id, "verify:s0"),
    )


def shown(state, *, max_rows=50):
    from rich.console import Console

    console = Console(width=110, file=io.StringIO(), record=True, color_system=None)
    console.print(table(state, max_rows=max_rows, now=monotonic_seconds()))
    return console.export_text()


def test_the_tree_shows_what_runs_what_came_in_and_what_is_late():
    state, made = PlanState(), plan()
    state.plan(made, ())
    first, second, switch, *_ = made.steps
    state.step(first, "started", ago_seconds=500)
    state.step(second, "started", ago_seconds=3)
    state.advance("s1/dump", 400_000_000)
    text = shown(state)
    assert "restore 0123abcd of point aaaaaaaaaaaa" in text
    [late] = [line for line in text.splitlines() if "load s0" in line]
    assert "running, late" in late
    [runs] = [line for line in text.splitlines() if "load s1" in line]
    assert runs.startswith("*")
    assert "400 MB of 1.0 GB" in runs
    assert "  3." in runs
    assert "31s" in runs
    state.step(first, "failed", "the server went away")
    state.step(switch, "not run", first.step_id)
    state.say("paused by ada")
    text = shown(state)
    assert "FAILED" in text
    assert "the server went away" in text
    assert "not run" in text
    assert "paused by ada" in text
    assert "2 of 5 steps" in text


def test_of_a_large_plan_what_matters_is_shown():
    state, made = PlanState(), plan(systems=100)
    state.plan(made, {step.step_id for step in made.steps[:60]})
    for step in made.steps[60:64]:
        state.step(step, "started")
    state.step(made.steps[63], "failed", "broken")
    rows = {row.step.step_id for row in chosen_rows(state, 10)}
    assert {"load:s60", "load:s61", "load:s62", "load:s63", "load:s64"} <= rows
    assert len(rows) == 10
    assert "191 steps that wait or are done are not shown" in shown(state, max_rows=10)


def test_without_a_terminal_each_event_is_a_line_of_json():
    out, made = io.StringIO(), plan()
    with onlooker(stream=out) as told:
        assert isinstance(told, StepLines)
        told.plan(made, frozenset())
        told.step(made.steps[0], "started")
        told.begin("s0/dump", 5)
        told.advance("s0/dump", 5)
        told.end("s0/dump")
        told.step(made.steps[0], "failed", "broken")
        told.say("paused by ada")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["plan", "step", "begin", "end", "step", "say"]
    assert lines[0]["steps"] == 5
    assert lines[4]["state"] == "failed"
    assert lines[4]["detail"] == "broken"
    assert lines[4]["elapsed_seconds"] >= 0


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_says_nothing(quiet):
    out = io.StringIO()
    with onlooker(quiet=quiet, stream=out) as told:
        told.plan(plan(), frozenset())
    assert bool(out.getvalue()) is not quiet
