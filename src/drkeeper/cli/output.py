"""Results on stdout: tables for people, JSON and YAML with stable keys for programs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TextIO

import click

Output = Literal["table", "wide", "json", "yaml"]
Row = Mapping[str, Any]

ACRONYMS = {"ID", "RTO", "RPO"}

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How results are shown.",
)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Of the row; dotted where the value lies deeper.
        title: Above the column; the key, in capitals, by default.
        form: A value as a person reads it.
        wide: Shown with `-o wide` only.
        right: Numbers stand to the right.
    """

    key: str
    title: str = ""
    form: Callable[[Any], str] = str
    wide: bool = False
    right: bool = False

    def cell(self, row: Row) -> str:
        """This column of a row; a dash where there is nothing."""
        value: Any = row
        for part in self.key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return "-" if value is None or value == "" else printable(self.form(value))


def show(
    value: Row | Sequence[Row], output: Output, columns: Sequence[Column], *, stream: TextIO | None = None
) -> None:
    """Write a record, or rows, to stdout.

    Args:
        value: Plain data: one mapping, or a sequence of them; times are aware.
        output: JSON and YAML hold all keys, tables the columns.
        columns: In order.
        stream: Instead of stdout.
    """
    out = stream or sys.stdout
    if output == "json":
        out.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")
    elif output == "yaml":
        from ruamel.yaml import YAML

        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.allow_unicode = True
        yaml.dump(plain(value), out)
    else:
        shown = [column for column in columns if output == "wide" or not column.wide]
        lines = record_lines(value, shown) if isinstance(value, Mapping) else table_lines(value, shown)
        out.writelines(f"{line}\n" for line in lines)


def table_lines(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """A heading and one line a row, in columns as wide as they need to be: nothing is cut off."""
    heading = [column.title or column.key.replace("_", " ").upper() for column in columns]
    cells = [heading, *([column.cell(row) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return ["  ".join(_aligned(line, widths, columns)).rstrip() for line in cells]


def record_lines(record: Row, columns: Sequence[Column]) -> list[str]:
    """One line a column: its title and the value."""
    titles = [_sentence_case(column.title or column.key.replace("_", " ")) for column in columns]
    width = max((len(title) for title in titles), default=0)
    return [f"{title:<{width}}  {column.cell(record)}" for title, column in zip(titles, columns, strict=True)]


def plain(value: Any) -> Any:
    """What JSON and YAML can hold: times in ISO 8601 with Z, durations in seconds, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def printable(text: str) -> str:
    """On one line, and without what could steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def human_size(size_bytes: float) -> str:
    """`0 B`, `812 B`, `1.4 GB`: powers of 1000, two figures or more."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5:  # noqa: PLR2004 - what rounds to 1000 goes to the next unit
            return f"{size:.0f} {unit}" if unit == "B" or abs(size) >= 99.95 else f"{size:.1f} {unit}"  # noqa: PLR2004
        size /= 1000
    return f"{size:.1f} PB"


def human_duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m05s`, `2h10m`, `5d3h`: the two largest units."""
    if seconds < 10:  # noqa: PLR2004 - below, tenths matter
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"


def human_time(moment: datetime) -> str:
    """`2026-03-01 02:00:07Z`: to the second, UTC."""
    from datetime import UTC

    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _sentence_case(title: str) -> str:
    return title if title in ACRONYMS else title.capitalize()


def _aligned(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> list[str]:
    return [
        f"{cell:>{width}}" if column.right else f"{cell:<{width}}"
        for cell, width, column in zip(cells, widths, columns, strict=True)
    ]
