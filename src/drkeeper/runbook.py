"""The runbook that each recovery point carries: a page for people, to restore it with stock tools only.

Everything in its `sh` blocks is run by tests. It names the objects of this very point, holds no secret, and needs
neither drkeeper nor the machine that made the backup.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from drkeeper.facts import Scalar
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, SystemRecord

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "runbook.md.j2"
_MOST_FACTS = 12
_SIZE_FACTS = (".rows", ".keys", ".objects")
_VARIABLE = re.compile(r"\$\{?([A-Z][A-Z0-9_]+)\}?(?![A-Za-z0-9_])")
_PROGRAMS = ("aws", "jq", "pg_restore", "psql", "redis-cli")


@dataclass(frozen=True)
class StreamPage:
    """One stream: what is copied and pasted, and what to expect of it."""

    stream: StreamRecord
    label: str
    command: str

    @property
    def taken_by_hint(self) -> bool:
        """Whether the system said how its bytes are loaded; otherwise the block saves them to a file."""
        return bool(self.stream.restore_hint.strip())


@dataclass(frozen=True)
class SystemPage:
    """One system's part of the runbook."""

    record: SystemRecord
    streams: tuple[StreamPage, ...]
    facts: tuple[tuple[str, str], ...]
    info: tuple[tuple[str, str], ...]

    @property
    def holds_rdb(self) -> bool:
        """Whether a stream is a file that a Redis loads as it starts."""
        return any(page.stream.name.endswith(".rdb") for page in self.streams)

    def uses(self, program: str) -> bool:
        """Whether a stream is loaded by that program."""
        return any(re.search(rf"\b{re.escape(program)}\b", page.command) for page in self.streams)


def render_runbook(point: RecoveryPoint, *, encrypted: bool, region_urls: Mapping[str, str]) -> str:
    """The page, in Markdown. Systems stand in reverse freeze order: what is referred to comes back first.

    Args:
        point: As it was committed.
        encrypted: Whether the vault's frames are age files.
        region_urls: Where the vault lies, by region; user names and passwords in them are left out.
    """
    pages = tuple(_page(record) for record in _in_order(point))
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            point=point,
            pages=pages,
            failed=[record for record in point.systems if record.status == "failed"],
            encrypted=encrypted,
            regions={name: _without_secrets(url) for name, url in region_urls.items()},
            bucket=next((bucket for bucket in map(_bucket, region_urls.values()) if bucket), ""),
            variables=sorted({name for page in pages for stream in page.streams for name in _wanted(stream)}),
            programs=_programs(pages, encrypted=encrypted),
            kinds={page.record.kind for page in pages},
        )
    )


def _in_order(point: RecoveryPoint) -> list[SystemRecord]:
    rank = {name: place for place, name in enumerate(point.freeze_order)}
    complete = [record for record in point.systems if record.status != "failed" and record.streams]
    return sorted(complete, key=lambda record: rank.get(record.name, -1), reverse=True)


def _page(record: SystemRecord) -> SystemPage:
    known = sorted((name, value) for name, value in record.facts.info.items() if value not in {None, ""})
    return SystemPage(
        record=record,
        streams=tuple(_stream_page(record.name, stream) for stream in record.streams),
        facts=tuple(_telling_facts(record)),
        info=tuple((name, _show(value)) for name, value in known[:_MOST_FACTS]),
    )


def _stream_page(system: str, stream: StreamRecord) -> StreamPage:
    file_name = PurePosixPath(f"{system}-{stream.name.replace('/', '-')}").name
    hint = stream.restore_hint.strip() or f"cat > {shlex.quote(file_name)}"
    return StreamPage(stream=stream, label=f"{system}/{stream.name}", command=hint)


def _telling_facts(record: SystemRecord) -> Iterator[tuple[str, str]]:
    """The largest tables and key counts first, then versions and the like: what a person can check by hand."""
    sizes = [(name, value) for name, value in record.facts.exact.items() if name.endswith(_SIZE_FACTS)]
    rest = [(name, value) for name, value in record.facts.exact.items() if not name.endswith(_SIZE_FACTS)]
    largest = sorted(sizes, key=lambda fact: (-_number(fact[1]), fact[0]))
    ranges = [(name, f"{low} to {high}") for name, (low, high) in sorted(record.facts.bounds.items())]
    shown = [(name, _show(value)) for name, value in largest]
    yield from [*ranges, *shown, *((name, _show(value)) for name, value in sorted(rest))][:_MOST_FACTS]


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _show(value: Scalar) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _plain(str(value))


def _plain(text: str) -> str:
    """On one line, and unable to close a code span or a table cell."""
    return " ".join(text.split()).replace("`", "'").replace("|", "/")


def _wanted(page: StreamPage) -> list[str]:
    return [name for name in _VARIABLE.findall(page.command) if name not in {"HOME", "PATH", "PWD", "TMPDIR", "USER"}]


def _programs(pages: tuple[SystemPage, ...], *, encrypted: bool) -> list[str]:
    named = [program for program in _PROGRAMS if any(page.uses(program) for page in pages)]
    return [*(["age"] if encrypted else []), "zstd", *named]


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def _bucket(url: str) -> str:
    """The part of an S3 URL that `aws s3` takes; "" for every other store."""
    bare = _without_secrets(url)
    return bare.rstrip("/") if bare.startswith("s3://") else ""


def _moment(at: datetime | None) -> str:
    return "unknown" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def prepare_template() -> None:
    """Load the template, which takes a moment, before it is needed."""
    _environment().get_template(TEMPLATE)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drkeeper", "templates"),
        autoescape=False,  # noqa: S701 - Markdown and shell, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(moment=_moment, plain=_plain, quote=shlex.quote)
    return environment
