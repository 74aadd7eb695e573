"""A restored project is looked at: each check passes on what is sound, and fails where that is broken.

The project was made by Feast itself; everything after that is real Valkey and the registry's real bytes.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from drkeeper.applications import Restored
from drkeeper.applications._feast.layout import INT64, event_time_field, feature_field, key_of
from drkeeper.applications._feast.online import entity_count, newest_event_times
from drkeeper.applications._feast.values import value_message
from drkeeper.facts import Check
from drkeeper.feature_registry import parse
from drkeeper.recovery_point import ApplicationRecord
from feast_application.conftest import Platform, application_of, by_subject, customer, stamp
from feast_application.project import CUSTOMERS, FIRST_DAY, SHOPS, VIEWS

TTL = {"key_ttl_seconds": 7 * 86400}
ENTITIES = len(CUSTOMERS) + len(SHOPS)
LAST_EVENT = FIRST_DAY + timedelta(days=11)


def changed(platform: Platform, change: Callable[[Any], object]) -> bytes:
    """The registry's bytes after a change to its message, which is shown to have changed something."""
    message = parse(platform.registry).message
    change(message)
    data = message.SerializeToString()
    assert data != platform.registry
    return data


def failed(checks: dict[str, Check]) -> set[str]:
    return {subject for subject, check in checks.items() if check.verdict == "failed"}


@pytest.fixture(scope="module")
def witnessed(made: Any) -> ApplicationRecord:
    return made[0].whole_witness(**TTL)


@pytest.fixture
def record(witnessed: ApplicationRecord) -> ApplicationRecord:
    """What a backup recorded before anything was broken; tests may change their copy."""
    return witnessed.model_copy(deep=True)


def test_a_sound_project_has_no_failed_check(platform, record):
    checks = platform.check(record, **TTL)
    assert failed(checks) == set()
    assert {subject for subject, check in checks.items() if check.verdict == "not checked"} == {"skew"}
    assert checks["online.totals.entities"].detail == "of 10 entities, 10 as they were"
    assert checks["online.time_to_live"].detail == "12 of 12 entities expire, as before"


def test_the_witness_knows_entities_counts_and_times(platform, record):
    assert record.findings == ()
    assert record.facts.unread == {}
    assert record.facts.exact["registry.feature_views"] == 4
    assert record.facts.info["online.totals.newest_sampled_event"] == LAST_EVENT.isoformat()
    (seven,) = [one for one in record.samples["entities"] if one["key"] == customer(7).hex()]
    assert seven["entity"] == {"customer_id": 7}
    assert seven["views"]["totals"]["features"]["orders"] == 14
    assert datetime.fromisoformat(seven["expires_at"]) - datetime.now(UTC) > timedelta(days=6)


def test_a_witness_takes_no_more_entities_than_the_policy_says(platform):
    assert len(platform.witness(sample_entities=3).samples["entities"]) == 3


def test_views_that_were_not_frozen_are_unread(platform):
    told = application_of().witness({}, platform.systems())
    assert told.facts.unread == {"registry": "registry was not frozen", "online.entities": "online was not frozen"}


def test_an_entity_that_is_gone_fails_its_views_only(platform, record):
    with platform.client as client:
        assert client.delete(customer(7)) == 1
    checks = platform.check(record, **TTL)
    assert failed(checks) == {f"online.{view}.entities" for view in VIEWS}
    assert "1 of 10 are not as they were: customer_id=7: missing" in checks["online.totals.entities"].detail


