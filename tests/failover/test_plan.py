"""What a fail-over does, refuses and warns of, decided from what is seen."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from drkeeper.failover.plan import Asked, plan_failback, plan_failover
from drkeeper.failover.reconcile import Decision
from drkeeper.failover.records import Entry, Loss, RoleMark, Roles, Told, roles_of
from drkeeper.failover.steps import Declare, Reconciliation, Replicated, SideState, World, explain

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = SideState("source", "s3://models", "https://near", reachable=True, versioned=True, clock_at=NOW)
REPLICA = SideState("replica", "s3://models-far", "https://far", reachable=True, versioned=True, clock_at=NOW)
AWAY = SideState("source", "s3://models", "https://near", reachable=False, error="timed out")
COMPLETE = Replicated(at=NOW, as_of=NOW, complete_as_of=NOW, failed=0, behind_seconds=0)
NOTHING_LOST = Loss(basis="compared", behind_seconds=0, objects=0, size_bytes=0)
WORLD = World(Roles("artifacts"), SOURCE, REPLICA, COMPLETE, NOTHING_LOST, hooks=("notify",))
LOST = replace(WORLD, source=AWAY, loss=Loss(basis="newest replication", behind_seconds=60))


def entry(number, event, primary="replica", epoch=1, **more):
    return Entry(
        system="artifacts", number=number, event=event, primary=primary, epoch=epoch, at=NOW, by="me", token=1, **more
    )


def kinds(plan):
    return [type(step).__name__ for step in plan.steps]


def test_a_source_that_answers_is_replicated_once_more_after_consumers_were_told():
    plan = plan_failover(WORLD, Asked())
    assert kinds(plan) == ["Tell", "CatchUp", "Prove", "Declare", "PutMark", "PutMark", "Tell", "Conclude"]
    assert plan.refusals == ()
    assert plan.warnings == ("the source answers: whoever goes on writing there parts the two sides",)


def test_a_source_that_is_lost_is_neither_asked_nor_marked():
    plan = plan_failover(LOST, Asked())
    assert kinds(plan) == ["Tell", "Prove", "Declare", "PutMark", "Tell", "Conclude"]
    assert plan.refusals == ()
    assert "run this again when it is back" in plan.warnings[0]


def test_what_is_shown_are_the_steps_that_run():
    plan = plan_failover(WORLD, Asked())
    assert len(explain(plan)) == len(plan.steps)
    assert explain(plan)[3]["does"] == "record in the vault: the replica is primary (epoch 1)"
    assert explain(plan)[6]["does"] == "consumers are told, after the switch: notify"


NEVER = replace(LOST, replicated=None, loss=Loss(basis="unknown"))
INCOMPLETE = replace(LOST, replicated=replace(COMPLETE, failed=3))
BEHIND = replace(WORLD, loss=Loss(basis="compared", objects=4, size_bytes=9))


@pytest.mark.parametrize(
    ("world", "asked", "said"),
    [
        (
            replace(WORLD, replica=replace(REPLICA, reachable=False, error="refused")),
            Asked(),
            "does not answer: refused",
        ),
        (replace(LOST, replica=replace(REPLICA, empty=True)), Asked(accept_loss=True), "holds nothing"),
        (NEVER, Asked(), "nobody knows what would be lost; give --accept-loss"),
        (INCOMPLETE, Asked(), "left 3 objects behind; give --accept-loss"),
        (BEHIND, Asked(catch_up=False), "4 objects of the source would be left behind"),
        (WORLD, Asked(hooks_only=True), "there is nothing to tell"),
    ],
)
def test_a_fail_over_is_refused_with_its_reason(world, asked, said):
    assert said in plan_failover(world, asked).refusals[0]


@pytest.mark.parametrize(
    ("world", "asked"),
    [
        (NEVER, Asked(accept_loss=True)),
        (INCOMPLETE, Asked(accept_loss=True)),
        (BEHIND, Asked(catch_up=False, accept_loss=True)),
        (BEHIND, Asked()),
        (replace(WORLD, replicated=None, replica=replace(REPLICA, empty=True)), Asked()),
    ],
)
def test_a_loss_that_was_accepted_or_can_be_made_good_stops_nothing(world, asked):
    assert plan_failover(world, asked).refusals == ()


def test_a_bucket_that_knows_more_than_the_vault_stops_everything():
    mark = RoleMark(system="artifacts", url=REPLICA.url, role="primary", epoch=3, primary_url="", at=NOW, by="them")
    marked = replace(WORLD, replica=replace(REPLICA, mark=mark))
    assert "is a region of the vault away?" in plan_failover(marked, Asked()).refusals[0]


def test_a_bucket_without_versions_and_a_rule_of_the_provider_are_warned_of():
    plan = plan_failover(replace(LOST, replica=replace(REPLICA, versioned=False), native=True), Asked())
    assert any("keeps no versions" in words for words in plan.warnings)
    assert any("replication rule stays on" in words for words in plan.warnings)


WRONG = Asked(source_wrong=True)


def test_of_a_source_whose_data_are_wrong_nothing_is_replicated_once_more_or_missed():
    plan = plan_failover(BEHIND, WRONG)
    assert kinds(plan) == ["Tell", "Prove", "Declare", "PutMark", "PutMark", "Tell", "Conclude"]
    assert explain(plan)[2]["does"].endswith("the replica is primary (epoch 1), and the source's data are wrong")
    assert (plan.refusals, plan.source_wrong) == ((), True)
    assert plan.warnings[0].startswith("the replica is as of 2026-03-01 12:00:00 UTC: make sure")


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (replace(WORLD, replicated=None), "nobody knows what would be lost; give --accept-loss"),
        (replace(WORLD, native=True), "suspend the rule"),
    ],
)
def test_a_replica_of_which_nobody_knows_what_it_holds_is_no_way_out_of_wrong_data(world, said):
    assert said in plan_failover(world, WRONG).refusals[0]


# --- what is left of a switch -------------------------------------------------------------------------------


def test_a_switch_that_was_declared_and_cut_off_is_gone_on_with():
    roles = roles_of("artifacts", [entry(1, "begun"), entry(2, "switched")])
    plan = plan_failover(replace(WORLD, roles=roles), Asked())
    assert kinds(plan) == ["PutMark", "PutMark", "Tell", "Conclude"]
    assert plan.epoch == 1


def test_one_that_was_begun_only_begins_again():
    roles = roles_of("artifacts", [entry(1, "begun")])
    assert roles.unfinished is not None
    assert kinds(plan_failover(replace(LOST, roles=roles), Asked()))[0] == "Tell"


def marked(side, role, epoch=1):
    return replace(
        side, mark=RoleMark(system="artifacts", url=side.url, role=role, epoch=epoch, primary_url="", at=NOW, by="me")
    )


def switched_world(**finished):
    roles = roles_of("artifacts", [entry(1, "begun"), entry(2, "switched"), entry(3, "finished", **finished)])
    return replace(WORLD, roles=roles, source=marked(SOURCE, "standby"), replica=marked(REPLICA, "primary"))


def test_nothing_is_left_of_one_that_ended_well():
    assert plan_failover(switched_world(), Asked()).steps == ()


def test_a_source_that_came_back_is_marked_and_nobody_is_told_twice():
    assert kinds(plan_failover(replace(switched_world(), source=SOURCE), Asked())) == ["PutMark", "Conclude"]


def test_who_could_not_be_told_is_told_again():
    told = (Told(hook="notify", phase="after", error="exited with 1"), Told(hook="other", phase="after"))
    plan = plan_failover(replace(switched_world(told=told), hooks=("other", "notify")), Asked())
    assert plan.steps[0].hooks == ("notify",)
    plan = plan_failover(replace(switched_world(told=told), hooks=("other", "notify")), Asked(hooks_only=True))
    assert plan.steps[0].hooks == ("other", "notify")


# --- the source's data turn out to be wrong later ----------------------------------------------------------


def test_that_the_sources_data_are_wrong_is_declared_under_an_epoch_of_its_own_once():
    """So that a bucket's mark tells whoever cannot see the entry."""
    plan = plan_failover(switched_world(), WRONG)
    assert kinds(plan) == ["Declare", "PutMark", "PutMark", "Conclude"]
    assert (plan.epoch, plan.steps[0].source_wrong) == (2, True)
    before = [entry(1, "switched"), entry(2, "finished")]
    roles = roles_of("artifacts", [*before, entry(3, "switched", epoch=2, source_wrong=True)])
    assert (roles.source_wrong, roles.epoch, roles.since) == (True, 2, NOW)
    world = replace(WORLD, roles=roles, source=marked(SOURCE, "standby"), replica=marked(REPLICA, "primary", 2))
    assert kinds(plan_failover(world, WRONG)) == ["PutMark", "Tell", "Conclude"]
    later = [entry(4, "switched", "source", 3), entry(5, "switched", epoch=4)]
    assert not roles_of("artifacts", [*before, entry(3, "switched", epoch=2, source_wrong=True), *later]).source_wrong


