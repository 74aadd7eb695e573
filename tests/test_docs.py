"""What the documentation shows is run."""

import re
import sqlite3
import sys
from pathlib import Path

import pytest

from drkeeper import actions, catalog, recovery, systems, wiring
from drkeeper.policy import load_policy

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
