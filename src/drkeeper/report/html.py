"""A drill record as one self-contained HTML page: for an auditor on paper, for a phone, for the dark."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from drkeeper import __version__
from drkeeper.report import words
from drkeeper.report.drill_globals import DRILL_GLOBALS
from drkeeper.report.record import DrillRecord
from drkeeper.report.seal import Seal, seal_page
from drkeeper.report.view import build_view


def render_html(record: DrillRecord, seal: Seal | None = None) -> str:
    """The page. No script, nothing loaded from elsewhere, every text escaped; same record and seal, same bytes.

    Args:
        record: Of the drill.
        seal: Its signed evidence, which goes along; None: the page says that it is not signed.
    """
    page = _environment().get_template("report.html.j2").render(view=build_view(record), record=record, seal=seal)
    return seal_page(page, seal, version=__version__) if seal else page


def prose(text: str) -> Markup:
    """Running text, escaped; what stands between backticks is set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    made = environment()
    made.globals.update(DRILL_GLOBALS)
    return made


def environment() -> Environment:
    """How templates of this form are read, with what all of them use."""
    made = Environment(
        loader=PackageLoader("drkeeper.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(prose=prose)
    made.globals.update(words=words)
    return made
