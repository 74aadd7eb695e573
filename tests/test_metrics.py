"""Gauges say what was measured, and nothing where nothing was; an exporter that cannot read still answers."""

import itertools
import math
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import report_examples
import status_examples
from bucket_examples import bucket_state
from drkeeper import audit, catalog, clock
from drkeeper._exporter.http import CONNECTIONS_MAX
from drkeeper.catalog import LEVELS, Proof, standing
from drkeeper.errors import UsageInvalid, VaultUnreachable
from drkeeper.exporter import exposition, look, serving
from drkeeper.facts import Check
from drkeeper.gauges import GAUGES, PREFIX
from drkeeper.known import Expected, Known, LeaseState, RegionState, backups_of
from drkeeper.lease import hold
from drkeeper.metrics import samples
from drkeeper.observation import Observer, needed_proofs
from drkeeper.outlook import outlooks
from drkeeper.pushing import PushFailed, push
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.replicate import replicate
from drkeeper.replication.proof_records import keep_proof
from drkeeper.replication.records import keep_record
from drkeeper.report.record import Objectives
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from vault_examples import FaultyStore, HeldLease, make_point, write_point

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SYSTEMS = {"mlflow-db": "postgres", "online-store": "redis"}


def ago(**span):
    return NOW - timedelta(**span)


def record(name, kind, as_of, *, size=1000, stored=100, status="complete", **more):
    streams = (
        StreamRecord(name="dump", ref=StreamRef(index_id="0", size_bytes=size, frame_count=1), stored_bytes=stored),
    )
    return SystemRecord(
        name=name, kind=kind, status=status, as_of=as_of, capture_seconds=2.5, streams=streams if status != "failed" else (), **more
    )  # fmt: skip


def point(point_id, as_of, *, database="complete", store="complete", **more):
    systems = [record("mlflow-db", "postgres", as_of, status=database)]
    if store:
        systems.append(record("online-store", "redis", as_of + timedelta(seconds=3), size=500, stored=0, status=store))
    return make_point(
        point_id=point_id, created_at=as_of, systems=tuple(systems), skew_seconds=3.0, elapsed_seconds=7.0, **more
    )


def proof(point_id, level, at, verdict="passed", **verdicts):
    """Of a verification where regions are named with their verdicts, else of a drill."""
    return Proof(point_id=point_id, level=level, verdict=verdict, at=at, verdicts=verdicts)


def region(name, *points, up=True):
    ids = frozenset(each.point_id for each in points)
    return RegionState(name, name == "near", up, ids if up else frozenset(), 0.2 if up else None)


def known(points=(), *, regions=None, **more):
    whole = [each for each in backups_of(points)[::-1] if not each.partial]
    fields = {
        "policy": "production",
        "systems": SYSTEMS,
        "objectives": Objectives(rto_seconds=3600, rpo_seconds=900),
        "regions": regions or [region("near", *points), region("far", *points)],
        "readable": True,
        "points": list(points),
        "newest": backups_of(points)[-1] if backups_of(points) else None,
        "whole": {"near": whole[0], "far": whole[0]} if whole else {},
        "drills": [],
        "leases": [LeaseState("write", held=False)],
        "unreadable": {"point": 0, "proof": 0, "drill": 0},
        **more,
    }
    return Known(**fields)


class Gauges:
    """What an exposition says, to ask by name and labels."""

    def __init__(self, text):
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        found = [
            (sample.name, frozenset(sample.labels.items()), sample.value)
            for family in self.families.values()
            for sample in family.samples
        ]
        self.values = {(name, labels): value for name, labels, value in found}
        assert len(self.values) == len(found), "Prometheus refuses a scrape that says the same thing twice"

    def get(self, name, **labels):
        """The value; None where there is no such series."""
        wanted = set(labels.items())
        fitting = [value for (each, own), value in self.values.items() if each == PREFIX + name and wanted <= own]
        assert len(fitting) <= 1, (name, labels, fitting)
        return fitting[0] if fitting else None

    def has(self, name):
        return PREFIX + name in self.families


def gauges_of(state, now=NOW):
    return Gauges(exposition(samples(state, now, 0.25, outlooks(state, now))))


# --- what the gauges say ---


def test_an_empty_vault_says_that_it_holds_nothing_and_nothing_else():
    gauges = gauges_of(known())
    assert gauges.get("vault_up") == 1
    assert gauges.get("points", purpose="backup", state="complete") == 0
    assert gauges.get("objective_seconds", objective="rpo") == 900
    assert gauges.get("drills") == 0
    for name in GAUGES:
        if name.startswith(("newest_", "proof_", "drill_", "system_recoverable", "system_size")):
            assert not gauges.has(name), name


def test_the_newest_point_is_told_with_its_systems():
    older, newest = point("a" * 12, ago(hours=2)), point("b" * 12, ago(minutes=10))
    gauges = gauges_of(known([older, newest]))
    assert gauges.get("newest_point_created_timestamp_seconds") == ago(minutes=10).timestamp()
    assert gauges.get("newest_point_as_of_timestamp_seconds") == ago(minutes=10).timestamp()
    assert gauges.get("newest_point_size_bytes") == 1500
    assert gauges.get("newest_point_stored_bytes") == 100
    assert gauges.get("newest_point_skew_seconds") == 3
    assert gauges.get("newest_point_duration_seconds") == 7
    assert gauges.get("newest_point_regions") == 2
    assert gauges.get("newest_point_partial") == 0
    assert gauges.get("system_size_bytes", system="online-store", kind="redis") == 500
    assert gauges.get("system_capture_seconds", system="mlflow-db") == 2.5
    assert gauges.get("system_as_of_timestamp_seconds", system="online-store") == ago(minutes=10).timestamp() + 3
    assert gauges.get("system_status", system="mlflow-db", status="complete") == 1
    assert gauges.get("system_status", system="mlflow-db", status="failed") == 0


