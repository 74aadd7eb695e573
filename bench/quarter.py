"""Measure the report of a quarter of 92 nights and five drills. `python bench/quarter.py [--rounds N]`; half a minute.

The vault has two regions in folders and holds what such a quarter leaves there: points, proofs, drills, findings, and
an audit log with two links for each run. Measured is the command, start of Python included, and each form alone.
Results are printed as JSON: rows by what was measured, medians in seconds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from machine import processor_and_system

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from drkeeper import catalog, findings
from drkeeper._audit.append import append
from drkeeper._audit.link import Link
from drkeeper.policy import load_policy
from drkeeper.quarter import Run
from drkeeper.report.pdf import render_pdf
from drkeeper.report.quarter_html import render_html
from drkeeper.report.quarter_markdown import render_markdown
from drkeeper.vault.layout import DRILLS, time_text
from drkeeper.vault.vault import Vault
from drkeeper.wiring import create_vault, open_vault
from quarter_examples import KINDS, night, point, quarter, sources

BOUND_SECONDS = 3.0
POLICY = """\
version: 1
name: production
systems:
{systems}
vault: {{regions: {{eu-central: {{url: {folder}/eu-central}}, eu-north: {{url: {folder}/eu-north}}}}}}
objectives: {{rto: 4h, rpo: 26h}}
schedules: {{backup: "0 2 * * *", drill: "3 9 13 * *"}}
"""
OPTIONS = {
    "postgres": 'host: localhost, user: mlflow, password: "${env:PASSWORD}", databases: [mlflow]',
    "redis": "host: localhost",
    "feast_registry": "url: /srv/feast/registry.db",
    "objects": "url: s3://artifacts, access_key: a, secret_key: '${env:PASSWORD}'",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().rounds), indent=1))


def measure(rounds: int = 5) -> dict[str, object]:
    """Medians in seconds by row, and whether the report keeps its bound."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = _fill(folder)
        command = [sys.executable, "-m", "drkeeper", "--policy", str(file), "report", "--quarter", "2026Q4"]
        record = quarter()
        rows = {
            "drkeeper report, all forms": _median(rounds, lambda: _run([*command, "--out", str(folder / "out")])),
            "drkeeper report -o html": _median(rounds, lambda: _run([*command, "-o", "html"])),
            "the page alone": _median(rounds, lambda: render_html(record)),
            "Markdown alone": _median(rounds, lambda: render_markdown(record)),
            "the PDF alone": _median(rounds, lambda: render_pdf(record)),
        }
    worst = max(rows.values())
    return {"machine": processor_and_system(), "rows": rows, "bound": BOUND_SECONDS, "met": worst <= BOUND_SECONDS}


def _fill(folder: Path) -> Path:
    file = folder / "drkeeper.yaml"
    systems = "\n".join(f"  {name}: {{kind: {kind}, {OPTIONS[kind]}}}" for name, kind in KINDS.items())
    file.write_text(POLICY.format(systems=systems, folder=folder))
    policy = load_policy(file, {"PASSWORD": "x"})
    create_vault(policy)
    vault, example = open_vault(policy), sources()
    for each in (point(number) for number in range(92)):
        for store in vault.regions.stores.values():
            store.put(catalog.key_of(each), vault.record_bytes(each))
    for proof in example.proofs:
        catalog.record_proof(
            vault, catalog.Proof(point_id=proof.point_id, level=proof.level, verdict="passed", at=proof.at)
        )
    for record in example.drills:
        vault.create_record(f"{DRILLS}{time_text(record.started_at)}-{record.drill_id}.json", record)
        findings.note_drill(vault, record, findings.Terms("", night(30) - night(0)))
    for run in example.runs:
        _log(vault, run)
    return file


def _log(vault: Vault, run: Run) -> None:
    began = Link(
        number=0, region="", previous="", at=run.began_at, run=f"{run.began_at:%j%H%M%S}", event="began",
        policy="production", actor=run.actor, command=run.command, detail=dict(run.detail),
    )  # fmt: skip
    append(vault, began)
    append(vault, began.model_copy(update={"event": "ended", "at": run.ended_at, "outcome": run.outcome}))


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, env={"PASSWORD": "x", "PATH": "/usr/bin:/bin"})


def _median(rounds: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return round(median(took), 3)


if __name__ == "__main__":
    main()
