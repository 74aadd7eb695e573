"""Measure points of a platform under load: skew, and what writers notice. `python bench/consistency.py [--quick]`.

MLflow and Feast write all the time, through their SDKs (`tests/consistency/writers.py`), into PostgreSQL, a registry in
a file, Valkey, and a bucket that holds 10,000 other objects besides; `drkeeper backup` runs again and again. A minute
or two. Results go to `results-consistency.json` and, as a table, into `README.md`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from machine import processor_and_system
from table import Target

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.consistency.under_load import Platform, running_platform  # noqa: E402 - once it can be found
from tests.consistency.writing import Write  # noqa: E402

from drkeeper.catalog import list_points  # noqa: E402

BEGIN, END = "<!-- consistency: begin -->", "<!-- consistency: end -->"
BEFORE, DURING = "before", "during a backup"
WORDS = {
    "version": "MLflow: a run, a model, its files, a version, an alias",
    "view": "Feast: a view applied and materialised, under the lock",
    "lock": "Feast: waiting for that lock",
}


@dataclass(frozen=True)
class Size:
    """How much there is, and how often it is measured."""

    objects: int
    customers: int
    views: int
    backups: int
    quiet_seconds: float


FULL = Size(objects=10_000, customers=2_357, views=3, backups=20, quiet_seconds=20)
QUICK = Size(objects=300, customers=50, views=3, backups=3, quiet_seconds=5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects and points; README.md stays as it is")
    size = QUICK if parser.parse_args().quick else FULL
    HERE.joinpath("data").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="consistency-", dir=HERE / "data"))
    try:
        with running_platform(work, size.customers, size.views) as platform:
            report = measure_all(platform, size)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if size is QUICK:
        print("\n".join(render(report)))
        return
    (HERE / "results-consistency.json").write_text(json.dumps(report, indent=1) + "\n")
    write_table(HERE / "README.md", report)


def measure_all(platform: Platform, size: Size) -> dict[str, Any]:
    print(f"making {size.objects:,} objects", flush=True)
    fill(platform, size.objects)
    with platform.written_to():
        quiet = time.time()
        time.sleep(size.quiet_seconds)
        windows = [(quiet, time.time())]
        for number in range(size.backups):
            print(f"point {number + 1} of {size.backups}", flush=True)
            windows.append(back_up(platform))
        writes = platform.writers.journal()
    points = list_points(platform.vault).points
    return {
        "machine": processor_and_system(),
        "size": {**asdict(size), "versions": sum(write.what == "version" for write in writes)},
        "skews": [point.skew_seconds for point in points],
        "moments": [{system.name: str(system.as_of) for system in point.systems} for point in points],
        "elapsed": [end - begin for begin, end in windows[1:]],
        "lock_waits": len(platform.lock_waits()),
        "writes": {BEFORE: _figures(writes, windows[:1]), DURING: _figures(writes, windows[1:])},
    }


def fill(platform: Platform, objects: int) -> None:
    """Objects that nobody refers to; a listing has to pass them."""
    bucket = platform.bucket
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: bucket.request("PUT", f"data/{n:06d}", body=b"x" * 100), range(objects)))


def back_up(platform: Platform) -> tuple[float, float]:
    """From when until when it ran."""
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "drkeeper", "--policy", str(platform.policy_file), "backup"],
        env={**os.environ, **platform.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return began, time.time()


def write_table(readme: Path, report: Mapping[str, Any]) -> None:
    head, _, rest = readme.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n" + "\n".join(render(report)) + f"\n{END}{tail}")


def render(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as Markdown."""
    size, skews, writes = report["size"], report["skews"], report["writes"]
    yield (
        f"{size['backups']} points of a bucket with {size['objects']:,} objects, {size['customers']:,} customers' "
        f"features in {size['views']} views, and {size['versions']:,} versions that were registered meanwhile."
    )
    yield from ("", "; ".join(f"{name}: {value}" for name, value in report["machine"].items()) + ".", "")
    yield from ("| promise | at most | measured | |", "|---|---|---|---|")
    yield Target("skew of a point, the largest of all", max(skews), 2, "s").line()
    waits = report["lock_waits"]
    yield f"| statements of MLflow that waited for a lock | 0 | {waits} | {'missed' if waits else 'met'} |"
    yield from ("", f"Skew: median {median(skews):.2f} s. A backup: median {median(report['elapsed']):.2f} s.", "")
    yield from ("| | when | writes | p50 ms | p95 ms | longest ms |", "|---|---|---|---|---|---|")
    for what, words in WORDS.items():
        for when in (BEFORE, DURING):
            one = writes[when].get(what)
            figures = (
                f"{one['count']} | {one['p50_ms']:.0f} | {one['p95_ms']:.0f} | {one['longest_ms']:.0f}"
                if one
                else "0 | | |"
            )
            yield f"| {words} | {when} | {figures} |"


def _figures(writes: Sequence[Write], windows: Sequence[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Of writes that began in one of the windows, by what they are."""
    seconds: dict[str, list[float]] = {}
    for write in writes:
        if any(begin <= write.began < end for begin, end in windows):
            seconds.setdefault(write.what, []).append(write.ended - write.began)
    return {what: _percentiles(each) for what, each in seconds.items() if len(each) > 1}


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"count": len(seconds), "p50_ms": cuts[49] * 1e3, "p95_ms": cuts[94] * 1e3, "longest_ms": max(seconds) * 1e3}


if __name__ == "__main__":
    main()