def test_an_undo_point_is_counted_and_is_not_the_newest_backup():
    backup, undo = point("a" * 12, ago(hours=1)), point("b" * 12, ago(minutes=1), purpose="undo")
    gauges = gauges_of(known([backup, undo]))
    assert gauges.get("newest_point_created_timestamp_seconds") == ago(hours=1).timestamp()
    assert gauges.get("points", purpose="undo", state="complete") == 1
    assert (
        gauges.get("system_recoverable_until_timestamp_seconds", system="mlflow-db", lost_region="")
        == ago(hours=1).timestamp()
    )


def test_exposure_is_told_per_system_from_the_newest_point_that_holds_it_whole():
    whole = point("a" * 12, ago(hours=2))
    without_store = point("b" * 12, ago(hours=1), store="failed")
    half_a_store = point("c" * 12, ago(minutes=30), store="partial", database="failed")
    gauges = gauges_of(known([whole, without_store, half_a_store]))
    until = "system_recoverable_until_timestamp_seconds"
    assert gauges.get(until, system="mlflow-db", lost_region="") == ago(hours=1).timestamp()
    assert gauges.get(until, system="online-store", lost_region="") == ago(hours=2).timestamp() + 3
    assert gauges.get("newest_point_partial") == 1
    assert gauges.get("points", purpose="backup", state="partial") == 2
    assert gauges.get("system_status", system="online-store", status="partial") == 1


def test_a_system_that_the_newest_point_leaves_out_is_missing():
    gauges = gauges_of(known([point("a" * 12, ago(hours=2)), point("b" * 12, ago(hours=1), store=None)]))
    assert gauges.get("newest_point_partial") == 0
    assert gauges.get("system_status", system="online-store", status="missing") == 1
    assert gauges.get("system_size_bytes", system="online-store") is None
    assert (
        gauges.get("system_recoverable_until_timestamp_seconds", system="online-store", lost_region="")
        == ago(hours=2).timestamp() + 3
    )


def test_a_point_that_a_region_lacks_does_not_survive_the_loss_of_the_others():
    everywhere, near_only = point("a" * 12, ago(hours=2)), point("b" * 12, ago(hours=1))
    regions = [region("near", everywhere, near_only), region("far", everywhere)]
    gauges = gauges_of(known([everywhere, near_only], regions=regions))
    until = "system_recoverable_until_timestamp_seconds"
    assert gauges.get(until, system="mlflow-db", lost_region="") == ago(hours=1).timestamp()
    assert gauges.get(until, system="mlflow-db", lost_region="far") == ago(hours=1).timestamp()
    assert gauges.get(until, system="mlflow-db", lost_region="near") == ago(hours=2).timestamp()
    assert gauges.get("vault_region_lacking_points", region="far") == 1
    assert gauges.get("vault_region_lacking_points", region="near") == 0
    assert gauges.get("vault_region_points", region="far", role="replica") == 1
    assert gauges.get("newest_point_regions") == 1


def test_with_one_region_nothing_survives_its_loss_and_no_figure_claims_it():
    only = point("a" * 12, ago(hours=1))
    gauges = gauges_of(known([only], regions=[region("near", only)]))
    assert gauges.get("system_recoverable_until_timestamp_seconds", system="mlflow-db", lost_region="near") is None
    assert gauges.get("system_recoverable_until_timestamp_seconds", system="mlflow-db", lost_region="") is not None


def test_a_region_that_is_away_is_down_and_has_no_counts():
    only = point("a" * 12, ago(hours=1))
    gauges = gauges_of(known([only], regions=[region("near", only), region("far", up=False)]))
    assert gauges.get("vault_region_up", region="far") == 0
    assert gauges.get("vault_region_points", region="far") is None
    assert gauges.get("vault_region_lacking_points", region="far") is None
    assert gauges.get("vault_region_response_seconds", region="far") is None


def test_a_vault_that_cannot_be_read_says_that_alone():
    gauges = gauges_of(known(regions=[region("near", up=False)], readable=False))
    assert gauges.get("vault_up") == 0
    assert gauges.get("vault_region_up", region="near") == 0
    assert not any(gauges.has(name) for name in ("points", "drills", "unreadable_records", "lease_held"))
    assert gauges.get("system_info", system="mlflow-db", kind="postgres") == 1


