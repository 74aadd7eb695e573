"""The daemon does what the policy schedules, alone, and ends in order."""

import json
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime

import pytest

from drkeeper.errors import LeaseLost, SystemUnreachable
from drkeeper.scheduler import Job, run_jobs

SCHEDULES = 'schedules: {beat: "* * * * *", backup: "* * * * *"}\n'
TURN_SECONDS = 0.4


@pytest.mark.slow
def test_the_daemon_beats_and_backs_up_on_schedule_and_ends_at_sigterm(platform):
    platform.write_policy(more=SCHEDULES)
    daemon = platform.start("run", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 100
        while not any((platform.folder / "vault/there/points").glob("*.json")) and time.monotonic() < deadline:
            assert daemon.poll() is None, daemon.communicate()
            time.sleep(0.2)
        rival = platform.run("run", code=11)
        assert "holds the lease scheduler" in rival.stderr
    finally:
        daemon.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, log = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, log
    assert time.monotonic() - began < 20
    events = {(line["event"], line.get("job")) for line in map(json.loads, filter(None, log.splitlines()))}
    assert {("job done", "beat"), ("job done", "backup"), ("scheduler stopped", None)} <= events
    assert platform.cache().exists("drkeeper:heartbeat")
    assert len(platform.json("points")) >= 1


def run_for(jobs, turns, **more):
    stop = threading.Event()
    threading.Timer(turns * TURN_SECONDS, stop.set).start()
    run_jobs(jobs, stop, **more)


class ManyTurns:
    """In the place of a cron line: five fields know no seconds."""

    @pytest.fixture(autouse=True)
    def turns(self, monkeypatch):
        from apscheduler.triggers.interval import IntervalTrigger

        from drkeeper import scheduler

        class Trigger:
            @staticmethod
            def from_crontab(_cron, timezone):
                return IntervalTrigger(seconds=TURN_SECONDS, timezone=timezone, start_date=datetime.now(UTC))

        monkeypatch.setattr(scheduler, "CronTrigger", Trigger)


class TestJobs(ManyTurns):
    def test_jobs_run_one_at_a_time_and_heartbeats_beside_them(self):
        busy, overlaps, beats_meanwhile = threading.Event(), [], []

        def work(_stop):
            overlaps.append(busy.is_set())
            busy.set()
            time.sleep(1.5 * TURN_SECONDS)
            busy.clear()

        run_for(
            {
                "backup": Job("backup", "", work),
                "prune": Job("prune", "", work),
                "beat": Job("beat", "", lambda _: beats_meanwhile.append(busy.is_set()), beside=True),
            },
            5,
        )
        assert len(overlaps) >= 2
        assert not any(overlaps)
        assert any(beats_meanwhile)

    def test_runs_that_were_missed_behind_a_long_job_are_made_up_once(self):
        runs = []

        def slow(_stop):
            time.sleep(3.2 * TURN_SECONDS)

        run_for({"drill": Job("drill", "", slow), "backup": Job("backup", "", lambda _: runs.append(1))}, 4)
        assert 1 <= len(runs) <= 3

    def test_a_job_that_fails_does_not_end_the_daemon(self):
        runs = []

        def fail(_stop):
            runs.append(1)
            raise SystemUnreachable("gone")

        run_for({"backup": Job("backup", "", fail)}, 3)
        assert len(runs) >= 2

    def test_a_daemon_that_lost_its_lease_stops_and_does_nothing_more(self):
        runs = []

        def lost():
            raise LeaseLost("somebody else has it")

        began = time.monotonic()
        run_for({"backup": Job("backup", "", lambda _: runs.append(1))}, 100, check_alone=lost)
        assert time.monotonic() - began < 10
        assert runs == []
