"""How long a step will take: predicted from bytes and earlier runs, by numbers that can be argued with. Pure.

Without earlier runs the rates below apply. They are conservative: measured on two shared cores (a logical restore
of PostgreSQL 18 at 11 MB of dump a second, indexes rebuilt; an RDB served to a replica at 70 MB/s), so most
machines do better, and every drill prints by how much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from drkeeper.report.record import Forecast, StepRecord

DEFAULT_BYTES_PER_SECOND = {("postgres", "load"): 11e6, ("redis", "load"): 150e6, ("redis", "switch"): 70e6}
FALLBACK_BYTES_PER_SECOND = 10e6
DEFAULT_FIXED_SECONDS = 2.0
DEFAULT_P90_FACTOR = 2.0
# Below this size a step's time is its fixed part, and scaling it by bytes would be noise.
SCALED_FROM_BYTES = 16 << 20
MOVES_BYTES = frozenset({"load", "undo"}) | {verb for _, verb in DEFAULT_BYTES_PER_SECOND}


@dataclass(frozen=True)
class Run:
    """One finished step of an earlier drill or restore."""

    kind: str
    verb: str
    size_bytes: int
    elapsed_seconds: float


def runs_of(steps: Iterable[StepRecord]) -> list[Run]:
    """What can be learned from a record's steps: those that were done."""
    return [
        Run(kind=step.kind, verb=step.verb, size_bytes=step.size_bytes, elapsed_seconds=step.elapsed_seconds)
        for step in steps
        if step.outcome == "done" and step.verb
    ]


def forecast_step(kind: str, verb: str, size_bytes: int, history: Sequence[Run]) -> Forecast:
    """Predict one step.

    With history each earlier run of the same kind and verb is scaled to these bytes; p50 is their median, p90
    the larger of their 90th percentile and p50 x (1 + 1/sqrt(n)), so that few runs promise little.
    """
    alike = [run for run in history if (run.kind, run.verb) == (kind, verb)]
    if not alike:
        return _default(kind, verb, size_bytes)
    scaled = sorted(_scaled(run, size_bytes) for run in alike)
    p50 = median(scaled)
    p90 = max(scaled[min(len(scaled) - 1, int(0.9 * len(scaled)))], p50 * (1 + len(scaled) ** -0.5))
    return Forecast(
        p50_seconds=round(p50, 3),
        p90_seconds=round(p90, 3),
        basis=f"{len(scaled)} earlier run{'s' if len(scaled) > 1 else ''}",
    )


def total(path: Sequence[Forecast]) -> Forecast:
    """Steps one after the other. The p90s are added up, which errs on the long side."""
    bases = sorted({step.basis for step in path}) or ["no steps"]
    return Forecast(
        p50_seconds=round(sum(step.p50_seconds for step in path), 3),
        p90_seconds=round(sum(step.p90_seconds for step in path), 3),
        basis="no history" if "no history" in bases else "; ".join(bases),
    )


def _default(kind: str, verb: str, size_bytes: int) -> Forecast:
    seconds = DEFAULT_FIXED_SECONDS
    if verb in MOVES_BYTES:
        seconds += size_bytes / DEFAULT_BYTES_PER_SECOND.get((kind, verb), FALLBACK_BYTES_PER_SECOND)
    return Forecast(
        p50_seconds=round(seconds, 3), p90_seconds=round(seconds * DEFAULT_P90_FACTOR, 3), basis="no history"
    )


def _scaled(run: Run, size_bytes: int) -> float:
    if run.verb not in MOVES_BYTES or max(run.size_bytes, size_bytes) < SCALED_FROM_BYTES:
        return run.elapsed_seconds
    return run.elapsed_seconds * max(size_bytes, SCALED_FROM_BYTES) / max(run.size_bytes, SCALED_FROM_BYTES)
