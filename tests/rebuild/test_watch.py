"""Feast is ended when the registry's lock is lost, and not only asked before it begins."""

import time
from threading import Event

import pytest

from drkeeper._rebuild.watch import ended_with
from drkeeper.applications._sdk import Limits, run_task
from drkeeper.errors import Interrupted, LeaseLost
from sdk.models import misbehaving, told


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A task that takes five minutes."""
    folder = tmp_path_factory.mktemp("models")
    model = misbehaving(folder / "misbehaving")
    return {"folder": str(model), "input": told("sleep", str(folder / "pids"))}


def test_a_task_ends_when_what_it_needs_is_lost(slow):
    until = time.monotonic() + 3

    def admit():
        if time.monotonic() > until:
            raise LeaseLost("lock registry was lost")

    began = time.monotonic()
    with pytest.raises(LeaseLost, match="lock registry"), ended_with(Event(), admit) as ended:
        run_task("predict", slow, limits=Limits(seconds=200), stop=ended)
    assert time.monotonic() - began < 60


def test_a_word_to_stop_is_passed_on(slow):
    stop = Event()
    stop.set()
    with pytest.raises(Interrupted), ended_with(stop, lambda: None) as ended:
        run_task("predict", slow, limits=Limits(seconds=200), stop=ended)


def test_what_ends_by_itself_ends_well():
    with ended_with(Event(), lambda: None) as ended:
        assert not ended.is_set()
