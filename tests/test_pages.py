"""Reports in a real browser: on a desk, on a phone, in the dark and on paper; and the quarterly report as PDF."""

import os
import re
import shutil
import subprocess

import pytest

import browser
from drkeeper.report.html import render_html as drill_page
from drkeeper.report.pdf import render_pdf
from drkeeper.report.quarter_html import render_html as quarter_page
from drkeeper.report.quarter_markdown import render_markdown
from drkeeper.report.quarter_view import build_document
from quarter_examples import QUARTERS, quarter
from report_examples import EXAMPLES, HOSTILE
from test_report import Page

DESK, PHONE = 1280, 390
PARTS = [f"part-{number}" for number in range(1, 13)]
DRILLS = ("rehearsal", "failed-verification", "hostile")
every_quarter = pytest.mark.parametrize("name", sorted(QUARTERS))


def needed(program, there):
    """Skip where a program is not installed; but not where we are told that it must be."""
    if not there:
        assert not os.environ.get("CI"), f"{program} is not installed, and this is CI"
        pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    needed("chromium", browser.chromium())
    folder = tmp_path_factory.mktemp("pages")
    made = {
        **{name: quarter_page(QUARTERS[name]()) for name in QUARTERS},
        **{name: drill_page(EXAMPLES[name]()) for name in DRILLS},
    }
    files = []
    for name, text in made.items():
        files.append(folder / f"{name}.html")
        files[-1].write_text(text, encoding="utf-8")
    return files


@pytest.fixture(scope="module")
def in_the_light(pages):
    return browser.looks(pages, [DESK, PHONE])


def test_a_bad_page_is_found_out(tmp_path):
    needed("chromium", browser.chromium())
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><body><p style="width:900px">too wide</p><p style="color:#ccc">too faint</p>'
        '<section class="part" id="part-1">thin</section><img src="http://example.invalid/x.png"></body>'
    )
    look = browser.looks([page], [PHONE])["bad", PHONE]
    assert look["scroll"] > PHONE
    assert look["wide"] == ["P too wide"]
    assert [text.split(" ", 1)[1] for text in look["faint"]] == ["too faint"]
    assert look["requests"] == ["http://example.invalid/x.png"]
    assert look["parts"] == []


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", [*sorted(QUARTERS), *DRILLS])
def test_a_page_fits_its_window_shows_all_its_parts_and_asks_for_nothing(in_the_light, name, width):
    look = in_the_light[name, width]
    assert look["width"] == width
    assert look["scroll"] <= width
    assert look["wide"] == []
    assert look["parts"] == PARTS
    assert look["requests"] == []
    assert look["scripts"] == 0
    assert look["faint"] == []


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_letters_in_drawings_can_be_read_at_any_width(in_the_light, width):
    look = in_the_light["quarter", width]
    assert look["plots"] == len(build_document(quarter()).plots)
    assert min(look["letters"]) > 10


def test_every_text_can_be_told_from_its_ground_in_the_dark(pages):
    looks = browser.looks(pages, [DESK], browser.DARK)
    assert {name: look["faint"] for (name, _), look in looks.items() if look["faint"]} == {}


def test_a_page_prints_with_all_its_parts_and_every_drawing(pages, tmp_path):
    needed("pdftotext", shutil.which("pdftotext"))
    page = next(file for file in pages if file.stem == "quarter")
    browser.browse(page, f"--print-to-pdf={tmp_path}/out.pdf", "--no-pdf-header-footer")
    text, count = paper(tmp_path / "out.pdf")
    for part in build_document(quarter()).parts:
        assert part.title in text
    assert "Exposure of online-store" in text
    assert 4 <= count <= 12


def test_the_pdf_says_what_the_page_says(tmp_path):
    needed("pdftotext", shutil.which("pdftotext"))
    record = quarter()
    (tmp_path / "out.pdf").write_bytes(render_pdf(record))
    text, count = paper(tmp_path / "out.pdf")
    squeezed = re.sub(r"\s+", "", text)
    for part in build_document(record).parts:
        assert re.sub(r"\s+", "", part.title) in squeezed
        for block in part.blocks:
            if block.kind == "table":
                for row in block.rows:
                    assert re.sub(r"\s+", "", row[0].text) in squeezed
    assert 4 <= count <= 10
    fonts = subprocess.run(["pdffonts", tmp_path / "out.pdf"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[-5] for line in fonts.splitlines()[2:]} == {"yes"}  # embedded


def paper(file):
    """The text of a PDF, and how many pages it has."""
    text = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True, check=True, timeout=30)
    return text.stdout, text.stdout.count("\f")


# --- without a browser ---


@every_quarter
def test_a_quarterly_page_is_balanced_and_loads_nothing_from_elsewhere(name):
    text = quarter_page(QUARTERS[name]())
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert {value for name, value in page.attributes if name == "href"} <= {f"#{part}" for part in PARTS}
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert "http" not in text.replace("http&#", "")
    assert page.tags.count("h1") == 1


@every_quarter
def test_every_cell_is_in_the_page_and_in_markdown(name):
    record = QUARTERS[name]()
    text, down = Page(quarter_page(record)).text, render_markdown(record).replace("\\", "")
    for part in build_document(record).parts:
        assert f"## {part.number}. {part.title}" in down
        for block in part.blocks:
            cells = [cell for row in block.rows for cell in row] if block.kind == "table" else []
            for cell in cells:
                assert " ".join(cell.text.replace("`", "").split()) in text.replace("`", "")
                assert " ".join(cell.text.replace("`", "").split()) in down.replace("`", "")


@every_quarter
def test_the_same_record_gives_the_same_bytes(name):
    record = QUARTERS[name]()
    again = type(record).model_validate_json(record.model_dump_json())
    assert quarter_page(record) == quarter_page(again)
    assert render_markdown(record) == render_markdown(again)
    assert render_pdf(record) == render_pdf(again)


@pytest.mark.parametrize("lead", ["\u674e\u96f7", "in \x1b[31mred\x1b[0m"])
def test_a_name_that_our_fonts_cannot_show_stops_no_pdf(lead):
    assert render_pdf(quarter(lead=lead)).startswith(b"%PDF-1.")


def test_a_hostile_name_opens_no_markup():
    record = QUARTERS["hostile-quarter"]()
    page = Page(quarter_page(record))
    assert not {"script", "img"} & set(page.tags)
    assert HOSTILE.replace("`", "") in page.text.replace("`", "")
    for table in re.findall(r"(?:^\|.*\n)+", render_markdown(record), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
