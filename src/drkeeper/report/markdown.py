"""A drill record as Markdown (GitHub flavour), for a pull request, a ticket or a terminal."""

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from drkeeper.report import words
from drkeeper.report.drill_globals import DRILL_GLOBALS
from drkeeper.report.record import DrillRecord
from drkeeper.report.seal import Seal
from drkeeper.report.view import build_view

_SPECIAL = re.compile(r"([\\`*\[\]<>|#~])")


def render_markdown(record: DrillRecord, seal: Seal | None = None) -> str:
    """The page; every text that comes from a record is escaped."""
    return _environment().get_template("report.md.j2").render(view=build_view(record), record=record, seal=seal)


def escape(text: str) -> str:
    """Running text on one line that cannot open markup, a link or a table cell."""
    return _SPECIAL.sub(r"\\\1", _one_line(text))


def code(text: str) -> str:
    """A code span that its own text cannot close, good inside a table cell."""
    line = _one_line(text).replace("|", "\\|")
    runs = re.findall(r"`+", line)
    fence = "`" * (max((len(run) for run in runs), default=0) + 1)
    return f"{fence} {line} {fence}" if runs else f"{fence}{line}{fence}"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


@cache
def _environment() -> Environment:
    made = environment()
    made.globals.update(DRILL_GLOBALS)
    return made


def environment() -> Environment:
    """How templates of this form are read, with what all of them use."""
    made = Environment(
        loader=PackageLoader("drkeeper.report", "templates"),
        autoescape=False,  # noqa: S701 - not HTML; each value passes `escape` or `code`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(text=escape, code=code)
    made.globals.update(words=words)
    return made
