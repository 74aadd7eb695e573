"""What the documentation shows is run."""

import re
import sqlite3
import sys
from pathlib import Path

import psycopg
import pytest

from drkeeper import actions, applications, catalog, recovery, systems, usable, wiring
from drkeeper.policy import load_policy
from drkeeper.sandbox import start_sandbox

DOCS = Path(__file__).parent.parent / "docs"


def code_blocks(file, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", file.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def sqlite_kind(tmp_path, monkeypatch):
    """The example of adding-a-system.md, installed as another package's entry point."""
    site = tmp_path / "site"
    (site / "my_package-1.dist-info").mkdir(parents=True)
    (site / "my_package-1.dist-info/METADATA").write_text("Name: my-package\nVersion: 1\n")
    entry_points = code_blocks(DOCS / "adding-a-system.md", "toml")[0].replace(
        'project.entry-points."drkeeper.systems"', "drkeeper.systems"
    )
    (site / "my_package-1.dist-info/entry_points.txt").write_text(entry_points.replace('"', ""))
    (site / "my_package").mkdir()
    (site / "my_package/__init__.py").touch()
    (site / "my_package/sqlite.py").write_text(code_blocks(DOCS / "adding-a-system.md", "python")[0])
    monkeypatch.syspath_prepend(str(site))
    systems.kind_names.cache_clear()
    systems.load_kind.cache_clear()
    yield
    systems.kind_names.cache_clear()
    systems.load_kind.cache_clear()
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


def test_the_example_kind_is_backed_up_lost_and_restored(sqlite_kind, tmp_path):
    file = tmp_path / "registry.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE feature (name TEXT)")
        connection.executemany("INSERT INTO feature VALUES (?)", [(f"f{n}",) for n in range(100)])
    connection.close()
    policy_file = tmp_path / "drkeeper.yaml"
    policy_file.write_text(f"""\
version: 1
name: example
systems:
  registry: {{kind: sqlite, path: {file}}}
vault:
  regions:
    here: {{url: {tmp_path}/vault}}
""")
    policy = load_policy(policy_file, {})
    wiring.create_vault(policy)
    assert [check.verdict for check in actions.check(policy)] == ["passed", "passed"]
    actions.beat(policy)
    actions.back_up(policy)
    file.unlink()
    prepared = recovery.prepare(policy)
    outcome = recovery.restore(prepared)
    assert {check.verdict for check in outcome.checks} == {"passed"}
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM feature").fetchone() == (100,)
    connection.close()
    assert catalog.find_point(prepared.vault, "latest").system("registry").facts.exact["feature.rows"] == 100


@pytest.fixture
def shop_kind(tmp_path, monkeypatch):
    """The application of adding-a-system.md, beside those that there are."""
    folder = tmp_path / "applications"
    folder.mkdir()
    (folder / "shop.py").write_text(code_blocks(DOCS / "adding-a-system.md", "python")[1])
    monkeypatch.setattr(applications, "__path__", [*applications.__path__, str(folder)])
    applications.kind_names.cache_clear()
    yield
    applications.kind_names.cache_clear()
    applications.load_kind.cache_clear()
    sys.modules.pop("drkeeper.applications.shop", None)


def test_the_example_application_says_whether_what_was_restored_works(shop_kind, tmp_path):
    server = start_sandbox("postgres", tmp_path / "server")
    try:
        policy = shop_policy(tmp_path, server)
        with connected(server, "postgres") as admin:
            admin.execute("CREATE DATABASE shop")
        with connected(server, "shop") as shop:
            shop.execute("CREATE TABLE customers AS SELECT generate_series(1, 9) AS id")
            shop.execute("CREATE TABLE orders AS SELECT id, id % 9 + 1 AS customer FROM generate_series(1, 50) id")
        wiring.create_vault(policy)
        actions.back_up(policy)
        with connected(server, "postgres") as admin:
            admin.execute("DROP DATABASE shop WITH (FORCE)")
        outcome = recovery.restore(recovery.prepare(policy))
        assert {check.subject: check.verdict for check in outcome.usable} == {
            "sales.orders.customers": "passed",
            "sales.orders.count": "passed",
        }
        with connected(server, "shop") as shop:
            shop.execute("DELETE FROM customers WHERE id = 1")
        (found,) = (check for check in usable.prove_live(policy, point_id="latest") if check.verdict != "passed")
        assert (found.subject, found.detail) == (
            "sales.orders.customers",
            "5 orders are of a customer who is not there",
        )
    finally:
        server.stop()


def shop_policy(folder, server):
    options = server.options
    file = folder / "drkeeper.yaml"
    file.write_text(f"""\
version: 1
name: example
systems:
  db: {{kind: postgres, host: 127.0.0.1, port: {options["port"]}, user: postgres, password: "${{env:DB}}", databases: [shop]}}
applications:
  sales: {{kind: shop, database: db}}
vault:
  regions:
    here: {{url: {folder}/vault}}
""")
    return load_policy(file, {"DB": str(options["password"])})


def connected(server, database):
    words = {name: server.options[name] for name in ("host", "port", "user", "password")}
    return psycopg.connect(dbname=database, autocommit=True, **words)
