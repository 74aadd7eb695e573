"""The status page: one HTML file that loads nothing, counts up by a small script, and can be read without it."""

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from drkeeper.report import words
from drkeeper.report.status_view import Status

SERVED = "@served@"
"""Stands for the moment at which the page is answered: ages count up from it, not by the reader's clock."""
REFRESH_SECONDS_MIN = 5
NOTHING_YET = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    "<title>drkeeper</title></head><body><p>The vault is being read for the first time.</p></body></html>"
)
"""Before the first look has ended."""


def render_page(status: Status, refresh_seconds: float) -> str:
    """The page, with `SERVED` where the moment of the answer goes."""
    template = _environment().get_template("status.html.j2")
    return template.render(
        status=status,
        refresh=max(REFRESH_SECONDS_MIN, round(refresh_seconds)),
        served=SERVED,
        css=Markup(_text("status.css")),  # noqa: S704 - ours
        script=Markup(_text("status.js")),  # noqa: S704 - ours
    )


def answered(page: bytes, now_seconds: float) -> bytes:
    """The page as it is sent at a moment."""
    return page.replace(SERVED.encode(), f"{now_seconds:.3f}".encode(), 1)


@cache
def content_security() -> str:
    """What a browser may do with the page: use its own styles and its one script, and ask nobody for anything."""
    digest = b64encode(hashlib.sha256(_text("status.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _text(name: str) -> str:
    return files("drkeeper.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("drkeeper.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words)
    return environment
