"""Hooks around the freeze: what they hold back is held back in every system's moment, and let go again in any case."""

import sys

import pytest

PROGRAM = """\
import json, os, sys
import psycopg, redis
postgres_port, redis_port = sys.argv[1:]
message = json.load(sys.stdin)
database = psycopg.connect(
    host="127.0.0.1", port=postgres_port, user="postgres", password=os.environ["DB_PASSWORD"], dbname="shop",
    autocommit=True)
cache = redis.Redis(host="127.0.0.1", port=redis_port, password=os.environ["REDIS_PASSWORD"])
if message["phase"] == "before":
    database.execute("CREATE TABLE held AS SELECT 1 AS by_whom")
    cache.hset("held", "by", message["policy"])
else:
    database.execute("DROP TABLE held")
    cache.delete("held")
"""
NEVER = "{command: [sh, -c, 'echo the queue is full >&2; exit 3']}"


def hold(platform):
    """A hook that marks both systems before the freeze, and takes the marks away after it."""
    file = platform.folder / "hold.py"
    file.write_text(PROGRAM)
    ports = [str(server.options["port"]) for server in (platform.postgres, platform.valkey)]
    words = ", ".join(f'"{each}"' for each in (sys.executable, file, *ports))
    return f"{{command: [{words}], environment: [DB_PASSWORD, REDIS_PASSWORD]}}"


def hooks(*pairs):
    return "hooks:\n" + "".join(f"  - {each}\n" for each in pairs)


def held(platform):
    with platform.connect() as shop:
        return (
            shop.execute("SELECT to_regclass('held') IS NOT NULL").fetchone()[0],
            bool(platform.cache().exists("held")),
        )


@pytest.fixture
def holding(platform):
    """The platform, with that hook; and one that must succeed before it, where a test wants that to fail."""
    return lambda *more, **how: platform.write_policy(
        more=hooks(f"{{before: {hold(platform)}, after: {hold(platform)}}}", *more), **how
    )


def test_every_system_is_frozen_between_and_an_after_that_fails_costs_nobody_the_point(platform, holding):
    holding(f"{{after: {NEVER}}}")
    said = platform.run("backup", code=3).stderr
    assert "after freeze: hook sh exited with 3; what it held back may still be held back" in said
    assert held(platform) == (False, False)
    [point] = platform.json("points")
    assert point["state"] == "complete"
    platform.destroy()
    platform.run("restore", "--yes")
    assert held(platform) == (True, True)


def test_a_hook_that_must_succeed_and_does_not_keeps_everything_from_being_frozen(platform, holding):
    holding(f"{{before: {NEVER}}}")
    said = platform.run("backup", code=4).stderr
    assert "hook sh exited with 3; nothing was begun" in said
    assert "it said: the queue is full" in said
    records = [file.read_text() for file in (platform.folder / "vault").rglob("*.json")]
    assert any("hook sh exited with 3" in text for text in records)  # the audit log's
    assert not any("the queue is full" in text for text in records)
    assert platform.json("points") == []
    assert held(platform) == (False, False)


def test_a_system_that_fails_between_leaves_nobody_held_back(platform, holding):
    holding(f"{{before: {NEVER}, on_failure: go on}}", postgres_port=1)
    said = platform.run("backup", code=3).stderr
    assert "mlflow-db failed" in said
    assert "before freeze: hook sh exited with 3" in said
    assert held(platform) == (False, False)