def test_an_entity_whose_time_has_come_is_no_loss(platform, record):
    with platform.client as client:
        client.delete(customer(7))
    for one in record.samples["entities"]:
        one["expires_at"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    checks = platform.check(record, **TTL)
    assert failed(checks) == set()
    assert checks["online.totals.entities"].detail == "of 10 entities, 9 as they were, 1 gone as their time came"


def test_a_changed_value_is_told_with_both(platform, record):
    with platform.client as client:
        value = type(value_message())(int64_val=99).SerializeToString()
        assert client.hset(customer(7), feature_field("patchy", "orders"), value) == 0, "the field was there"
    checks = platform.check(record, **TTL)
    assert failed(checks) == {"online.patchy.entities"}
    assert "customer_id=7: orders is 99, was 14" in checks["online.patchy.entities"].detail


def test_a_computed_view_that_is_kept_in_the_store_is_remembered_like_the_others(platform):
    def kept(message):
        message.on_demand_feature_views[0].spec.write_to_online_store = True

    value = type(value_message())(double_val=2.5).SerializeToString()
    fields = {event_time_field("doubled"): stamp(LAST_EVENT), feature_field("doubled", "doubled"): value}
    registry = changed(platform, kept)
    with platform.client as client:
        for number in CUSTOMERS:
            assert client.hset(customer(number), mapping=fields) == 2
        record = replace(platform, registry=registry).whole_witness(**TTL)
        assert platform.check(record, registry=registry, **TTL)["online.doubled.entities"].verdict == "passed"
        client.hset(customer(7), feature_field("doubled", "doubled"), value[:-1] + b"\x41")
    check = platform.check(record, registry=registry, **TTL)["online.doubled.entities"]
    assert "customer_id=7: doubled is" in check.detail


def test_a_view_that_is_gone_from_an_entity_is_missing(platform, record):
    with platform.client as client:
        assert client.hdel(customer(7), event_time_field("centred")) == 1
    assert failed(platform.check(record, **TTL)) == {"online.centred.entities"}


def test_an_older_event_fails_and_a_newer_one_does_not(platform, record):
    with platform.client as client:
        client.hset(customer(7), event_time_field("totals"), stamp(LAST_EVENT - timedelta(days=1)))
        client.hset(customer(7), event_time_field("patchy"), stamp(LAST_EVENT + timedelta(hours=1)))
    checks = platform.check(record, **TTL)
    assert failed(checks) == {"online.totals.entities"}
    assert checks["online.patchy.entities"].detail.endswith("9 as they were, 1 newer than in the recovery point")


def test_an_empty_online_store_fails_whatever_the_registry_says(platform, record):
    with platform.client as client:
        client.flushall()
    checks = platform.check(record, **TTL)
    assert "online.not_empty" in failed(checks)
    assert checks["online.totals.newest_event"].verdict == "failed"
    assert "none of 0 entities has the view" in checks["online.totals.newest_event"].detail


def test_a_field_that_is_no_message_is_told(platform, record):
    with platform.client as client:
        client.hset(customer(7), event_time_field("totals"), b"\xff\xff")
    assert "no event time" in platform.check(record, **TTL)["online.readable"].detail


def test_entities_that_expire_no_more_are_told(platform, record):
    with platform.client as client:
        assert client.persist(customer(7)) == 1
    check = platform.check(record, **TTL)["online.time_to_live"]
    assert (check.verdict, check.detail) == ("failed", "1 of 12 entities expire no more: customer_id=7")


def test_entities_that_expire_now_and_did_not_are_told(platform, record):
    (seven,) = [one for one in record.samples["entities"] if one["key"] == customer(7).hex()]
    seven["expires_at"] = None
    assert "did not before: customer_id=7" in platform.check(record, **TTL)["online.time_to_live"].detail


def test_entities_that_expire_within_an_outage_are_forecast(platform, record):
    with platform.client as client:
        for number, hours in ((1, 0.5), (2, 3), (3, 5), (4, 23)):
            client.pexpire(customer(number), int(hours * 3_600_000))
    check = platform.check(record, **TTL)["online.expiry"]
    assert check.verdict == "failed"
    assert "1 within 1 hour, 3 within 6 hours, 4 within 1 day" in check.detail
    assert "2 of them before an outage of 4 hours is over" in check.detail
    assert platform.check(record, outage_seconds=60, **TTL)["online.expiry"].verdict == "passed"


def test_a_rebuild_that_would_lose_the_time_to_live_is_told(platform, record):
    assert "names no key_ttl_seconds" in platform.check(record)["online.key_ttl_seconds"].detail
    assert (
        "longer than the policy's 60 s" in platform.check(record, key_ttl_seconds=60)["online.key_ttl_seconds"].detail
    )


def test_a_store_that_evicts_is_a_finding_already_when_the_point_is_taken(platform):
    with platform.client as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    (finding,) = platform.witness(**TTL).findings
    assert finding.subject == "online.eviction"
    assert "noeviction" in finding.remedy


def test_a_store_that_has_evicted_fails(platform, record):
    with platform.client as client:
        client.config_set("maxmemory-policy", "allkeys-random")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_000_000)
        for number in range(400):
            with suppress(redis.exceptions.OutOfMemoryError):  # it evicts, and not always fast enough
                client.set(f"something-else-{number}", b"x" * 10_000)
        assert client.info("stats")["evicted_keys"] > 0
    checks = platform.check(record, **TTL)
    assert {"online.eviction", "online.evicted"} <= failed(checks)
    assert checks["online.evicted"].severity == "error"
    assert "maxmemory-policy is allkeys-random" in checks["online.eviction"].detail


