"""Time from the loss to the service: stretches that follow one another, whatever wall clocks do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from drkeeper.phases import Told, Worked, offsets, phases, worked

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@dataclass
class Entry:
    event: str
    wall: float
    since_seconds: float | None = None
    step_id: str = ""

    @property
    def at(self):
        return NOON + timedelta(seconds=self.wall)


JOURNAL = [
    Entry("planned", 0, 0.0),
    Entry("started", 1, 1.0, "load:a"),
    Entry("done", 11, 11.0, "load:a"),
    Entry("paused", 12, 12.0),
    Entry("continued", 42, 42.0),
    Entry("started", 42, 42.0, "switch:a"),
    Entry("done", 44, 44.0, "switch:a"),
    Entry("done", 47, 47.0, "verify:a"),
    Entry("finished", 48, 48.0),
]


def test_a_restore_is_over_when_its_last_change_is_and_pauses_are_time_of_people():
    assert worked(JOURNAL, {"verify:a"}) == Worked(44.0, 4.0, restore_waited_seconds=30.0)


def test_a_wall_clock_that_jumps_changes_nothing_and_never_makes_time_negative():
    jumped = [
        Entry(e.event, e.wall - 7200 if place > 2 else e.wall, e.since_seconds, e.step_id)
        for place, e in enumerate(JOURNAL)
    ]
    assert worked(jumped, {"verify:a"}) == worked(JOURNAL, {"verify:a"})
    older = [Entry(e.event, e.wall, None, e.step_id) for e in jumped]
    assert offsets(older) == sorted(offsets(older))
    assert worked(older, {"verify:a"}).restore_seconds >= 0


def test_how_long_a_restore_lay_broken_is_time_of_people_told_by_wall_clocks():
    broken = [
        *JOURNAL[:3],
        Entry("resumed", 311, 0.0),
        Entry("done", 320, 9.0, "switch:a"),
        Entry("finished", 321, 10.0),
    ]
    assert worked(broken, ()) == Worked(320.0, 1.0, restore_waited_seconds=300.0)
    back = [
        *JOURNAL[:3],
        Entry("resumed", -500, 0.0),
        Entry("done", -490, 9.0, "switch:a"),
        Entry("finished", -489, 10.0),
    ]
    assert worked(back, ()) == Worked(20.0, 1.0)


def test_the_six_phases_say_what_was_measured_and_why_the_rest_was_not():
    told = Told(lost_at=NOON - timedelta(hours=1), detected_at=NOON - timedelta(minutes=20), people_seconds=90.0)
    found = phases(told, worked(JOURNAL, {"verify:a"}), begun_at=NOON, usable=True)
    assert [(each.name, each.seconds, each.people_seconds) for each in found] == [
        ("detect", 2400.0, 0.0),
        ("decide", 1200.0, 90.0),
        ("provision", None, 0.0),
        ("restore", 44.0, 30.0),
        ("verify", 4.0, 0.0),
        ("serve", 0.0, 0.0),
    ]
    assert all(each.note for each in found if each.seconds is None)


def test_what_nobody_said_is_not_measured_and_impossible_times_are_named():
    nothing = phases(Told(asked_at=NOON), Worked(1.0, 1.0), begun_at=NOON + timedelta(seconds=5))
    assert nothing[0].seconds is None
    assert nothing[1].seconds == 5.0
    assert "nobody said" in nothing[1].note
    assert nothing[5].seconds is None
    early = phases(Told(lost_at=NOON, detected_at=NOON - timedelta(hours=1)), Worked(1.0, 1.0), begun_at=NOON)
    assert early[0].seconds == 0.0
    assert "before it happened" in early[0].note
