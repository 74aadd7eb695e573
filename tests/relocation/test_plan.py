"""Where a relocation stands among the steps of a fail-over, and what a plan says of it. Pure."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drkeeper._relocation.records import RelocationRecord
from drkeeper.applications._mlflow.moves import Move, moved, within
from drkeeper.errors import SystemUnreachable
from drkeeper.failover.plan import Asked, plan_failback, plan_failover
from drkeeper.failover.reconcile import Decision
from drkeeper.failover.records import Entry, Loss, Roles, roles_of
from drkeeper.failover.relocating import Relocating
from drkeeper.failover.steps import Reconciliation, Relocate, SideState, World, sentence

GOLDEN = Path(__file__).parents[1] / "golden/relocation-v1.json"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = SideState("source", "s3://models", "https://s3.near.example", reachable=True, versioned=True)
REPLICA = SideState("replica", "s3://models-west", "https://s3.far.example", reachable=True, versioned=True)
STEP = Relocate("tracking", "s3://models", "s3://models-west", rows=1234)
BACK = Relocate("tracking", "s3://models-west", "s3://models", rows=5)
WORLD = World(Roles("artifacts"), SOURCE, REPLICA, None, Loss(basis="compared", objects=0), relocations=(STEP,))


def world(primary, epoch, *relocations):
    entry = {"system": "artifacts", "primary": primary, "epoch": epoch, "at": NOW, "by": "me", "token": 1}
    entries = [Entry(**entry, number=1, event="switched"), Entry(**entry, number=2, event="finished")]
    return replace(WORLD, roles=roles_of("artifacts", entries), relocations=relocations)


def kinds(plan):
    return [type(step).__name__ for step in plan.steps]


def test_locations_are_rewritten_after_the_switch_and_before_consumers_are_told():
    plan = plan_failover(WORLD, Asked())
    assert kinds(plan)[-6:] == ["Declare", "PutMark", "PutMark", "Relocate", "Tell", "Conclude"]
    assert sentence(STEP) == "rewrite 1,234 locations of tracking: s3://models becomes s3://models-west"


def test_a_fail_back_rewrites_them_the_other_way_round():
    plan = plan_failback(world("replica", 1, BACK), Asked(), Reconciliation())
    assert kinds(plan)[-6:] == ["Declare", "PutMark", "PutMark", "Relocate", "Tell", "Conclude"]


@pytest.mark.parametrize("nothing", [(), (replace(STEP, rows=0),), (Relocate("tracking", "s3://a", "s3://a"),)])
def test_where_nothing_is_to_be_rewritten_there_is_no_step(nothing):
    assert "Relocate" not in kinds(plan_failover(replace(WORLD, relocations=nothing), Asked()))


def test_both_urls_alike_are_told_with_the_endpoint():
    plan = plan_failover(replace(WORLD, relocations=(Relocate("tracking", "s3://a", "s3://a"),)), Asked())
    assert any("set MLFLOW_S3_ENDPOINT_URL=https://s3.far.example" in words for words in plan.warnings)


def test_a_database_that_does_not_answer_is_left_for_later_and_stops_nothing():
    later = replace(STEP, rows=0, later="db:5432 gave an error")
    plan = plan_failover(replace(WORLD, relocations=(later,)), Asked())
    assert (plan.refusals, plan.steps[-3]) == ((), later)
    assert sentence(later) == "leave the locations of tracking for later: `drkeeper relocate run tracking`"
    assert any("once it is back, or restored, run `drkeeper relocate run tracking`" in each for each in plan.warnings)


def test_what_would_be_refused_is_warned_of_and_stops_nothing():
    plan = plan_failover(replace(WORLD, relocations=(replace(STEP, refused="3 would not fit"),)), Asked())
    assert plan.refusals == ()
    assert any("would not be rewritten: 3 would not fit" in words for words in plan.warnings)


def marked_and(plan):
    return [kind for kind in kinds(plan) if kind != "PutMark"]


def test_what_an_earlier_try_left_is_done_again_and_what_waits_for_a_database_is_not_asked_for_each_time():
    assert marked_and(plan_failover(world("replica", 1, STEP), Asked())) == ["Relocate", "Conclude"]
    waiting = world("replica", 1, replace(STEP, rows=0, later="away"))
    assert "Relocate" not in kinds(plan_failover(waiting, Asked()))
    left = plan_failback(world("source", 2, BACK), Asked(), None)
    assert (marked_and(left), left.refusals) == (["Relocate", "Conclude"], ())
    assert plan_failback(world("source", 2), Asked(), None).steps == ()


def test_a_switch_that_was_killed_after_its_declaration_goes_on_with_the_locations():
    entry = Entry(system="artifacts", primary="replica", epoch=1, at=NOW, by="me", token=1, number=1, event="switched")
    cut_off = replace(WORLD, roles=roles_of("artifacts", [entry]))
    assert kinds(plan_failover(cut_off, Asked())) == ["PutMark", "PutMark", "Relocate", "Tell", "Conclude"]


class Gone:
    """A database that answered when it was looked at, and does not any more."""

    def carry_out(self, step, plan):
        raise SystemUnreachable("db:5432 gave an error")


def test_a_database_that_goes_away_meanwhile_is_left_for_later_and_is_no_failure():
    relocating = Relocating(Gone())
    relocating.carry_out(STEP, plan_failover(WORLD, Asked()))
    assert [(each.later, each.error, each.rows) for each in relocating.done] == [("db:5432 gave an error", "", 0)]
    assert relocating.failed == ()


def test_conflicts_stop_a_fail_back_before_anything_is_rewritten():
    found = Reconciliation(conflicts=(Decision("a", "conflict"),), conflict_count=1)
    assert plan_failback(world("replica", 1, BACK), Asked(), found).refusals


# --- records ------------------------------------------------------------------------------------------------


def test_a_record_of_the_first_format_stays_readable():
    record = RelocationRecord.model_validate_json(GOLDEN.read_bytes())
    assert (record.total, record.moves[0].new) == (123, "s3://models-west/root")
    assert record.model_dump_json(indent=2) + "\n" == GOLDEN.read_text()


# --- moves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://a", "s3://b"),
        ("s3://a/x/y", "s3://b/x/y"),
        ("s3://a/deep/x", "s3://c/x"),
        ("s3://a-old/x", "s3://a-old/x"),
        ("s3://b/x", "s3://b/x"),
        ("models:/m-1", "models:/m-1"),
    ],
)
def test_a_location_is_moved_by_its_longest_prefix(location, expected):
    moves = [Move("s3://a", "s3://b"), Move("s3://a/deep", "s3://c")]
    assert moved(location, moves) == expected
    if within(location, "s3://a"):
        assert moved(expected, [move.reversed for move in moves]) == location
