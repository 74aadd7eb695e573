"""One timed run of a program: wall, CPU of its whole process tree, peak memory."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Usage:
    """What one run took. CPU and peak are those of the client's tree, the server's are not in it."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    stored_bytes: int | None = None


def timed(argv: Sequence[str], *, env: Mapping[str, str], cpu: int | None = None) -> Usage:
    """Run to the end; the exit code must be 0. Pinned to one CPU where that is given."""
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        with _pinned(cpu):
            process = subprocess.Popen(
                list(argv), env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            text = said.read().decode(errors="replace")[-3000:]
            raise SystemExit(f"{' '.join(argv)} exited with {process.returncode}:\n{text}")
    # Kilobytes on Linux; of a tree the largest process, not the sum.
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


@contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """What is started here may run on that CPU only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed if cpu is None else {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def shell(command: str, *, env: Mapping[str, str]) -> Usage:
    """A pipeline; every part of it must succeed."""
    return timed(["bash", "-o", "pipefail", "-c", command], env=env)


def tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Results:
    """All runs by candidate, in the order in which candidates were first run."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Usage]] = {}

    def add(self, candidate: str, usage: Usage) -> None:
        self.runs.setdefault(candidate, []).append(usage)
        stored = "" if usage.stored_bytes is None else f"  stored {usage.stored_bytes / 1e6:9.2f} MB"
        print(
            f"  {candidate:<52} {usage.wall_seconds:7.2f} s  CPU {usage.cpu_seconds:7.2f} s"
            f"  peak {usage.peak_bytes / 2**20:6.0f} MiB{stored}",
            flush=True,
        )

    def medians(self) -> dict[str, dict[str, float | None]]:
        return {name: _medians(runs) for name, runs in self.runs.items()}

    def raw(self) -> dict[str, list[dict[str, float | None]]]:
        return {name: [asdict(run) for run in runs] for name, runs in self.runs.items()}


def _medians(runs: Sequence[Usage]) -> dict[str, float | None]:
    stored = [run.stored_bytes for run in runs if run.stored_bytes is not None]
    return {
        "wall_seconds": median(run.wall_seconds for run in runs),
        "cpu_seconds": median(run.cpu_seconds for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "stored_bytes": median(stored) if stored else None,
    }
