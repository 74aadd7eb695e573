"""Merging a registry three ways: each side's changes are there, or the merge says which object both changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkeeper.feature_registry import registry_message
from drkeeper.registry_merge import RegistryConflict, merge

NAMES = ("orders", "visits", "spending")
# Per view: how long it lives, in days (what describes it), and which intervals were materialised.
DESCRIBED = st.integers(1, 2)
INTERVALS = st.frozensets(st.integers(0, 3))
CONTENTS = st.dictionaries(st.sampled_from(NAMES), st.tuples(DESCRIBED, INTERVALS))


def registry(views, *, at=1, version="1"):
    """Of views by name, written at a moment."""
    message = registry_message()
    message.registry_schema_version, message.version_id = version, f"random {at}"
    for name, (days, intervals) in views.items():
        add_view(message, name, days, intervals, at=at)
    return message


def add_view(message, name, days, intervals=(), *, at=1, project="churn"):
    view = message.feature_views.add()
    view.spec.name, view.spec.project = name, project
    view.spec.ttl.seconds = days * 86400
    view.spec.batch_source.name = f"{name}_source"
    view.spec.batch_source.meta.last_updated_timestamp.seconds = at
    view.meta.created_timestamp.seconds = view.meta.last_updated_timestamp.seconds = at
    for start in sorted(intervals):
        interval = view.meta.materialization_intervals.add()
        interval.start_time.seconds, interval.end_time.seconds = start + 1, start + 2


def contents(message):
    return {
        view.spec.name: (
            view.spec.ttl.seconds // 86400,
            frozenset(each.start_time.seconds - 1 for each in view.meta.materialization_intervals),
        )
        for view in message.feature_views
    }


def expected(base, ours, theirs):
    """What should come out, told anew in other words; None where it is a conflict."""
    merged = {}
    for name in NAMES:
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        if mine in (before, other):
            chosen = other
        elif other == before:
            chosen = mine
        elif mine is None or other is None:
            return None
        else:
            days = {mine[0], other[0]} - ({before[0]} if before and mine[0] != other[0] else set())
            if len(days) > 1:
                return None
            was = before[1] if before else frozenset()
            chosen = (days.pop(), (mine[1] & other[1]) | (mine[1] - was) | (other[1] - was))
        if chosen is not None:
            merged[name] = chosen
    return merged


@settings(deadline=None)  # two cores are shared
@given(CONTENTS, CONTENTS, CONTENTS)
def test_what_comes_out_is_each_sides_changes_or_a_conflict_whichever_side_is_ours(base, ours, theirs):
    for mine, other in ((ours, theirs), (theirs, ours)):
        wanted = expected(base, mine, other)
        three = registry(base), registry(mine), registry(other)
        if wanted is None:
            with pytest.raises(RegistryConflict, match=r"feature view churn/(orders|visits|spending)"):
                merge(*three)
        else:
            assert contents(merge(*three)) == wanted


@settings(deadline=None)  # two cores are shared
@given(CONTENTS, CONTENTS)
def test_a_side_that_changed_nothing_has_no_say(base, changed):
    assert contents(merge(registry(base), registry(changed), registry(base))) == changed
    assert contents(merge(registry(base), registry(base), registry(changed))) == changed
    assert contents(merge(registry(base), registry(changed), registry(changed))) == changed


@settings(deadline=None)  # two cores are shared
@given(CONTENTS, st.lists(st.tuples(st.integers(0, 9), DESCRIBED), unique_by=lambda pair: pair[0]))
def test_views_that_writers_add_one_after_the_other_are_all_there(base, added):
    """Each had read the base only, as writers do that meet."""
    stored = registry(base)
    for number, days in added:
        ours = registry(base)
        add_view(ours, f"new_{number}", days)
        stored = merge(registry(base), ours, stored)
    assert set(contents(stored)) == {*base, *(f"new_{number}" for number, _ in added)}


def test_the_three_that_go_in_stay_as_they_are():
    three = [registry({"orders": (1, {0})}), registry({"orders": (1, {0, 1})}), registry({"orders": (2, {0, 2})})]
    before = [each.SerializeToString(deterministic=True) for each in three]
    merge(*three)
    assert [each.SerializeToString(deterministic=True) for each in three] == before


def test_writing_the_same_again_at_another_time_is_no_conflict_and_the_later_time_counts():
    merged = merge(
        registry({"orders": (1, ())}, at=10), registry({"orders": (1, ())}, at=20), registry({"orders": (1, ())}, at=30)
    )
    (view,) = merged.feature_views
    assert view.meta.last_updated_timestamp.seconds == 30
    assert view.meta.created_timestamp.seconds == 20
    both_new = merge(registry({}), registry({"orders": (1, ())}, at=40), registry({"orders": (1, ())}, at=30))
    assert both_new.feature_views[0].meta.created_timestamp.seconds == 30
    assert both_new.feature_views[0].meta.last_updated_timestamp.seconds == 40


def test_a_view_that_one_described_anew_and_the_other_materialised_has_both():
    merged = merge(registry({"orders": (1, ())}), registry({"orders": (2, ())}), registry({"orders": (1, {0})}))
    assert contents(merged) == {"orders": (2, {0})}


def test_views_of_one_name_in_two_projects_are_two():
    ours, theirs = registry({}), registry({})
    add_view(ours, "orders", 1, project="churn")
    add_view(theirs, "orders", 2, project="fraud")
    assert len(merge(registry({}), ours, theirs).feature_views) == 2


def test_a_removal_against_a_change_is_a_conflict_in_words():
    with pytest.raises(RegistryConflict, match="feature view churn/orders: we removed what they changed"):
        merge(registry({"orders": (1, ())}), registry({}), registry({"orders": (2, ())}))
    with pytest.raises(RegistryConflict, match="feature view churn/orders: they removed what we changed"):
        merge(registry({"orders": (1, ())}), registry({"orders": (2, ())}), registry({}))


def test_random_ids_that_both_made_for_a_new_project_are_no_conflict():
    ours, theirs = registry({}), registry({})
    for message, number in ((ours, "1"), (theirs, "2")):
        message.project_metadata.add(project="churn", project_uuid=number)
        message.projects.add().spec.name = "churn"
        record = message.feature_view_version_history.records.add()
        record.project_id, record.feature_view_name, record.version_id = "churn", "orders", number
    merged = merge(registry({}), ours, theirs)
    assert [each.project_uuid for each in merged.project_metadata] == ["2"]
    assert [each.version_id for each in merged.feature_view_version_history.records] == ["2"]
    assert len(merged.projects) == 1


def test_infrastructure_is_united_by_what_it_is():
    ours, theirs = registry({}), registry({})
    ours.infra.infra_objects.add().infra_object_class_type = "ours"
    theirs.infra.infra_objects.add().infra_object_class_type = "theirs"
    merged = merge(registry({}), ours, theirs)
    assert {each.infra_object_class_type for each in merged.infra.infra_objects} == {"ours", "theirs"}


def test_two_schema_versions_at_once_are_a_conflict():
    assert merge(registry({}), registry({}, version="2"), registry({})).registry_schema_version == "2"
    with pytest.raises(RegistryConflict, match="registry_schema_version"):
        merge(registry({}), registry({}, version="2"), registry({}, version="3"))
