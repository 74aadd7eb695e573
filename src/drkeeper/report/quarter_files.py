"""A quarter's record as files, in the forms that people ask for."""

from pathlib import Path
from typing import Literal

from drkeeper.errors import DrkeeperError
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.quarter_view import file_stem, quarter_bytes

Form = Literal["html", "pdf", "md", "json"]
FORMS: tuple[Form, ...] = ("html", "pdf", "md", "json")


def write_reports(record: QuarterRecord, folder: Path, forms: tuple[Form, ...] = FORMS, stem: str = "") -> list[Path]:
    """Write the record in these forms, named after policy and quarter where no other stem is given."""
    files = []
    for form in forms:
        file = folder / f"{stem or file_stem(record)}.{form}"
        content = rendered(record, form)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except OSError as error:
            raise DrkeeperError(f"the report cannot be written to {file}: {error.strerror}") from error
        files.append(file)
    return files


def rendered(record: QuarterRecord, form: Form) -> bytes:
    """The record in one form."""
    match form:
        case "html":
            from drkeeper.report.quarter_html import render_html

            return render_html(record).encode()
        case "md":
            from drkeeper.report.quarter_markdown import render_markdown

            return render_markdown(record).encode()
        case "pdf":
            from drkeeper.report.pdf import render_pdf

            return render_pdf(record)
        case "json":
            return quarter_bytes(record) + b"\n"