def test_a_switch_that_was_cut_off_is_ended_with_it_and_who_was_not_told_is():
    cut_off = replace(WORLD, roles=roles_of("artifacts", [entry(1, "switched")]))
    assert kinds(plan_failover(cut_off, WRONG)) == ["Declare", "PutMark", "PutMark", "Tell", "Conclude"]
    told = (Told(hook="notify", phase="after", error="exited with 1"),)
    assert "Tell" in kinds(plan_failover(switched_world(told=told), WRONG))


def test_entries_of_before_are_written_as_they_were():
    assert "source_wrong" not in entry(1, "switched").model_dump_json()
    assert "source_wrong" in entry(1, "switched", source_wrong=True).model_dump_json()


# --- back ---------------------------------------------------------------------------------------------------


FOUND = Reconciliation(source_objects=9, copies=2, copy_bytes=20, deletions=1)


def test_a_fail_back_reconciles_twice_around_the_word_to_consumers():
    plan = plan_failback(switched_world(), Asked(), FOUND)
    assert kinds(plan) == [
        "Prove", "Reconcile", "Tell", "Reconcile", "Declare", "PutMark", "PutMark", "Tell", "Conclude",
    ]  # fmt: skip
    assert (plan.epoch, plan.kind, plan.refusals) == (2, "failback", ())