def test_proofs_are_told_of_the_newest_point_and_of_the_newest_that_is_proven():
    drilled, intact, newest = (point(letter * 12, ago(days=days)) for letter, days in (("a", 9), ("b", 2), ("c", 0)))
    proofs = {
        drilled.point_id: [
            proof(drilled.point_id, "restorable", ago(days=8)),
            proof(drilled.point_id, "intact", ago(hours=3)),
        ],
        intact.point_id: [proof(intact.point_id, "intact", ago(days=1))],
        newest.point_id: [proof(newest.point_id, "stored", ago(minutes=5))],
    }
    gauges = gauges_of(known([drilled, intact, newest], proofs=proofs))
    assert [gauges.get("newest_point_proven", level=level) for level in LEVELS] == [1, 0, 0, 0]
    assert gauges.get("proof_point_as_of_timestamp_seconds", level="intact") == intact.as_of.timestamp()
    assert gauges.get("proof_point_as_of_timestamp_seconds", level="restorable") == drilled.as_of.timestamp()
    assert gauges.get("proof_timestamp_seconds", level="intact") == ago(hours=3).timestamp()
    assert gauges.get("proof_timestamp_seconds", level="restorable") == ago(days=8).timestamp()
    assert gauges.get("proof_timestamp_seconds", level="usable") is None


def test_a_region_is_proven_by_looking_at_it_and_by_nothing_else():
    older, newest = point("a" * 12, ago(days=2)), point("b" * 12, ago(days=1))
    proofs = {
        older.point_id: [proof(older.point_id, "intact", ago(hours=3), near="passed", far="passed")],
        newest.point_id: [
            proof(newest.point_id, "stored", ago(hours=2), near="passed", far="not checked"),
            proof(newest.point_id, "restorable", ago(hours=1)),
        ],
    }
    gauges = gauges_of(known([older, newest], proofs=proofs))
    until = "vault_region_proof_point_as_of_timestamp_seconds"
    assert gauges.get(until, region="near", level="stored") == newest.as_of.timestamp()
    assert gauges.get(until, region="near", level="intact") == older.as_of.timestamp()
    assert gauges.get(until, region="far", level="stored") == older.as_of.timestamp()
    assert gauges.get(until, region="far", level="restorable") is None
    found_bad = proof(older.point_id, "stored", ago(minutes=1), "failed", near="passed", far="failed")
    again = gauges_of(known([older, newest], proofs={**proofs, older.point_id: [*proofs[older.point_id], found_bad]}))
    assert again.get(until, region="far", level="stored") is None


def test_a_point_that_was_found_damaged_is_counted_and_protects_nobody():
    good, bad = point("a" * 12, ago(hours=2)), point("b" * 12, ago(hours=1))
    proofs = {
        bad.point_id: [
            proof(bad.point_id, "stored", ago(minutes=30)),
            proof(bad.point_id, "intact", ago(minutes=20), "failed"),
        ]
    }
    gauges = gauges_of(known([good, bad], proofs=proofs))
    assert gauges.get("disproven_points") == 1
    assert gauges.get("newest_point_proven", level="stored") == 1
    assert gauges.get("newest_point_proven", level="intact") == 0
    assert (
        gauges.get("system_recoverable_until_timestamp_seconds", system="mlflow-db", lost_region="")
        == ago(hours=2).timestamp()
    )
    healed = {bad.point_id: [*proofs[bad.point_id], proof(bad.point_id, "intact", ago(minutes=10))]}
    again = gauges_of(known([good, bad], proofs=healed))
    assert again.get("disproven_points") == 0
    assert (
        again.get("system_recoverable_until_timestamp_seconds", system="mlflow-db", lost_region="")
        == ago(hours=1).timestamp()
    )


def test_the_newest_drill_is_told_with_what_was_promised_and_predicted():
    gauges = gauges_of(known(drills=[report_examples.good()], drill_count=4))
    assert gauges.get("drills") == 4
    assert gauges.get("drill_outcome", outcome="recovered") == 1
    assert gauges.get("drill_rto_seconds") == 43.218
    assert gauges.get("drill_rpo_seconds") == 185.4
    assert gauges.get("drill_rto_forecast_seconds", percentile="50") == 39.5
    assert gauges.get("drill_rto_forecast_seconds", percentile="90") == 51
    assert gauges.get("drill_objective_kept", objective="rto") == 1
    assert gauges.get("drill_checks", verdict="not checked") == 1
    assert gauges.get("drill_system_rto_seconds", system="feast-online", kind="redis") == 6.12
    assert gauges.get("drill_system_rto_forecast_seconds", system="feast-online", percentile="50") == pytest.approx(
        5.508
    )
    assert gauges.get("drill_phase_seconds", phase="restore") == pytest.approx(34.81)
    assert gauges.get("drill_restored_bytes") == 1_842_211_904


def test_a_figure_that_a_drill_did_not_measure_has_no_sample_and_counts_as_missed():
    gauges = gauges_of(known(drills=[report_examples.missed()]))
    assert gauges.get("drill_rpo_seconds") is None
    assert gauges.get("drill_objective_kept", objective="rpo") == 0
    assert gauges.get("drill_system_rpo_seconds", system="mlflow-db") == 185.4
    assert gauges.get("drill_system_rpo_seconds", system="feast-online") is None
    assert gauges.get("drill_outcome", outcome="objective missed") == 1


def test_a_failed_drill_does_not_make_the_last_good_one_younger():
    good = report_examples.good()
    bad = report_examples.failed_restore().model_copy(update={"ended_at": good.ended_at + timedelta(days=3)})
    gauges = gauges_of(known(drills=[good, bad]))
    assert gauges.get("drill_ended_timestamp_seconds") == bad.ended_at.timestamp()
    assert gauges.get("drill_recovered_timestamp_seconds") == good.ended_at.timestamp()
    assert gauges.get("drill_outcome", outcome="restore failed") == 1
    assert gauges.get("drill_rto_seconds") is None