def test_an_append_only_file_that_is_off_now_is_told(platform, record):
    was_on = record.model_copy(update={"facts": record.facts.model_copy(update={"info": {"online.append_only": True}})})
    assert platform.check(was_on)["online.append_only"].verdict == "failed"
    assert platform.check(record)["online.append_only"].verdict == "passed"


def test_a_store_of_one_moment_beside_a_registry_of_a_later_one_is_told(platform, record):
    def materialised_later(message):
        for view in message.feature_views:
            interval = view.meta.materialization_intervals.add()
            interval.start_time.FromDatetime(LAST_EVENT + timedelta(days=1))
            interval.end_time.FromDatetime(LAST_EVENT + timedelta(days=1, hours=2))

    check = platform.check(record, registry=changed(platform, materialised_later))["online.totals.newest_event"]
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert "1.1 days before that" in check.detail
    assert check.remedy.startswith("materialise from 2026-03-12")


def test_a_view_that_was_never_materialised_is_not_checked(platform, record):
    registry = changed(platform, lambda message: message.feature_views[0].meta.ClearField("materialization_intervals"))
    name = parse(registry).message.feature_views[0].spec.name
    assert platform.check(record, registry=registry)[f"online.{name}.newest_event"].verdict == "not checked"


def test_a_bounded_scan_is_told_as_a_sample(platform, record):
    checks = platform.check(record, scan_keys=3)
    assert "a sample of 3 entities" in checks["online.not_empty"].detail
    assert "a sample of 3 entities" in checks["online.expiry"].detail


@pytest.mark.parametrize("data", [b"", b"\x00\xffno registry"])
def test_an_empty_or_damaged_registry_fails(platform, record, data):
    checks = platform.check(record, registry=data)
    assert checks["registry.readable"].verdict == "failed"
    assert checks["online.entities"].verdict == "not checked"


def test_a_registry_without_the_project_fails(platform, record):
    checks = platform.check(record, project="other")
    assert "no project other" in checks["registry.project"].detail
    assert checks["registry.project"].verdict == "failed"
    assert checks["online.entities"].detail == "the recovery point is of the project churn"


def test_a_registry_without_an_entity_fails_by_reference_and_by_count(platform, record):
    def without(message):
        (place,) = [n for n, one in enumerate(message.entities) if one.spec.name == "customer"]
        del message.entities[place]

    checks = platform.check(record, registry=changed(platform, without))
    assert {"views.entities", "registry.entities"} <= failed(checks)
    assert "3 lead nowhere: centred: entity customer" in checks["views.entities"].detail
    assert checks["registry.entities"].severity == "error"


def test_a_registry_without_a_source_fails(platform, record):
    def without(message):
        (place,) = [n for n, one in enumerate(message.data_sources) if one.name == "totals_file"]
        del message.data_sources[place]

    checks = platform.check(record, registry=changed(platform, without))
    assert "totals: source totals_file" in checks["views.sources"].detail


def test_services_and_on_demand_views_miss_a_view(platform, record):
    def without(message):
        (place,) = [n for n, one in enumerate(message.feature_views) if one.spec.name == "totals"]
        del message.feature_views[place]

    checks = platform.check(record, registry=changed(platform, without))
    assert checks["services.references"].detail == "1 lead nowhere: churn_service: view totals"
    assert checks["on_demand.sources"].detail == "1 lead nowhere: doubled: view totals"


def test_a_service_misses_a_feature(platform, record):
    def renamed(message):
        (view,) = [one for one in message.feature_views if one.spec.name == "centred"]
        for feature in view.spec.features:
            feature.name += "_2"

    checks = platform.check(record, registry=changed(platform, renamed))
    assert checks["services.references"].detail == "1 lead nowhere: churn_service: centred:spent"


def test_the_service_of_the_policy_must_be_there(platform, record):
    assert platform.check(record, service="churn_service")["services.service"].verdict == "passed"
    assert platform.check(record, service="other")["services.service"].verdict == "failed"


