"""Render the example reports and photograph them: desk, phone, dark, print, and the PDF. Needs chromium, pdftoppm.

For those who change `src/drkeeper/report`: run `python docs/look_at_report.py FOLDER`, then look at the pictures. What
can be measured of a page (does it scroll sideways, can every text be read?) is a test: `tests/test_pages.py`.
"""

# ruff: noqa: T201, INP001
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import browser
from drkeeper.report import html
from drkeeper.report.pdf import render_pdf
from drkeeper.report.quarter_html import render_html
from quarter_examples import QUARTERS
from report_examples import EXAMPLES

DESK, PHONE = 1100, 390
# Chromium's windows are no narrower than this: a phone is a frame in one.
NARROWEST = 500
HIGHEST = 16_000
_FRAME = (
    '<body style="margin:0"><iframe src="{page}" width="{width}" height="{height}" style="border:0"></iframe></body>'
)


def main(folder: Path) -> None:
    """Write all pages and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: html.render_html(example()) for name, example in EXAMPLES.items()}
    pages |= {name: render_html(example()) for name, example in QUARTERS.items()}
    for name, text in pages.items():
        page = folder / f"{name}.html"
        page.write_text(text, encoding="utf-8")
        _photograph(page, folder)
        print(page)
    for name, example in QUARTERS.items():
        file = folder / f"{name}.pdf"
        file.write_bytes(render_pdf(example()))
        subprocess.run(["pdftoppm", "-r", "70", "-png", file, folder / f"{name}-pdf"], check=True)
        print(file)


def _photograph(page: Path, folder: Path) -> None:
    looks = browser.looks([page], [DESK, PHONE])
    high = {width: min(int(looks[page.stem, width]["height"]) + 40, HIGHEST) for width in (DESK, PHONE)}
    picture = f"--screenshot={folder / page.stem}"
    browser.browse(page, f"{picture}.png", f"--window-size={DESK},{high[DESK]}")
    browser.browse(page, f"{picture}-dark.png", f"--window-size={DESK},{high[DESK]}", browser.DARK)
    frame = folder / f"{page.stem}-phone-frame.html"
    frame.write_text(_FRAME.format(page=page.name, width=PHONE, height=high[PHONE]), encoding="utf-8")
    browser.browse(frame, f"{picture}-phone.png", f"--window-size={NARROWEST},{high[PHONE]}")
    browser.browse(page, f"--print-to-pdf={folder / page.stem}-print.pdf", "--no-pdf-header-footer")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "report-look"))
