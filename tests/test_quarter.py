"""A quarter's record: what counts as a backup that was made, what exposure was, and what nobody knows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkeeper.errors import UsageInvalid
from drkeeper.quarter import ProofSeen, Quarter, Run, build_quarter
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.quarter_view import build_document, gaps, quarter_bytes, shortcomings
from drkeeper.report.record import Objectives
from quarter_examples import (
    AFTER,
    CRON,
    MISSED,
    QUARTER,
    QUARTERS,
    backup_whole,
    drill,
    empty,
    night,
    point,
    quarter,
    sources,
    spotless,
)

GOLDEN = Path(__file__).parent / "golden"
BEGAN = QUARTER.began_at


def backups_of(runs, now=AFTER, **changes):
    return build_quarter(sources(runs=tuple(runs), points=(), **changes), QUARTER, now).backups


@pytest.mark.parametrize(("text", "began", "ended"), [
    ("2026Q4", datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ("2024-q1", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)),
    ("2023Q2", datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 7, 1, tzinfo=UTC)),
])  # fmt: skip
def test_a_quarter_is_three_whole_months(text, began, ended):
    parsed = Quarter.parse(text)
    assert (parsed.began_at, parsed.ends_at) == (began, ended)
    assert Quarter.of(ended - timedelta(seconds=1)) == parsed
    assert Quarter.of(ended).previous == parsed


@pytest.mark.parametrize("text", ["2026Q5", "Q4", "2026", "26Q4", "2026Q0", "2026Q44", "0000Q1", "2026Qx", ""])
def test_what_is_no_quarter_is_refused(text):
    with pytest.raises(UsageInvalid):
        Quarter.parse(text)


def test_the_example_quarter_counts_each_night_once():
    found = quarter().backups
    assert (found.due, found.made, found.partial, found.failed, found.missed) == (92, 88, 1, 2, 1)
    assert found.rate == 88 / 92
    assert [(each.due_at.date().isoformat(), each.outcome) for each in found.failures] == [
        ("2026-10-24", "partial"), ("2026-11-18", "failed"), ("2026-11-19", "failed"), ("2026-12-11", "missed"),
    ]  # fmt: skip
    assert sum(day.due for day in found.days) == 92


def test_a_backup_that_is_repeated_with_success_makes_its_night_good():
    failed = Run("backup", "x", night(5), night(5), "failed", "no disk")
    again = replace(backup_whole(5), began_at=night(5) + timedelta(hours=3))
    others = [backup_whole(number) for number in range(92) if number != 5]
    assert backups_of([*others, failed, again]).made == 92
    assert backups_of([*others, failed]).failed == 1


def test_a_point_that_a_region_lacks_is_no_whole_backup():
    whole = [backup_whole(number) for number in range(92)]
    lacking = replace(whole[7], outcome="failed", detail={**whole[7].detail, "lacking": "eu-north"})
    found = backups_of([*whole[:7], lacking, *whole[8:]])
    assert (found.made, found.partial) == (91, 1)
    assert found.failures[0].why == "regions that lack it: eu-north"


def test_a_backup_that_was_killed_has_failed():
    killed = Run("backup", "x", night(30))
    found = backups_of([backup_whole(29), killed, backup_whole(31)])
    assert [each.why for each in found.failures if each.outcome == "failed"] == ["it began and never ended"]


def test_times_before_anything_is_known_are_not_due_and_the_report_says_so():
    record = build_quarter(sources(runs=tuple(backup_whole(n) for n in range(40, 92)), points=()), QUARTER, AFTER)
    assert record.backups.due == 52
    assert record.backups.rate == 1
    assert any(text.startswith("Nothing is known of backups before 2026-11-10") for text in record.unknown)
    assert record.backups.days[0].before
    assert not record.backups.days[40].before


def test_a_vault_that_was_never_backed_up_missed_every_time_since_it_was_made():
    found = backups_of([Run("init", "x", night(60), night(60), "ok")])
    assert (found.due, found.missed, found.rate) == (31, 31, 0)


def test_a_time_that_is_not_over_counts_only_when_it_was_made():
    runs = [backup_whole(number) for number in range(-1, 10)]
    at_noon = night(10) + timedelta(hours=10)
    assert backups_of(runs, now=at_noon).due == 10
    assert backups_of([*runs, backup_whole(10)], now=at_noon).due == 11


def test_without_a_schedule_the_rate_is_of_what_was_tried():
    runs = [backup_whole(3), Run("backup", "x", night(4), night(4), "failed", "no disk")]
    found = backups_of(runs, schedule="", due=())
    assert (found.due, found.tried, found.made, found.rate) == (0, 2, 1, 0.5)


def test_undo_points_are_no_backups():
    undo = replace(backup_whole(3), detail={**backup_whole(3).detail, "purpose": "undo"})
    assert backups_of([undo]).tried == 0


def test_a_backup_of_some_systems_makes_no_night_good_but_holds_what_it_holds():
    whole = [backup_whole(number) for number in range(92) if number != 5]
    held = {
        key: value for key, value in backup_whole(5).detail.items() if key.partition(".")[2] in {"", "online-store"}
    }
    some = replace(backup_whole(5), detail={**held, "selected": "online-store"})
    record = build_quarter(sources(runs=(*whole, some), points=()), QUARTER, AFTER)
    assert (record.backups.made, record.backups.missed) == (91, 1)
    worst = {system.name: system.worst_seconds for system in record.systems}
    assert worst["online-store"] < 26 * 3600 < 47 * 3600 < worst["mlflow-db"]


def test_points_of_a_time_without_audit_log_count_as_backups():
    record = build_quarter(sources(runs=(), points=tuple(point(n) for n in range(92))), QUARTER, AFTER)
    assert (record.backups.made, record.backups.partial) == (91, 1)
    assert any("no audit log" in text for text in record.unknown)


def test_a_point_without_audit_log_belongs_to_the_time_at_which_it_was_begun_and_is_usable_once_it_ended():
    long = tuple(point(n).model_copy(update={"elapsed_seconds": 5400.0}) for n in range(92) if n not in MISSED)
    found = build_quarter(sources(runs=(), points=long), QUARTER, AFTER)
    assert [each.due_at.day for each in found.backups.failures if each.outcome == "missed"] == [night(71).day]
    tooth = found.systems[0].teeth[3]
    assert tooth.began_at == night(3) + timedelta(seconds=5400)
    assert tooth.low_seconds == 5400


def test_exposure_grows_until_the_next_point_is_usable():
    record = quarter()
    worst = {system.name: system.worst_seconds for system in record.systems}
    assert 72 * 3600 < worst["mlflow-db"] < 73 * 3600  # two failed nights in a row
    online = next(system for system in record.systems if system.name == "online-store")
    assert online.over_seconds > next(s for s in record.systems if s.name == "mlflow-db").over_seconds
    first = online.teeth[0]
    assert first.began_at == BEGAN
    assert 21 * 3600 < first.low_seconds < 22 * 3600  # the last night before the quarter
    assert online.covered_seconds == 92 * 86400


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 92 * 24 * 60), min_size=1, max_size=40, unique=True))
def test_teeth_follow_one_another_and_end_with_the_period(minutes):
    runs = []
    for minute in sorted(minutes):
        at = BEGAN + timedelta(minutes=minute)
        detail = {"point": f"{minute:012x}", "partial": False, "status.db": "complete", "as_of.db": at.isoformat()}
        runs.append(Run("backup", "x", at, at + timedelta(minutes=1), "ok", "", detail))
    [db] = build_quarter(sources(runs=tuple(runs), points=(), kinds={"db": "postgres"}), QUARTER, AFTER).systems
    for before, after in zip(db.teeth, db.teeth[1:], strict=False):
        assert before.ended_at == after.began_at
    assert all(tooth.peak_seconds >= tooth.low_seconds >= 0 for tooth in db.teeth)
    assert not db.teeth or db.teeth[-1].ended_at == QUARTER.ends_at
    assert 0 <= db.over_seconds <= db.covered_seconds
    assert db.worst_seconds == max((tooth.peak_seconds for tooth in db.teeth), default=None)


def test_a_quarter_of_backups_every_quarter_of_an_hour_stays_drawable_and_keeps_its_highest_peak():
    runs = []
    for number in range(92 * 96):
        if not 4000 <= number < 4040:
            at = BEGAN + timedelta(minutes=15 * number)
            detail = {"point": f"{number:012x}", "partial": False, "status.db": "complete", "as_of.db": at.isoformat()}
            runs.append(Run("backup", "x", at, at + timedelta(seconds=40), "ok", "", detail))
    [db] = build_quarter(sources(runs=tuple(runs), points=(), kinds={"db": "postgres"}), QUARTER, AFTER).systems
    assert len(db.teeth) <= 184
    assert sum(tooth.backups for tooth in db.teeth) == len(runs)
    assert max(tooth.peak_seconds for tooth in db.teeth) == db.worst_seconds > 10 * 3600


def test_a_system_that_was_in_no_point_for_a_time_is_not_said_to_have_been_within_its_objective():
    runs = []
    for number in range(-1, 92):
        run = backup_whole(number)
        if number < 46:  # its capture failed every night for half of the quarter
            held = {key: value for key, value in run.detail.items() if key != "as_of.online-store"}
            run = replace(run, detail={**held, "status.online-store": "failed", "partial": True}, outcome="failed")
        runs.append(run)
    record = build_quarter(sources(runs=tuple(runs), points=()), QUARTER, AFTER)
    document = build_document(record)
    figures = {figure.label: figure for figure in document.figures.figures}
    assert figures["Worst exposure"].verdict.text == "not measured"
    table = next(block for block in document.parts[3].blocks if getattr(block, "title", "") == "By system")
    rows = {row[0].text: row for row in table.rows}
    assert rows["online-store"][1].tone == "warn"
    assert rows["online-store"][1].note == "besides 46 d 2 h in no point"
    assert float(rows["online-store"][2].text.split()[0]) < 51
    assert (rows["mlflow-db"][1].tone, rows["mlflow-db"][2].text) == ("good", "100 %")
    assert "In no recovery point for a time: online-store." in gaps(record)
    assert gaps(spotless()) == []


@pytest.mark.parametrize(("answer", "hours"), [((), 48), (("restorable",), 24), (("stored",), 48)])
def test_a_point_that_was_found_damaged_and_not_mended_protected_nobody(answer, hours):
    runs = tuple(backup_whole(number) for number in range(-1, 92))
    point_id = str(runs[21].detail["point"])
    proofs = (
        ProofSeen(point_id, "intact", "failed", night(40)),
        *(ProofSeen(point_id, level, "passed", night(41)) for level in answer),
    )
    record = build_quarter(sources(runs=runs, points=(), proofs=proofs), QUARTER, AFTER)
    assert record.systems[0].worst_seconds // 3600 == hours


def test_a_failed_drill_is_answered_by_a_later_one_of_the_same_scenario():
    record = quarter()
    answered = {line.drill_id: line.answered_by for line in record.drills if line.answered_by}
    assert answered == {"0e2c41d09ab2": "0f1c41d09ab2"}
    unanswered = build_quarter(sources(drills=sources().drills[:5]), QUARTER, AFTER)
    assert {each.name: each.state for each in unanswered.scenarios}["database-corrupted"] == "re-test overdue"
    assert any("database-corrupted" in text for text in shortcomings(unanswered))


def test_a_drill_whose_record_was_changed_after_it_was_signed_does_not_count_as_signed():
    whole = sources()
    better = whole.drills[4].model_copy(update={"rto_seconds": 1.0})
    record = quarter(drills=(*whole.drills[:4], better, *whole.drills[5:]))
    assert [line.drill_id for line in record.drills if not line.signed] == [better.drill_id]
    assert all(line.signed for line in quarter().drills)


def test_scenarios_that_were_never_rehearsed_are_there_and_are_not_good():
    states = {each.name: each.state for each in quarter().scenarios}
    assert states["key-lost"] == states["registry-corrupted"] == "never rehearsed"
    assert any("key-lost" in text for text in gaps(quarter()))


def test_findings_of_the_quarter_are_those_that_were_open_in_it():
    ids = [each.finding_id for each in quarter().findings]
    assert ids == ["3ac9f01b77", "b1907de244", "77e2c0a9d1"]
    old = quarter(findings=tuple(
        each.model_copy(update={"state": "closed", "closed_at": BEGAN - timedelta(days=1)}) for each in sources().findings[:1]
    ))  # fmt: skip
    assert old.findings == ()


def test_the_verdict_is_good_only_where_everything_was_shown():
    assert build_document(spotless()).tone == "good"
    assert build_document(quarter()).tone == "bad"
    assert build_document(empty()).tone == "warn"
    unproven = spotless().model_copy(update={"newest_level": ""})
    assert build_document(unproven).tone == "warn"
    tampered = spotless().audit.model_copy(update={"verdict": "failed", "detail": "link 41 is missing"})
    told = build_document(spotless().model_copy(update={"audit": tampered}))
    assert (told.tone, "link 41 is missing" in told.summary) == ("bad", True)


def test_a_promise_that_was_not_made_is_never_met():
    record = quarter(objectives=Objectives())
    figures = {figure.label: figure.verdict.text for figure in build_document(record).figures.figures}
    assert figures["Worst exposure"] == "no objective"


def test_runs_out_of_the_ordinary_are_told_and_the_rest_is_counted():
    record = quarter()
    assert record.commands == {"backup": 91, "verify": 13, "points pin": 1, "restore": 1}
    told = [each.what for each in record.happenings]
    assert told.count("backup") == 3
    assert "restore" in told
    assert "verify" not in told
    many = [
        Run("points pin", "x", BEGAN + timedelta(minutes=n), BEGAN + timedelta(minutes=n), "ok") for n in range(100)
    ]
    crowded = quarter(runs=tuple(many))
    assert (len(crowded.happenings), crowded.more_happenings) == (60, 45)


def test_the_golden_record_is_read_as_ever():
    stored = (GOLDEN / "quarter-v1.json").read_bytes()
    assert quarter_bytes(QuarterRecord.model_validate_json(stored)) == stored.rstrip(b"\n")


@pytest.mark.parametrize("name", sorted(QUARTERS))
def test_every_report_has_its_twelve_parts(name):
    parts = build_document(QUARTERS[name]()).parts
    assert [part.number for part in parts] == list(range(1, 13))
    assert [part.title for part in parts] == [
        "Header", "Scope and scenarios", "Recovery points", "Objectives against actual", "Timeline", "Verification",
        "Findings", "Clean-up proof", "Trend", "Control map", "Approval", "Integrity",
    ]  # fmt: skip
    assert all(part.blocks for part in parts)


def test_the_control_map_claims_nothing_that_was_not_done():
    def shown(record):
        table = build_document(record).parts[9].blocks[1]
        return {row[0].text: (row[2].text, row[3].text) for row in table.rows}

    nothing = shown(empty())
    assert {verdict for verdict, _ in nothing.values()} == {"not here"}
    real = shown(quarter())
    assert real["SOC 2 A1.3"] == ("in part", "4 of 5 drills recovered within objectives")
    assert real["ISO 22301:2019 8.5"][0] == "in part"
    assert real["DORA RTS (EU) 2024/1774 Art. 25"] == ("here", "the loss of a region was rehearsed with success")
    unlost = quarter(drills=(drill(41, "online-store-lost", 655, 640, 1090, 1),))
    assert shown(unlost)["DORA RTS (EU) 2024/1774 Art. 25"][0] == "in part"
    assert {verdict for verdict, _ in shown(spotless()).values()} == {"here"}


def test_the_cron_line_of_the_example_is_every_night():
    assert len(sources().due) == 93
    assert CRON == "0 2 * * *"
