"""Writes docs/alerts.md from the alert rules: `python deploy/monitoring/alerts_page.py` (or `make docs`)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy/chart/files/drkeeper.rules.yaml"
PAGE = ROOT / "docs/alerts.md"

Json = dict[str, Any]


def text() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    yield "# Alerts"
    yield ""
    yield "<!-- written by deploy/monitoring/alerts_page.py from deploy/chart/files/drkeeper.rules.yaml -->"
    yield ""
    yield "What each alert says, and what to do. Plain rules are in `deploy/chart/files/drkeeper.rules.yaml`;"
    yield "the chart makes a PrometheusRule of them, in which each can be changed or switched off (`monitoring.rules`)."
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                yield from _alert(rule)


def _alert(rule: Json) -> Iterator[str]:
    says = rule["annotations"]
    waits = f", after {rule['for']}" if "for" in rule else ""
    yield ""
    yield f"## {rule['alert']}"
    yield ""
    yield f"*{rule['labels']['severity']}{waits}.* {_plain(says['summary'])}. {_plain(says['description'])}"
    yield ""
    yield f"**Do:** {_plain(says['action'])}"
    yield ""
    yield "```promql"
    yield rule["expr"].strip()
    yield "```"


def _plain(text: str) -> str:
    """Templates as the words that they stand for."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "*value*", text).strip()


if __name__ == "__main__":
    PAGE.write_text(text())
