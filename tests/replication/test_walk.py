"""Around the ring: whatever the shares, and wherever a run is killed, each object is read once in each circle."""

import string
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drkeeper.buckets.listed import Listed
from drkeeper.replication import ring
from drkeeper.replication import walk as walking
from drkeeper.replication.rehash import Rehashed
from drkeeper.replication.ring import FULL, length_of, place_of, ring_of
from drkeeper.replication.walk import begun, first, leg_end, looked_again, moved

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = st.lists(st.text(string.ascii_lowercase + "/", min_size=1, max_size=6), unique=True, max_size=40)
SHARES = st.sampled_from([0.03, 0.2, 0.5, 1.0])


def listed(key, etag="e"):
    return Listed(key, len(key), etag, "2026-01-01T00:00:00Z")


def after(seconds):
    return START + timedelta(seconds=seconds)


class Story:
    """A bucket that is walked around, now and then by a run that is killed."""

    def __init__(self, keys, most):
        self.keys = keys
        self.most = most
        self.read = []
        self.circles = []
        self.now = START
        self.walk = first(START)

    def run(self, share, killed_after):
        """So many notes are written; then the run is killed, in the middle of what comes next."""
        self.walk = begun(self.walk, share, self.now)
        while self.walk.left:
            with ring_of(map(listed, self.keys), self.walk.cursor, leg_end(self.walk)) as objects:
                stretch = objects.stretch(self.walk.cursor, self.most)
            if killed_after == 0:
                return
            killed_after -= 1
            self.now += timedelta(seconds=1)
            came = [Rehashed(one, "intact") for _, one in stretch.objects]
            self.read += [one.key for _, one in stretch.objects]
            ended = self.walk.last_circle
            self.walk = moved(self.walk, stretch.end, came, self.now)
            if self.walk.last_circle is not ended:
                self.circles.append(self.walk.last_circle)


@settings(max_examples=200, deadline=None)
@given(keys=KEYS, runs=st.lists(st.tuples(SHARES, st.integers(0, 30)), max_size=30), most=st.integers(1, 9))
def test_each_object_is_read_exactly_once_in_each_circle(keys, runs, most):
    story = Story(keys, most)
    for share, killed_after in runs:
        story.run(share, killed_after)
    present = story.walk.circle.objects if story.walk.circle else 0
    assert [circle.objects for circle in story.circles] == [len(keys)] * len(story.circles)
    assert [circle.size_bytes for circle in story.circles] == [sum(map(len, keys))] * len(story.circles)
    assert len(story.read) == len(keys) * len(story.circles) + present
    counts = Counter(story.read)
    assert all(len(story.circles) <= counts[key] <= len(story.circles) + 1 for key in keys)
    assert all(one.ended_at >= one.began_at for one in story.circles)


@settings(max_examples=100, deadline=None)
@given(keys=KEYS, share=SHARES, killed_after=st.integers(0, 5), most=st.integers(1, 9))
def test_a_run_that_was_killed_is_finished_by_the_next_one_of_the_same_share(keys, share, killed_after, most):
    killed, whole = Story(keys, most), Story(keys, most)
    whole.run(share, -1)
    killed.run(share, killed_after)
    assume(killed.walk.left)
    killed.run(share, -1)
    assert killed.read == whole.read
    assert (killed.walk.cursor, killed.walk.objects) == (whole.walk.cursor, whole.walk.objects)