@pytest.mark.parametrize("example", report_examples.EXAMPLES.values())
def test_every_drill_record_can_be_told(example):
    assert gauges_of(known(drills=[example()])).get("drill_ended_timestamp_seconds")


def test_findings_of_a_capture_are_counted_by_severity():
    finding = Check(subject="ConfigMap a/b", verdict="failed", severity="warning")
    system = record("mlflow-db", "postgres", ago(hours=1), findings=(finding, finding))
    gauges = gauges_of(known([make_point(systems=(system,), created_at=ago(hours=1))]))
    assert gauges.get("system_findings", system="mlflow-db", severity="warning") == 2
    assert gauges.get("system_findings", system="mlflow-db", severity="error") == 0


def test_a_lease_is_held_since_or_free():
    leases = [
        LeaseState("write", held=True, since=ago(hours=5)),
        LeaseState("scheduler", held=False),
        LeaseState("restore", held=True),
    ]
    gauges = gauges_of(known(leases=leases))
    assert gauges.get("lease_acquired_timestamp_seconds", lease="write") == ago(hours=5).timestamp()
    assert gauges.get("lease_held", lease="scheduler") == 0
    assert gauges.get("lease_acquired_timestamp_seconds", lease="scheduler") is None
    assert gauges.get("lease_held", lease="restore") == 1
    assert gauges.get("lease_acquired_timestamp_seconds", lease="restore") is None


def test_a_bucket_says_how_far_its_replica_is_and_what_was_re_hashed():
    gauges = gauges_of(known(buckets=[bucket_state(ago(hours=1), verdict="failed", complete=False)]))
    assert gauges.get("bucket_replica_behind_seconds", system="artifacts") == 90
    assert gauges.get("bucket_replica_failed_objects", system="artifacts") == 2
    assert gauges.get("bucket_replica_as_of_timestamp_seconds") is None
    assert gauges.get("bucket_proof_passed", region="source", level="intact") == 1
    assert gauges.get("bucket_proof_passed", region="replica", level="intact") == 0
    assert gauges.get("bucket_damaged_objects", region="replica") == 2
    assert gauges.get("bucket_rehashed_ratio", region="source") == 0.75
    assert gauges.get("bucket_rehashed_since_timestamp_seconds") is None
    whole = gauges_of(known(buckets=[bucket_state(ago(hours=1), all_since=ago(days=30))]))
    assert whole.get("bucket_replica_as_of_timestamp_seconds", system="artifacts") == ago(hours=1).timestamp()
    assert whole.get("bucket_rehashed_since_timestamp_seconds", region="source") == ago(days=30).timestamp()


def test_a_region_of_a_bucket_that_was_not_checked_has_not_passed():
    gauges = gauges_of(known(buckets=[bucket_state(ago(hours=1), verdict="not checked")]))
    assert gauges.get("bucket_proof_passed", region="replica") == 0


def test_records_of_buckets_are_read_back_to_the_newest_complete_run(tmp_path):
    vault = Vault.create({"near": open_store(StoreOptions(url=str(tmp_path / "near")))})
    state = bucket_state(ago(hours=1))
    for hours, complete in ((4, True), (3, True), (2, False)):
        at = ago(hours=hours)
        keep_record(vault, state.newest.model_copy(update={"started_at": at, "as_of": at, "complete": complete}))
    keep_proof(vault, state.proofs[0])
    watch = Observer("production", {"artifacts": "objects"}, Objectives(), vault.regions.stores)
    (found,) = watch.observe(NOW).buckets
    assert (found.newest.as_of, found.complete.as_of) == (ago(hours=2), ago(hours=3))
    assert found.proofs == state.proofs


def everything():
    """A state in which every gauge has a sample."""
    state = status_examples.in_trouble()
    return replace(
        status_examples.at_work(),
        drills=state.drills,
        leases=[LeaseState("write", held=True, since=ago(minutes=1))],
        buckets=[bucket_state(ago(hours=1), all_since=ago(days=30))],
    )


def test_every_gauge_is_exposed_with_a_help_and_base_units():
    gauges = gauges_of(everything(), status_examples.NOW)
    assert set(gauges.families) == {PREFIX + name for name in GAUGES}
    for name, family in gauges.families.items():
        assert family.type == "gauge"
        assert family.documentation
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|megabytes|percent|total|count)$", name)
    for (name, labels), value in gauges.values.items():
        assert math.isfinite(value)
        assert name == "drkeeper_build_info" or ("policy", "production") in labels


def test_hostile_names_are_escaped():
    name = 'a"b\\c\nd'
    gauges = gauges_of(known(systems={name: "postgres"}))
    assert gauges.get("system_info", system=name) == 1


# --- which proofs have to be read ---

VERDICTS = st.sampled_from(["passed", "failed", "not checked"])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LEVELS), VERDICTS, st.booleans()), max_size=12))
def test_the_proofs_that_are_read_say_what_all_of_them_would(events):
    proofs = {
        f"proofs/p/{number:04}T-{level}-0.json": proof(
            "p", level, NOW + timedelta(minutes=number), verdict, **({"near": verdict} if by_region else {})
        )
        for number, (level, verdict, by_region) in enumerate(events)
    }
    read = needed_proofs(proofs, proofs.get)
    assert list(read) == [each for each in proofs.values() if each in read]
    lazy, full = standing(read), standing(proofs.values())
    assert (lazy.level, lazy.proven_at) == (full.level, full.proven_at)
    assert (lazy.failed is None) == (full.failed is None)


