"""The status page says what is known and no more; a browser shows it at once, asks nobody else, and counts it up."""

import hashlib
import re
import threading
import time
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

import status_examples
from drkeeper._exporter.http import Looked, Page, Server
from drkeeper.known import BackupRun, BackupRuns
from drkeeper.outlook import outlooks
from drkeeper.report.status_page import answered, content_security, render_page
from drkeeper.schedules import Cron
from drkeeper.status import build_status
from status_examples import EXAMPLES, NOW, at_work, away, in_trouble, new
from webdriver import DESKTOP, PHONE, driver, window


def status_of(known, now=NOW):
    return build_status(known, outlooks(known, now), now)


def page_of(known, now=NOW):
    return render_page(status_of(known, now), 60)


# --- what it says ---


def test_a_platform_at_work_needs_no_attention():
    status = status_of(at_work())
    assert (status.tone, status.notes) == ("good", ())
    assert [line.newest for line in status.levels] == [True, False, False, False]
    assert all(line.until and not line.lost_whole for line in status.systems)
    assert {line.state for line in status.scenarios} == {"well"}
    assert status.drills[0].scenario == "registry-corrupted"


def test_what_is_wrong_comes_first_and_says_what_to_do():
    status = status_of(in_trouble())
    assert status.tone == "bad"
    assert [note.tone for note in status.notes] == sorted(
        (note.tone for note in status.notes), key=lambda tone: tone != "bad"
    )
    assert all(note.action.startswith("drkeeper ") for note in status.notes)
    said = "\n".join(note.text for note in status.notes)
    for words in (
        "more than the RPO of 30 min", "is not there", "re-test by 2026-11-16", "96% full", "does not answer",
        "online-store is failed", "of 668 backups", "would not come back", "2 objects not copied",
    ):  # fmt: skip
        assert words in said, words


def test_close_to_the_rpo_is_a_warning_and_over_it_is_bad():
    for minutes, tone in ((16, "good"), (17, "warn"), (23, "bad")):
        known = at_work(expected=status_examples.expected(backup=None))
        assert status_of(known, NOW + timedelta(minutes=minutes)).tone == tone, minutes


def test_what_a_lost_region_takes_along_is_told():
    only_here = [
        replace(region, point_ids=frozenset()) if not region.primary else region for region in at_work().regions
    ]
    line = status_of(at_work(regions=only_here)).systems[0]
    assert (line.lost_whole, line.lost_region) == (True, "eu-central")
    older = [
        region if region.primary else replace(region, point_ids=region.point_ids - {at_work().newest.point_id})
        for region in at_work().regions
    ]
    line = status_of(at_work(regions=older)).systems[0]
    assert (line.lost_whole, line.lost_region) == (False, "eu-central")
    assert line.until - line.worst_until == timedelta(minutes=15)


def test_a_new_vault_and_one_that_is_away_claim_nothing():
    fresh, gone = status_of(new()), status_of(away())
    assert fresh.tone == gone.tone == "bad"
    assert not any(line.newest or line.proven_at for line in (*fresh.levels, *gone.levels))
    assert all(line.p50_seconds is None and line.loss_seconds is None for line in fresh.scenarios)
    assert gone.scenarios == ()
    assert "cannot be read" in gone.notes[0].text


def test_a_plan_of_each_scenario_is_made_from_the_catalog_alone():
    lines = {line.name: line for line in status_of(at_work()).scenarios}
    lost = lines["region-lost"]
    assert {way.system: way.way for way in lost.ways}["artifacts"] == "fail over"
    assert {way.system: way.way for way in lost.ways}["tracking-db"] == "restore elsewhere"
    assert any(stretch.does == "relocate tracking" for stretch in lost.stretches)
    assert lost.p50_seconds == pytest.approx(
        max(s.left + s.width for s in lost.stretches) / 100 * lost.p50_seconds, rel=0.02
    )
    assert 0 < lost.loss_seconds < 1800
    corrupted = lines["database-corrupted"]
    assert corrupted.stretches[0].does.startswith("take an undo point of tracking-db")
    assert {way.system for way in corrupted.ways} == {"tracking-db"}


def test_a_region_that_lacks_the_newest_point_gives_back_the_one_before_it():
    known = at_work()
    older = status_examples.point(10, NOW - timedelta(minutes=23))
    behind = replace(known, whole={**known.whole, "eu-north": older})
    line, whole = (
        next(each for each in status_of(one).scenarios if each.name == "region-lost") for one in (behind, known)
    )
    assert (line.stuck, line.why_not) == ((), "")
    assert line.loss_seconds - whole.loss_seconds == pytest.approx(900)
    assert status_of(replace(known, whole={"eu-central": older})).scenarios[0].stuck


def test_without_the_key_nothing_of_the_vault_is_counted_on():
    known = at_work()
    sealed = tuple(replace(each, sealed=True) for each in known.expected.scenarios)
    line = status_of(replace(known, expected=replace(known.expected, scenarios=sealed))).scenarios[0]
    assert {way.way for way in line.ways} == {"fail over"}
    assert "no key" in line.why_not


