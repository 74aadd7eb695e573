"""What is decided of a rebuild, from what was seen: pure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper._rebuild.proof import until
from drkeeper._rebuild.records import RebuildBegun, RebuildRecord, ViewOutcome, past, pending
from drkeeper._rebuild.seen import Demand, Past, Pending, Seen, ViewSeen
from drkeeper.rebuild_plan import BEGINNING, build_plan, explain, predict
from drkeeper.recovery_point import ApplicationRecord

GOLDEN = Path(__file__).parents[1] / "golden"
T0 = datetime(2026, 3, 1, tzinfo=UTC)
NOW = T0 + timedelta(days=1)


def hours(count):
    return T0 + timedelta(hours=count)


def view(name="churn", **more):
    usual = {"source": f"/data/{name}.parquet", "source_there": True, "newest_at": hours(6), "entities": 100}
    return ViewSeen(name=name, **{**usual, "source_newest_at": hours(20), "rows": 1000, **more})


def seen(*views, **more):
    return Seen(application="features", project="churn", at=NOW, views=views, **{"keys": 100, **more})


def plan_of(found, wish="auto", end=NOW, history=()):
    return build_plan(found, Demand(wish=wish, until=end), plan_id="0a0b0c0d", policy="ml", now=NOW, past=history)


def starts(*views, **more):
    return plan_of(seen(*views, **more)).starts


# --- from when ---


def test_a_view_is_materialised_from_its_newest_event_time_in_the_store():
    assert starts(view()) == {"churn": hours(6)}


def test_all_views_are_materialised_from_where_the_one_that_came_least_far_was():
    plan = plan_of(seen(view("fast", newest_at=hours(9)), view("slow", newest_at=hours(2))))
    assert plan.starts == {"fast": hours(2), "slow": hours(2)}
    assert [each.why for each in plan.views] == [
        "as slow, which had come least far",
        "its newest event time in the store",
    ]


@pytest.mark.parametrize(
    ("of_the_view", "why"),
    [
        ({"newest_at": None, "entities": 0}, "the store holds nothing of it"),
        ({"newest_at": hours(21)}, "the store holds values newer than its source (2026-03-01 21:00:00Z)"),
        ({"then_entities": 103, "then_times_sum": 0}, "3 entities of its source are missing"),
        ({"then_entities": 100, "then_times_sum": 1}, "entities in the store are older than in its source"),
        ({"newest_at": hours(30)}, "the store holds values of the future (2026-03-02 06:00:00Z)"),
    ],
)
def test_a_view_whose_store_does_not_tell_how_far_it_had_come_is_materialised_from_the_beginning(of_the_view, why):
    plan = plan_of(seen(view("untold", **of_the_view), view("told")))
    assert plan.starts == {"untold": BEGINNING, "told": hours(6)}
    assert plan.views[0].why == why


@pytest.mark.parametrize(
    "of_the_view",
    [
        {"then_entities": 100, "then_times_sum": 5, "times_sum": 5},
        {"then_entities": 90, "then_times_sum": 6, "times_sum": 5},
        {"then_entities": 103, "then_times_sum": 5, "kind": "stream"},
    ],
    ids=["all is there", "the source was cut short", "values are pushed"],
)
def test_a_store_that_holds_all_that_its_source_had_tells_how_far_it_had_come(of_the_view):
    assert starts(view(**of_the_view)) == {"churn": hours(6)}


def test_entities_that_expired_are_not_missing():
    assert starts(view(then_entities=103, then_times_sum=0), lives_seconds=(5.0,)) == {"churn": hours(6)}


def test_pushed_values_may_be_newer_than_the_batch_source():
    assert starts(view(kind="stream", newest_at=hours(21))) == {"churn": hours(21)}


def test_a_rebuild_that_did_not_end_is_begun_again_from_where_it_began():
    left = Pending(starts={"churn": hours(3)}, ids=("11112222",))
    plan = plan_of(seen(view(newest_at=hours(20)), view("other", newest_at=hours(20)), pending=left))
    assert plan.starts == {"churn": hours(3), "other": hours(3)}
    assert "unfinished before: 11112222" in plan.reasons


def test_nothing_is_materialised_past_the_end_that_was_asked_for():
    plan = plan_of(seen(view(newest_at=hours(6))), end=hours(4))
    assert [(each.start, each.end) for each in plan.views] == [(hours(4), hours(4))]


def test_rows_are_told_where_they_were_counted_from_that_moment():
    counted = view(counted_after=hours(6), rows_after=70)
    assert plan_of(seen(counted)).views[0].rows == 70
    assert plan_of(seen(counted), "full").views[0].rows == 1000
    assert plan_of(seen(counted, view("slow", newest_at=hours(1)))).views[0].rows is None


def test_on_demand_views_come_after_those_they_are_made_of():
    plan = plan_of(seen(view("a_ratio", kind="on demand", source_there=None), view("b_counts")))
    assert [each.view for each in plan.views] == ["b_counts", "a_ratio"]


# --- what is left, refused, warned of ---


@pytest.mark.parametrize(
    ("of_the_view", "why"),
    [
        ({"served": False}, "it is not served online"),
        ({"kind": "pushes only"}, "its values come by pushes only, and no source has their history"),
        ({"source_there": False}, "its source /data/gone.parquet is gone"),
    ],
)
def test_a_view_that_cannot_be_rebuilt_stays_as_it_is(of_the_view, why):
    plan = plan_of(seen(view("gone", newest_at=hours(1), **of_the_view), view()))
    assert plan.left == {"gone": why}
    assert plan.starts == {"churn": hours(6)}
    assert explain(plan)[-1] == {"view": "gone", "does": "leave", "why": why}
    assert plan.refusals == ()


def test_a_full_rebuild_is_refused_where_it_would_lose_a_view():
    found = seen(view("gone", source_there=False), view())
    assert plan_of(found, "full").refusals == ("gone would be lost: its source /data/gone.parquet is gone",)
    assert plan_of(found, "materialise").refusals == ()
    assert "gone stays as it is, of 2026-03-01 06:00:00Z" in plan_of(found).warnings
    nothing_to_lose = seen(view("gone", source_there=False, newest_at=None, entities=0), view())
    assert plan_of(nothing_to_lose, "full").refusals == ()
    assert "gone stays as it is, empty" in plan_of(nothing_to_lose).warnings


@pytest.mark.parametrize("kind", ["batch", "stream"])
def test_a_full_rebuild_is_refused_where_a_source_cannot_be_read(kind):
    """Its keys would go first, and what fails then is all that could have brought the values back."""
    unread = view("damaged", kind=kind, source_there=None, source_newest_at=None, rows=None)
    assert plan_of(seen(unread, view()), "full").refusals == (
        "damaged would be lost: its source /data/damaged.parquet could not be read",
    )
    assert plan_of(seen(unread, view()), "materialise").refusals == ()
    assert plan_of(seen(unread, view()), history=QUICK_FULL).mode == "materialise"
    assert plan_of(seen(unread.model_copy(update={"entities": 0, "newest_at": None})), "full").refusals == ()


def test_it_is_refused_where_nothing_can_be_rebuilt_or_the_policy_says_never():
    (refusal,) = plan_of(seen(view(source_there=False))).refusals
    assert refusal == "no view of churn can be rebuilt: churn: its source /data/churn.parquet is gone"
    assert plan_of(seen(view()), "never").refusals == ("the policy says `rebuild: never`",)


WARNINGS = {
    "a store that evicts": (
        seen(view(), eviction="allkeys-lru, 12 keys so far"),
        "auto",
        "the store evicts keys (allkeys-lru, 12 keys so far): what is materialised may be dropped again",
    ),
    "newer values": (
        seen(view(newest_at=hours(21))),
        "auto",
        "churn holds values newer than its source (2026-03-01 21:00:00Z), which stay: only `--mode full` replaces them",
    ),
    "absent meanwhile": (
        seen(view()),
        "full",
        "from the first removed key to the end, features are served as absent",
    ),
    "pushed values": (
        seen(view(kind="stream")),
        "full",
        "churn: values that were pushed, and are not in /data/churn.parquet, are lost",
    ),
    "expired until then": (
        seen(view(ttl_seconds=7200, source_newest_at=NOW)),
        "auto",
        "churn is served as absent until it is rebuilt: its ttl of 2:00:00 has passed",
    ),
    "expired even then": (
        seen(view(ttl_seconds=7200)),
        "auto",
        "churn is served as absent even afterwards: its source ends at 2026-03-01 20:00:00Z, its ttl is 2:00:00",
    ),
    "keys that expire": (
        seen(view(), keys=1000, lives_seconds=(5.0, 6.0, 90_000.0), sampled=10),
        "auto",
        "about 200 of 1,000 keys expire before it ends (of 10 that were looked at)",
    ),
}


@pytest.mark.parametrize(("found", "wish", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_what_it_does_not_heal_is_told(found, wish, warning):
    assert warning in plan_of(found, wish).warnings
    assert not set(plan_of(seen(view(ttl_seconds=90_000)), "materialise").warnings)


# --- which way ---

QUICK_FULL = [
    Past(mode="full", rows=100_000, elapsed_seconds=10),
    Past(mode="materialise", rows=100, elapsed_seconds=60),
]


@pytest.mark.parametrize(
    ("found", "history", "mode"),
    [
        (seen(view()), [], "materialise"),
        (seen(view(newest_at=None, entities=0), keys=0), [], "materialise"),
        (seen(view(), pending=Pending(full=True, ids=("1",))), [], "full"),
        (seen(view(counted_after=hours(6), rows_after=70)), QUICK_FULL, "full"),
        (seen(view(counted_after=hours(6), rows_after=70)), QUICK_FULL[:1], "materialise"),
        (seen(view(), view("gone", source_there=False)), QUICK_FULL, "materialise"),
    ],
    ids=["usual", "empty store", "a full one did not end", "full is quicker", "nobody knows", "full would lose a view"],
)
def test_the_planner_chooses(found, history, mode):
    assert plan_of(found, history=history).mode == mode
    assert plan_of(found, "materialise", history=history).mode == "materialise"
    assert plan_of(found, "full", history=history).mode == "full"


def test_a_full_rebuild_removes_the_keys_and_takes_everything():
    plan = plan_of(seen(view(), view("slow", newest_at=hours(2))), "full")
    assert set(plan.starts.values()) == {BEGINNING}
    assert plan.reasons == (
        "full was asked for",
        "100 keys of project churn are removed first, then each view is materialised anew",
    )


# --- how long ---


@pytest.mark.parametrize(
    ("rows", "history", "basis", "p50"),
    [
        (100_000, [], "no history", 10),
        (None, [], "no history, rows not known", 5),
        (None, QUICK_FULL, "rows are not known", 5),
        (100_000, QUICK_FULL[1:], "1 earlier rebuild", 120),
        (100, QUICK_FULL[1:], "1 earlier rebuild", 60),
        (100, [*QUICK_FULL[1:]] * 3, "3 earlier rebuilds", 60),
    ],
)
def test_a_forecast_says_what_it_is_based_on(rows, history, basis, p50):
    forecast = predict("materialise", rows, 0, history)
    assert (forecast.basis, forecast.p50_seconds) == (basis, p50)


# --- what is written down ---


def begun(rebuild_id, at, mode="materialise", **of_views):
    return RebuildBegun(
        rebuild_id=rebuild_id,
        application="features",
        project="churn",
        policy="ml",
        mode=mode,
        started_at=at,
        until=NOW,
        starts=of_views,
    )


def ended(began, error="", outcome="done", rows=10):
    views = [
        ViewOutcome(view=name, start=start, end=NOW, outcome=outcome, error=error)
        for name, start in began.starts.items()
    ]
    kept = began.model_dump(exclude={"starts", "format"})
    return RebuildRecord(**kept, ended_at=NOW, elapsed_seconds=5, views=tuple(views), rows=rows, error=error)


def test_a_rebuild_that_did_not_end_is_pending_until_one_that_began_no_later_has():
    first = begun("1", hours(1), churn=hours(3), clicks=hours(2))
    assert pending([first]) == Pending(starts={"churn": hours(3), "clicks": hours(2)}, ids=("1",))
    assert pending([first, ended(first)]) == Pending()
    assert pending([first, ended(first, "died", "failed")]).starts == first.starts
    too_late = begun("2", hours(4), churn=hours(4), clicks=hours(1))
    assert pending([first, too_late, ended(too_late)]) == Pending(starts={"churn": hours(3)}, ids=("1",))


def test_a_full_rebuild_that_was_killed_is_pending_as_one():
    assert pending([begun("1", hours(1), "full", churn=BEGINNING)]).full


def test_forecasts_learn_from_rebuilds_that_ended_well():
    one = begun("1", hours(1), churn=hours(3))
    entries = [one, ended(one), ended(one, error="died"), ended(one, rows=None)]
    assert past(entries) == [Past(mode="materialise", rows=10, elapsed_seconds=5)]


def test_a_witness_is_compared_up_to_the_end_of_the_rebuild():
    def entity(key, **at):
        views = {name: {"event_time": moment.isoformat(), "features": {}} for name, moment in at.items()}
        return {"key": key, "entity": {}, "expires_at": None, "views": views}

    samples = {"entities": [entity("a", churn=hours(1), clicks=hours(9)), entity("b", churn=hours(9))]}
    witness = ApplicationRecord(name="features", kind="feast", systems=("store",), samples=samples)
    kept = until(witness, hours(5)).samples["entities"]
    assert [(each["key"], list(each["views"])) for each in kept] == [("a", ["churn"]), ("b", [])]


# --- whatever is seen ---

moments = st.integers(0, 72).map(hours)
views = st.builds(
    ViewSeen,
    name=st.sampled_from("abcdef"),
    served=st.booleans(),
    kind=st.sampled_from(["batch", "stream", "on demand", "pushes only"]),
    source_there=st.sampled_from([None, True, False]),
    ttl_seconds=st.none() | st.floats(1, 1e6),
    newest_at=st.none() | moments,
    entities=st.integers(0, 1000),
    source_newest_at=st.none() | moments,
    rows=st.none() | st.integers(0, 10**9),
    then_entities=st.none() | st.integers(0, 1000),
    then_times_sum=st.none() | st.just(0) | st.just(1),
)
worlds = st.builds(
    seen,
    keys=st.integers(0, 10**9),
    pending=st.builds(Pending, starts=st.dictionaries(st.sampled_from("abcdef"), moments), full=st.booleans()),
).flatmap(
    lambda found: st.lists(views, max_size=6, unique_by=lambda one: one.name).map(
        lambda some: found.model_copy(update={"views": tuple(some)})
    )
)
pasts = st.lists(
    st.builds(
        Past,
        mode=st.sampled_from(["full", "materialise"]),
        rows=st.integers(0, 10**9),
        elapsed_seconds=st.floats(0.1, 1e6),
    ),
    max_size=5,
)


@given(found=worlds, wish=st.sampled_from(["auto", "materialise", "full", "never"]), end=moments, history=pasts)
def test_no_view_starts_later_than_what_any_of_them_is_known_to_hold(found, wish, end, history):
    plan = plan_of(found, wish, end, history)
    rebuilt = [each for each in found.views if each.name in plan.starts]
    for each in rebuilt:
        others = [other.newest_at for other in rebuilt if other.newest_at]
        assert plan.starts[each.name] <= min([*others, end])
        if each.newest_at is None or plan.mode == "full":
            assert plan.starts[each.name] == BEGINNING
        if each.name in found.pending.starts:
            assert plan.starts[each.name] <= found.pending.starts[each.name]
    assert all(each.end == end for each in plan.views)
    assert {*plan.starts, *plan.left} == {each.name for each in found.views}
    assert not set(plan.starts) & set(plan.left)


@given(found=worlds, wish=st.sampled_from(["auto", "materialise", "full"]), history=pasts)
def test_a_full_rebuild_that_is_not_refused_loses_no_view(found, wish, history):
    plan = plan_of(found, wish, history=history)
    if plan.mode == "full" and not plan.refusals:
        lost = [each for each in found.views if each.served and each.entities and each.name in plan.left]
        assert lost == []


@given(rows=st.none() | st.integers(0, 10**9), keys=st.integers(0, 10**9), history=pasts, more=st.integers(0, 10**9))
def test_forecasts_are_sane(rows, keys, history, more):
    forecast = predict("full", rows, keys, history)
    assert 0 < forecast.p50_seconds <= forecast.p90_seconds < float("inf")
    if rows is not None:
        assert predict("full", rows + more, keys, history).p50_seconds >= forecast.p50_seconds


# --- written by the first version, and read for ever ---


def test_golden_records_are_read_as_ever():
    began = RebuildBegun.model_validate_json((GOLDEN / "rebuild-begun-v1.json").read_bytes())
    record = RebuildRecord.model_validate_json((GOLDEN / "rebuild-v1.json").read_bytes())
    assert pending([began, record]) == Pending(starts={"scores": began.starts["scores"]}, ids=("0a1b2c3d",))
    assert record.model_dump_json(indent=2) + "\n" == (GOLDEN / "rebuild-v1.json").read_text()
