"""What must hold of any forecast, whatever the history; and how steps share the time."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkeeper.durations import student_quantile
from drkeeper.facts import Facts
from drkeeper.forecast import History, Limits, Run, amount_of, forecast_step, makespan, schedule, total
from drkeeper.rates import RATES, rates
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.report.accuracy import accuracy
from drkeeper.report.record import Forecast

KINDS = st.sampled_from(["postgres", "redis", "objects", "kubernetes", "some-kind"])
VERBS = st.sampled_from(["load", "switch", "verify", "prove", "provision", "undo"])
SIZES = st.integers(0, 1 << 44)
COUNTS = st.integers(0, 1 << 34)
RUNS = st.builds(
    Run,
    kind=st.just("postgres"),
    verb=st.sampled_from(["load", "verify"]),
    size_bytes=SIZES,
    elapsed_seconds=st.floats(0, 1e6),
    count=COUNTS,
)
HISTORIES = st.lists(RUNS, max_size=12)


@settings(deadline=None)
@given(KINDS, VERBS, HISTORIES, SIZES, COUNTS)
def test_a_forecast_is_positive_finite_and_in_order(kind, verb, history, size, count):
    forecast = forecast_step(kind, verb, size, history, count=count)
    assert 0 < forecast.p50_seconds <= forecast.p90_seconds < math.inf


@settings(deadline=None)
@given(HISTORIES, SIZES, SIZES, COUNTS, COUNTS)
def test_more_to_do_never_takes_less_time(history, size, more, count, further):
    smaller = forecast_step("postgres", "load", size, history, count=count)
    larger = forecast_step("postgres", "load", size + more, history, count=count + further)
    assert smaller.p50_seconds <= larger.p50_seconds
    assert smaller.p90_seconds <= larger.p90_seconds


@settings(deadline=None)
@given(HISTORIES, st.randoms(use_true_random=False), SIZES)
def test_the_order_of_the_history_does_not_matter(history, chance, size):
    shuffled = list(history)
    chance.shuffle(shuffled)
    assert forecast_step("postgres", "load", size, shuffled) == forecast_step("postgres", "load", size, history)


@settings(deadline=None)
@given(st.integers(4, 10), st.floats(0.02, 1e4), st.integers(20, 34), st.floats(1e-3, 1e3))
def test_one_run_that_is_far_off_is_remembered_and_does_not_explode(runs, seconds, power, times):
    history = [Run("postgres", "load", 1 << power, seconds * (1 + number / 50)) for number in range(runs)]
    calm = forecast_step("postgres", "load", 1 << power, history)
    shaken = forecast_step(
        "postgres", "load", 1 << power, [replace(history[0], elapsed_seconds=seconds * times), *history[1:]]
    )
    assert calm.p50_seconds / 1.6 <= shaken.p50_seconds <= calm.p50_seconds * 1.6
    assert shaken.p90_seconds <= calm.p90_seconds * 5


@pytest.mark.parametrize(("kind", "verb"), [*RATES, ("some-kind", "load"), ("some-kind", "switch")])
def test_without_history_measured_defaults_apply_and_the_words_say_so(kind, verb):
    forecast = forecast_step(kind, verb, 1 << 30, [], count=100_000)
    expected = rates(kind, verb)
    least = expected.fixed_seconds + ((1 << 30) / expected.bytes_per_second if expected.bytes_per_second else 0)
    assert forecast.basis == "no history"
    assert forecast.p50_seconds >= round(least, 3)
    assert forecast.p90_seconds == pytest.approx(2 * forecast.p50_seconds, abs=0.002)


def test_another_kinds_runs_teach_nothing():
    assert forecast_step("postgres", "load", 1, [Run("redis", "load", 1, 1.0)]).basis == "no history"


def test_a_fixed_part_and_a_rate_are_found():
    history = [Run("postgres", "load", size * 10**9, 5 + size * 20) for size in (1, 2, 4, 8)]
    assert forecast_step("postgres", "load", 16 * 10**9, history).p50_seconds == pytest.approx(325, rel=0.1)
    assert forecast_step("postgres", "load", 0, history).p50_seconds < 12


def test_time_that_goes_with_rows_is_not_taken_for_one_that_goes_with_bytes():
    """Bytes stay as they are, rows grow: only who looks at rows can tell what twice as many take."""
    history = [Run("postgres", "verify", 10**9, rows / 1e6, count=rows) for rows in (10**6, 2 * 10**6, 4 * 10**6)]
    forecast = forecast_step("postgres", "verify", 10**9, history, count=8 * 10**6)
    assert forecast.p50_seconds == pytest.approx(8, rel=0.15)


def test_runs_from_before_rows_were_counted_do_not_hide_what_rows_take():
    old = [Run("postgres", "verify", 0, 1.0)] * 5
    new = [Run("postgres", "verify", 10**9, rows / 1e6, count=rows) for rows in (10**6, 4 * 10**6, 16 * 10**6)]
    forecast = forecast_step("postgres", "verify", 10**9, [*old, *new], count=16 * 10**6)
    assert forecast.p50_seconds == pytest.approx(16, rel=0.15)


def test_few_runs_promise_little():
    width = [
        forecast.p90_seconds / forecast.p50_seconds
        for runs in (1, 2, 5, 20)
        if (forecast := forecast_step("postgres", "load", 1 << 30, [Run("postgres", "load", 1 << 30, 60.0)] * runs))
    ]
    assert width == sorted(width, reverse=True)
    assert width[0] > 2
    assert width[-1] < 1.2


def test_what_is_far_from_all_that_was_seen_is_less_certain():
    history = History(Run("postgres", "load", 10**8, seconds) for seconds in (20.0, 21.0, 19.5, 20.5, 20.2))
    near, far = (forecast_step("postgres", "load", size, history) for size in (10**8, 10**11))
    assert far.p90_seconds / far.p50_seconds > 1.2 * near.p90_seconds / near.p50_seconds


@pytest.mark.parametrize(
    ("freedom", "share", "reach"), [(2, 0.9, 1.886), (4, 0.9, 1.533), (6, 0.95, 1.943), (30, 0.9, 1.310)]
)
def test_students_quantiles_are_those_of_the_tables(freedom, share, reach):
    assert student_quantile(share, freedom) == pytest.approx(reach, rel=0.03)
    assert student_quantile(0.5, freedom) == pytest.approx(0, abs=1e-6)
    assert student_quantile(share, 10**6) == pytest.approx(NormalDist().inv_cdf(share), abs=1e-3)


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        (["no history", "no history"], "no history"),
        (["no history", "5 earlier runs"], "no history for 1 of 2 steps"),
        (["1 earlier run", "5 earlier runs"], "1 to 5 earlier runs"),
        (["1 to 5 earlier runs", "7 earlier runs"], "1 to 7 earlier runs"),
        (["1 earlier run", "3 earlier rebuilds"], "1 earlier run; 3 earlier rebuilds"),
        ([], "no steps"),
    ],
)
def test_a_whole_says_what_its_parts_rest_on(bases, expected):
    whole = total([Forecast(p50_seconds=1, p90_seconds=2, basis=basis) for basis in bases])
    assert (whole.basis, whole.p50_seconds, whole.p90_seconds) == (expected, len(bases), 2 * len(bases))


def test_what_there_is_to_restore_is_counted_by_what_a_point_says():
    def record(facts, size=10):
        stream = StreamRecord(name="data", ref=StreamRef(index_id="ab", size_bytes=size, frame_count=1), stored_bytes=0)
        return SystemRecord(name="one", kind="k", status="complete", streams=(stream,), facts=facts)

    tables = {
        "mlflow.public.runs.rows": 7,
        "mlflow.public.tags.rows": 5,
        "mlflow.encoding": "UTF8",
        "x.populated": True,
    }
    assert amount_of(record(Facts(exact=tables))) == (10, 12)
    assert amount_of(record(Facts(bounds={"keys": (3, 9), "db0.keys": (3, 9)}))) == (10, 9), "each key once"
    assert amount_of(record(Facts(exact={"objects": 4, "bytes": 4096}))) == (4096, 4), "a bucket's bytes are no stream"
    assert amount_of(record(Facts(bounds={"count.v1/ConfigMap": (2, 3)}))) == (10, 3)
    assert amount_of(record(Facts())) == (10, 0)


# --- steps beside one another ---


@dataclass(frozen=True)
class Step:
    step_id: str
    forecast: Forecast
    after: tuple[str, ...] = ()


def step(step_id, seconds, *after):
    return Step(step_id, Forecast(p50_seconds=seconds, p90_seconds=2 * seconds, basis="5 earlier runs"), after)


def test_steps_that_wait_for_nothing_run_side_by_side_and_the_others_one_after_the_other():
    steps = [step("a", 4), step("b", 3), step("c", 2, "a", "b"), step("d", 1, "c", "not in this plan")]
    assert makespan(steps, Limits()) == Forecast(p50_seconds=7, p90_seconds=14, basis="5 earlier runs")
    assert makespan(steps, Limits(), until=["b", "c"]) == Forecast(
        p50_seconds=6, p90_seconds=12, basis="5 earlier runs"
    )
    assert {name: span.start_seconds for name, span in schedule(steps, Limits()).items()} == {
        "a": 0,
        "b": 0,
        "c": 4,
        "d": 6,
    }


def test_limits_make_it_longer():
    steps = [step(name, 2) for name in "abcd"]
    hosts = {"a": "one", "b": "one", "c": "one", "d": "other"}
    assert makespan(steps, Limits(at_once=4)).p50_seconds == 2
    assert makespan(steps, Limits(at_once=1)).p50_seconds == 8
    assert makespan(steps, Limits(at_once=4, at_once_per_host=1, hosts=hosts)).p50_seconds == 6
    assert makespan(steps, Limits(at_once=2, at_once_per_host=1, hosts=hosts)).p50_seconds == 6


def test_no_steps_take_no_time_and_a_circle_is_refused():
    assert makespan([], Limits()) == Forecast(p50_seconds=0, p90_seconds=0, basis="no steps")
    with pytest.raises(ValueError, match="wait for one another: a, b"):
        makespan([step("a", 1, "b"), step("b", 1, "a")], Limits())


@st.composite
def graphs(draw):
    """Steps that wait for some of those before them."""
    seconds = draw(st.lists(st.floats(0, 1000), min_size=1, max_size=12))
    return [
        step(
            f"{number}",
            each,
            *(f"{other}" for other in draw(st.sets(st.integers(0, number - 1))) if number) if number else (),
        )
        for number, each in enumerate(seconds)
    ]


@settings(deadline=None)
@given(graphs(), st.integers(1, 4), st.integers(1, 3))
def test_a_schedule_keeps_order_and_limits_and_wastes_nothing(steps, at_once, per_host):
    hosts = {each.step_id: "host" for each in steps[::2]}
    spans = schedule(steps, Limits(at_once, per_host, hosts))
    for each in steps:
        assert all(spans[name].end_seconds <= spans[each.step_id].start_seconds for name in each.after)
    for moment in {span.start_seconds for span in spans.values()}:
        running = {name for name, span in spans.items() if span.start_seconds <= moment < span.end_seconds}
        assert len(running) <= at_once
        assert len(running & hosts.keys()) <= per_host
    whole = makespan(steps, Limits(at_once, per_host, hosts))
    assert whole.p50_seconds <= sum(each.forecast.p50_seconds for each in steps) + 1e-3
    assert whole.p50_seconds <= whole.p90_seconds


# --- predicted against actual ---


@pytest.mark.parametrize(
    ("ratios", "within", "direction"),
    [
        ((), 0, "too few to tell"),
        ((1.0, 1.6, None), 1, "too few to tell"),
        ((2.0, 0.5, 1.1, 0.9), 3, "improving"),
        ((1.1, 1.0, 3.0, 2.5), 2, "worsening"),
        ((1.2, 1.2, 1.2, 1.0, 1.2), 5, "steady"),
    ],
)
def test_how_well_drills_were_predicted(ratios, within, direction):
    found = accuracy((ratio and 40 * ratio, 40, 60) for ratio in ratios)
    assert found.ratios == tuple(ratio for ratio in ratios if ratio)
    assert (found.within, found.direction) == (within, direction)