def test_a_point_that_was_proven_every_night_costs_one_read():
    read = []
    keys = [f"proofs/p/{number:04}T-intact-0.json" for number in range(500)]

    def fetch(key):
        read.append(key)
        return proof("p", "intact", NOW, near="passed")

    assert len(needed_proofs(keys, fetch)) == 1
    assert read == keys[-1:]


# --- reading a vault ---


@pytest.fixture
def regions(tmp_path):
    return {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}


@pytest.fixture
def vault(regions):
    return Vault.create(regions)


def observer(regions, policy="test"):
    return Observer(policy, {"mlflow-db": "postgres"}, Objectives(rpo_seconds=900), regions)


def looked(watch):
    return Gauges(look(watch))


class Counting:
    """A store that counts the objects that are read."""

    def __init__(self, inner):
        self.inner = inner
        self.read = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get(self, key):
        self.read.append(key)
        return self.inner.get(key)


def test_a_vault_is_read_and_read_again_only_where_it_is_new(vault, regions):
    first = write_point(vault, {"dump": b"x"})
    catalog.record_proof(vault, proof(first.point_id, "intact", NOW))
    vault.create_record("drills/20260301T000000Z-1.json", report_examples.good(policy="test"))
    near = Counting(regions["near"])
    watch = observer({**regions, "near": near})
    gauges = looked(watch)
    assert gauges.get("vault_region_points", region="near") == 1
    assert gauges.get("vault_region_points", region="far") == 0
    assert gauges.get("vault_region_lacking_points", region="far") == 1
    assert gauges.get("newest_point_proven", level="intact") == 1
    assert gauges.get("drill_rto_seconds") == 43.218
    assert gauges.get("unreadable_records", record="point") == 0
    near.read.clear()
    assert looked(watch).get("drills") == 1
    assert [key for key in near.read if not key.startswith("leases/")] == ["vault.json"]
    write_point(vault, {"dump": b"y"}, point_id="b00000000000", created_at=NOW)
    near.read.clear()
    assert looked(watch).get("points", purpose="backup", state="complete") == 2
    assert len({key for key in near.read if key.startswith("points/")}) == 1


def test_of_each_region_the_newest_point_that_a_restore_would_take_is_known(vault, regions):
    both = write_point(vault, {"dump": b"x"})
    replicate(vault, [both], HeldLease())
    newer = write_point(vault, {"dump": b"y"}, point_id="b00000000000", created_at=NOW)
    watch = observer(regions)
    whole = {region: each.point_id for region, each in watch.observe(NOW).whole.items()}
    assert whole == {"near": newer.point_id, "far": both.point_id}
    catalog.record_proof(vault, proof(newer.point_id, "intact", NOW, "failed"))
    assert {each.point_id for each in watch.observe(NOW).whole.values()} == {both.point_id}


def test_a_backup_of_some_systems_is_not_what_a_restore_of_all_would_take(vault, regions):
    of_all = write_point(vault, {"dump": b"x"})
    (db,) = of_all.systems
    some = of_all.model_copy(
        update={"point_id": "c00000000000", "created_at": NOW, "systems": (db.model_copy(update={"name": "cache"}),)}
    )
    vault.create_record(catalog.key_of(some), some)
    known = observer(regions).observe(NOW)
    assert known.newest.point_id == some.point_id
    assert known.whole["near"].point_id == of_all.point_id


def test_what_was_forgotten_is_not_told_any_more(vault, regions):
    kept, gone = (
        write_point(vault, {"dump": b"x"}),
        write_point(vault, {"dump": b"y"}, point_id="b00000000000", created_at=NOW),
    )
    watch = observer(regions)
    assert looked(watch).get("newest_point_created_timestamp_seconds") == NOW.timestamp()
    vault.delete_record(catalog.key_of(gone))
    assert looked(watch).get("newest_point_created_timestamp_seconds") == kept.created_at.timestamp()


def test_points_of_another_policy_are_left_out(vault, regions):
    write_point(vault, {"dump": b"x"})
    assert looked(observer(regions, "other")).get("points", purpose="backup", state="complete") == 0


def test_damaged_records_are_counted_and_hide_nothing_else(vault, regions):
    bad = write_point(vault, {"dump": b"x"})
    good = write_point(vault, {"dump": b"y"}, point_id="b00000000000", created_at=NOW)
    catalog.record_proof(vault, proof(good.point_id, "stored", NOW))
    catalog.record_proof(vault, proof(good.point_id, "intact", NOW + timedelta(seconds=1)))
    vault.create_record("drills/20260301T000000Z-1.json", report_examples.good(policy="test"))
    keys = [catalog.key_of(bad), "drills/20260301T000000Z-1.json"]
    keys += [entry.key for entry in regions["near"].list(f"proofs/{good.point_id}/") if "intact" in entry.key]
    whole = {key: regions["near"].get(key) for key in keys}
    for key, data in whole.items():
        regions["near"].put(key, data[:-20])
    watch = observer(regions)
    gauges = looked(watch)
    assert [gauges.get("unreadable_records", record=each) for each in ("point", "proof", "drill")] == [1, 1, 1]
    assert gauges.get("newest_point_created_timestamp_seconds") == NOW.timestamp()
    assert gauges.get("newest_point_proven", level="stored") == 1
    for key, data in whole.items():
        regions["near"].put(key, data)
    mended = looked(watch)
    assert [mended.get("unreadable_records", record=each) for each in ("point", "proof", "drill")] == [0, 0, 0]
    assert mended.get("newest_point_proven", level="intact") == 1
    assert mended.get("points", purpose="backup", state="complete") == 2


