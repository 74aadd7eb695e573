"""Which way back is taken, and what a scenario's plan waits for; decided without asking anybody."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper import scenario_plan
from drkeeper.candidates import Candidate
from drkeeper.course import Course
from drkeeper.errors import UsageInvalid
from drkeeper.forecast import Limits
from drkeeper.plan import Choice, build_plan, fingerprint
from drkeeper.readiness import feast_lacking
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, StreamRef, SystemRecord
from drkeeper.report.plan_page import render_plan
from drkeeper.report.record import Forecast
from drkeeper.scenarios import BUILT_IN, Loss, loss_of, scenario_of
from drkeeper.steps import Meaning, RestorePlan, Target, Way
from drkeeper.timetable import plan_page, spans, tree
from drkeeper.ways import Promise, ReplicaSeen, Seen, StoreSeen, choose, misses, stuck, taken

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
KINDS = {"db": "postgres", "artifacts": "objects", "registry": "feast_registry", "store": "redis"}
MINUTE = 60.0


def forecast(seconds: float) -> Forecast:
    return Forecast(p50_seconds=seconds, p90_seconds=2 * seconds, basis="no history")


def point(*, age: float = 10 * MINUTE, failed: str = "") -> RecoveryPoint:
    as_of = NOW - timedelta(seconds=age)
    ref = StreamRef(index_id="ab" * 32, size_bytes=1 << 20, frame_count=1)
    systems = tuple(
        SystemRecord(
            name=name,
            kind=kind,
            status="failed" if name == failed else "complete",
            as_of=as_of,
            streams=() if name == failed else (StreamRecord(name="data", ref=ref, stored_bytes=1),),
            error="it is down" if name == failed else "",
        )
        for name, kind in KINDS.items()
    )
    return RecoveryPoint(
        point_id="0123456789ab",
        policy="p",
        created_at=as_of,
        elapsed_seconds=1,
        systems=systems,
        freeze_order=tuple(KINDS),
        skew_seconds=0,
        fencing_token=1,
        drkeeper_version="0",
    )


def loss(name: str, *named: str) -> Loss:
    return loss_of(BUILT_IN[name], KINDS, ["east", "west"], named=named)


def seen(scenario: str, *named: str, **more: Any) -> Seen:
    given = {"point": point(), **more}
    return Seen(loss=loss(scenario, *named), now=NOW, **given)


def ways_of(one: Seen, system: str) -> dict[str, Way]:
    return {way.way: way for way in choose(one, KINDS) if way.system == system}


REPLICATED = ReplicaSeen(complete_as_of=NOW - timedelta(seconds=MINUTE))
STORE = StoreSeen("features", anew=forecast(20), rest=forecast(5))


def test_a_bucket_whose_replica_lacks_less_than_the_point_fails_over() -> None:
    ways = ways_of(seen("region-lost", replicas={"artifacts": REPLICATED}), "artifacts")
    assert ways["fail over"].chosen
    assert ways["fail over"].loss_seconds == MINUTE
    assert ways["restore elsewhere"].why.startswith("loses 9 min")
    assert (ways["restore"].possible, ways["restore"].why) == (False, "the server is lost with its data")


def test_a_replica_that_cannot_be_made_primary_is_no_way_and_says_why() -> None:
    away = ReplicaSeen(trouble="the replica does not answer")
    ways = ways_of(seen("region-lost", replicas={"artifacts": away}), "artifacts")
    assert ways["restore elsewhere"].chosen
    assert (ways["fail over"].possible, ways["fail over"].why) == (False, "the replica does not answer")


@pytest.mark.parametrize(
    ("before_seconds", "way"),
    [(30, "fail over"), (120, "restore"), (None, "restore")],
    ids=["copied to before the damage", "copied to after it", "nobody knows when"],
)
def test_a_replica_is_trusted_only_where_it_was_copied_to_before_data_went_wrong(
    before_seconds: float | None, way: str
) -> None:
    before = NOW - timedelta(seconds=before_seconds) if before_seconds else None
    wished = Promise(prefer="less loss")
    one = seen("bucket-emptied", replicas={"artifacts": REPLICATED}, before=before, promise=wished)
    assert [name for name, each in ways_of(one, "artifacts").items() if each.chosen] == [way]


BEFORE = NOW - timedelta(seconds=30)
FLEETING = replace(REPLICATED, not_in_place="it keeps no versions")


@pytest.mark.parametrize(
    ("promise", "replica", "way", "why"),
    [
        (Promise(), REPLICATED, "restore", "who fails over has a damaged bucket to come back to"),
        (
            Promise(rto_seconds=3600, rpo_seconds=3600),
            REPLICATED,
            "restore",
            "who fails over has a damaged bucket to come back to; all that is promised is kept",
        ),
        (
            Promise(rpo_seconds=5 * MINUTE),
            REPLICATED,
            "fail over",
            "unlike the next best, keeps the RPO of 5 min; all that is promised is kept",
        ),
        (Promise(rpo_seconds=10), REPLICATED, "fail over", "loses least; misses the RPO of 10.0 s"),
        (Promise(prefer="less loss"), REPLICATED, "fail over", "loses least"),
        (Promise(), FLEETING, "fail over", "it keeps no versions"),
    ],
)
def test_a_damaged_bucket_is_put_right_where_it_is_if_that_keeps_what_is_promised(
    promise: Promise, replica: ReplicaSeen, way: str, why: str
) -> None:
    one = seen("bucket-emptied", replicas={"artifacts": replica}, before=BEFORE, promise=promise)
    [best, other] = ways_of(one, "artifacts").values()
    assert (best.way, best.why, best.chosen, other.possible) == (way, why, True, True)
    if way == "restore":
        assert other.why == "who fails over has a damaged bucket to come back to"


def test_what_is_copied_to_by_the_providers_rule_holds_the_damage_too() -> None:
    by_rule = replace(REPLICATED, by_rule=True)
    ways = ways_of(seen("bucket-emptied", replicas={"artifacts": by_rule}, before=BEFORE), "artifacts")
    assert not ways["fail over"].possible
    assert ways_of(seen("region-lost", replicas={"artifacts": by_rule}), "artifacts")["fail over"].chosen


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("replica", "before", "possible"),
    [
        (ReplicaSeen(primary=True, complete_as_of=ago(3700)), None, False),
        (ReplicaSeen(primary=True, took_over_at=ago(3600), complete_as_of=ago(3700)), ago(60), False),
        (ReplicaSeen(primary=True, took_over_at=ago(30), complete_as_of=ago(90)), ago(60), True),
        (ReplicaSeen(complete_as_of=ago(90), copied_until=ago(40)), ago(60), False),
        (ReplicaSeen(complete_as_of=ago(90), copied_until=ago(70)), ago(60), True),
    ],
    ids=[
        "it was emptied itself",
        "it was in use when that happened",
        "it was made primary since, as the way back",
        "a later run, which did not end well, copied to it",
        "the last run ended before",
    ],
)
def test_a_replica_that_may_hold_what_went_wrong_is_no_way_back(
    replica: ReplicaSeen, before: datetime | None, possible: bool
) -> None:
    ways = ways_of(seen("bucket-emptied", replicas={"artifacts": replica}, before=before), "artifacts")
    assert ways["fail over"].possible == possible
    assert ways["restore"].chosen or possible


def test_a_store_is_restored_and_then_rebuilt_which_loses_nothing() -> None:
    ways = ways_of(seen("online-store-lost", stores={"store": STORE}), "store")
    assert ways["restore, then rebuild"].chosen
    assert ways["restore, then rebuild"].loss_seconds == 0
    assert ways["rebuild"].loss_seconds is None
    assert "only pushed" in ways["rebuild"].why


def test_where_there_is_no_feast_a_store_is_restored_and_no_rebuild_is_promised(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    trouble = feast_lacking(str(bare))
    assert trouble == f"{bare} has no Feast: pip install 'drkeeper[feast]'"
    assert feast_lacking(sys.executable) == ""
    ways = ways_of(seen("online-store-lost", stores={"store": replace(STORE, trouble=trouble)}), "store")
    assert ways["restore"].chosen
    assert (ways["restore, then rebuild"].possible, ways["rebuild"].possible) == (False, False)
    assert ways["rebuild"].why == trouble


def test_without_a_point_a_store_is_rebuilt_and_a_bucket_fails_over_and_the_rest_is_stuck() -> None:
    one = seen(
        "everything-lost",
        point=None,
        no_point="there is none",
        stores={"store": STORE},
        replicas={"artifacts": REPLICATED},
    )
    ways = choose(one, KINDS)
    assert taken(ways) == {"artifacts": "fail over", "store": "rebuild"}
    assert stuck(ways) == {
        "db": "restore elsewhere: there is none",
        "registry": "restore elsewhere: there is none",
    }


def test_where_nothing_needs_a_point_and_there_is_none_the_refusal_says_what_brings_it_back_without() -> None:
    lost, none = loss("everything-lost", "artifacts", "store"), "the regions that are left hold no recovery point"
    given = Seen(
        loss=lost,
        now=NOW,
        point=None,
        no_point=none,
        replicas={"artifacts": REPLICATED},
        stores={"store": STORE},
    )
    outlook: Any = SimpleNamespace(
        loss=lost,
        seen=given,
        candidate=Candidate(None, none),
        systems={name: SimpleNamespace(kind=KINDS[name]) for name in lost.systems},
        reasons=[],
        remedies=[],
        sealed="",
    )
    scenario_plan._decide(outlook, scenario_plan.Asking("everything-lost"))
    [reason] = outlook.reasons
    assert reason.startswith(none)
    assert "artifacts (fail over), store (rebuild)" in reason
    assert outlook.remedies == ["`drkeeper failover run --system artifacts`", "`drkeeper rebuild run features`"]


def test_what_keeps_the_promise_comes_before_what_loses_less() -> None:
    slow = StoreSeen("features", anew=forecast(20), rest=forecast(3600))
    promise = Promise(rto_seconds=120, rpo_seconds=3600)
    ways = ways_of(seen("online-store-lost", stores={"store": slow}, promise=promise), "store")
    assert ways["restore"].chosen
    assert ways["restore"].why == "unlike the next best, keeps the RTO of 2 min; all that is promised is kept"
    assert "misses the RTO of 2 min" in ways["restore, then rebuild"].why


def test_a_policy_may_say_that_time_counts_more_than_data() -> None:
    stores = {"store": StoreSeen("features", anew=forecast(200), rest=forecast(100))}
    wished = seen("online-store-lost", stores=stores, promise=Promise(prefer="less time"))
    assert taken(choose(wished, KINDS))["store"] == "restore"
    assert taken(choose(seen("online-store-lost", stores=stores), KINDS))["store"] == "restore, then rebuild"


seconds = st.one_of(st.none(), st.floats(0, 1e6))


@given(
    rto=seconds,
    rpo=seconds,
    prefer=st.sampled_from(["", "less loss", "less time"]),
    age=st.floats(0, 1e6),
    behind=seconds,
    trouble=st.sampled_from(["", "it is down"]),
    anew=st.floats(0.001, 1e5),
    scenario=st.sampled_from(["region-lost", "everything-lost", "key-lost"]),
)
def test_of_each_system_at_most_one_way_is_taken_and_none_that_is_possible_keeps_more_of_the_promise(
    rto: Any, rpo: Any, prefer: Any, age: float, behind: Any, trouble: str, anew: float, scenario: str
) -> None:
    promise = Promise(rto, rpo, prefer)
    one = seen(
        scenario,
        point=point(age=age),
        promise=promise,
        troubles={"store": trouble, "db": trouble},
        replicas={"artifacts": ReplicaSeen(complete_as_of=None if behind is None else NOW - timedelta(seconds=behind))},
        stores={"store": StoreSeen("features", anew=forecast(anew), rest=forecast(anew / 2))},
    )
    ways = choose(one, KINDS)
    assert all(way.why for way in ways)
    for name in KINDS:
        mine = [way for way in ways if way.system == name]
        chosen = [way for way in mine if way.chosen]
        able = [way for way in mine if way.possible]
        assert len(chosen) == min(1, len(able))
        assert all(len(misses(chosen[0], promise)) <= len(misses(way, promise)) for way in able)
        assert bool(chosen) != (name in stuck(ways))


# --- the graph ----------------------------------------------------------------------------------------------


def region_lost_plan(**choice: Any) -> RestorePlan:
    one = seen("region-lost", replicas={"artifacts": REPLICATED}, stores={"store": STORE})
    ways = choose(one, KINDS)
    course = Course(
        "region-lost",
        ways,
        relocations={"tracking": ("db", "artifacts")},
        rebuilds={"features": ("registry", "store")},
        rebuild_forecasts={"features": forecast(5)},
        kinds={"tracking": "mlflow", "features": "feast"},
    )
    targets = [
        Target(system=name, kind=kind, endpoint="new:1", empty=True, host=f"host-of-{name}")
        for name, kind in KINDS.items()
        if name != "artifacts"
    ]
    meanings = [
        Meaning(application="tracking", kind="mlflow", systems=("db", "artifacts")),
        Meaning(application="features", kind="feast", systems=("registry", "store")),
    ]
    return build_plan(
        point(), targets, plan_id="aa11", now=NOW, choice=Choice(**choice), meanings=meanings, course=course
    )


def test_a_lost_region_is_one_graph() -> None:
    plan = region_lost_plan()
    after = {step.step_id: set(step.after) for step in plan.steps}
    assert after["fail-over:artifacts"] == set()
    assert all(after[f"load:{name}"] == set() for name in ("db", "registry", "store"))
    assert after["relocate:tracking"] == {"verify:db", "fail-over:artifacts"}
    assert after["rebuild:features"] == {"verify:registry", "verify:store"}
    assert after["prove:tracking"] == {"relocate:tracking", "rebuild:features"}
    assert after["prove:features"] == {"prove:tracking"}
    assert plan.left_out == {"artifacts": "it comes back in another way: fail over"}
    ids = [step.step_id for step in plan.steps]
    assert all(ids.index(name) < ids.index(step.step_id) for step in plan.steps for name in step.after)


def test_a_plan_is_the_same_whatever_time_has_done_to_what_it_would_lose() -> None:
    plan = region_lost_plan()
    later = plan.model_copy(
        update={"ways": tuple(way.model_copy(update={"loss_seconds": 1.0, "why": "x"}) for way in plan.ways)}
    )
    other = plan.model_copy(update={"ways": tuple(way.model_copy(update={"chosen": False}) for way in plan.ways)})
    assert fingerprint(later) == fingerprint(plan) != fingerprint(other)
    assert RestorePlan.model_validate_json(plan.model_dump_json()) == plan


def test_trees_and_pages_show_every_step_once_and_the_page_is_of_one_piece() -> None:
    plan = region_lost_plan()
    limits = Limits()
    assert sorted(step.step_id for _, step, _, _ in tree(plan, limits)) == sorted(step.step_id for step in plan.steps)
    assert max(span.end_seconds for span in spans(plan, limits).values()) == pytest.approx(plan.forecast.p50_seconds)
    page = render_plan(plan_page(plan, limits, title="<b>a region</b>", command="drkeeper restore"))
    assert page.count('class="bar critical" x="') == len(plan.critical_path)
    assert "&lt;b&gt;a region" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


# --- scenarios ----------------------------------------------------------------------------------------------


def test_a_scenario_of_ones_own_is_a_case_of_a_built_in_one() -> None:
    mine = scenario_of("shop-db", "database-corrupted", "the shop's database is wrong", ["shop-db"])
    assert (mine.name, mine.title, mine.data_wrong) == ("shop-db", "the shop's database is wrong", True)
    assert loss_of(mine, KINDS, ["east"]).systems == ("db",)
    assert scenario_of("two", None, "", ["two"]).title == "two"


@pytest.mark.parametrize(
    ("name", "says"), [("region-los", "did you mean region-lost"), ("nonsense", "there are region-lost")]
)
def test_a_scenario_that_is_unknown_is_told_with_those_that_are(name: str, says: str) -> None:
    with pytest.raises(UsageInvalid) as refusal:
        scenario_of(name, None, "", ["mine"])
    assert says in refusal.value.hint


def test_a_scenario_names_only_what_is_there() -> None:
    with pytest.raises(UsageInvalid, match="no system nothing"):
        loss("everything-lost", "nothing")
    with pytest.raises(UsageInvalid, match="no region south"):
        loss_of(BUILT_IN["region-lost"], KINDS, ["east"], regions_named=["south"])
    with pytest.raises(UsageInvalid, match="does not fit"):
        loss_of(BUILT_IN["namespace-deleted"], KINDS, ["east"])
