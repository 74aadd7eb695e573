from datetime import UTC, datetime

import pytest

from drkeeper.errors import Refused
from drkeeper.forecast import Run
from drkeeper.plan import Choice, build_plan, critical_path, fingerprint
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, StreamRef, SystemRecord
from drkeeper.steps import Meaning, Target, explain

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def system(name, kind="postgres", size=100 << 20, *, failed=False):
    ref = StreamRef(index_id="ab" * 32, size_bytes=size, frame_count=100)
    return SystemRecord(
        name=name,
        kind=kind,
        status="failed" if failed else "complete",
        as_of=NOW,
        streams=() if failed else (StreamRecord(name="data", ref=ref, stored_bytes=size),),
        error="it is down" if failed else "",
    )


def point(*systems):
    return RecoveryPoint(
        point_id="0123456789ab",
        policy="p",
        created_at=NOW,
        elapsed_seconds=1,
        systems=systems,
        freeze_order=tuple(one.name for one in systems),
        skew_seconds=0,
        fencing_token=1,
        drkeeper_version="0",
    )


def target(name, kind="postgres", *, empty=True, holds=False):
    return Target(system=name, kind=kind, endpoint="db:5432", empty=empty, holds=holds)


def plan_of(taken, targets, **more):
    given = {name: more.pop(name) for name in ("history", "meanings") if name in more}
    return build_plan(taken, targets, plan_id="aa11", now=NOW, choice=Choice(**more), **given)


def test_nothing_live_changes_before_every_load_has_ended():
    plan = plan_of(point(system("db"), system("cache", "redis")), [target("db"), target("cache", "redis")])
    loads = {step.step_id for step in plan.steps if step.verb == "load"}
    switches = [step for step in plan.steps if step.verb == "switch"]
    assert loads == {"load:db", "load:cache"}
    assert set(switches[0].after) == loads
    assert switches[1].after == (switches[0].step_id,)


def test_what_is_referred_to_is_switched_before_what_refers():
    plan = plan_of(point(system("db"), system("cache", "redis")), [target("db"), target("cache", "redis")])
    assert [step.step_id for step in plan.steps if step.verb == "switch"] == ["switch:cache", "switch:db"]


def test_what_comes_up_held_is_switched_first_and_released_when_all_the_others_are_back():
    taken = point(system("cluster", "kubernetes"), system("db"), system("cache", "redis"))
    targets = [target("cluster", "kubernetes", holds=True), target("db"), target("cache", "redis")]
    steps = {step.step_id: step for step in plan_of(taken, targets).steps}
    assert steps["switch:cache"].after == ("switch:cluster",)
    assert steps["release:cluster"].after == ("switch:db",)
    assert steps["verify:db"].after == ("release:cluster",)


def test_what_is_kept_held_has_no_release_and_its_checks_still_wait_for_every_switch():
    taken = point(system("cluster", "kubernetes"), system("db"))
    targets = [target("cluster", "kubernetes", holds=True), target("db")]
    held = plan_of(taken, targets, keep_held=True)
    assert "release" not in {step.verb for step in held.steps}
    assert {step.after for step in held.steps if step.verb == "verify"} == {("switch:db",)}
    assert fingerprint(held) != fingerprint(plan_of(taken, targets))


def test_a_system_of_which_a_part_was_not_read_is_restored_only_where_that_is_allowed():
    record = system("cluster", "kubernetes").model_copy(update={"status": "partial", "error": "no secrets"})
    with pytest.raises(Refused, match="partial: cluster partial"):
        plan_of(point(record), [target("cluster", "kubernetes")])
    plan = plan_of(point(record), [target("cluster", "kubernetes")], allow_partial=True)
    assert [step.verb for step in plan.steps] == ["load", "switch", "verify"]


