"""kill -9, SIGTERM, SIGSTOP and two at once: the vault and the targets stay consistent, and work goes on."""

import os
import random
import signal
import subprocess
import time

import pytest

import warm
from drkeeper import catalog
from drkeeper.verify import verify_points
from drkeeper.wiring import open_vault

KILLS = 16
RESTORE_KILLS = 6
LEASE_SECONDS = 2
MANY_ROWS = 100_000  # some five frames


@pytest.fixture(autouse=True)
def short_lease(platform):
    """A dead process blocks the next one for so long only."""
    platform.write_policy(lease=f"{LEASE_SECONDS}s")


def make_slow(platform, rate="2MB/s"):
    """Cap the bandwidth, so that streaming takes a second or so and can be hit."""
    file = platform.policy_file
    file.write_text(file.read_text().replace("kind: postgres\n", f"kind: postgres\n    rate: {rate}\n"))


def started(platform, *words):
    return warm.Process(("--policy", platform.policy_file, *words), {**os.environ, **platform.environment})


def frame_count(platform):
    return sum(1 for _ in (platform.folder / "vault/here/frames").rglob("*.age"))


def wait_for(condition, process, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def killed(process, seconds):
    """Kill it after so long; False if it ended by itself before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def learned(whole_seconds, began, *, struck):
    """How long the next one will take, on a machine that others use, too: no less than one that was struck."""
    return whole_seconds * 1.05 if struck else time.monotonic() - began


def assert_every_point_is_intact(platform, but=()):
    """All points; those that are named were looked at before."""
    vault = open_vault(platform.policy())
    listing = catalog.list_points(vault)
    assert listing.damaged == {}
    looked_at = {point.point_id for point in but}
    if new := [point for point in listing.points if point.point_id not in looked_at]:
        result = verify_points(vault, new, level="intact")
        assert {proof.verdict for proof in result.proofs} == {"passed"}
    return listing.points


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_backup_killed_at_any_instant_leaves_every_committed_point_whole(platform):
    make_slow(platform, rate="8MB/s")
    platform.fill(rows=MANY_ROWS)
    began = time.monotonic()
    platform.run("backup")
    whole_seconds = time.monotonic() - began
    random.seed(20261123)
    struck = orphans = 0
    points = assert_every_point_is_intact(platform)
    for number in range(KILLS):
        platform.fill(seed=number + 2, rows=MANY_ROWS)
        before = frame_count(platform), len(points)
        began = time.monotonic()
        process = started(platform, "backup", "--wait", "30s")
        hit = killed(process, random.uniform(0.4, 1.1) * whole_seconds)
        whole_seconds = learned(whole_seconds, began, struck=hit)
        struck += hit
        points = assert_every_point_is_intact(platform, but=points)
        orphans += frame_count(platform) > before[0] and len(points) == before[1]
    assert_every_point_is_intact(platform)
    assert struck >= KILLS // 2, "too few kills found the process alive"
    assert orphans >= KILLS // 6, "no kill struck between the first frame and the commit"
    expected = platform.contents()
    platform.write_policy()
    platform.run("backup", "--wait", "30s")
    platform.destroy()
    platform.run("restore", "--yes")
    assert platform.contents() == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_restore_killed_at_any_instant_is_resumed_to_the_same_end(platform):
    expected = platform.contents()
    platform.run("backup")
    platform.destroy()
    began = time.monotonic()
    platform.run("restore", "--yes")
    whole_seconds = time.monotonic() - began
    random.seed(20261124)
    resumed = 0
    for number in range(RESTORE_KILLS):
        overwrite = ["--overwrite"] if number % 2 else []
        platform.fill(seed=99) if overwrite else platform.destroy()
        began = time.monotonic()
        process = started(platform, "restore", "--yes", *overwrite)
        hit = killed(process, random.uniform(0.4, 1.2) * whole_seconds)
        whole_seconds = learned(whole_seconds, began, struck=hit)
        if hit:
            time.sleep(LEASE_SECONDS + 0.2)  # the dead process's leases end
            again = started(platform, "restore", "--resume", "--yes")
            _, said = again.communicate(120)
            assert again.returncode in (0, 2), said
            resumed += again.returncode == 0
            if again.returncode == 2:  # it was killed before it had noted anything: nothing was changed
                assert "no restore was left unfinished" in said
                if platform_is_whole(platform, expected):
                    continue
                platform.run("restore", "--yes", *overwrite)
        assert platform.contents() == expected
    assert resumed >= 2, "no kill struck a restore that had begun"


def platform_is_whole(platform, expected):
    with platform.connect("postgres") as admin:
        there = admin.execute("SELECT count(*) FROM pg_database WHERE datname = 'shop'").fetchone() == (1,)
    return there and platform.contents() == expected


def test_of_two_backups_at_once_one_is_told_who_holds_the_lease(platform):
    make_slow(platform, rate="500kB/s")
    first = started(platform, "backup")
    wait_for((platform.folder / "vault/here/leases/write").exists, first)
    second = platform.run("backup", code=11)
    assert "holds the lease" in second.stderr
    waiting = platform.run("backup", "--wait", "60s", "--system", "online-store")
    assert waiting.returncode == 0
    assert first.wait(timeout=60) == 0, first.communicate()
    assert len(platform.json("points")) == 2


def test_a_paused_backup_whose_lease_went_to_another_publishes_nothing(platform):
    make_slow(platform, rate="500kB/s")
    paused = started(platform, "backup")
    wait_for((platform.folder / "vault/here/leases/write").exists, paused)
    time.sleep(0.5)
    paused.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 0.2)
    other = platform.json("backup", "--wait", "30s", "--system", "online-store")
    paused.send_signal(signal.SIGCONT)
    _, errors = paused.communicate(timeout=60)
    assert paused.returncode == 11, errors
    assert [point["point_id"] for point in platform.json("points")] == [other["point_id"]]
    assert_every_point_is_intact(platform)


def test_a_terminated_backup_ends_at_once_and_publishes_nothing(platform):
    make_slow(platform, rate="200kB/s")
    process = started(platform, "backup")
    wait_for((platform.folder / "vault/here/leases/write").exists, process)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert time.monotonic() - began < 10
    assert platform.json("points") == []
    platform.run("backup", "--system", "online-store")  # the lease was released


def test_a_terminated_backup_that_waits_for_a_lock_ends_at_once(platform):
    with platform.connect("postgres") as look, platform.connect() as shop, shop.transaction():
        shop.execute("LOCK TABLE sale IN ACCESS EXCLUSIVE MODE")
        process = started(platform, "backup")
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'shop'"
        wait_for(lambda: look.execute(query).fetchone()[0] == 2, process)  # pg_dump, and we who count rows
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - began < 10  # on a busy machine; it takes one or two seconds
    assert process.returncode == 130, errors
    assert platform.json("points") == []


def test_a_terminated_restore_can_be_resumed(platform):
    expected = platform.contents()
    platform.run("backup")
    platform.destroy()
    process = started(platform, "restore", "--yes")
    wait_for(lambda: any((platform.folder / "vault").glob("*/journals/*/000001.json")), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, 0), errors
    if process.returncode:
        assert "--resume" in errors
        platform.run("restore", "--resume", "--yes")
    assert platform.contents() == expected


def test_an_unfinished_restore_can_be_given_up_and_leaves_nothing_beside_the_live_data(platform):
    platform.run("backup")
    before = platform.contents()
    process = started(platform, "restore", "--yes", "--overwrite")
    wait_for(lambda: any((platform.folder / "vault").glob("*/journals/*/000001.json")), process)
    process.kill()
    process.communicate()
    time.sleep(LEASE_SECONDS + 0.2)
    platform.run("restore", "--give-up", "--yes")
    with platform.connect("postgres") as admin:
        names = [row[0] for row in admin.execute("SELECT datname FROM pg_database")]
    assert [name for name in names if name.startswith("shop")] == ["shop"]
    assert platform.contents() == before
    platform.run("restore", "--resume", "--yes", code=2)
