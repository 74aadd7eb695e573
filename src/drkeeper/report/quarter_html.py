"""A quarterly record as one self-contained HTML page."""

from functools import cache

from jinja2 import Environment

from drkeeper.report import html
from drkeeper.report.blocks import SIGNS
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.quarter_view import build_document


def render_html(record: QuarterRecord) -> str:
    """The page. No script, nothing loaded from elsewhere, every text escaped; same record, same bytes."""
    return _environment().get_template("document.html.j2").render(document=build_document(record))


@cache
def _environment() -> Environment:
    environment = html.environment()
    environment.globals.update(signs=SIGNS)
    return environment
