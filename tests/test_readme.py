"""The README's first steps are run as they stand, on real servers; its policy for MLflow and Feast is one."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from drkeeper.cli.root import SUMMARIES, run
from drkeeper.policy import load_policy
from drkeeper.sandbox import start_sandbox
from drkeeper.wiring import loss, spans
from test_docs import code_blocks

README = Path(__file__).parent.parent / "README.md"
REST_OF_A_POLICY = "version: 1\nname: readme\nvault: {regions: {here: {url: /vault}}}\n"
SECRETS = dict.fromkeys(("DB_PASSWORD", "REDIS_PASSWORD", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"), "secret")


def section(title):
    return README.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_policy_of_mlflow_and_feast_is_one(tmp_path):
    block = re.search(r"^```yaml\n(.*?)^```$", section("MLflow and Feast"), re.MULTILINE | re.DOTALL)[1]
    file = tmp_path / "drkeeper.yaml"
    file.write_text(REST_OF_A_POLICY + block)
    policy = load_policy(file, SECRETS)
    assert {name: each.kind for name, each in policy.applications.items()} == {
        "tracking": "mlflow",
        "features": "feast",
    }
    assert spans(policy)["tracking"] == ("mlflow-db", "artifacts", "feast-registry")
    assert set(spans(policy)["features"]) == set(policy.systems)


def test_the_policy_of_scenarios_is_one(tmp_path):
    block = re.search(r"^```yaml\n(.*?)^```$", section("What may happen, and what then"), re.MULTILINE | re.DOTALL)[1]
    file, key = tmp_path / "drkeeper.yaml", tmp_path / "key"
    key.write_text("secret")
    systems = "systems: {mlflow-db: {kind: postgres, host: db, user: u, databases: [mlflow]}}\n"
    file.write_text(REST_OF_A_POLICY + systems + re.sub(r"\$\{file:[^}]+\}", f"${{file:{key}}}", block))
    policy = load_policy(file, {"SLACK_URL": "https://hooks.example/1", "PING_URL": "https://ping.example/1"})
    assert policy.recovery.approval.needed == 1
    assert loss(policy, "shop-lost")[0].systems == ("mlflow-db",)
    assert [each.form for each in policy.notify] == ["slack", "ping"]


@pytest.mark.parametrize(
    ("title", "count"),
    [("MLflow and Feast", 7), ("At three in the morning", 25), ("What may happen, and what then", 12)],
)
def test_the_tasks_of_tables_are_commands(capfd, title, count):
    cells = re.findall(r"^\|.*?\|(.*)\|$", section(title), re.MULTILINE)
    commands = [each for cell in cells for each in re.findall(r"`(?:drkeeper )?([a-z]+ [^`]+|[a-z]+)`", cell)]
    commands = [each for each in commands if each.split()[0] in SUMMARIES and "|" not in each]
    assert len(commands) >= count
    for command in commands:
        words = shlex.split(command.partition(" -- ")[0])
        assert run([*words, "--help"]) == 0, command  # options that there are not are refused before the help
        assert "Usage: drkeeper" in capfd.readouterr().out
    assert run(["verify", "--level", "usable", "--hlep", "--help"]) == 2


@pytest.mark.slow
def test_the_first_steps_of_the_readme_work_as_they_stand(tmp_path):
    script = code_blocks(README, "sh")[0]
    postgres = start_sandbox("postgres", tmp_path / "postgres")
    valkey = start_sandbox("redis", tmp_path / "valkey")
    try:
        login = {name: postgres.options[name] for name in ("host", "port", "user", "password")}
        with psycopg.connect(dbname="postgres", autocommit=True, **login) as admin:
            admin.execute("CREATE DATABASE mlflow")
        with psycopg.connect(dbname="mlflow", autocommit=True, **login) as mlflow:
            mlflow.execute("CREATE TABLE runs AS SELECT n AS run FROM generate_series(1, 1000) n")
        work = tmp_path / "work"
        work.mkdir()
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLFLOW_DB_HOST": "127.0.0.1",
            "MLFLOW_DB_PORT": str(login["port"]),
            "MLFLOW_DB_USER": str(login["user"]),
            "MLFLOW_DB_PASSWORD": str(login["password"]),
            "FEAST_REDIS_HOST": "127.0.0.1",
            "FEAST_REDIS_PORT": str(valkey.options["port"]),
            "FEAST_REDIS_PASSWORD": str(valkey.options["password"]),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert {file.suffix for file in (work / "reports").iterdir()} == {".json", ".md", ".html"}
        with psycopg.connect(dbname="mlflow", autocommit=True, **login) as mlflow:
            assert mlflow.execute("SELECT count(*) FROM runs").fetchone() == (1000,)
    finally:
        postgres.stop()
        valkey.stop()
