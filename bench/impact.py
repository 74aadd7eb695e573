"""What a backup costs those who are served meanwhile: their latencies before and during it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from programs import Keeper
from servers import DATABASE, Servers

LOAD_CPU, BACKUP_CPU = 0, 1
BEFORE_SECONDS = 5.0
SETTLE_SECONDS = 1.0

Samples = dict[str, list[tuple[float, float]]]
Window = tuple[float, float]
Figures = dict[str, dict[str, dict[str, float]]]


@dataclass
class Impact:
    """The figures of each round: by window (before, during a backup), then by operation."""

    rounds: list[Figures] = field(default_factory=list)

    def medians(self) -> Figures:
        """By window, then by operation: the median over the rounds of each figure."""
        first = self.rounds[0]
        return {
            window: {
                operation: {figure: median(one[window][operation][figure] for one in self.rounds) for figure in figures}
                for operation, figures in operations.items()
            }
            for window, operations in first.items()
        }


def measure_round(servers: Servers, backups: dict[str, Keeper]) -> Figures:
    """Under load: a quiet window, then each backup in turn, each with its own quiet window before it."""
    windows: dict[str, Window] = {}
    pinned = len(os.sched_getaffinity(0)) > 1
    with _load(servers, pinned=pinned) as ended:
        time.sleep(SETTLE_SECONDS)
        for name, keeper in backups.items():
            keeper.forget_all()
            time.sleep(SETTLE_SECONDS)
            started = time.monotonic()
            time.sleep(BEFORE_SECONDS)
            windows[f"before {name}"] = (started, time.monotonic())
            started = time.monotonic()
            keeper.run("backup", cpu=BACKUP_CPU if pinned else None)
            windows[f"during {name}"] = (started, time.monotonic())
        samples = ended()
    return {name: _figures(samples, window) for name, window in windows.items()}


@contextmanager
def _load(servers: Servers, *, pinned: bool) -> Iterator["Ended"]:
    env = {
        **os.environ,
        "BENCH_REDIS": json.dumps(servers.redis),
        "BENCH_POSTGRES": json.dumps({**servers.postgres, "database": DATABASE}),
    }
    program = Path(__file__).with_name("load.py")
    with subprocess.Popen(
        [sys.executable, str(program), *([str(LOAD_CPU)] if pinned else [])],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the load generator did not start")
        try:
            yield Ended(process)
        finally:
            process.kill()


@dataclass(frozen=True)
class Ended:
    """Ends the load, and gives its samples."""

    process: "subprocess.Popen[str]"

    def __call__(self) -> Samples:
        said, _ = self.process.communicate(timeout=60)
        samples: Samples = json.loads(said)
        return samples


def _figures(samples: Samples, window: Window) -> dict[str, dict[str, float]]:
    low, high = window
    return {
        operation: _percentiles([seconds for at, seconds in pairs if low <= at < high])
        for operation, pairs in samples.items()
    } | {"": {"seconds": high - low}}


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"count": len(seconds), "p50_ms": cuts[49] * 1e3, "p95_ms": cuts[94] * 1e3}