def test_a_run_that_asks_for_another_share_gets_all_of_it():
    walk = begun(first(START), 1.0, START)
    walk = moved(walk, FULL // 4, [], after(1))
    walk = begun(walk, 0.5, after(2))
    assert (walk.cursor, walk.left, walk.objects) == (FULL // 4, FULL // 2, 0)


def test_a_thirtieth_each_day_is_once_around_in_a_month():
    walk = first(START)
    for day in range(30):
        walk = begun(walk, 1 / 30, after(86_400 * day))
        while walk.left:
            walk = moved(walk, leg_end(walk), [], after(86_400 * day + 60))
    assert (walk.cursor, walk.circle) == (0, None)
    assert (walk.last_circle.began_at, walk.last_circle.ended_at) == (START, after(86_400 * 29 + 60))


def test_places_spread_evenly_and_never_change():
    quarters = Counter(place_of(f"models/{number}/model.pkl") * 4 // FULL for number in range(4000))
    assert set(quarters) == {0, 1, 2, 3}
    assert all(900 < count < 1100 for count in quarters.values())
    assert place_of("models/a") == 10049787050695361542
    assert length_of(1.0) == FULL
    assert length_of(1e-30) == 1


@settings(max_examples=100, deadline=None)
@given(keys=KEYS, most=st.integers(1, 50), bounds=st.tuples(st.integers(0, FULL - 1), st.integers(1, FULL)))
def test_a_stretch_leaves_nothing_out_before_its_end(keys, most, bounds):
    start, end = min(bounds), max(bounds)
    with ring_of(map(listed, keys), start, end) as objects:
        stretch = objects.stretch(start, most)
    there = sorted((place_of(key), key) for key in keys if start <= place_of(key) < stretch.end)
    assert [(place, one.key) for place, one in stretch.objects] == there
    assert len(there) <= most
    assert stretch.end == end or len(there) == most


def test_objects_of_one_place_are_not_torn_apart(monkeypatch):
    monkeypatch.setattr(ring, "place_of", len)
    with ring_of(map(listed, ["a", "bb", "cc", "dd", "eee"]), 0, FULL) as objects:
        found = [objects.stretch(start, 2) for start in (0, 2, 3)]
    assert [(each.end, [one.key for _, one in each.objects]) for each in found] == [
        (2, ["a"]),
        (3, ["bb", "cc", "dd"]),
        (FULL, ["eee"]),
    ]


def outcome(key, state, etag="e", detail="why"):
    return Rehashed(listed(key, etag), state, detail)


def test_damage_stays_known_until_it_is_seen_to_be_over():
    walk = moved(begun(first(START), 1.0, START), 10, [outcome("a", "damaged"), outcome("b", "damaged")], after(1))
    assert [(each.key, each.since) for each in walk.damaged] == [("a", after(1)), ("b", after(1))]
    walk = moved(walk, 20, [outcome("c", "intact")], after(2))
    assert len(walk.damaged) == 2
    walk = looked_again(walk, [outcome("a", "not checked"), outcome("b", "damaged", detail="worse")], after(3))
    assert [(each.key, each.since, each.detail) for each in walk.damaged] == [
        ("a", after(1), "why"),
        ("b", after(1), "worse"),
    ]
    walk = looked_again(walk, [outcome("a", "moved on"), outcome("b", "intact")], after(4))
    assert walk.damaged == ()


def test_another_object_of_the_same_name_is_damaged_since_now():
    walk = moved(begun(first(START), 1.0, START), 10, [outcome("a", "damaged")], after(1))
    walk = looked_again(walk, [outcome("a", "damaged", etag="f")], after(2))
    assert [(each.etag, each.since) for each in walk.damaged] == [("f", after(2))]


def test_more_damage_than_there_is_room_for_is_counted_until_a_circle_finds_none(monkeypatch):
    monkeypatch.setattr(walking, "DAMAGED_KEPT", 2)
    walk = begun(first(START), 1.0, START)
    walk = moved(walk, FULL, [outcome(key, "damaged") for key in "abcd"], after(1))
    assert ([each.key for each in walk.damaged], walk.overlooked) == (["a", "b"], 2)
    walk = looked_again(walk, [outcome(key, "intact") for key in "ab"], after(2))
    walk = moved(begun(walk, 0.5, after(3)), FULL // 2, [outcome("c", "damaged")], after(4))
    assert ([each.key for each in walk.damaged], walk.overlooked) == (["c"], 2)
    walk = looked_again(walk, [outcome("c", "intact")], after(5))
    walk = moved(begun(walk, 0.5, after(6)), FULL, [], after(7))
    assert (walk.damaged, walk.overlooked) == ((), 0)


def test_reasons_for_not_checking_are_counted_and_their_number_is_bounded(monkeypatch):
    monkeypatch.setattr(walking, "REASONS_KEPT", 2)
    came = [outcome(f"{number}", "not checked", detail=f"reason {number % 5}") for number in range(10)]
    walk = moved(begun(first(START), 1.0, START), 10, came, after(1))
    assert walk.unchecked == {"reason 0": 2, "reason 1": 2, "other reasons": 6}
    assert walk.objects == 0
