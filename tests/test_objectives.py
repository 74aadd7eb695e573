"""Verdicts and exit codes of drills: unmeasured is never met, unchecked never passed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper.facts import Check
from drkeeper.objectives import exit_code_of, judge, judge_drill, outcome_of
from drkeeper.report.record import Objectives
from report_examples import EXAMPLES, good

CHECK = Check(subject="a.b", verdict="passed")


def test_a_figure_equal_to_its_objective_is_met_with_nothing_to_spare():
    assert judge(60.0, 60.0).verdict == "met"
    assert judge(60.0, 60.0).margin_seconds == 0


@given(measured=st.floats(0, 1e9), target=st.floats(0, 1e9))
def test_a_figure_is_met_exactly_where_it_is_not_over_its_objective(measured, target):
    judged = judge(measured, target)
    assert judged.kept == (measured <= target)
    assert judged.verdict == ("met" if measured <= target else "missed")


@given(target=st.none() | st.floats(0, 1e9))
def test_what_was_not_measured_is_never_met(target):
    judged = judge(None, target, reason="no heartbeat")
    assert judged.verdict == "not measured"
    assert judged.reason == "no heartbeat"
    assert judged.kept == (target is None)


def test_a_figure_without_objective_breaks_no_promise():
    assert judge(1e9, None).verdict == "no objective"
    assert judge(1e9, None).kept


def test_each_system_is_held_against_the_objectives_of_the_whole():
    judged = judge_drill(good(objectives=Objectives(rto_seconds=30, rpo_seconds=185)))
    assert [(system.name, system.rto.verdict, system.rpo.verdict) for system in judged.systems] == [
        ("mlflow-db", "missed", "missed"),
        ("feast-online", "met", "met"),
    ]
    assert judged.rto.margin_seconds == pytest.approx(-13.218)


def test_an_rpo_that_was_not_measured_names_the_systems_and_why():
    judged = judge_drill(EXAMPLES["missed"]())
    assert judged.rpo.reason == "feast-online: no heartbeat in the data: beats were never switched on for it"


@pytest.mark.parametrize(
    ("example", "outcome", "code"),
    [
        ("good", "recovered", 0),
        ("long", "recovered", 0),
        ("missed", "objective missed", 6),
        ("failed-verification", "verification failed", 5),
        ("failed-restore", "restore failed", 1),
    ],
)
def test_every_end_of_a_drill_has_its_exit_code(example, outcome, code):
    record = EXAMPLES[example]()
    assert outcome_of(record) == outcome
    assert exit_code_of(record) == code


def test_an_objective_that_was_not_measured_counts_as_missed():
    assert exit_code_of(good(rpo_seconds=None)) == 6
    assert exit_code_of(good(rpo_seconds=None, objectives=Objectives(rto_seconds=60))) == 0


def test_a_failed_check_outweighs_a_missed_objective_and_the_error_that_it_caused():
    failed = (*good().checks, Check(subject="mlflow-db.runs", verdict="failed"))
    record = good(checks=failed, objectives=Objectives(rto_seconds=1), error="verification failed", rto_seconds=None)
    assert exit_code_of(record) == 5


def test_a_drill_in_which_nothing_could_be_checked_is_not_verified():
    unchecked = Check(subject="a.b", verdict="not checked")
    for checks in ((), (unchecked,)):
        record = good(checks=checks)
        assert outcome_of(record) == "not verified"
        assert exit_code_of(record) == 5
    assert exit_code_of(good(checks=(CHECK, unchecked))) == 0


@pytest.mark.parametrize("outcome", ["failed", "not run"])
@pytest.mark.parametrize(("phase", "code"), [("provision", 1), ("restore", 1), ("verify", 5)])
def test_a_step_that_did_not_end_well_is_a_failure_of_its_phase(phase, code, outcome):
    steps = list(good().steps)
    place = next(place for place, step in enumerate(steps) if step.phase == phase)
    steps[place] = steps[place].model_copy(update={"outcome": outcome})
    assert exit_code_of(good(steps=tuple(steps))) == code


def test_an_error_without_any_failed_step_or_check_is_a_failed_restore():
    assert exit_code_of(good(error="the sandbox has no disk left")) == 1
    assert exit_code_of(good(rto_seconds=None)) == 1


@pytest.mark.parametrize("verdict", ["failed", "not checked"])
def test_a_sandbox_that_is_not_proven_gone_fails_an_otherwise_good_drill(verdict):
    record = good(clean_up=(Check(subject="sandbox.folder", verdict=verdict),))
    assert outcome_of(record) == "clean-up failed"
    assert exit_code_of(record) == 1
