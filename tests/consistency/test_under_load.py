"""Points that are taken while MLflow and Feast never stop writing are closed: what is referred to, is there."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

import pytest
from tests.consistency.under_load import ARTIFACTS, DATABASE, ONLINE, REGISTRY, running_platform

from drkeeper.actions import back_up
from drkeeper.backup import Source, take_point
from drkeeper.lease import WRITE, hold
from drkeeper.locks import hold_lock
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.systems import Stream, System
from drkeeper.wiring import open_systems

POINTS = 20
CLOSED = {
    "tracking.versions.objects",
    "tracking.versions.files",
    "tracking.logged-models.objects",
    "tracking.tags.aliased-versions",
    "tracking.tags.runs",
    "features.registry.version",
    "features.views.sources",
    "features.views.entities",
    "features.services.references",
    "features.online.not_empty",
}
NOT_YET_REFERRED_TO = {"tracking.orphans.artifacts"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Taken:
    """A point, and from when until when it was taken, in seconds since the epoch."""

    point: RecoveryPoint
    began: float
    ended: float


@dataclass(frozen=True)
class Load:
    """Attributes:
    points: That drkeeper took.
    database_first, bucket_first: Points in whose middle a version was registered.
    waits: For locks in MLflow's database while all these were taken.
    waits_when_locked_out: The same, and of somebody who did take a lock.
    """

    points: list[Taken]
    database_first: RecoveryPoint
    bucket_first: RecoveryPoint
    waits: list[str]
    waits_when_locked_out: list[str]


@dataclass(frozen=True)
class ReadAtOnce:
    """A system all of which is read as it is frozen; then somebody writes, and only then the next one is frozen."""

    system: System
    somebody_writes: Callable[[], None]

    name = property(lambda self: self.system.name)
    kind = property(lambda self: self.system.kind)

    @contextmanager
    def freeze(self):
        with self.system.freeze() as view:
            read = [Stream(stream.name, iter(list(stream.chunks))) for stream in view.streams()]
            self.somebody_writes()
            view.streams = lambda: iter(read)
            yield view


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with running_platform(tmp_path_factory.mktemp("under-load")) as platform:
        yield platform


@pytest.fixture(scope="module")
def load(platform):
    """What was taken while both wrote."""
    with platform.written_to():
        points = list(take_points(platform))
        database_first = take_in_order(platform, DATABASE, ARTIFACTS)
        bucket_first = take_in_order(platform, ARTIFACTS, DATABASE)
        waits = platform.lock_waits()
        with platform.locked_out():
            time.sleep(1)
        platform.writers.wait_for_another()
        return Load(points, database_first, bucket_first, waits, platform.lock_waits())


def take_points(platform):
    """Each has a version that the one before it has not, so that no two are of the same platform."""
    for _ in range(POINTS):
        began = time.time()
        point = back_up(platform.policy).point
        yield Taken(point, began, time.time())
        platform.writers.wait_for_another(since=point.system(DATABASE).as_of.timestamp())


def take_in_order(platform, first, second):
    systems = open_systems(platform.policy, [first, second])
    sources = {
        first: Source(ReadAtOnce(systems[first], platform.writers.wait_for_another)),
        second: Source(systems[second]),
    }
    with hold(platform.vault.primary, WRITE, ttl_seconds=30) as lease, platform.vault.writing(lease) as writer:
        return take_point(sources, policy="under-load", writer=writer, point_id=token_hex(6))


@pytest.fixture(scope="module")
def proven(platform, load):
    """What the applications say of each point, restored; the next one's database is loaded meanwhile."""
    points = [taken.point for taken in load.points]
    with ThreadPoolExecutor(1) as pool:
        loads = pool.map(lambda point: platform.load(point, [DATABASE]), points)
        return [proof(platform, point) for point, _ in zip(points, loads, strict=True)]


def proof(platform, point):
    platform.load(point, [REGISTRY, ONLINE])
    return platform.checks(point, platform.switch(point))


def subjects(checks, verdict):
    return {check.subject for check in checks if check.verdict == verdict}


def test_every_point_that_is_taken_under_load_is_closed(load, proven):
    assert [taken.point.point_id for taken in load.points if taken.point.partial] == []
    assert len(proven) == POINTS
    for checks in proven:
        assert subjects(checks, "passed") >= CLOSED
        assert subjects(checks, "failed") <= NOT_YET_REFERRED_TO


def test_no_point_has_a_view_that_was_applied_and_not_yet_materialised(proven):
    """Both are done under the lock, and the registry is frozen under it."""
    for checks in proven:
        assert [each for each in subjects(checks, "not checked") if each.endswith(".newest_event")] == []


def test_both_wrote_all_the_time(platform, load):
    versions = [taken.point.application("tracking").facts.exact["versions"] for taken in load.points]
    views = [taken.point.application("features").facts.exact["registry.feature_views"] for taken in load.points]
    during = [len(platform.writers.registered_between(taken.began, taken.ended)) for taken in load.points]
    print(f"versions {versions}, registered during each backup {during}; views {views}")
    assert versions == sorted(set(versions))
    assert views[-1] > views[0]
    assert sum(count > 0 for count in during) >= POINTS / 2


def test_the_skew_of_each_point_is_in_its_record(load):
    print("seconds:", [taken.point.skew_seconds for taken in load.points])
    for taken in load.points:
        moments = [system.as_of for system in taken.point.systems]
        assert taken.point.skew_seconds == (max(moments) - min(moments)).total_seconds() > 0


def test_nothing_is_frozen_before_a_writer_has_given_the_lock_back(platform, load):
    """Else the database would be older than the registry by as long as somebody materialises."""
    with ThreadPoolExecutor() as pool:
        with hold_lock(platform.vault, REGISTRY, ttl_seconds=30):
            backup = pool.submit(back_up, platform.policy)
            time.sleep(1)
            given_back = time.time()
        point = backup.result().point
    assert point.system(DATABASE).as_of.timestamp() > given_back


def test_no_backup_made_a_statement_of_mlflow_wait_for_a_lock(load):
    assert load.waits == []
    assert len(load.waits_when_locked_out) > 0, "the server tells of no lock that is waited for"


def test_what_is_registered_between_the_freezes_dangles_only_where_the_bucket_was_first(platform, load):
    right, wrong = (
        platform.checks(point, platform.restore(point, [DATABASE]))
        for point in (load.database_first, load.bucket_first)
    )
    referred_to = {"tracking.versions.objects", "tracking.logged-models.objects"}
    assert subjects(right, "passed") >= referred_to
    assert subjects(right, "failed") == NOT_YET_REFERRED_TO
    assert subjects(wrong, "failed") >= referred_to
