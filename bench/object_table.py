"""The report on buckets as Markdown, between two marks in `README.md`. `python bench/object_table.py` renders it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from table import Target

BEGIN, END = "<!-- objects: begin -->", "<!-- objects: end -->"
MIB = 2**20
KEEPER, RCLONE, BOTO3, S5CMD = "drkeeper", "rclone", "boto3, 32 threads", "s5cmd"
STAGED = ("s5cmd, through a folder", "aws s3 sync, through a folder")
TITLES = {
    "small": ("{small} between two endpoints", (KEEPER, "drkeeper, without its start", RCLONE, BOTO3, *STAGED)),
    "same": ("Nothing to do: {small}", (KEEPER, "drkeeper, without its start", RCLONE, BOTO3)),
    "same-many": ("Nothing to do: {many}", (KEEPER, "drkeeper, without its start", RCLONE)),
    "one": ("One changed: {small}", (KEEPER, RCLONE)),
    "at-server": ("{at_server} within one endpoint, copied by the server", (KEEPER, S5CMD, RCLONE)),
    "parts": ("{parts}, in parts of 8 MiB, between two endpoints", (KEEPER, RCLONE, BOTO3, STAGED[0])),
    "single": ("{single}, each in one piece, between two endpoints", (KEEPER, RCLONE, BOTO3, STAGED[0])),
}
WALL, CPU, SERVER = "wall_seconds", "client_cpu_seconds", "server_cpu_seconds"


def write_tables(readme: Path, report: Mapping[str, Any]) -> None:
    head, _, rest = readme.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n" + "\n".join(_lines(report)) + f"\n{END}{tail}")


def medians(report: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """By row and candidate; of peaks the largest."""
    return {row: {name: _figures(runs) for name, runs in by_name.items()} for row, by_name in report["rows"].items()}


def promises(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """What was promised, the bound, what was measured, and what came of it."""
    for target in _targets(medians(report)):
        measured = "-" if target.value is None else f"{target.value:.3g} {target.unit}"
        yield target.promise, f"{target.bound:g} {target.unit}", measured, target.verdict


def _targets(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Target]:
    def ratio(row: str, *references: str, figure: str = WALL) -> float | None:
        rows = found.get(row, {})
        theirs = [rows[name][figure] for name in references if name in rows]
        return rows[KEEPER][figure] / min(theirs) if KEEPER in rows and theirs else None

    yield Target("small objects between two endpoints, wall, against rclone", ratio("small", RCLONE), 1)
    yield Target("the same, wall, against boto3 with 32 threads", ratio("small", BOTO3), 0.5)
    yield Target("the same, client CPU, against rclone", ratio("small", RCLONE, figure=CPU), 0.6)
    yield Target("nothing to do, 10,000 keys, wall, against rclone --checksum", ratio("same", RCLONE), 0.8)
    yield Target("nothing to do, 100,000 keys, wall, against rclone --checksum", ratio("same-many", RCLONE), 0.8)
    yield Target("copied by the server, wall, against s5cmd", ratio("at-server", S5CMD), 1.1)
    for row, how in (("parts", "in parts"), ("single", "in one piece")):
        peers = [name for name in found.get(row, {}) if not name.startswith(KEEPER)]
        yield Target(f"large objects, {how}, wall, against the best peer", ratio(row, *peers), 1.1)
    peaks = [each["peak_bytes"] for row in found.values() for name, each in row.items() if name.startswith(KEEPER)]
    yield Target("peak memory of drkeeper in any row", max(peaks, default=0) / MIB, 256, "MiB")


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    size, found = report["size"], medians(report)
    yield f"Medians of {size['rounds']} rounds; rclone sync {report['rclone']}."
    yield ""
    yield "; ".join(f"{name}: {value}" for name, value in report["machine"].items()) + "."
    yield from ("", "| promise | at most | measured | |", "|---|---|---|---|")
    yield from (f"| {' | '.join(promise)} |" for promise in promises(report))
    words = {name: _words(amount) for name, amount in size.items() if name != "rounds"}
    for row, (title, names) in TITLES.items():
        yield from ("", f"**{title.format(**words)}**", "")
        yield from _table(report["rows"].get(row, {}), found.get(row, {}), names)


def _table(
    runs: Mapping[str, Any], figures: Mapping[str, Mapping[str, float]], names: tuple[str, ...]
) -> Iterator[str]:
    yield "| | wall s | of the first line | client CPU s | server CPU s | peak MiB | ETags | metadata | runs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in names:
        if name not in figures:
            yield f"| {name} | not measured: not installed | | | | | | | |"
            continue
        each = figures[name]
        cells = (
            name,
            f"{each[WALL]:.2f}",
            f"{each[WALL] / figures[KEEPER][WALL]:.2f} x",
            f"{each[CPU]:.2f}",
            f"{each[SERVER]:.2f}",
            f"{each['peak_bytes'] / MIB:.0f}",
            "equal" if all(run["etags_equal"] for run in runs[name]) else "differ",
            "kept" if all(run["metadata_kept"] for run in runs[name]) else "lost",
            str(len(runs[name])),
        )
        yield f"| {' | '.join(cells)} |"


def _figures(runs: list[Mapping[str, float]]) -> dict[str, float]:
    return {
        **{figure: median(run[figure] for run in runs) for figure in (WALL, CPU, SERVER)},
        "peak_bytes": max(run["peak_bytes"] for run in runs),
    }


def _words(amount: Mapping[str, int]) -> str:
    size = amount["size_bytes"]
    unit = f"{size / MIB:g} MiB" if size >= MIB else f"{size / 1024:g} KiB" if size >= 1024 else f"{size} bytes"
    return f"{amount['count']:,} x {unit}"


if __name__ == "__main__":
    _here = Path(__file__).parent
    write_tables(_here / "README.md", json.loads((_here / "results-objects.json").read_text()))
