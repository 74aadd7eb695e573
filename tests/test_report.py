"""The drill report: structure, completeness, escaping, and a golden record that every later version must read."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drkeeper.report import words
from drkeeper.report.canonical import VERIFY_PROGRAM, canonical_bytes, canonical_digest
from drkeeper.report.checks import group_checks
from drkeeper.report.controls import controls_of_drill
from drkeeper.report.html import prose, render_html
from drkeeper.report.markdown import render_markdown
from drkeeper.report.record import DrillRecord
from drkeeper.report.timeline import build_timeline
from drkeeper.vault.records import pack
from report_examples import EXAMPLES, HOSTILE, good, hostile

GOLDEN = Path(__file__).parent / "golden"
VOID = {"meta", "link", "br", "img", "hr", "input"}
every_example = pytest.mark.parametrize("name", sorted(EXAMPLES))


class Page(HTMLParser):
    """Collects what a page holds, and fails where its elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


@every_example
def test_the_page_is_balanced_and_loads_nothing_from_elsewhere(name):
    text = render_html(EXAMPLES[name]())
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [
        attribute for attribute, _ in page.attributes if attribute in {"src", "href"} or attribute.startswith("on")
    ]
    assert "http" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#hatch", "#dots"}
    assert page.tags.count("h1") == 1


@every_example
def test_every_statement_that_was_checked_is_on_the_page(name):
    record = EXAMPLES[name]()
    text = Page(render_html(record)).text
    for check in record.checks:
        assert " ".join(check.subject.split()) in text
    for step in record.steps:
        assert step.name in text


@every_example
def test_the_same_record_gives_the_same_bytes(name):
    record = EXAMPLES[name]()
    again = DrillRecord.model_validate_json(record.model_dump_json())
    assert render_html(record) == render_html(again)
    assert render_markdown(record) == render_markdown(again)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("good", "Recovered within objectives"),
        ("missed", "Objective missed"),
        ("failed-verification", "Verification failed"),
        ("failed-restore", "Restore failed"),
    ],
)
def test_the_banner_says_in_words_how_it_ended(name, title):
    record = EXAMPLES[name]()
    assert f"<strong>{title}</strong>" in render_html(record)
    assert f"{title}.**" in render_markdown(record)


def test_a_hostile_name_injects_nothing_into_the_page():
    page = Page(render_html(hostile()))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert HOSTILE.replace("`", "") in page.text.replace("`", "")


def test_a_hostile_name_opens_no_markup_in_markdown():
    text = render_markdown(hostile())
    outside_code = re.sub(r"(`+) .*? \1(?!`)", "", text)
    assert HOSTILE in text.replace("\\", "")
    assert not re.search(r"(?<!\\)<", outside_code)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_text_between_backticks_is_code_and_is_still_escaped():
    assert prose("run `a <b>` now & then") == "run <code>a &lt;b&gt;</code> now &amp; then"
    assert prose("one ` only <") == "one ` only &lt;"


def test_failures_come_with_their_remedy_before_what_was_not_checked_and_what_passed():
    text = Page(render_html(EXAMPLES["failed-verification"]())).text
    finding = text.index("expected 4512110, found 4512000")
    assert "What to do: look for writes that were in flight" in text
    assert finding < text.index("Not checked, and so not passed") < text.index("270 statements hold")


def test_few_statements_are_shown_open_and_many_are_folded():
    assert "<details open>" in render_html(good())
    assert "<details open>" not in render_html(EXAMPLES["failed-verification"]())


def test_figures_that_were_not_measured_say_so_and_why():
    text = Page(render_html(EXAMPLES["missed"]())).text
    assert "RPO was not measured against its objective of 1 min (feast-online: no heartbeat in the data" in text


def test_the_golden_record_is_read_and_rendered_as_ever():
    record = DrillRecord.model_validate_json((GOLDEN / "drill-v1.json").read_bytes())
    assert render_markdown(record) == (GOLDEN / "drill-v1.md").read_text(encoding="utf-8")
    assert canonical_bytes(record) == (GOLDEN / "drill-v1.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("stored", ["bare", "in the vault's envelope"])
def test_the_command_on_the_report_computes_the_digest_that_it_shows(stored):
    record = good()
    data = canonical_bytes(record) if stored == "bare" else pack(record, b"k" * 32)
    outcome = subprocess.run(
        [sys.executable, "-c", VERIFY_PROGRAM], input=data, capture_output=True, timeout=30, check=True
    )
    assert outcome.stdout.decode().strip() == canonical_digest(record)
    assert f'<code class="digest">{canonical_digest(record)}</code>' in render_html(record)
    assert "'" not in VERIFY_PROGRAM


def test_a_digest_changes_with_any_figure():
    assert canonical_digest(good(rto_seconds=43.219)) != canonical_digest(good())


@every_example
def test_every_bar_lies_on_the_axis(name):
    timeline = build_timeline(EXAMPLES[name]())
    spans = [span for lane in timeline.lanes for span in lane.spans]
    assert len(spans) == len(EXAMPLES[name]().steps)
    assert all(span.left >= 0 and span.left + span.width <= 100.01 for span in spans)
    assert all(span.width > 0 for span in spans if span.step.outcome != "not run")
    assert 2 <= len(timeline.ticks) <= 7


def test_a_drill_without_any_step_is_still_a_report():
    record = good(steps=(), systems=(), checks=(), clean_up=(), not_tested=(), rto_seconds=None, error="no point")
    assert "No step was run." in Page(render_html(record)).text
    assert "Restore failed" in render_markdown(record)


def test_a_check_belongs_to_the_system_with_the_longest_matching_name():
    record = good()
    check = record.checks[0]
    checks = [check.model_copy(update={"subject": subject}) for subject in ("db.x", "db.two.x", "dbx.y", "skew")]
    groups = group_checks(checks, ("db", "db.two"))
    assert [(group.system, [check.subject for check in group.passed]) for group in groups] == [
        ("db", ["db.x"]), ("db.two", ["db.two.x"]), ("whole platform", ["dbx.y", "skew"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not measured"), (0, "0 ms"), (0.0204, "20 ms"), (0.9996, "1.0 s"), (43.218, "43.2 s"), (59.97, "1 min"),
        (185.4, "3 min 5 s"), (3599.6, "1 h"), (11_100, "3 h 05 min"), (183_700, "2 d 3 h"), (-61, "-1 min 1 s"),
    ],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (999_999, "1.00 MB"), (1_521_044_480, "1.52 GB"), (41 * 10**9, "41.0 GB"), (321_167_424, "321 MB")],
)  # fmt: skip
def test_sizes_have_three_digits(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("verb", "outcome", "shown"),
    [
        ("fail over", "done", "here"),
        ("relocate", "done", "here"),
        ("relocate", "not run", "in part"),
        ("switch", "done", "in part"),
    ],
)
def test_a_drill_is_evidence_of_a_switch_over_where_one_was_carried_out(verb, outcome, shown):
    record = good()
    step = record.steps[-1].model_copy(update={"verb": verb, "outcome": outcome})
    (dora,) = [
        each
        for each in controls_of_drill(record.model_copy(update={"steps": (*record.steps, step)}))
        if each.control.startswith("DORA")
    ]
    assert dora.shown == shown
