"""The report on a cluster as Markdown, between two marks in `README.md`. `python bench/cluster_table.py` renders it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- kubernetes: begin -->", "<!-- kubernetes: end -->"
MIB = 2**20


def write_tables(readme: Path, report: Mapping[str, Any]) -> None:
    head, _, rest = readme.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n" + "\n".join(_lines(report)) + f"\n{END}{tail}")


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    size = report["size"]
    yield f"{size['objects']:,} objects in {size['kinds']} kinds; medians of {size['rounds']} rounds."
    yield ""
    yield "; ".join(f"{name}: {value}" for name, value in report["machine"].items()) + "."
    yield from ("", "| promise | bound | measured | |", "|---|---|---|---|")
    yield from (
        f"| {what} | {bound} | {measured} | {'met' if met else 'missed'} |"
        for what, bound, measured, met in promises(report)
    )
    yield from ("", "| | wall s | CPU s | peak MiB | without the start: s |", "|---|---|---|---|---|")
    inside = {"bare lists": "lists", "drkeeper capture to nowhere": "capture"}
    for name, figures in report["medians"].items():
        seconds = f"{report['inside'][inside[name]]['seconds']:.2f}" if name in inside else ""
        peak = f"{figures['peak_bytes'] / MIB:.0f}"
        yield f"| {name} | {figures['wall_seconds']:.2f} | {figures['cpu_seconds']:.2f} | {peak} | {seconds} |"


def promises(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    medians, inside, second = report["medians"], report["inside"], report["second"]
    ratio = inside["capture"]["seconds"] / inside["lists"]["seconds"]
    yield "capture, against bare lists", "at most 1.5 x", f"{ratio:.2f} x", ratio <= 1.5
    kubectl = medians["kubectl get -o yaml"]["wall_seconds"]
    for name, seconds in (
        ("capture", inside["capture"]["seconds"]),
        ("capture, start of Python included", medians["drkeeper capture to nowhere"]["wall_seconds"]),
    ):
        faster = kubectl / seconds
        yield f"{name}, against kubectl get -o yaml", "at least 5 x faster", f"{faster:.1f} x", faster >= 5
    peak = max(figures["peak_bytes"] for name, figures in medians.items() if name.startswith("drkeeper")) / MIB
    yield "peak memory of any process of drkeeper", "at most 256 MiB", f"{peak:.0f} MiB", peak <= 256
    for what in ("new frames", "new commits"):
        most = max(each[what] for each in second)
        yield f"{what} of a backup with nothing changed", "0", str(most), most == 0


if __name__ == "__main__":
    _here = Path(__file__).parent
    write_tables(_here / "README.md", json.loads((_here / "results-kubernetes.json").read_text()))
