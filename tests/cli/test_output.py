"""How results and progress look."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from drkeeper.cli.output import Column, human_duration, human_size, human_time, show
from drkeeper.cli.progress import Bars, Lines, progress
from drkeeper.progress import Silent

COLUMNS = (
    Column("id"),
    Column("size_bytes", "SIZE", form=human_size, right=True),
    Column("proof.level", "PROOF"),
    Column("note", wide=True),
)
ROWS = [
    {"id": "a1", "size_bytes": 1_234_567, "proof": {"level": "stored"}, "note": "first"},
    {"id": "b22", "size_bytes": 12, "proof": None, "note": "a\nb\x1b[31mred"},
]


def shown(value, output):
    out = io.StringIO()
    show(value, output, COLUMNS, stream=out)
    return out.getvalue()


def test_a_table_is_as_wide_as_its_cells_and_cuts_nothing_off():
    assert shown(ROWS, "table") == (
        "ID     SIZE  PROOF\n"
        "a1   1.2 MB  stored\n"
        "b22    12 B  -\n"
    )  # fmt: skip


def test_wide_adds_columns_and_what_steers_a_terminal_is_left_out():
    last = shown(ROWS, "wide").splitlines()[-1]
    assert last == "b22    12 B  -       a b [31mred"


def test_an_empty_table_is_its_heading():
    assert shown([], "table") == "ID  SIZE  PROOF\n"


def test_a_record_is_one_line_a_column():
    assert shown(ROWS[0], "table") == "Id     a1\nSize   1.2 MB\nProof  stored\n"
    out = io.StringIO()
    show({"rto_seconds": 5}, "table", [Column("rto_seconds", "RTO")], stream=out)
    assert out.getvalue() == "RTO  5\n"


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_json_and_yaml_hold_everything_as_data(output):
    at = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)
    rows = [{"z": 1, "at": at, "took": timedelta(seconds=90), "tuple": (1, None), "text": "é: yes"}]
    text = shown(rows, output)
    data = json.loads(text) if output == "json" else YAML(typ="safe").load(text)
    assert data == [{"z": 1, "at": data[0]["at"], "took": 90.0, "tuple": [1, None], "text": "é: yes"}]
    assert list(data[0]) == ["z", "at", "took", "tuple", "text"]
    assert str(data[0]["at"]).startswith("2026-03-01")
    if output == "json":
        assert data[0]["at"] == "2026-03-01T02:03:04Z"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_999, "1.0 MB"),
        (5e15, "5.0 PB"),
    ],
)
def test_a_size_reads_well(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.44, "0.4s"),
        (12.4, "12s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (7800, "2h10m"),
        (443_000, "5d3h"),
        (-1, "0.0s"),
    ],
)
def test_a_duration_reads_well(seconds, text):
    assert human_duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_duration_is_always_short(seconds):
    assert len(human_duration(seconds)) <= 8


def test_a_time_is_to_the_second_and_utc():
    assert human_time(datetime(2026, 3, 1, 2, 3, 4, 999, tzinfo=UTC)) == "2026-03-01 02:03:04Z"


# --- progress --------------------------------------------------------------------------------------------


def events(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_off_a_terminal_progress_is_json_lines_with_rate_and_time_left():
    out = io.StringIO()
    lines = Lines(out, seconds_between=0)
    lines.begin("db/mlflow.dump", 1000)
    lines.advance("db/mlflow.dump", 250)
    lines.end("db/mlflow.dump")
    begin, step, end = events(out)
    assert begin == {"event": "begin", "task": "db/mlflow.dump", "total_bytes": 1000}
    assert step["event"] == "progress"
    assert (step["bytes"], step["total_bytes"]) == (250, 1000)
    assert step["bytes_per_second"] > 0
    assert step["eta_seconds"] >= 0
    assert (end["event"], end["outcome"], end["bytes"]) == ("end", "done", 250)


def test_lines_are_at_most_one_every_two_seconds_a_task():
    out = io.StringIO()
    lines = Lines(out)
    for _ in range(1000):
        lines.advance("a", 1)
    lines.end("a", "failed")
    [end] = events(out)
    assert (end["bytes"], end["outcome"]) == (1000, "failed")


def test_a_total_that_was_too_small_leaves_the_time_left_open():
    out = io.StringIO()
    lines = Lines(out, seconds_between=0)
    lines.begin("a", 10)
    lines.advance("a", 20)
    assert events(out)[-1]["eta_seconds"] is None


def test_threads_do_not_tear_lines():
    out = io.StringIO()
    lines = Lines(out, seconds_between=0)

    def work(name):
        lines.begin(name)
        for _ in range(200):
            lines.advance(name, 1)
        lines.end(name)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event["bytes"] for event in events(out) if event["event"] == "end"] == [200] * 4


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_are_bars():
    out = Terminal()
    with progress(stream=out) as told:
        assert isinstance(told, Bars)
        told.begin("cache/dump.rdb", 2_000_000)
        told.advance("cache/dump.rdb", 1_000_000)
        told.end("cache/dump.rdb")
        told.advance("surprise", 5)
        told.end("surprise", "failed")
    assert "cache/dump.rdb" in out.getvalue()
    assert "failed" in out.getvalue()


def test_quiet_progress_says_nothing():
    out = Terminal()
    with progress(quiet=True, stream=out) as told:
        assert isinstance(told, Silent)
    assert out.getvalue() == ""


def test_off_a_terminal_lines_are_chosen():
    out = io.StringIO()
    with progress(stream=out) as told:
        assert isinstance(told, Lines)
