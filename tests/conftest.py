"""Rules for every test: in CI a skip is a failure, and real servers are started once for a whole run."""

import os
from pathlib import Path

import pytest

# A long file that comes last keeps one worker busy and leaves the other idle: these come first, the longest of all
# before the others.
LONG_FILES = (
    "spine/test_crashes.py",
    "kubernetes_system/test_kubeflow.py",
    "consistency/test_under_load.py",
    "spine/test_cluster.py",
    "test_demo.py",
    "spine/test_flow.py",
    "spine/test_region_lost.py",
    "rebuild/test_story.py",
    "kubernetes_system/test_sandbox.py",
    "kubernetes_system/test_capture_faults.py",
    "spine/test_daemon.py",
    "sdk/test_feast_tasks.py",
    "sdk/test_across.py",
    "sdk/test_tasks.py",
    "locks/test_lock.py",
    "locks/test_feast_writers.py",
    "mlflow_application/test_invariants.py",
    "mlflow_application/test_models.py",
    "mlflow_application/test_closure.py",
    "feast_application/test_through_feast.py",
    "relocation/test_relocation.py",
    "relocation/test_beside_failover.py",
    "kubernetes_system/test_restore_faults.py",
    "deploy/test_monitoring.py",
    "deploy/test_jobs.py",
    "deploy/test_image.py",
    "vault/test_crashes.py",
    "spine/test_drill.py",
    "kubernetes_system/test_capture.py",
    "kubernetes_system/test_git_faults.py",
    "deploy/test_permissions.py",
    "deploy/test_readme.py",
)


def pytest_collection_modifyitems(items):
    """Workers take files in the order of their tests (`--no-loadscope-reorder`)."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a test that could not run must not look as if it had passed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, which counts as a failure: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch):
    """No test may pick up the policy or the secrets of whoever runs it."""
    for name in ("DRKEEPER_POLICY", "PGPASSWORD", "PGHOST", "PGPORT", "PGUSER", "PGSERVICE", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
