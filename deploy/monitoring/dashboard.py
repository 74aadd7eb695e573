"""Writes the Grafana dashboard: `python deploy/monitoring/dashboard.py` (or `make docs`)."""

import json
from pathlib import Path

from artifacts import buckets
from details import drills, sizes, vault
from overview import exposure, now, proof
from panels import SOURCE, Board, Json
from scenarios import backups, scenarios

FILE = Path(__file__).parent.parent / "chart/files/drkeeper.dashboard.json"


def dashboard() -> Json:
    board = Board()
    for part in (now, exposure, backups, proof, scenarios, drills, sizes, buckets, vault):
        part(board)
    return {
        "uid": "drkeeper",
        "title": "drkeeper: disaster recovery",
        "description": "What would be lost now, what is proven to come back, and how long that takes.",
        "tags": ["drkeeper", "disaster-recovery", "backup"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_variable("datasource"), _variable("policy")]},
        "annotations": {"list": []},
        "links": [],
        "panels": board.panels,
    }


def _variable(name: str) -> Json:
    if name == "datasource":
        return {"name": name, "type": "datasource", "query": "prometheus", "label": "Data source", "current": {}}
    return {
        "name": name,
        "type": "query",
        "label": "Policy",
        "datasource": SOURCE,
        "query": {"query": "label_values(drkeeper_vault_up, policy)", "refId": "policy"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
