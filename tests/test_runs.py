from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drkeeper.errors import VaultUnreachable
from drkeeper.journal import Journal
from drkeeper.report.record import Forecast, StepRecord
from drkeeper.runs import LEAST_RECORDS, Runs, history
from drkeeper.steps import Load, RestorePlan, Switch
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from report_examples import good
from vault_examples import FaultyStore

GOLDEN = Path(__file__).parent / "golden/runs-v1.json"
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
FORECAST = Forecast(p50_seconds=1, p90_seconds=2, basis="no history")


@pytest.fixture
def store(tmp_path):
    return open_store(StoreOptions(url=str(tmp_path / "near")))


@pytest.fixture
def vault(store):
    return Vault.create({"near": store})


def plan(plan_id="aa11"):
    steps = (
        Load(step_id="load:db", system="db", kind="postgres", size_bytes=7, forecast=FORECAST),
        Switch(step_id="switch:db", system="db", kind="postgres", size_bytes=7, forecast=FORECAST, after=("load:db",)),
    )
    return RestorePlan(
        plan_id=plan_id, created_at=NOW, policy="p", point_id="0123456789ab", point_as_of=NOW, staging="s",
        overwrite=False, targets=(), steps=steps, forecast=FORECAST, critical_path=(),
    )  # fmt: skip


def done(verb, seconds, count=0):
    return StepRecord(
        name=f"{verb} db", verb=verb, system="db", kind="postgres", phase="restore", started_at=NOW,
        elapsed_seconds=seconds, size_bytes=7, count=count, outcome="done",
    )  # fmt: skip


def test_forecasts_learn_from_a_restore_that_failed_and_once_from_it_when_it_went_on(vault):
    journal = Journal.begin(vault, plan())
    journal.note("done", "load:db", record=done("load", 3.0))
    assert not history(vault), "it is under way"
    journal.note("failed", "switch:db", error="the server is away")
    assert [(run.verb, run.elapsed_seconds) for run in history(vault)] == [("load", 3.0)]
    again = Journal.read(vault, "aa11")
    again.note("done", "switch:db", record=done("switch", 0.5, count=12))
    again.note("finished")
    assert [(run.verb, run.elapsed_seconds, run.count) for run in history(vault)] == [
        ("load", 3.0, 0),
        ("switch", 0.5, 12),
    ]


def test_a_restore_of_which_nothing_was_done_teaches_nothing(vault):
    Journal.begin(vault, plan()).note("abandoned")
    assert not vault.record_keys("runs/")


def test_a_restore_goes_on_where_its_times_cannot_be_written_down(vault, store):
    journal = Journal.begin(vault, plan())
    journal.note("done", "load:db", record=done("load", 3.0))
    faulty = FaultyStore(store, "create", 2, VaultUnreachable("it is away"))
    vault.regions.stores["near"] = faulty
    journal.note("finished")
    assert faulty.struck == 1
    assert Journal.read(vault, "aa11").over
    assert not vault.record_keys("runs/")


def test_drills_and_restores_are_read_by_their_time_and_what_is_damaged_is_left_out(vault, store):
    drill = good(steps=(done("load", 8.0), done("verify", 1.0)))
    vault.create_record("drills/20260101T000000Z-1.json", drill)
    store.put("drills/20260102T000000Z-2.json", b"{}")
    store.put("runs/20260103T000000Z-bb22-000003.json", b"no JSON")
    journal = Journal.begin(vault, plan())
    journal.note("done", "load:db", record=done("load", 3.0))
    journal.note("finished")
    assert [run.elapsed_seconds for run in history(vault)] == [8.0, 1.0, 3.0]


def test_of_very_many_runs_the_newest_are_enough(vault):
    steps = tuple(done("load", 1.0) for _ in range(1000))
    for day in range(8):
        at = NOW + timedelta(days=day)
        runs = Runs(plan_id=f"{day}", policy="p", began_at=at, steps=(*steps, done("verify", day)))
        vault.create_record(f"runs/{at:%Y%m%dT%H%M%S}Z-{day}-000001.json", runs)
    read = history(vault)
    assert len(read) == 1001 * LEAST_RECORDS
    assert [run.elapsed_seconds for run in read if run.verb == "verify"] == [3, 4, 5, 6, 7], "oldest first"


def test_the_golden_record_is_read_as_ever():
    record = Runs.model_validate_json(GOLDEN.read_bytes())
    assert [(step.verb, step.count) for step in record.steps] == [("load", 120000), ("verify", 0)]
    assert record.model_dump_json() == GOLDEN.read_text().strip()