def test_a_damaged_lease_is_held_since_nobody_knows_when(vault, regions):
    regions["near"].put("leases/write/00000000000000000001.json", b"{")
    gauges = looked(observer(regions))
    assert gauges.get("lease_held", lease="write") == 1
    assert gauges.get("lease_acquired_timestamp_seconds", lease="write") is None


def test_a_lease_is_told_while_it_is_held(vault, regions):
    watch = observer(regions)
    with hold(regions["near"], "write", ttl_seconds=30):
        gauges = looked(watch)
        assert gauges.get("lease_held", lease="write") == 1
        assert abs(gauges.get("lease_acquired_timestamp_seconds", lease="write") - time.time()) < 30
    assert looked(watch).get("lease_held", lease="write") == 0


def away(store, method="head", at=1):
    return FaultyStore(store, method, at, VaultUnreachable("it is away"), keep_on=True)


def test_a_region_that_is_away_does_not_hide_the_other(vault, regions):
    write_point(vault, {"dump": b"x"})
    far = away(regions["far"])
    gauges = looked(observer({"near": regions["near"], "far": far}))
    assert far.struck == 1
    assert gauges.get("vault_region_up", region="far") == 0
    assert gauges.get("vault_up") == 1
    assert gauges.get("newest_point_regions") == 1


def test_without_the_primary_the_replica_tells_all_but_the_leases(vault, regions):
    write_point(Vault.open({"far": regions["far"]}), {"dump": b"x"})
    near = away(regions["near"])
    gauges = looked(observer({"near": near, "far": regions["far"]}))
    assert near.struck == 1
    assert gauges.get("vault_region_up", region="near", role="primary") == 0
    assert gauges.get("points", purpose="backup", state="complete") == 1
    assert not gauges.has("lease_held")


@pytest.mark.parametrize(("method", "at"), [("head", 1), ("list", 1), ("list", 2), ("list", 3), ("get", 1), ("get", 2)])
def test_a_vault_that_goes_away_at_any_moment_is_down_and_comes_back(vault, regions, method, at):
    write_point(vault, {"dump": b"x"})
    store = away(regions["near"], method, at)
    gauges = looked(observer({"near": store}))
    assert store.struck >= 1
    assert gauges.get("vault_up") == 0
    assert not gauges.has("points")
    assert looked(observer({"near": regions["near"]})).get("vault_up") == 1


def test_a_region_without_a_vault_is_not_up(vault, regions, tmp_path):
    empty = open_store(StoreOptions(url=str(tmp_path / "empty")))
    empty.prepare()
    gauges = looked(observer({**regions, "empty": empty}))
    assert gauges.get("vault_region_up", region="empty") == 0
    assert gauges.get("vault_up") == 1


def test_regions_of_two_vaults_are_no_vault(vault, regions, tmp_path):
    other = open_store(StoreOptions(url=str(tmp_path / "other")))
    Vault.create({"other": other})
    assert looked(observer({**regions, "other": other})).get("vault_up") == 0


def test_an_encrypted_vault_is_told_without_its_key(regions):
    from vault_examples import TEST_RECIPIENT

    vault = Vault.create(regions, recipients=[TEST_RECIPIENT])
    write_point(vault, {"dump": b"x"}, lease=HeldLease())
    assert looked(observer(regions)).get("newest_point_size_bytes") == 1


# --- backups by the audit log, and room ---


def backup_noted(vault, policy="test", raises=None, **detail):
    with suppress(type(raises)) if raises else nullcontext(), audit.recorded(vault, policy, "backup") as ending:
        ending.detail.update(detail)
        if raises:
            raise raises


def test_backups_are_told_by_the_audit_log_whose_points_are_gone_or_never_were(vault, regions):
    assert observer(regions).observe(clock.now()).backups is None
    backup_noted(vault)
    backup_noted(vault, partial=True)
    backup_noted(vault, lacking="far")
    backup_noted(vault, raises=VaultUnreachable("away"))
    backup_noted(vault, policy="other")
    with audit.recorded(vault, "test", "prune"), audit.recorded(vault, "test", "backup", purpose="undo"):
        pass
    with audit.recorded(vault, "test", "backup", selected="mlflow-db"):
        pass
    with audit.recorded(vault, "test", "backup"):
        found = observer(regions).observe(clock.now()).backups
        killed = observer(regions).observe(clock.now() + timedelta(days=1)).backups
    assert [run.outcome for run in found.runs] == ["whole", "short", "short", "short", "at work"]
    assert [run.outcome for run in killed.runs][-1] == "short"
    assert not found.cut


