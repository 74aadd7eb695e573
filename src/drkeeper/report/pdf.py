"""A quarterly record as PDF, set by typst: fonts are embedded, nothing is fetched, same record, same bytes.

Names in letters that the fonts of typst lack are set with those of the machine, and then the file is no PDF/A.
"""

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
        "document.json": json.dumps(_printable(_data(document))).encode(),
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


def _printable(value: Any) -> Any:
    """The same without control characters: a message of some program may hold the colours of its terminal."""
    match value:
        case str():
            return "".join(letter if letter >= " " and letter != "\x7f" else " " for letter in value)
        case dict():
            return {key: _printable(each) for key, each in value.items()}
        case list() | tuple():
            return [_printable(each) for each in value]
        case _:
            return value


def _file(plot: Plot) -> str:
    return f"{plot.name}.svg"


def _compile(sources: dict[str, bytes], timestamp: int) -> bytes:
    try:
        import typst
    except ImportError as error:
        raise ToolMissing("a PDF needs typst", hint="pip install 'drkeeper[pdf]', or take `-o html`") from error
    compiled: Any = typst.compile  # files by name are taken, whatever the stubs say
    common: dict[str, Any] = {"format": "pdf", "font_paths": [], "timestamp": timestamp}
    try:
        # PDF/A-2a: made for archives, readable by screen readers. It must show every letter, with fonts that we bring.
        return bytes(compiled(sources, ignore_system_fonts=True, pdf_standards=["a-2a"], **common))
    except typst.TypstError:
        # A name in letters that ours lack, such as Chinese: a plain PDF with the machine's fonts says more than none.
        return bytes(compiled(sources, ignore_system_fonts=False, **common))