def test_a_target_that_holds_data_is_refused_and_with_overwrite_gets_an_undo_point_first():
    taken = point(system("db"))
    with pytest.raises(Refused, match="db already holds data; nothing was changed") as refusal:
        plan_of(taken, [target("db", empty=False)])
    assert "--overwrite" in refusal.value.hint
    plan = plan_of(taken, [target("db", empty=False)], overwrite=True)
    assert plan.steps[0].verb == "undo"
    assert plan.steps[1].after == ("undo",)


def test_a_partial_point_is_refused_unless_allowed_and_then_says_what_it_leaves_out():
    taken = point(system("db"), system("cache", "redis", failed=True))
    targets = [target("db"), target("cache", "redis")]
    with pytest.raises(Refused, match="partial: cache failed"):
        plan_of(taken, targets)
    plan = plan_of(taken, targets, allow_partial=True)
    assert plan.left_out == {"cache": "it is down"}
    assert [one.system for one in plan.targets] == ["db"]


def test_a_system_that_the_point_lacks_is_refused():
    with pytest.raises(Refused, match="does not hold other"):
        plan_of(point(system("db")), [target("other")])


def test_the_fingerprint_sees_the_world_and_not_the_clock():
    taken = point(system("db"))
    first = plan_of(taken, [target("db")])
    second = build_plan(
        taken,
        [target("db")],
        plan_id="bb22",
        now=datetime(2027, 1, 1, tzinfo=UTC),
        history=[Run(kind="postgres", verb="load", size_bytes=1 << 30, elapsed_seconds=5)],
    )
    assert fingerprint(first) == fingerprint(second)
    changed = plan_of(taken, [target("db", empty=False)], overwrite=True)
    assert fingerprint(first) != fingerprint(changed)


def test_explain_shows_every_step_that_would_run():
    plan = plan_of(point(system("db")), [target("db", empty=False)], overwrite=True)
    assert [row["step"] for row in explain(plan)] == [step.step_id for step in plan.steps]


def test_the_forecast_of_a_plan_is_that_of_its_critical_path():
    plan = plan_of(
        point(system("db", size=1 << 30), system("cache", "redis", size=1 << 20)),
        [target("db"), target("cache", "redis")],
    )
    assert "load:db" in critical_path(plan.steps)
    assert "load:cache" not in plan.critical_path
    on_path = [step for step in plan.steps if step.step_id in plan.critical_path]
    assert plan.forecast.p50_seconds == pytest.approx(sum(step.forecast.p50_seconds for step in on_path))
    assert plan.forecast.basis == "no history"


def test_a_plan_survives_its_journey_through_json():
    plan = plan_of(point(system("db")), [target("db", empty=False)], overwrite=True)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


TRACKING = Meaning(application="tracking", kind="mlflow", systems=("db", "bucket"))
FEATURES = Meaning(application="features", kind="feast", systems=("registry", "cache"))


def test_applications_are_asked_last_of_all_once_any_of_their_systems_came_back():
    taken = point(system("db"), system("bucket", "objects"), system("cache", "redis"))
    plan = plan_of(taken, [target("db"), target("cache", "redis")], meanings=[TRACKING, FEATURES])
    proofs = [step for step in plan.steps if step.verb == "prove"]
    assert [step.application for step in proofs] == ["tracking", "features"]
    assert set(proofs[0].after) == {"verify:db", "verify:cache"}
    assert proofs[1].after == (proofs[0].step_id,)
    assert plan.steps[-1] is proofs[-1]
    assert [row["does"] for row in explain(plan)][-1] == "prove that features works"


def test_an_application_of_which_nothing_is_restored_is_not_asked():
    plan = plan_of(point(system("db")), [target("db")], meanings=[TRACKING, FEATURES])
    assert [step.application for step in plan.steps if step.verb == "prove"] == ["tracking"]


@pytest.mark.parametrize("more", [{"only": ("a/",)}, {"into": "s3://other"}])
def test_a_part_or_a_copy_elsewhere_says_nothing_of_the_platform(more):
    plan = plan_of(point(system("bucket", "objects")), [target("bucket", "objects")], meanings=[TRACKING], **more)
    assert not [step for step in plan.steps if step.verb == "prove"]
