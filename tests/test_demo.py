"""The demo, from its first server to its last: everything is back, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkeeper.demo.check import compare_champion, compare_features, compare_tracking
from drkeeper.demo.customers import load_customers
from drkeeper.demo.stage import REPORTS, opened
from drkeeper.demo.worker import started
from drkeeper.errors import CaptureFailed, Refused
from drkeeper.facts import findings

DEMO = (sys.executable, "-m", "drkeeper", "demo", "--folder")
TRACKING = {
    "experiments": ["a"],
    "runs": {"1": {"loss": [0.5]}, "2": {"loss": [0.4]}},
    "versions": {"1": ["1", "READY"]},
    "aliases": {"champion": "1"},
    "artifacts": {"a/1/model.pkl": [3, "ab"]},
    "predictions": {"7": 0.25},
}
FEATURES = {"views": ["v"], "served": {"1": [2.0, 3.5]}, "absent": 0}


def processes_of(folder: Path) -> list[str]:
    """Command lines and working folders of everything that runs in, or because of, a folder."""
    return [line for line in _running() if str(folder) in line]


def environment_of(process_id: int) -> dict[str, str]:
    text, give_up_at = "", time.monotonic() + 5
    while not text and time.monotonic() < give_up_at:  # it is empty for a moment after a process has begun
        text = Path(f"/proc/{process_id}/environ").read_bytes().decode()
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _running() -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if int(entry.name) != os.getpid():
            yield f"{words} in {place}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_brings_everything_back_and_leaves_its_reports_only(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    elsewhere = {**os.environ, "http_proxy": "http://127.0.0.1:9", "AWS_PROFILE": "of-somebody"}
    result = subprocess.run([*DEMO, folder], env=elsewhere, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "✗" not in result.stdout
    for subject in ("mlflow.champion", "mlflow.runs", "mlflow.artifacts", "mlflow.predictions", "feast.served"):
        assert f"✓ {subject}" in result.stdout
    assert "kill -9" in result.stdout
    assert "copied to the second region" in result.stdout
    assert "rm -rf s3-east/" in result.stdout
    assert "rm -rf feast-east/ vault-east/" in result.stdout
    assert "the champion's prediction, features of sampled customers" in result.stdout
    assert "$ drkeeper restore --scenario region-lost" in result.stdout
    assert "artifacts: fail over" in result.stdout
    assert "feature-store: restore, then rebuild" in result.stdout
    assert "✓ every fact of the point holds in the restored systems, and the store is up to date" in result.stdout
    assert "✓ references lead somewhere, the champion predicts as it did, features are served" in result.stdout
    assert "Everything is back." in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == sorted(REPORTS)
    assert "✓ the drill's report is as it was signed" in result.stdout
    assert "✓ who changed what is a whole chain, in both regions" in result.stdout
    drill = json.loads((folder / "report.json").read_text())
    assert (drill["policy"], drill["scenario_name"]) == ("churn-platform", "region-lost")
    verify = [sys.executable, "-m", "drkeeper", "drill", "verify", "report.html", "--key", "evidence.pub"]
    verified = subprocess.run(verify, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    quarter = json.loads((folder / "quarter.json").read_text())
    assert [each["scenario"] for each in quarter["drills"]] == ["region-lost"]
    assert (folder / "quarter.pdf").read_bytes().startswith(b"%PDF")
    assert processes_of(folder) == []


@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with subprocess.Popen([*DEMO, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        deadline = time.monotonic() + 60
        while not (folder / "s3-west/server.log").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1)
        assert processes_of(folder), "the servers were up when the signal came"
        demo.send_signal(signal.SIGINT)
        said, complained = demo.communicate(timeout=60)
    assert demo.returncode == 130, said + complained
    assert not folder.exists()
    assert processes_of(folder) == []


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Refused, match=r"thesis\.txt"), opened(tmp_path, keep=False):
        pytest.fail("it must not open")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_reports_of_an_earlier_demo_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with opened(tmp_path, keep=False):
        (tmp_path / "drkeeper.yaml").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_same_platform_has_no_findings() -> None:
    checks = [*compare_tracking(TRACKING, TRACKING), *compare_features(FEATURES, FEATURES)]
    assert {check.verdict for check in checks} == {"passed"}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("runs", {"1": {"loss": [0.5]}}, "1 lost"),
        ("runs", {"1": {"loss": [0.5]}, "2": {"loss": [0.4000001]}}, "1 different"),
        ("predictions", {"7": 0.2500001}, "1 different"),
        ("artifacts", {"a/1/model.pkl": [3, "ac"]}, "1 different"),
        ("aliases", {}, "1 lost"),
    ],
)
def test_whatever_differs_in_mlflow_is_a_finding(key: str, value: object, words: str) -> None:
    failed = findings(compare_tracking(TRACKING, {**TRACKING, key: value}))
    assert [check.subject for check in failed] == [f"mlflow.{key}"]
    assert words in failed[0].detail


def test_a_champion_of_which_a_file_is_lost_or_other_is_a_finding() -> None:
    whole = {"MLmodel": [1, "aa"], "model.pkl": [2, "bb"]}
    assert compare_champion(whole, whole).verdict == "passed"
    spoiled = compare_champion(whole, {"model.pkl": [2, "cc"]})
    assert (spoiled.verdict, "1 lost, 0 unexpected, 1 different" in spoiled.detail) == ("failed", True)


def test_a_customer_without_features_is_a_finding_even_where_it_was_so_before() -> None:
    empty = {**FEATURES, "served": {"1": [None, None]}, "absent": 1}
    assert [check.subject for check in findings(compare_features(empty, empty))] == ["feast.absent"]


def test_nothing_before_proves_nothing() -> None:
    nothing = {"views": [], "served": {}, "absent": 0}
    assert len(findings(compare_features(nothing, nothing))) == 2


def test_the_customers_are_those_of_cdnow() -> None:
    customers = load_customers()
    assert len(customers) == 2357
    assert customers[0].features == (2.0, 30.43, 38.86, 22.35)
    assert 0.3 < sum(customer.churned for customer in customers) / len(customers) < 0.9


def test_a_worker_sees_no_keys_of_whoever_runs_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-somebody")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://production")
    with started("features", tmp_path) as worker:
        seen = environment_of(worker.process_id)
    assert seen["TMPDIR"] == str(tmp_path)
    assert not {"AWS_PROFILE", "MLFLOW_TRACKING_URI"} & set(seen)


def test_a_worker_that_cannot_start_says_so_and_repeats_no_secret(tmp_path: Path) -> None:
    endpoint = {"host": "127.0.0.1", "port": 1, "password": "not-to-be-seen"}
    with started("tracking", tmp_path) as worker:
        worker.open(endpoint)
        with pytest.raises(CaptureFailed, match="'user'") as caught:
            worker.ask("snapshot")
    assert "not-to-be-seen" not in str(caught.value)