def test_backups_that_did_not_run_count_as_failed_and_what_is_not_known_does_not_count():
    def line(**more):
        known = at_work(expected=status_examples.expected(backup=Cron.parse("0 2 * * *")), **more)
        found = {each.window: (each.whole, each.expected) for each in status_of(known).backups}
        return found.get("7 days")

    nights = [BackupRun(NOW - timedelta(days=n, hours=10), "whole") for n in range(6, -1, -1)]
    week = NOW - timedelta(days=7)
    assert line(backups=BackupRuns(week, nights)) == (7, 7)
    assert line(backups=BackupRuns(week, [*nights[:3], *nights[5:]])) == (5, 7)
    assert line(backups=BackupRuns(week, [*nights[:-1], replace(nights[-1], outcome="at work")])) == (6, 6)
    assert line(backups=BackupRuns(week, [replace(nights[-1], outcome="at work")])) == (0, 6)
    assert line(backups=BackupRuns(nights[-1].began_at, [replace(nights[-1], outcome="at work")])) is None
    assert line(backups=BackupRuns(week + timedelta(days=1), nights[1:], cut=True)) is None
    assert line(backups=BackupRuns(week + timedelta(days=1), nights[1:])) == (6, 6)
    assert line(backups=None) is None


# --- the page ---


class Tags(HTMLParser):
    """Every attribute that could load something."""

    def __init__(self, text):
        super().__init__()
        self.loads = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        wanted = {"src", "href", "srcset", "action", "data", "poster"}
        self.loads += [value for name, value in attrs if name in wanted and tag != "a"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_page_loads_nothing_and_names_nothing_elsewhere(example):
    page = page_of(EXAMPLES[example]())
    assert Tags(page).loads == ["data:,"]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page.replace("@served@", ""))
    assert len(page) < 60_000


def test_hostile_names_are_text():
    known = at_work()
    systems = {'<script>alert("x")</script>': "postgres", **known.systems}
    page = page_of(replace(known, systems=systems))
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(" in page


def test_many_systems_and_points_make_no_long_page():
    known = at_work()
    systems = {f"database-{number}": "postgres" for number in range(200)}
    assert len(page_of(replace(known, systems={**known.systems, **systems}))) < 250_000


# --- in a browser ---


@pytest.fixture(scope="module")
def chromium():
    with driver() as address:
        yield address


@pytest.fixture
def site():
    """Serves one page as the exporter does."""
    started = []

    def serve(known):
        page = Page(lambda: Looked("", page_of(known)), 3600)
        server, stop = Server(("127.0.0.1", 0), page), threading.Event()
        threads = [
            threading.Thread(target=page.keep_fresh, args=(stop,)),
            threading.Thread(target=server.serve_forever),
        ]
        for thread in threads:
            thread.start()
        started.append((server, stop, threads))
        page.text()
        return "http://{}:{}/".format(*server.server_address)

    yield serve
    for server, stop, threads in started:
        stop.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def many(known, count=10_000):
    """The same with so many points, a quarter of an hour apart."""
    base = known.points[0]
    older = [
        replace(base, point_id=f"a{number:011x}", created_at=base.created_at - timedelta(minutes=15 * number))
        for number in range(1, count)
    ]
    ids = frozenset(each.point_id for each in older)
    regions = [replace(region, point_ids=region.point_ids | ids) for region in known.regions]
    return replace(known, points=[*older[::-1], *known.points], regions=regions)


def test_a_browser_shows_ten_thousand_points_at_once_on_a_screen_and_a_phone_and_asks_nobody_else(chromium, site):
    url = site(many(in_trouble()))
    for size, phone in ((DESKTOP, False), (PHONE, True)):
        with window(chromium, size, phone=phone) as browser:
            browser.open(url)
            assert browser.first_paint_seconds() <= 1
            browser.script("for (const each of document.querySelectorAll('details')) each.open = true")
            assert browser.too_wide() == 0, size
            assert browser.asked() == [url]
            assert browser.complaints() == []
            assert browser.script("return document.querySelectorAll('h2').length") >= 6


@pytest.fixture
def saved(tmp_path):
    """A page in a file, as it would be answered so many seconds after it was made."""

    def save(known, seconds):
        file = tmp_path / f"{seconds}.html"
        file.write_bytes(answered(page_of(known).encode(), NOW.timestamp() + seconds))
        return file.as_uri()

    return save


AGES = "return [...document.querySelectorAll('.exposure tbody tr')].map(r => [r.dataset.tone, r.querySelector('.age').textContent])"


def test_exposure_counts_up_by_the_clock_of_who_serves_it(chromium, saved):
    with window(chromium) as browser:
        browser.open(saved(at_work(), 7))
        tone, age = browser.script(AGES)[0]
        assert (tone, re.fullmatch(r"8 min (\d+) s", age) is not None) == ("good", True)
        deadline = time.monotonic() + 10
        while browser.script(AGES)[0][1] == age:
            assert time.monotonic() < deadline, "it stands still"
        browser.open(saved(at_work(), 17 * 60))
        assert {tone for tone, _ in browser.script(AGES)} == {"warn"}
        browser.open(saved(at_work(), 23 * 3600))
        assert browser.script(AGES)[0] == ["bad", "23 h 08 min"]


def test_without_scripts_it_can_be_read(chromium, saved):
    with window(chromium, script=False) as browser:
        browser.open(saved(at_work(), 3600))
        assert browser.script(AGES)[0] == [None, "8 min"]
        assert browser.script("return getComputedStyle(document.querySelector('.fill')).width") != "0px"
    assert '<noscript><meta http-equiv="refresh"' in page_of(at_work())


def test_the_script_that_is_allowed_is_the_one_in_the_page():
    (script,) = re.findall(r"<script>(.*?)</script>", page_of(at_work()), re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in content_security()
    assert "default-src 'none'" in content_security()


def test_the_moment_of_the_answer_is_in_the_answer():
    assert b'data-served="12.500"' in answered(page_of(at_work()).encode(), 12.5)
