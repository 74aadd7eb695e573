"""The report of a run as Markdown, between two marks in `README.md`. `python bench/table.py` renders it again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

FLOOR = "pg_dump -Fc -Z0 > /dev/null (the floor)"
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Backup of PostgreSQL": (
        FLOOR,
        (
            FLOOR,
            "drkeeper, first",
            "drkeeper encrypted, first",
            "drkeeper, nothing changed",
            "drkeeper, after 1 % inserts",
            "pg_dump -Fc",
            "pg_dump -Fc -Z0 | zstd -1",
            "pg_dump -Fc -Z0 | restic, first",
            "pg_dump -Fc -Z0 | restic, nothing changed",
            "pg_dump -Fc -Z0 | restic, after 1 % inserts",
        ),
    ),
    "Restore of PostgreSQL": ("pg_restore -j2", ("pg_restore -j2", "drkeeper restore")),
    "Backup of Valkey": (
        "redis-cli --rdb",
        ("redis-cli --rdb", "drkeeper redis, first", "drkeeper redis, nothing changed", "SCAN + DUMP to a file"),
    ),
    "Restore of Valkey": (
        "RESTORE per key from that file",
        ("RESTORE per key from that file", "drkeeper redis restore"),
    ),
}


@dataclass(frozen=True)
class Target:
    """A ratio that was promised."""

    promise: str
    value: float | None
    bound: float
    unit: str = "x"

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.value <= self.bound:
            return "met"
        return f"missed by {self.value / self.bound - 1:.0%}"

    def line(self) -> str:
        measured = "-" if self.value is None else f"{self.value:.3g} {self.unit}"
        return f"| {self.promise} | {self.bound:g} {self.unit} | {measured} | {self.verdict} |"


def write_tables(readme: Path, report: Mapping[str, Any]) -> None:
    head, _, rest = readme.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n{render(report)}\n{END}{tail}")


def render(report: Mapping[str, Any]) -> str:
    return "\n".join(_lines(report)).strip()


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    size, machine = report["size"], report["machine"]
    yield (
        f"MLflow database of {size['database_bytes'] / 1e9:.2f} GB ({size['metric_rows']:,} metrics), "
        f"{size['hashes']:,} hashes; "
        f"{'medians of ' + str(size['rounds']) + ' rounds' if size['rounds'] > 1 else 'a single round'}."
    )
    yield ""
    yield "; ".join(f"{name}: {value}" for name, value in machine.items()) + "."
    yield from ("", "### What was promised", "")
    yield from ("| promise | at most | measured | |", "|---|---|---|---|")
    yield from (target.line() for target in targets(report))
    for title, (reference, names) in GROUPS.items():
        yield from ("", f"### {title}", "")
        yield from _group(report["medians"], reference, names)
    yield from ("", "### Those who are served", "")
    yield from _impact(report["impact"], size["rates"])


def targets(report: Mapping[str, Any]) -> Iterator[Target]:
    medians, impact = report["medians"], report["impact"]

    def ratio(candidate: str, reference: str, figure: str = "wall_seconds") -> float | None:
        if candidate not in medians or reference not in medians:
            return None
        return float(medians[candidate][figure]) / float(medians[reference][figure])

    def slowdown(operation: str, window: str) -> float:
        during, before = (impact[f"{when} {window}"][operation]["p95_ms"] for when in ("during", "before"))
        return float(during) / float(before)

    yield Target("first backup, against the floor", ratio("drkeeper, first", FLOOR), 1.15)
    yield Target(
        "first backup, against pg_dump piped into restic",
        ratio("drkeeper, first", "pg_dump -Fc -Z0 | restic, first"),
        0.5,
    )
    yield Target("repeat with nothing changed, against the floor", ratio("drkeeper, nothing changed", FLOOR), 1.1)
    yield Target(
        "stored after 1 % inserts, against the first backup",
        ratio("drkeeper, after 1 % inserts", "drkeeper, first", "stored_bytes"),
        0.03,
    )
    yield Target("restore, against pg_restore -j2 of a ready file", ratio("drkeeper restore", "pg_restore -j2"), 1.15)
    yield Target("Redis capture, against redis-cli --rdb", ratio("drkeeper redis, first", "redis-cli --rdb"), 1.1)
    yield Target(
        "Redis restore, against RESTORE per key",
        ratio("drkeeper redis restore", "RESTORE per key from that file"),
        0.5,
    )
    for window in ("a backup", "a backup with rate caps"):
        for operation in ("hmget", "row read"):
            yield Target(f"p95 of {operation} during {window}, against before it", slowdown(operation, window), 1.5)
    peak = max(figures["peak_bytes"] for name, figures in medians.items() if name.startswith("drkeeper"))
    yield Target("peak memory of any process of drkeeper", peak / 2**20, 256, "MiB")
    yield Target("`drkeeper --help`", medians["drkeeper --help"]["wall_seconds"], 0.3, "s")


def _group(medians: Mapping[str, Any], reference: str, names: tuple[str, ...]) -> Iterator[str]:
    yield "| | wall s | of the first line | CPU s | stored MB | peak MiB |"
    yield "|---|---|---|---|---|---|"
    base = medians.get(reference, {}).get("wall_seconds")
    for name in names:
        if name not in medians:
            yield f"| {_cell(name)} | not installed | | | | |"
            continue
        figures = medians[name]
        ratio = f"{figures['wall_seconds'] / base:.2f} x" if base else ""
        stored = "" if figures["stored_bytes"] is None or "restore" in name else f"{figures['stored_bytes'] / 1e6:.1f}"
        peak = f"{figures['peak_bytes'] / 2**20:.0f}" if name.startswith("drkeeper") else ""
        seconds = f"{figures['wall_seconds']:.2f} | {ratio} | {figures['cpu_seconds']:.2f}"
        yield f"| {_cell(name)} | {seconds} | {stored} | {peak} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _impact(impact: Mapping[str, Any], rates: Mapping[str, str]) -> Iterator[str]:
    caps = ", ".join(f"{system} {rate}" for system, rate in rates.items())
    yield f"Milliseconds, p50 / p95. Both systems are backed up at once; caps: {caps}."
    yield ""
    operations = [operation for operation in next(iter(impact.values())) if operation]
    yield f"| | {' | '.join(operations)} | seconds |"
    yield "|---" * (len(operations) + 2) + "|"
    for window, figures in impact.items():
        cells = [f"{figures[name]['p50_ms']:.2f} / {figures[name]['p95_ms']:.2f}" for name in operations]
        yield f"| {window} | {' | '.join(cells)} | {figures['']['seconds']:.1f} |"


if __name__ == "__main__":
    _here = Path(__file__).parent
    write_tables(_here / "README.md", json.loads((_here / "results.json").read_text()))