def test_of_a_long_audit_log_the_newest_part_is_read_and_that_is_said(vault, regions, monkeypatch):
    monkeypatch.setattr("drkeeper._observation.runs.LINKS_READ", 6)
    monkeypatch.setattr("drkeeper._observation.runs.READ_AT_ONCE", 3)
    for _ in range(5):
        backup_noted(vault)
    found = observer(regions).observe(clock.now()).backups
    assert (len(found.runs), found.cut) == (3, True)


def test_room_is_that_of_the_file_system_or_what_the_policy_says(vault, regions):
    write_point(vault, {"dump": b"x" * 100_000})
    by_folder = looked(observer(regions))
    assert by_folder.get("vault_region_capacity_bytes", region="near") > 1_000_000
    assert by_folder.get("vault_region_used_bytes", region="near") > 0
    watch = Observer("test", {"mlflow-db": "postgres"}, Objectives(), regions, Expected(capacity_bytes=10**6))
    said = looked(watch)
    assert said.get("vault_region_capacity_bytes", region="near") == 10**6
    frames = sum(
        entry.size_bytes for each in ("frames/", "streams/", "points/") for entry in regions["near"].list(each)
    )
    assert said.get("vault_region_used_bytes", region="near") == frames > 0


# --- serving ---


def fetched(address, path="/metrics", method="GET"):
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - http, of our own server
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_scrapes_are_answered_from_what_was_seen_last(vault, regions):
    write_point(vault, {"dump": b"x"})
    near = Counting(regions["near"])
    with serving(observer({"near": near}), ("127.0.0.1", 0), 3600) as address:
        status, kind, text = fetched(address)
        reads = len(near.read)
        assert {fetched(address)[2] for _ in range(20)} == {text}
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert Gauges(text).get("points", purpose="backup", state="complete") == 1
        assert len(near.read) == reads
        assert fetched(address, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        assert fetched(address, "/elsewhere")[0] == 404
        assert fetched(address, method="HEAD")[::2] == (200, "")
        assert fetched(address, method="POST")[0] == 501
    with pytest.raises(urllib.error.URLError):
        fetched(address)


def test_what_is_served_follows_the_vault(vault, regions):
    with serving(observer(regions), ("127.0.0.1", 0), 0.2) as address:
        assert Gauges(fetched(address)[2]).get("points", purpose="backup", state="complete") == 0
        write_point(vault, {"dump": b"x"})
        deadline = time.monotonic() + 20
        while Gauges(fetched(address)[2]).get("points", purpose="backup", state="complete") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_look_that_breaks_ends_no_later_look(vault, regions):
    watch = observer(regions)
    broken = itertools.chain([RuntimeError("unexpected")], itertools.repeat(None))
    whole, struck = watch.observe, []

    def observe(now):
        if error := next(broken):
            struck.append(error)
            raise error
        return whole(now)

    watch.observe = observe
    with serving(watch, ("127.0.0.1", 0), 0.2) as address:
        deadline = time.monotonic() + 20
        while fetched(address)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert len(struck) == 1


def test_health_ends_with_a_look_that_hangs(vault, regions, monkeypatch):
    monkeypatch.setattr("drkeeper._exporter.http.LATE_SECONDS", 0.3)
    store = FaultyStore(regions["near"], "head", 1)  # stalls
    with serving(observer({"near": store}), ("127.0.0.1", 0), 0.1) as address:
        assert store.stalled.wait(10)
        time.sleep(0.7)
        assert fetched(address, "/healthz")[0] == 503
        store.go_on.set()
        deadline = time.monotonic() + 20
        while fetched(address, "/healthz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_silent_clients_hold_up_nobody_for_long(vault, regions, monkeypatch):
    monkeypatch.setattr("drkeeper._exporter.http.Handler.timeout", 0.5)
    with serving(observer(regions), ("127.0.0.1", 0), 3600) as address:
        before = threading.active_count()
        silent = [socket.create_connection(address) for _ in range(3 * CONNECTIONS_MAX)]
        time.sleep(0.2)
        assert threading.active_count() <= before + 4
        deadline = time.monotonic() + 30
        status = 0
        while status != 200:
            assert time.monotonic() < deadline
            try:
                status = fetched(address, "/healthz")[0]
            except OSError:
                time.sleep(0.2)
        for each in silent:
            each.close()


def test_an_address_that_is_taken_is_told(regions, vault):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with pytest.raises(UsageInvalid, match="cannot listen on 127"), serving(observer(regions), address, 60):
            pass


# --- the command line ---

POLICY = """\
version: 1
name: test
systems:
  mlflow-db: {{kind: redis, host: 127.0.0.1, port: 1}}
vault:
  regions:
    near: {{url: {folder}/near}}
    far: {{url: {folder}/far}}
objectives: {{rpo: 15m}}
{more}"""


@pytest.fixture
def drkeeper(tmp_path, vault):
    """Commands as their operator runs them."""
    policy = tmp_path / "drkeeper.yaml"
    policy.write_text(POLICY.format(folder=tmp_path, more='schedules: {backup: "0 0 1 1 *"}\n'))

    def command(*words):
        return [sys.executable, "-m", "drkeeper", "--policy", str(policy), *words]

    return command


def ran(argv, code=0):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_metrics_are_printed(drkeeper, vault):
    write_point(vault, {"dump": b"x"})
    done = ran(drkeeper("metrics"))
    gauges = Gauges(done.stdout)
    assert gauges.get("points", purpose="backup", state="complete") == 1
    assert gauges.get("objective_seconds", objective="rpo") == 900
    assert gauges.get("objective_seconds", objective="rto") is None
    assert done.stderr == ""


def test_a_file_is_replaced_whole_or_not_at_all(drkeeper, tmp_path):
    file = tmp_path / "out" / "drkeeper.prom"
    said = ran(drkeeper("metrics", "--out", str(file)), code=1).stderr
    assert "cannot be written" in said
    file.parent.mkdir()
    file.write_text("before")
    ran(drkeeper("metrics", "--out", str(file)))
    assert Gauges(file.read_text()).get("vault_up") == 1
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(file.parent.iterdir()) == [file]


def test_a_scenario_that_does_not_fit_is_left_out_and_the_rest_is_told(drkeeper, tmp_path):
    policy = tmp_path / "drkeeper.yaml"
    policy.write_text(policy.read_text() + "drills: {scenarios: [everything-lost, bucket-emptied]}\n")
    done = ran(drkeeper("metrics"))
    gauges = Gauges(done.stdout)
    assert gauges.get("scenario_rehearsed", scenario="everything-lost") == 0
    assert gauges.get("scenario_rehearsed", scenario="bucket-emptied") is None
    assert "scenario left out" in done.stderr


def test_a_vault_that_is_gone_is_a_result(drkeeper, tmp_path):
    for name in ("near", "far"):
        (tmp_path / name).rename(tmp_path / f"{name}-gone")
    done = ran(drkeeper("metrics"))
    assert Gauges(done.stdout).get("vault_up") == 0
    assert "region is not up" in done.stderr


@pytest.mark.parametrize("words", [("metrics", "serve", "--listen"), ("run", "--metrics")])
def test_metrics_are_served_until_sigterm(drkeeper, words):
    port = free_port()
    server = subprocess.Popen(drkeeper(*words, f"127.0.0.1:{port}"), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert Gauges(fetched(("127.0.0.1", port))[2]).get("vault_up") == 1
                break
            except OSError:
                assert server.poll() is None, server.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=20)
    assert server.returncode == 0, said


@pytest.mark.parametrize("listen", ["9750", "host:", "host:99999", "::1:9750", "a:b"])
def test_an_address_that_is_none_is_a_usage_error(drkeeper, listen):
    assert "expected HOST:PORT" in ran(drkeeper("metrics", "serve", "--listen", listen), code=2).stderr


class Gateway(BaseHTTPRequestHandler):
    """Takes what a Pushgateway takes."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.received.append((self.path, self.headers["content-type"], self.headers["authorization"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_figures_are_pushed_as_one_group_of_the_policy(gateway, drkeeper):
    done = ran(drkeeper("metrics", "--push", f"http://user:hunter2@127.0.0.1:{gateway.server_port}/"))
    ((path, kind, authorization, body),) = gateway.received
    assert (path, kind) == ("/metrics/job/drkeeper/policy/test", "text/plain; version=0.0.4; charset=utf-8")
    assert authorization.startswith("Basic ")
    assert Gauges(body).get("vault_up") == 1
    assert done.stdout == ""


def test_a_gateway_that_does_not_take_them_is_told_without_its_password(gateway, vault, tmp_path):
    gateway.status = 400
    for url, code in ((f"http://u:hunter2@127.0.0.1:{gateway.server_port}", PushFailed), ("pushgateway:9091", UsageInvalid),
                      (f"http://u:hunter2@127.0.0.1:{free_port()}", PushFailed)):  # fmt: skip
        with pytest.raises(code) as failed:
            push(url, "test", "x 1\n")
        assert "hunter2" not in str(failed.value)
    assert len(gateway.received) == 1


@pytest.mark.parametrize(
    "address", ["http://u:s3cret@[::1", "http://u:s3cret@ex\u00e4mple", "ftp://u:s3cret@here", "here"]
)
def test_a_gateway_that_is_no_address_is_told_without_its_password(address):
    with pytest.raises(UsageInvalid, match="expects an address") as told:
        push(address, "p", "x 1")
    assert "s3cret" not in f"{told.value}{told.value.__cause__}"


def test_passwords_of_systems_need_not_be_known_where_metrics_are_made(drkeeper, tmp_path):
    """An exporter listens: what it does not have, nobody can take from it."""
    policy = tmp_path / "drkeeper.yaml"
    text = policy.read_text().replace("port: 1}", "port: 1, password: '${env:NOT_HERE}'}")
    policy.write_text(text)
    assert Gauges(ran(drkeeper("metrics")).stdout).get("vault_up") == 1
    assert "NOT_HERE" in ran(drkeeper("points"), code=2).stderr
    policy.write_text(text.replace(f"url: {tmp_path}/far", "url: '${env:FAR_URL}'"))
    assert "FAR_URL" in ran(drkeeper("metrics"), code=2).stderr


def test_without_the_library_the_extra_is_named(drkeeper):
    script = "import sys; sys.modules['prometheus_client'] = None; from drkeeper.__main__ import main; sys.argv = sys.argv[1:]; main()"
    done = ran([sys.executable, "-c", script, *drkeeper("metrics")[2:]], code=1)
    assert "pip install 'drkeeper[metrics]'" in done.stderr
