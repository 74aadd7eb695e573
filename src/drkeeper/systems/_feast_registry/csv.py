"""Rows as PostgreSQL's `COPY … (FORMAT csv, HEADER)` writes and reads them, NULL apart from the empty text. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Value: TypeAlias = str | int | bytes | None

FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\Z)')
HEX = "\\x"


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    r"""A header and one record a row, in UTF-8; bytes as `\x` and hexadecimal digits."""
    lines = [",".join(_written(name) for name in columns)]
    lines += [",".join(_written(value) for value in row) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def read_rows(data: bytes) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """Columns, and rows of texts.

    Raises:
        ValueError: This is not such a file.
    """
    records = list(_records(data.decode()))
    if not records:
        raise ValueError("there is no header")
    columns, rows = tuple(name or "" for name in records[0]), records[1:]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("a row has not as many fields as the header")
    return columns, rows


def as_bytes(text: str | None) -> bytes:
    """A field that holds bytes; none for NULL.

    Raises:
        ValueError: It does not.
    """
    if not text:
        return b""
    if not text.startswith(HEX):
        raise ValueError("a field of bytes does not begin with \\x")
    return bytes.fromhex(text.removeprefix(HEX))


def _written(value: Value) -> str:
    match value:
        case None:
            return ""
        case bytes():
            return HEX + value.hex()
        case int():
            return str(value)
        case _:
            plain = value and not re.search(r'[",\r\n]', value) and value != "\\."
            return value if plain else '"' + value.replace('"', '""') + '"'


def _records(text: str) -> Iterator[tuple[str | None, ...]]:
    at, fields = 0, list[str | None]()
    while at < len(text):
        found = FIELD.match(text, at)
        if found is None:
            raise ValueError("a quotation mark is out of place")
        quoted, bare, end = found.groups()
        fields.append(quoted.replace('""', '"') if quoted is not None else bare or None)
        at = found.end()
        if end != ",":
            yield tuple(fields)
            fields = []