def test_an_older_registry_fails_and_a_newer_one_only_warns_of_counts(platform, record):
    def written_at(moment: datetime) -> bytes:
        def change(message):
            message.version_id = "another"
            message.last_updated.FromDatetime(moment)
            del message.feature_services[0]

        return changed(platform, change)

    made_at = parse(platform.registry).last_updated
    older = platform.check(record, registry=written_at(made_at - timedelta(days=1)))
    newer = platform.check(record, registry=written_at(made_at + timedelta(days=1)))
    assert older["registry.version"].verdict == "failed"
    assert older["registry.feature_services"].severity == "error"
    assert newer["registry.version"].verdict == "passed"
    assert newer["registry.feature_services"].severity == "warning"


def test_a_source_file_that_is_gone_fails(platform, record):
    path = platform.folder / "totals.parquet"
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        checks = platform.check(record, **TTL)
    finally:
        hidden.rename(path)
    assert failed(checks) == {"sources.totals_file"}
    assert str(path) in checks["sources.totals_file"].detail


class Bucket:
    """Objects at an endpoint that is no part of these tests."""

    name, kind, url = "lake", "objects", "s3://lake/data"

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def entries(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return ((key, 10) for key in self.keys if key.startswith(prefix))

    def recorded(self, streams: object) -> Iterator[tuple[str, int]]:
        return self.entries()

    def fetch(self, key: str) -> Iterator[bytes]:
        yield b""

    def sdk_environment(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("uri", "keys", "elsewhere", "verdict"),
    [
        ("s3://lake/data/totals.parquet", ["totals.parquet"], {}, "passed"),
        ("s3://lake/data/totals", ["totals/part-0.parquet"], {}, "passed"),
        ("s3://lake/data/totals/*.parquet", ["totals/part-0.parquet"], {}, "passed"),
        ("s3://lake/data/totals", ["totals.parquet"], {}, "failed"),
        ("s3://lake/database/totals", ["totals"], {}, "not checked"),
        ("s3://gone/old/totals.parquet", ["totals.parquet"], {"s3://gone/old": "s3://lake/data"}, "passed"),
        ("gs://lake/totals.parquet", [], {}, "not checked"),
        ("totals.parquet", [], {}, "not checked"),
    ],
)
def test_sources_in_buckets_are_looked_for_where_a_system_holds_them(platform, record, uri, keys, elsewhere, verdict):
    def moved(message):
        (source,) = [one for one in message.data_sources if one.name == "totals_file"]
        source.file_options.uri = uri

    systems = platform.systems(changed(platform, moved), lake=Bucket(*keys))
    checks = by_subject(application_of().check(Restored(systems, record=record, elsewhere=elsewhere)))
    assert checks["sources.totals_file"].verdict == verdict


def test_a_relative_source_is_found_from_the_repository(platform, record):
    def relative(message):
        (source,) = [one for one in message.data_sources if one.name == "totals_file"]
        source.file_options.uri = "totals.parquet"

    checks = platform.check(record, registry=changed(platform, relative), repository=platform.folder)
    assert checks["sources.totals_file"].verdict == "passed"


def test_a_running_platform_is_checked_without_a_recovery_point(platform):
    checks = platform.check(None, **TTL)
    assert failed(checks) == set()
    assert checks["registry.version"].verdict == checks["online.entities"].verdict == "not checked"


def test_systems_that_were_not_restored_are_not_checked(platform, record):
    checks = by_subject(application_of().check(Restored({}, record=record)))
    assert {check.verdict for check in checks.values()} == {"not checked"}


def test_a_store_that_does_not_answer_fails(platform, record):
    systems = platform.systems()
    systems["online"] = type(platform.store)("online", platform.store._options.model_copy(update={"port": 1}))
    checks = by_subject(application_of().check(Restored(systems, record=record)))
    assert checks["online.readable"].verdict == "failed"


def test_the_newest_event_times_are_over_all_entities(platform):
    with platform.client as client:
        client.hset(customer(7), event_time_field("totals"), stamp(LAST_EVENT + timedelta(hours=1)))
        other = key_of({"customer_id": (INT64, 7)}, "old_churn")
        client.hset(other, event_time_field("totals"), stamp(LAST_EVENT + timedelta(days=9)))
    newest = newest_event_times(platform.store, "churn", [*VIEWS, "absent"])
    assert newest == {
        "totals": LAST_EVENT + timedelta(hours=1), "patchy": LAST_EVENT, "centred": LAST_EVENT, "absent": None
    }  # fmt: skip
    assert entity_count(platform.store, "churn") == ENTITIES
