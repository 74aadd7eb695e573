"""A quarterly record as PDF, set by typst: fonts are embedded, nothing is fetched, same record, same bytes."""

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from drkeeper.errors import ToolMissing
from drkeeper.report import plots
from drkeeper.report.blocks import SIGNS, Document, Plot
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.quarter_view import build_document


def render_pdf(record: QuarterRecord) -> bytes:
    """The report on A4.

    Raises:
        ToolMissing: typst is not installed.
    """
    document = build_document(record)
    sources = {
        "main.typ": files("drkeeper.report").joinpath("templates/document.typ").read_bytes(),
        "document.json": json.dumps(_data(document)).encode(),
        **{_file(plot): plots.for_pdf(plot.wide) for plot in document.plots},
    }
    return _compile(sources, int(record.made_at.timestamp()))


def _data(document: Document) -> dict[str, Any]:
    """The document without its drawings: these are files of their own."""
    data = {**asdict(document), "signs": SIGNS, "plots": []}
    for part in data["parts"]:
        for block in part["blocks"]:
            if block["kind"] == "plot":
                block["file"] = f"{block['name']}.svg"
                del block["wide"], block["narrow"]
    return data


def _file(plot: Plot) -> str:
    return f"{plot.name}.svg"


def _compile(sources: dict[str, bytes], timestamp: int) -> bytes:
    try:
        import typst
    except ImportError as error:
        raise ToolMissing("a PDF needs typst", hint="pip install 'drkeeper[pdf]', or take `-o html`") from error
    # Files by name are taken, whatever the stubs say. PDF/A-2a: made for archives, readable by screen readers.
    compiled: Any = typst.compile
    made = compiled(
        sources, format="pdf", font_paths=[], ignore_system_fonts=True, timestamp=timestamp, pdf_standards=["a-2a"]
    )
    return bytes(made)
