"""Findings: opened and closed by what runs saw, assigned by people, and never lost or counted twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper import findings
from drkeeper.errors import FindingUnknown, UsageInvalid
from drkeeper.facts import Check
from drkeeper.findings import Terms
from drkeeper.report.finding import FindingEvent, Observed, finding_id, fold
from drkeeper.report.observed import observed_in_drill, observed_in_proof
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from report_examples import EXAMPLES, good

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
TERMS = Terms("Ines Marthaler", timedelta(days=30))


@pytest.fixture
def vault(tmp_path):
    return Vault.create({name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")})


def seen(vault, verdict, source, days=0, subject="mlflow-db: restored data"):
    observed = [Observed(subject, verdict, detail=f"{source} says {verdict}")]
    findings.note(vault, observed, source=source, at=AT + timedelta(days=days), terms=TERMS)
    found = findings.list_findings(vault, AT + timedelta(days=days))
    return next((each for each in found if each.subject == subject), None)


def test_a_failure_opens_a_finding_with_owner_and_due_date_and_a_later_success_closes_it(vault):
    opened = seen(vault, "failed", "drill 1")
    assert (opened.state, opened.owner, opened.due_at) == ("open", "Ines Marthaler", AT + timedelta(days=30))
    assert seen(vault, "not checked", "drill 2", 1).state == "open"
    again = seen(vault, "failed", "drill 3", 2)
    assert (again.seen, again.due_at, again.detail) == (2, opened.due_at, "drill 3 says failed")
    closed = seen(vault, "passed", "drill 4", 3)
    assert (closed.state, closed.closed_by, closed.finding_id) == ("closed", "drill 4", opened.finding_id)


def test_what_comes_back_is_the_same_finding_with_a_new_deadline(vault):
    first = seen(vault, "failed", "drill 1")
    seen(vault, "passed", "drill 2", 40)
    back = seen(vault, "failed", "drill 3", 80)
    assert (back.finding_id, back.state, back.returned, back.opened_at) == (first.finding_id, "open", 1, AT)
    assert back.due_at == AT + timedelta(days=110)


def test_a_run_that_is_noted_twice_counts_once_and_success_opens_nothing(vault):
    seen(vault, "failed", "drill 1")
    assert seen(vault, "failed", "drill 1", 1).seen == 1
    assert seen(vault, "passed", "drill 2", subject="other") is None


def test_findings_can_be_told_as_they_stood(vault):
    seen(vault, "failed", "drill 1")
    seen(vault, "passed", "drill 2", 40)
    then, now = AT + timedelta(days=20), AT + timedelta(days=60)
    assert [each.state for each in findings.list_findings(vault, then, until=then)] == ["open"]
    assert [each.state for each in findings.list_findings(vault, now, until=now)] == ["closed"]
    assert findings.list_findings(vault, AT, until=AT) == []


def test_people_assign_accept_and_close(vault):
    found = seen(vault, "failed", "drill 1")
    moved = findings.assign(vault, found, owner="R. Okafor", due_at=AT + timedelta(days=9), actor="ines")
    assert (moved.owner, moved.due_at.day) == ("R. Okafor", 12)
    taken = findings.accept(vault, moved, why="next release", until=AT + timedelta(days=5000), actor="ines")
    assert (taken.state, taken.why, taken.owner) == ("accepted", "next release", "R. Okafor")
    assert findings.list_findings(vault, AT + timedelta(days=5001))[0].state == "open"
    closed = findings.close(vault, taken, why="granted the role", actor="ines")
    assert (closed.state, closed.closed_by) == ("closed", "ines")
    with pytest.raises(UsageInvalid, match="closed already"):
        findings.close(vault, closed, why="twice", actor="ines")


def test_a_finding_answers_to_the_beginning_of_its_id(vault):
    found = seen(vault, "failed", "drill 1")
    assert findings.find_finding(vault, found.finding_id[:4], AT) == found
    for unknown in ("", "zz", "0123456789ab"):
        with pytest.raises(FindingUnknown):
            findings.find_finding(vault, unknown, AT)


def test_those_who_write_at_once_are_all_heard(vault):
    found = seen(vault, "failed", "drill 1")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: findings.assign(vault, found, owner=f"owner {n}", due_at=None, actor="x"), range(12)))
    keys = vault.record_keys("findings/")
    assert len(keys) == 13
    assert {vault.read_record(key, FindingEvent).owner for key in keys[1:]} == {f"owner {n}" for n in range(12)}


def test_a_damaged_event_hides_no_other(vault, tmp_path):
    seen(vault, "failed", "drill 1")
    seen(vault, "failed", "drill 2", subject="other")
    (tmp_path / "near" / vault.record_keys("findings/")[0]).write_text("{}")
    assert len(findings.list_findings(vault, AT)) == 1


def test_a_drill_record_says_what_the_register_says_after_it(vault):
    failed = findings.with_findings(vault, EXAMPLES["failed-verification"](), TERMS)
    findings.note_drill(vault, failed, TERMS)
    assert [each.subject for each in failed.findings] == ["mlflow-db: restored data"]
    assert list(failed.findings) == findings.list_findings(vault, failed.ended_at)
    later = good(
        drill_id="0123456789ab", started_at=AT + timedelta(days=60), ended_at=AT + timedelta(days=60, seconds=50)
    )
    answered = findings.with_findings(vault, later, TERMS)
    assert [(each.subject, each.state) for each in answered.findings] == [("mlflow-db: restored data", "closed")]


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("good", set()),
        ("failed-verification", {"mlflow-db: restored data"}),
        ("failed-restore", {"scenario everything-lost: restore", "scenario everything-lost: RTO", "scenario everything-lost: RPO"}),
        ("missed", {"scenario everything-lost: RTO", "scenario everything-lost: RPO"}),
        ("rehearsal", {"recovery point f0e1d2c3b4a5: intact"}),
    ],
)  # fmt: skip
def test_each_way_in_which_a_drill_ends_badly_is_a_finding(name, subjects):
    record = EXAMPLES[name]()
    observed = observed_in_drill(record, "everything-lost")
    assert {each.subject for each in observed if each.verdict == "failed"} == subjects
    assert len({each.subject for each in observed}) == len(observed)


def test_many_failed_statements_of_a_system_are_one_finding():
    checks = tuple(Check(subject=f"mlflow-db.t{n}.rows", verdict="failed", detail="lost") for n in range(300))
    [found] = [each for each in observed_in_drill(good(checks=checks), "x") if each.verdict == "failed"]
    assert found.detail.startswith("300 of 300 statements failed: mlflow-db.t0.rows: lost; ")
    assert found.detail.endswith("and 297 more")


def test_a_level_that_holds_closes_those_below_it_and_none_above(vault):
    findings.note(vault, observed_in_proof("abc", "restorable", "failed", ()), source="verify 1", at=AT, terms=TERMS)
    findings.note(vault, observed_in_proof("abc", "stored", "failed", ()), source="verify 2", at=AT, terms=TERMS)
    findings.note(vault, observed_in_proof("abc", "intact", "passed", ()), source="verify 3", at=AT, terms=TERMS)
    states = {each.subject: each.state for each in findings.list_findings(vault, AT)}
    assert states == {"recovery point abc: stored": "closed", "recovery point abc: restorable": "open"}


def test_the_golden_event_is_read_as_ever():
    stored = (GOLDEN / "finding-event-v1.json").read_bytes()
    event = FindingEvent.model_validate_json(stored)
    assert event.finding_id == finding_id(event.subject)
    assert event.model_dump_json().encode() == stored.rstrip(b"\n")


@given(st.lists(st.sampled_from(["opened", "seen", "assigned", "accepted", "closed"]), max_size=12))
def test_any_sequence_of_events_folds_to_a_finding_that_makes_sense(kinds):
    events = [
        FindingEvent(
            finding_id="0" * 10, number=number, at=AT + timedelta(days=number), actor="x", event=kind, subject="s",
            until=AT + timedelta(days=99) if kind == "accepted" else None,
        )
        for number, kind in enumerate(["opened", *kinds], 1)
    ]  # fmt: skip
    found = fold(events, AT + timedelta(days=50))
    assert (found.closed_at is not None) == (found.state == "closed")
    assert found.seen == 1 + sum(kind in {"opened", "seen"} for kind in kinds)
    assert found.opened_at == events[0].at
