"""Measure planning 200 systems with 10,000 points. `python bench/planning.py [--rounds N]`; half a minute.

The vault has two regions in folders; no endpoint is asked, as these would measure the network. Results are printed as
JSON: rows by what was measured, medians in seconds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from machine import processor_and_system

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from drkeeper import preparing
from drkeeper.forecast import Limits
from drkeeper.report.plan_page import render_plan
from drkeeper.timetable import plan_page
from planning import large_platform

BOUND_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", type=int, default=200)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.systems, arguments.points, arguments.rounds), indent=1))


def measure(systems: int = 200, points: int = 10_000, rounds: int = 5) -> dict[str, object]:
    """Medians in seconds by row, and whether planning keeps its bound."""
    with tempfile.TemporaryDirectory() as folder:
        large = large_platform(Path(folder), systems=systems, points=points)
        prepared = preparing.prepare_scenario(large.policy, "everything-lost", what_if=True)
        since = prepared.point.as_of
        policy, plan = large.policy, prepared.plan
        rows = {
            "everything-lost": _median(
                rounds, lambda: preparing.prepare_scenario(policy, "everything-lost", what_if=True)
            ),
            "everything-lost --before": _median(
                rounds, lambda: preparing.prepare_scenario(policy, "everything-lost", before=since, what_if=True)
            ),
            "the plan as a page": _median(rounds, lambda: render_plan(plan_page(plan, Limits()))),
        }
    worst = max(rows["everything-lost"], rows["everything-lost --before"])
    return {
        "machine": processor_and_system(),
        "systems": systems,
        "points": points,
        "seconds": rows,
        "promises": {f"planned within {BOUND_SECONDS:g} s": worst <= BOUND_SECONDS},
    }


def _median(rounds: int, work: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return round(median(taken), 3)


if __name__ == "__main__":
    main()
