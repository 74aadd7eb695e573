"""Measure copies of buckets beside rclone, boto3, s5cmd and aws. `python bench/objects.py [--quick]`; ten minutes.

Two SeaweedFS servers are two regions. Candidates take turns; figures are medians. Results go to
`results-objects.json` and, as tables, into `README.md`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import object_peers as peers
from machine import processor_and_system
from object_peers import Candidate, Way, find
from object_regions import Fill, Place, Region, change_one, compared, fill, settle, started
from object_table import promises, write_tables

HERE = Path(__file__).parent
KIB, MIB = 2**10, 2**20
ONLY_WHEN_ASKED = "huge"
"""One object past what a single request takes: it needs 20 GB of disk, and shows that it works, not how fast."""


@dataclass(frozen=True)
class Amounts:
    """How much each row moves."""

    small: Fill
    many: Fill
    at_server: Fill
    parts: Fill
    single: Fill
    huge: Fill


FULL = Amounts(
    small=Fill(10_000, 16 * KIB),
    many=Fill(100_000, 100),
    at_server=Fill(2_000, 16 * KIB),
    parts=Fill(4, 512 * MIB, 8 * MIB),
    single=Fill(4, 512 * MIB),
    huge=Fill(1, 6144 * MIB, 64 * MIB),
)
QUICK = Amounts(
    small=Fill(300, 16 * KIB),
    many=Fill(1_500, 100),
    at_server=Fill(100, 16 * KIB),
    parts=Fill(1, 64 * MIB, 8 * MIB),
    single=Fill(1, 64 * MIB),
    huge=Fill(1, 64 * MIB, 8 * MIB),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects, one round; README.md stays as it is")
    parser.add_argument("--rounds", type=int, default=3, help="how often each candidate has its turn")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="some rows; README.md stays")
    arguments = parser.parse_args()
    # Without TLS nobody needs it, and rclone 1.60 does not start with it.
    os.environ.pop("AWS_CA_BUNDLE", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as the Makefile has it: compiled modules are kept
    amounts, rounds = (QUICK, 1) if arguments.quick else (FULL, arguments.rounds)
    began = time.monotonic()
    HERE.joinpath("data").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="objects-", dir=HERE / "data"))
    try:
        with started(work) as regions:
            report = Bench(regions, work, rounds).measure_all(amounts, arguments.only)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report["elapsed_seconds"] = time.monotonic() - began
    if arguments.quick or arguments.only:
        for promise in promises(report):
            print(*promise, sep=" | ")
        return
    (HERE / "results-objects.json").write_text(json.dumps(report, indent=1) + "\n")
    write_tables(HERE / "README.md", report)


class Bench:
    """Two regions, and what was measured so far."""

    def __init__(self, regions: tuple[Region, Region], work: Path, rounds: int) -> None:
        self._regions = regions
        self._work = work
        self._rounds = rounds
        self.rows: dict[str, dict[str, Any]] = {}

    def measure_all(self, amounts: Amounts, only: Sequence[str]) -> dict[str, Any]:
        near, far = self._regions
        rows: dict[str, Callable[[str], None]] = {
            "small": lambda row: self._copies(
                row,
                amounts.small,
                far,
                (
                    peers.KEEPER,
                    peers.RCLONE_SYNC,
                    peers.BOTO3,
                    peers.KEEPER_INSIDE,
                    peers.S5CMD_STAGED,
                    peers.AWS_STAGED,
                ),
            ),
            "same": lambda row: self._same(
                row, amounts.small, (peers.KEEPER, peers.RCLONE_SYNC, peers.BOTO3_COMPARE, peers.KEEPER_INSIDE)
            ),
            "same-many": lambda row: self._same(
                row, amounts.many, (peers.KEEPER, peers.RCLONE_SYNC, peers.KEEPER_INSIDE)
            ),
            "at-server": lambda row: self._copies(
                row, amounts.at_server, near, (peers.KEEPER, peers.S5CMD, peers.RCLONE_SYNC)
            ),
            "parts": lambda row: self._copies(
                row, amounts.parts, far, (peers.KEEPER, peers.RCLONE_SYNC, peers.BOTO3, peers.S5CMD_STAGED)
            ),
            "single": lambda row: self._copies(
                row, amounts.single, far, (peers.KEEPER, peers.RCLONE_SYNC, peers.BOTO3, peers.S5CMD_STAGED)
            ),
            "huge": lambda row: self._copies(row, amounts.huge, far, (peers.KEEPER,)),
        }
        for row, measure in rows.items():
            if row in only or (not only and row != ONLY_WHEN_ASKED):
                print(row, flush=True)
                measure(row)
        return {
            "machine": {**processor_and_system(), **_versions()},
            "rclone": peers.RCLONE,
            "size": {"rounds": self._rounds, **{name: asdict(amount) for name, amount in vars(amounts).items()}},
            "rows": self.rows,
        }

    def _copies(self, row: str, amount: Fill, into: Region, candidates: Sequence[Candidate]) -> None:
        """Into a new bucket each time."""
        with self._filled(amount, self._regions[0]) as source:
            for candidate in self._turns(candidates):
                with _dropped(into.new_bucket()) as target:
                    self._run(row, candidate, self._way(source, target, amount))

    def _same(self, row: str, amount: Fill, candidates: Sequence[Candidate]) -> None:
        """Nothing to do; then one object that was changed since."""
        near, far = self._regions
        with self._filled(amount, near) as source, self._filled(amount, far) as target:
            way = self._way(source, target, amount)
            for candidate in self._turns(candidates):
                self._run(row, candidate, way)
            if row != "same":
                return
            for candidate in self._turns((peers.KEEPER, peers.RCLONE_SYNC)):
                change_one(source)
                self._run("one", candidate, way)

    def _turns(self, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
        for number in range(self._rounds):
            yield from (each for each in candidates if each.installed and number < each.rounds)

    def _run(self, row: str, candidate: Candidate, way: Way) -> None:
        candidate.prepare(way)
        settle(self._regions)
        before = [region.cpu_seconds for region in self._regions]
        usage = candidate.run(way)
        server = sum(region.cpu_seconds for region in self._regions) - sum(before)
        found = compared(way.source, way.target)
        if not found["equal"] or (candidate.name.startswith("drkeeper") and not all(found.values())):
            raise SystemExit(f"{candidate.name} left the target otherwise: {found}")
        figures = {
            "wall_seconds": usage.wall_seconds,
            "client_cpu_seconds": usage.cpu_seconds,
            "server_cpu_seconds": server,
            "peak_bytes": usage.peak_bytes,
            **found,
        }
        self.rows.setdefault(row, {}).setdefault(candidate.name, []).append(figures)
        print(
            f"  {row:<10} {candidate.name:<32} {usage.wall_seconds:7.2f} s  CPU {usage.cpu_seconds:6.2f} s"
            f"  server {server:6.2f} s  peak {usage.peak_bytes / MIB:5.0f} MiB"
            f"{'' if found['etags_equal'] else '  ETags differ'}{'' if found['metadata_kept'] else '  metadata lost'}",
            flush=True,
        )
        shutil.rmtree(self._work / "stage", ignore_errors=True)

    def _way(self, source: Place, target: Place, amount: Fill) -> Way:
        single = amount.size_bytes > 8 * MIB and not amount.part_bytes
        return Way(source, target, self._work, amount.size_bytes, single)

    @contextmanager
    def _filled(self, amount: Fill, region: Region) -> Iterator[Place]:
        began = time.monotonic()
        with _dropped(region.new_bucket()) as place:
            fill(place, amount)
            print(f"  {amount.count:,} objects put {region.name} in {time.monotonic() - began:.1f} s", flush=True)
            yield place


@contextmanager
def _dropped(place: Place) -> Iterator[Place]:
    """In the end."""
    try:
        yield place
    finally:
        place.drop()


def _versions() -> dict[str, str]:
    asked = {"SeaweedFS": ("weed", "version"), "rclone": ("rclone", "version"), "s5cmd": ("s5cmd", "version")}
    said = {name: _says(*argv) for name, argv in {**asked, "aws": ("aws", "--version")}.items()}
    return {**said, "boto3": version("boto3"), "pycurl": version("pycurl")}


def _says(program: str, word: str) -> str:
    found = find(program)
    if found is None:
        return "not installed"
    said = subprocess.run([found, word], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    return number.group() if number else said.strip()


if __name__ == "__main__":
    main()
