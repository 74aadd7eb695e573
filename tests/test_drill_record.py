"""What a drill proves of a point: that it comes back, and that what came back works."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drkeeper.drill_proofs import proof_of, proof_of_use, proofs_of_drill
from drkeeper.drill_record import build_record
from drkeeper.drill_request import DrillRequest, Exercise, Measured
from drkeeper.facts import Check
from drkeeper.objectives import exit_code_of, outcome_of
from drkeeper.report.canonical import canonical_bytes
from drkeeper.report.html import render_html
from drkeeper.report.record import DrillRecord, FellBack, Objectives, StepRecord
from report_examples import DISASTER, passed
from report_examples import good as example
from vault_examples import make_point

LEADS_SOMEWHERE = Check(subject="tracking.versions.objects", verdict="passed", detail="12 of 12 lead somewhere")
LEADS_NOWHERE = LEADS_SOMEWHERE.model_copy(
    update={"verdict": "failed", "detail": "1 of 12 leads nowhere: churn 3", "remedy": "restore the bucket"}
)
NOT_ASKED = Check(subject="features.online.skew", verdict="not checked", detail="Feast is not installed")


def good(**changes):
    return example(**{"checks": tuple(passed()), **changes})


def test_a_drill_without_applications_proves_nothing_of_use():
    record = good()
    assert proof_of(record, {"near"}).verdict == "passed"
    assert proof_of_use(record, {"near"}) is None


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([LEADS_SOMEWHERE], "passed"),
        ([LEADS_SOMEWHERE, NOT_ASKED], "not checked"),
        ([LEADS_SOMEWHERE, LEADS_NOWHERE], "failed"),
    ],
)
def test_use_is_proven_when_every_statement_was_put_to_the_test_and_held(said, verdict):
    record = good(usable=tuple(said))
    proof = proof_of_use(record, {"near"})
    assert (proof.level, proof.verdict) == ("usable", verdict)
    assert proof.findings == tuple(check for check in said if check.verdict == "failed")
    assert proof_of(record, {"near"}).verdict == "passed", "it came back, whatever applications say"


def test_what_did_not_come_back_as_it_was_is_not_usable():
    lost = Check(subject="mlflow-db.runs.rows", verdict="failed", detail="expected 2, found 1")
    record = good(checks=(lost,), usable=(LEADS_SOMEWHERE,))
    assert proof_of_use(record, {"near"}).verdict == "failed"


def test_what_people_did_wrong_on_a_game_day_is_not_held_against_the_point():
    lost = Check(subject="mlflow-db.runs.rows", verdict="failed", detail="expected 2, found 1")
    for record in (good(checks=(lost,)), good(error="it was given up in the stretch 'restore'")):
        assert [proof.verdict for proof in proofs_of_drill(record, {"near"})] == ["failed"]
        assert list(proofs_of_drill(record.model_copy(update={"exercise": "game day"}), {"near"})) == []
    [proof] = proofs_of_drill(good(exercise="game day"), {"near"})
    assert (proof.verdict, proof.regions) == ("passed", ()), "nobody saw from which region they read"


def test_a_platform_that_does_not_work_is_no_success():
    record = good(usable=(LEADS_NOWHERE,))
    assert (outcome_of(record), exit_code_of(record)) == ("verification failed", 5)
    page = render_html(record)
    assert "1 of 12 leads nowhere: churn 3" in page
    assert "restore the bucket" in page
    assert '<th scope="row">tracking</th>' in page


def test_a_record_says_nothing_of_what_older_ones_do_not_have():
    assert "usable" not in good().model_dump(mode="json")
    kept = good(usable=(LEADS_SOMEWHERE,))
    assert DrillRecord.model_validate_json(kept.model_dump_json()) == kept


# --- what a drill says of the point that it restored ---


def proofs(record, **more):
    return [(proof.level, proof.verdict) for proof in proofs_of_drill(record, {"near"}, **more)]


def test_a_drill_of_a_part_proves_nothing_of_the_whole_and_disproves_it_all_the_same():
    wrong = Check(subject="mlflow-db.runs.rows", verdict="failed", detail="expected 2, found 1")
    assert proofs(good(usable=(LEADS_SOMEWHERE,)), whole=True) == [("restorable", "passed"), ("usable", "passed")]
    assert proofs(good(usable=(LEADS_SOMEWHERE,)), whole=False) == []
    assert proofs(good(checks=(wrong,)), whole=False) == [("restorable", "failed")]


def test_a_sandbox_that_did_not_start_says_nothing_of_the_point():
    start = good().steps[0].model_copy(update={"outcome": "failed", "error": "no memory"})
    rest = [step.model_copy(update={"outcome": "not run"}) for step in good().steps[2:]]
    assert proofs(good(steps=(start, *rest), error="the sandbox did not start", rto_seconds=None)) == []


def test_a_point_that_was_given_up_for_an_earlier_one_makes_the_drill_red_and_not_the_earlier_point():
    record = good(fell_back=(FellBack(point_id="aaaaaaaaaaaa", reason="a frame is missing"),))
    assert (outcome_of(record), exit_code_of(record)) == ("fell back", 5)
    assert proofs(record) == [("restorable", "passed")]
    assert "fell back" in render_html(record) or "earlier point" in render_html(record)


# --- the record of a drill ---

REQUEST = DrillRequest(point=make_point(), objectives=Objectives(rto_seconds=60, rpo_seconds=None))
NAMES = tuple(record.name for record in REQUEST.point.systems)


def recorded(request, measured, **more):
    times = {"started_at": DISASTER, "ended_at": DISASTER + timedelta(seconds=9), **more}
    return build_record(request, measured, drill_id="1", **times)


def verified(at, seconds):
    return StepRecord(
        name="verify",
        phase="verify",
        started_at=DISASTER + timedelta(seconds=at),
        elapsed_seconds=seconds,
        outcome="done",
    )


def test_phases_add_up_to_the_rto_and_what_people_do_is_not_measured():
    measured = Measured(provisioned_seconds=2.0, recovered_seconds=9.0, besides=[verified(6, 1.5), verified(7, 2.0)])
    phases = {phase.name: phase for phase in recorded(REQUEST, measured).phases}
    seconds = [phase.seconds for phase in phases.values()]
    assert seconds == [None, None, 2.0, 4.0, 3.0, None]
    assert "no person" in phases["detect"].note


def test_a_clock_that_jumps_makes_no_phase_negative():
    measured = Measured(
        provisioned_seconds=2.0, recovered_seconds=9.0, besides=[verified(-3600, 1.0), verified(7, 1.0)]
    )
    known = [phase.seconds for phase in recorded(REQUEST, measured).phases if phase.seconds is not None]
    assert min(known) >= 0
    assert sum(known) == 9.0


def test_a_drill_that_did_not_end_has_only_the_phases_that_did():
    phases = recorded(REQUEST, Measured(provisioned_seconds=2.0, error="it hung")).phases
    assert {phase.name: phase.seconds for phase in phases if phase.seconds is not None} == {"provision": 2.0}
    assert {phase.note for phase in phases if phase.name == "restore"} == {"it did not end"}


def test_the_record_says_what_was_taken_for_granted_and_what_was_not_tested():
    exercise = Exercise(
        scenario="region-lost",
        title="a region is lost",
        gone=NAMES[:1],
        left=NAMES[1:],
        regions_gone=("here",),
        other_key=True,
        disaster_at=DISASTER - timedelta(hours=1),
    )
    record = recorded(replace(REQUEST, exercise=exercise), Measured())
    said = " ".join(record.assumptions)
    for words in ("here is gone", "identity that the policy names", "01:15:00 UTC", *NAMES[1:]):
        assert words in said
    assert record.disaster_at == exercise.disaster_at
    assert {system.name for system in record.systems} == set(NAMES[:1])
    assert any("no person took part" in each for each in record.not_tested)
    by_hand = recorded(replace(REQUEST, exercise=replace(exercise, kind="game day")), Measured())
    assert not any("no person took part" in each for each in by_hand.not_tested)


def test_the_golden_record_of_a_game_day_is_read_and_written_as_ever():
    data = (Path(__file__).parent / "golden/drill-v1-game-day.json").read_bytes()
    record = DrillRecord.model_validate_json(data)
    assert set(record.model_dump(mode="json")) == set(DrillRecord.model_fields)
    assert canonical_bytes(record) == data.rstrip(b"\n")
