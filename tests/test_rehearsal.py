"""A failed scenario stays red until it was rehearsed well, and surprises can be drawn again."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pytest

from drkeeper.rehearsal import EVERYTHING, deadlines, draw, retests, trend, turns
from report_examples import DISASTER, good


@dataclass(frozen=True)
class Terms:
    every: timedelta = timedelta(days=92)
    retest_within: timedelta = timedelta(days=30)


TERMS = Terms()


def drill(day, scenario="region-lost", *, well=True, **changes):
    at = DISASTER + timedelta(days=day)
    fields = {"drill_id": f"{scenario}-{day}", "scenario_name": scenario, "started_at": at, "ended_at": at}
    return good(**fields, **({} if well else {"error": "it did not come back", "rto_seconds": None}), **changes)


def states(records, day, scenarios=()):
    dues = retests(records, DISASTER + timedelta(days=day), TERMS, scenarios)
    return {due.scenario: due.state for due in dues}


def test_a_scenario_that_was_never_rehearsed_says_so_and_one_that_was_is_due_after_the_interval():
    assert states([drill(0)], 92, ["key-lost"]) == {"key-lost": "never rehearsed", "region-lost": "well"}
    assert states([drill(0)], 92.1) == {"region-lost": "due"}


def test_a_failed_drill_stays_red_whatever_else_is_drilled_until_its_own_scenario_went_well():
    records = [drill(0, well=False), drill(1, "key-lost")]
    assert states(records, 30) == {"region-lost": "red", "key-lost": "well"}
    assert states(records, 30.1)["region-lost"] == "re-test overdue"
    assert states([*records, drill(40)], 41)["region-lost"] == "well"


def test_failing_again_does_not_move_the_deadline():
    first, again = drill(0, well=False), drill(20, well=False)
    [due] = retests([again, first], DISASTER + timedelta(days=21), TERMS)
    assert (due.failed_at, due.retest_by) == (first.ended_at, first.ended_at + TERMS.retest_within)
    assert due.last == again
    assert deadlines(again, [first], TERMS) == (due.retest_by, due.next_due_at)


def test_a_deadline_that_a_record_names_stands_when_the_policy_changes():
    promised = DISASTER + timedelta(days=3)
    [due] = retests([drill(0, well=False, retest_by=promised)], DISASTER, TERMS)
    assert due.retest_by == promised


def test_a_plain_drill_rehearses_the_loss_of_everything():
    assert states([drill(0, "", well=False)], 1) == {EVERYTHING: "red"}
    assert states([drill(0, "", well=False), drill(1, EVERYTHING)], 1) == {EVERYTHING: "well"}


def test_a_missed_objective_is_not_well():
    assert states([drill(0, rto_seconds=3600.0)], 1) == {"region-lost": "red"}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ["a", "b", "c"]),
        ([drill(0, "a"), drill(5, "c")], ["b"]),
        ([drill(0, "a"), drill(5, "b"), drill(1, "c")], ["a"]),
        ([drill(0, "a"), drill(5, "b", well=False), drill(1, "c", well=False)], ["c", "b"]),
        ([drill(-50, "a"), drill(-70, "b"), drill(0, "c")], ["b", "a"]),
        ([drill(-50, "a"), drill(-70, "b"), drill(0, "c"), drill(1, "c", well=False)], ["c", "b", "a"]),
    ],
)
def test_whose_turn_it_is(records, expected):
    dues = retests(records, DISASTER, TERMS, ["a", "b", "c"])
    assert turns(dues, DISASTER + timedelta(days=6), TERMS) == expected


@pytest.mark.parametrize("days", [7, 30, 89, 92])
def test_whatever_the_schedule_nothing_is_overdue_once_each_was_drilled(days):
    names, records = ["a", "b", "c", "d", "e"], []
    for run in range(0, 800, days):
        now = DISASTER + timedelta(days=run)
        due = retests(records, now, TERMS, names)
        assert run == 0 or {each.state for each in due} == {"well"}
        again = turns(due, now, TERMS)
        assert again
        records += [drill(run, name) for name in again]


def test_the_trend_is_of_the_same_scenario_oldest_first():
    now = drill(9)
    assert [each.drill_id for each in trend(now, [drill(5), drill(3, "key-lost"), drill(1), now])] == [
        "region-lost-1",
        "region-lost-5",
    ]


def test_a_seed_draws_the_same_again_and_draws_are_fair():
    names = [f"point-{number}" for number in range(10)]
    drawn = Counter(draw(seed, "point", names) for seed in range(2000))
    assert set(drawn) == set(names)
    assert min(drawn.values()) > 130
    assert all(draw(seed, "point", names) == draw(seed, "point", reversed(names)) for seed in range(50))


def test_a_point_that_is_added_moves_few_draws_and_only_to_itself():
    names = [f"point-{number}" for number in range(10)]
    before = [draw(seed, "point", names) for seed in range(500)]
    after = [draw(seed, "point", [*names, "new"]) for seed in range(500)]
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {"new"}
