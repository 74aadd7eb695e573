"""What is asked beside the systems: names that mean something else elsewhere, and the memory that we may take."""

import pytest
from pydantic import BaseModel

from drkeeper.doctor import judge_name, probe_memory, probe_names


class Endpoint(BaseModel):
    host: str | None = None
    url: str | None = None
    endpoint: str | None = None


@pytest.mark.parametrize(
    ("host", "namespace", "severity", "says"),
    [
        ("postgres", "drkeeper", "warning", "write postgres.drkeeper.svc.cluster.local"),
        ("postgres.mlflow", "drkeeper", "warning", "write postgres.mlflow.svc.cluster.local"),
        ("postgres.mlflow.svc.cluster.local", None, "error", "run drkeeper in the cluster"),
        ("postgres.mlflow.svc", None, "error", "run drkeeper in the cluster"),
    ],
)
def test_a_name_that_means_something_else_elsewhere_is_told(host, namespace, severity, says):
    check = judge_name("db.host", host, namespace)
    assert (check.verdict, check.severity) == ("failed", severity)
    assert says in check.remedy


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("postgres.mlflow.svc.cluster.local", "drkeeper"),
        ("postgres.mlflow.svc", "drkeeper"),
        ("db.example.org", "drkeeper"),
        ("db.example.org", None),
        ("db", None),
    ],
)
def test_a_name_that_means_the_same_everywhere_is_fine(host, namespace):
    assert judge_name("db.host", host, namespace) is None


def test_a_name_that_leads_nowhere_is_told_and_addresses_are_not_asked():
    options = {
        "db": Endpoint(host="no-such-host.invalid"),
        "here": Endpoint(host="127.0.0.1"),
        "socket": Endpoint(host="/run/postgresql"),
        "bucket": Endpoint(url="s3://models"),
        "local": Endpoint(url="s3://models", endpoint="http://localhost:9000"),
    }
    (check,) = probe_names(options)
    assert (check.subject, check.verdict) == ("db.host", "failed")
    assert "no-such-host.invalid cannot be resolved" in check.detail


@pytest.mark.parametrize("host", ["db..example", "a" * 70 + ".example"])
def test_a_name_that_no_name_can_be_is_told_as_well(host):
    (check,) = probe_names({"db": Endpoint(host=host)})
    assert check.verdict == "failed"
    assert f"{host} cannot be resolved" in check.detail


def test_within_a_pod_a_short_name_is_told_with_its_full_one(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (check,) = probe_names({"cache": Endpoint(endpoint="http://minio:9000")})
    assert check.remedy == "write minio.default.svc.cluster.local"


def group(folder, limit, killed=0, *, version=2):
    if version == 2:
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 3\noom 1\noom_kill {killed}\n")
    else:
        (folder / "memory").mkdir()
        (folder / "memory/memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory/memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {killed}\n")
    return {check.subject: check for check in probe_memory(folder)}


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_with_too_little_memory_is_told_and_what_was_killed_in_it(tmp_path, version):
    checks = group(tmp_path, 128 << 20, killed=2, version=version)
    assert "128 MiB" in checks["drkeeper.memory"].detail
    assert "exit 137" in checks["drkeeper.memory"].detail
    assert checks["drkeeper.killed"].detail.startswith("2 processes")


@pytest.mark.parametrize(("limit", "version"), [("max", 2), (512 << 20, 2), (9223372036854771712, 1)])
def test_a_container_with_memory_enough_has_no_finding(tmp_path, limit, version):
    assert group(tmp_path, limit, version=version) == {}


def test_without_a_control_group_nothing_is_said(tmp_path):
    assert list(probe_memory(tmp_path)) == []
