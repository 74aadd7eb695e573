"""Feast is ended when the registry's lock is lost, and not only asked before it begins."""

import os
import time
from threading import Event

import pytest
from tests.rebuild.project import children

from drkeeper._rebuild.watch import ended_with
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._sdk import Limits, opened
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
    with opened("mlflow", limits=Limits(seconds=200)) as session:
        with pytest.raises(LeaseLost, match="lock registry"), ended_with(Event(), admit) as ended:
            session.ask("predict", slow, stop=ended)
        assert not session.ready
    assert time.monotonic() - began < 60


def test_a_word_to_stop_is_passed_on_and_ends_the_process_that_worked():
    stop = Event()
    stop.set()
    others = set(children(os.getpid()))
    with Feast(lambda: ({}, {}), Limits(seconds=200)) as feast:
        with pytest.raises(Interrupted), ended_with(stop, lambda: None) as ended:
            feast.ask("materialise", {"start": "", "end": ""}, stop=ended)
        assert set(children(os.getpid())) <= others


def test_what_ends_by_itself_ends_well():
    with ended_with(Event(), lambda: None) as ended:
        assert not ended.is_set()
