"""A quarterly record as Markdown (GitHub flavour); drawings are told in words."""

from functools import cache

from jinja2 import Environment

from drkeeper.report import markdown
from drkeeper.report.blocks import SIGNS
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.quarter_view import build_document


def render_markdown(record: QuarterRecord) -> str:
    """The page; every text that comes from a record is escaped."""
    return _environment().get_template("document.md.j2").render(document=build_document(record))


def prose(text: str) -> str:
    """Running text, escaped; what stands between backticks is a code span."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return markdown.escape(text)
    return "".join((markdown.code(part) if place % 2 else _spaced(part)) for place, part in enumerate(parts) if part)


def _spaced(text: str) -> str:
    """Escaped, with the blanks at its ends that `escape` takes away."""
    before, after = (" " if text[:1].isspace() else "", " " if text[-1:].isspace() else "")
    return f"{before}{markdown.escape(text)}{after}"


@cache
def _environment() -> Environment:
    environment = markdown.environment()
    environment.filters.update(prose=prose)
    environment.globals.update(signs=SIGNS)
    return environment