@pytest.mark.parametrize(
    ("world", "asked", "found", "guard", "said"),
    [
        (WORLD, Asked(), None, "", "there is nothing to bring back"),
        (replace(switched_world(), source=AWAY), Asked(), None, "", "the source s3://models does not answer"),
        (
            switched_world(), Asked(),
            replace(FOUND, conflicts=(Decision("a", "conflict"),), conflict_count=1), "", "1 conflicts",
        ),
        (switched_world(), Asked(), FOUND, "9 of 9 would be overwritten", "9 of 9"),
        (
            replace(switched_world(), source=replace(SOURCE, versioned=False)), Asked(prefer="replica"),
            FOUND, "", "keeps no versions",
        ),
        (
            replace(switched_world(), replica=replace(REPLICA, versioned=False)), Asked(prefer="source"),
            FOUND, "", "keeps no versions",
        ),
    ],
)  # fmt: skip
def test_a_fail_back_is_refused_with_its_reason(world, asked, found, guard, said):
    assert said in " ".join(plan_failback(world, asked, found, guard=guard).refusals)


def test_a_fail_back_that_was_cut_off_after_the_switch_is_gone_on_with():
    entries = [entry(1, "switched"), entry(2, "finished"), entry(3, "begun", "source", 2)]
    roles = roles_of("artifacts", [*entries, entry(4, "switched", "source", 2)])
    plan = plan_failback(replace(WORLD, roles=roles), Asked(), None)
    assert kinds(plan) == ["PutMark", "PutMark", "Tell", "Conclude"]
    assert plan.refusals == ()


def distrusted(*, versioned=True):
    roles = roles_of("artifacts", [entry(1, "switched", source_wrong=True), entry(2, "finished")])
    return replace(WORLD, roles=roles, source=replace(SOURCE, versioned=versioned))


def test_a_source_whose_data_are_wrong_is_put_right_by_the_replica_and_the_plan_says_so():
    found = replace(FOUND, overwrites=1, righted={"deleted": 1})
    plan = plan_failback(distrusted(), Asked(), found)
    assert explain(plan)[1]["does"] == (
        "put the source right by the replica, whatever the source holds: 2 objects (20 bytes), 1 of them over others, "
        "and 1 deletions; former versions stay"
    )
    assert (plan.refusals, plan.source_wrong) == ((), True)
    assert plan.warnings[0] == "the source's data are wrong by record: the replica counts for every object"
    [declared] = [step for step in plan.steps if isinstance(step, Declare)]
    assert not declared.source_wrong
    assert not plan_failback(distrusted(), Asked(prefer="source"), found).source_wrong


@pytest.mark.parametrize("found", [replace(FOUND, overwrites=1), replace(FOUND, kept={"no versions": 1})])
def test_what_could_not_be_had_again_is_not_overwritten_even_if_it_is_wrong(found):
    [refused] = plan_failback(distrusted(versioned=False), Asked(), found).refusals
    assert "`drkeeper replicate setup --system artifacts` turns them on" in refused
    assert plan_failback(distrusted(versioned=False), Asked(), FOUND).refusals == ()
