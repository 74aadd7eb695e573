"""A clean platform has no finding; whatever is broken in the database gives exactly that one."""

import pytest
from cryptography.fernet import Fernet
from tests.mlflow_application.tracking import run_id_of

from drkeeper.applications._mlflow import revisions
from drkeeper.systems import postgres

ID = "0" * 32


def found(platform, **how):
    return [(each.subject, each.severity) for each in platform.findings(**how)]


def test_a_clean_platform_has_no_finding_and_everything_is_checked(platform):
    checks = platform.check(record=platform.record())
    assert [each for each in checks if each.verdict != "passed"] == []
    assert len({each.subject for each in checks}) == len(checks) > 30


BROKEN = {
    "a version whose run is gone": (
        f"UPDATE model_versions SET run_id = '{ID}' WHERE name = 'older'",
        [("versions.runs", "warning")],
    ),
    "a version whose logged model is gone": (
        "DELETE FROM inputs; DELETE FROM logged_models WHERE name = 'first'",
        [("versions.logged-models", "error")],
    ),
    "an alias whose version is gone": (
        "UPDATE registered_model_aliases SET version = 7",
        [("aliases.versions", "error")],
    ),
    "an alias to a version that was deleted": (
        "UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE name = 'churn' AND version = 2",
        [("aliases.versions", "error")],
    ),
    "a logged model whose run is gone": (
        f"UPDATE logged_models SET source_run_id = '{ID}' WHERE name = 'second'",
        [("logged-models.runs", "warning")],
    ),
    "an output that leads to no model": (
        f"UPDATE inputs SET destination_id = 'm-{ID}' WHERE destination_id = 'm-{run_id_of('first')}'",
        [("runs.models", "error")],
    ),
    "a run outside of its experiment's root": (
        "UPDATE runs SET artifact_uri = replace(artifact_uri, 'root/1', 'root/11') WHERE name = 'bare'",
        [("runs.locations", "warning")],
    ),
    "a latest metric that is none of the metrics": (
        "UPDATE latest_metrics SET value = 0.2 WHERE key = 'loss'",
        [("metrics.latest", "error")],
    ),
    "a latest metric that is no number, and was": (
        "UPDATE latest_metrics SET is_nan = false WHERE key = 'odd'",
        [("metrics.latest", "error")],
    ),
    "a sequence that is behind": (
        "SELECT setval('experiments_experiment_id_seq', 1, false)",
        [("sequences", "error")],
    ),
    "two alembic rows": (
        "INSERT INTO alembic_version VALUES ('400f98739977')",
        [("alembic.rows", "error")],
    ),
    "no alembic row": ("DELETE FROM alembic_version", [("alembic.rows", "error")]),
    "a revision that the installed MLflow does not know": (
        "UPDATE alembic_version SET version_num = 'feedfacecafe'",
        [("alembic.known", "error")],
    ),
    "a version and its logged model in two places": (
        "UPDATE model_versions SET storage_location = replace(storage_location, 'm-', 'M-') WHERE version = 2",
        [("versions.locations", "warning"), ("versions.objects", "error")],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found_and_nothing_else(platform, what):
    query, expected = BROKEN[what]
    platform.sql(query)
    assert found(platform) == expected
    (first, *_) = platform.findings()
    assert first.remedy
    assert first.detail


def test_findings_show_at_most_five_and_count_all(platform):
    for number in range(3, 10):
        platform.version(number, "first", run=f"gone-{number}")
    (finding,) = platform.findings()
    assert finding.subject == "versions.runs"
    assert finding.detail.startswith("7 versions name runs that are gone: churn/3 of run ")
    assert finding.detail.count("churn/") == 5


def test_of_very_many_latest_metrics_a_sample_is_looked_up(platform):
    for table in ("metrics", "latest_metrics"):
        platform.sql(
            f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid)"
            " SELECT 'loss-' || n, 1, 5, 1, false, %s FROM generate_series(1, 150000) n",
            run_id_of("first"),
        )
    (latest,) = [each for each in platform.check() if each.subject == "metrics.latest"]
    assert latest.detail == "each latest metric is one of the metrics (a sample was looked at)"
    platform.sql("UPDATE latest_metrics SET value = 2")
    assert found(platform) == [("metrics.latest", "error")]


def test_a_revision_that_is_known_and_not_the_newest_passes_and_says_so(platform):
    platform.sql("UPDATE alembic_version SET version_num = '400f98739977'")
    (known,) = [each for each in platform.check() if each.subject == "alembic.known"]
    assert known.verdict == "passed"
    assert "asks for `mlflow db upgrade`" in known.detail


def test_what_this_mlflow_does_not_have_is_not_checked(platform):
    """As before MLflow 3: no logged models, no traces, no webhooks."""
    platform.sql("DELETE FROM model_versions WHERE source LIKE 'models:/%'")
    platform.sql("DELETE FROM registered_model_aliases")
    for table in ("logged_models", "trace_tags", "webhooks", "secrets", "registered_model_tags", "inputs"):
        platform.sql(f"DROP TABLE {table} CASCADE")
    platform.sql("ALTER TABLE model_versions DROP COLUMN storage_location")
    platform.sql("DELETE FROM model_versions WHERE name = 'greeting'")  # a prompt, which only its tag makes known
    checks = {each.subject: each for each in platform.check(record=platform.record())}
    unchecked = {name for name, each in checks.items() if each.verdict == "not checked"}
    assert unchecked == {
        "versions.logged-models",
        "versions.locations",
        "logged-models.runs",
        "logged-models.objects",
        "logged_models",
        "runs.models",
        "traces.objects",
        "keys.webhook_key",
        "keys.kek_passphrase",
    }
    assert checks["logged-models.objects"].detail == "this MLflow has no table logged_models"
    assert checks["versions.objects"].verdict == "passed"


def test_an_mlflow_without_workspaces_is_checked_as_well(platform):
    for table in ("registered_model_aliases", "model_versions"):
        platform.sql(f"ALTER TABLE {table} DROP COLUMN workspace CASCADE")
    assert found(platform) == []
    platform.sql("UPDATE registered_model_aliases SET version = 7")
    assert found(platform) == [("aliases.versions", "error")]


def test_a_database_in_another_schema_is_found(platform):
    platform.sql("ALTER SCHEMA public RENAME TO tracking")
    assert found(platform, record=platform.record()) == []


def test_a_database_that_is_not_mlflows_is_told(platform):
    platform.sql("DROP TABLE alembic_version")
    (finding,) = platform.check()
    assert (finding.subject, finding.verdict) == ("database", "failed")
    assert "is no database of MLflow" in finding.detail
    assert "is no database of MLflow" in platform.record().facts.unread["database"]


# --- keys ------------------------------------------------------------------------------------------------


def test_a_webhook_key_that_does_not_decrypt_is_found(platform):
    assert found(platform, webhook_key=Fernet.generate_key().decode()) == [("keys.webhook_key", "error")]
    assert found(platform, webhook_key="nonsense") == [("keys.webhook_key", "error")]


def test_one_webhook_of_another_key_is_found(platform):
    platform.webhook("reviews", key=Fernet.generate_key().decode())
    (finding,) = platform.findings()
    assert "does not open 1 of 2 webhooks: reviews" in finding.detail


def test_a_passphrase_that_does_not_open_is_found(platform):
    assert found(platform, kek_passphrase="another") == [("keys.kek_passphrase", "error")]
    assert found(platform, kek_version=2) == [("keys.kek_passphrase", "error")]


def test_the_key_is_compared_with_the_points_and_never_recorded(platform):
    record = platform.record()
    assert platform.options["webhook_key"] not in record.model_dump_json()
    assert platform.options["kek_passphrase"] not in record.model_dump_json()
    platform.sql("DELETE FROM webhooks")
    other = Fernet.generate_key().decode()
    assert found(platform, record=record, webhook_key=other) == [("keys.webhook_key.fingerprint", "warning")]


def test_secrets_without_a_key_are_not_checked(platform):
    platform.options = {}
    checks = {each.subject: each for each in platform.check()}
    assert checks["keys.webhook_key"].verdict == "not checked"
    assert "1 webhooks have secrets" in checks["keys.webhook_key"].detail
    platform.sql("DELETE FROM webhooks")
    assert {each.subject: each.verdict for each in platform.check()}["keys.webhook_key"] == "passed"


# --- the record ------------------------------------------------------------------------------------------


def test_what_was_wrong_when_the_point_was_taken_is_a_warning_after_a_restore(platform):
    platform.sql("UPDATE registered_model_aliases SET version = 7")
    record = platform.record()
    assert [each.severity for each in record.findings] == ["error"]
    (finding,) = platform.findings(record=record)
    assert finding.severity == "warning"
    assert finding.detail.endswith("it was so when the point was taken")


def test_rows_that_are_not_those_of_the_point_differ(platform):
    record = platform.record()
    platform.sql("UPDATE registered_model_aliases SET version = 1")
    platform.sql("UPDATE model_versions SET source = storage_location WHERE name = 'churn'")
    assert found(platform, record=record) == [("aliases.digest", "error"), ("versions.digest", "error")]
    platform.run("another", files=())  # objects are everybody's
    assert found(platform, record=record)[-2:] == [("runs", "error"), ("versions.digest", "error")]


# --- of a running platform --------------------------------------------------------------------------------------


def probed(platform):
    return {each.subject: each for each in platform.application().probe(platform.systems)}


def test_a_schema_that_the_installed_mlflow_starts_with_is_no_finding(platform):
    assert {each.verdict for each in probed(platform).values()} == {"passed"}


def test_a_schema_before_the_installed_mlflow_is_told_before_its_server_refuses_to_start(platform):
    older = revisions.installed().revisions - revisions.installed().newest
    platform.sql("UPDATE alembic_version SET version_num = %s", min(older))
    check = probed(platform)["alembic.newest"]
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert "Detected out-of-date database schema" in check.detail
    assert "mlflow db upgrade" in check.remedy


def test_a_schema_of_a_newer_mlflow_is_told(platform):
    platform.sql("UPDATE alembic_version SET version_num = 'feedfacecafe'")
    checks = probed(platform)
    assert checks["alembic.known"].verdict == "failed"
    assert "alembic.newest" not in checks


def test_a_database_that_does_not_answer_is_not_checked(platform):
    away = postgres.Options.model_validate({**platform.server.options, "port": 1, "databases": ["x"]})
    systems = {"mlflow-db": postgres.open_system("mlflow-db", away)}
    assert [each.verdict for each in platform.application().probe(systems)] == ["not checked"]
