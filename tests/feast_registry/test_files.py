"""A registry in a file: captured whole whatever its writer does, put in place by a rename."""

import itertools
import os
import signal
import threading
import time
from datetime import UTC, datetime

import pytest
from tests.feast_registry.examples import (
    a_bare_registry,
    a_newer_registry,
    a_registry,
    capture,
    refused,
    registry_at,
    restore,
)
from tests.feast_registry.rows import InSqlite, fill

from drkeeper.errors import CaptureFailed, LoadFailed, Refused
from drkeeper.facts import broken, compare
from drkeeper.heartbeat import Heartbeat
from drkeeper.sandbox import start_sandbox
from drkeeper.systems import Differing, Locked, Noticing, Recognising, Registering, SelfProving, System
from drkeeper.systems._feast_registry import folder
from drkeeper.systems.feast_registry import open_system

MARK = Heartbeat(at=datetime(2026, 3, 1, 1, tzinfo=UTC), sequence=7)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "live" / "registry.db"
    path.parent.mkdir()
    path.write_bytes(a_registry())
    return path


@pytest.fixture
def system(file):
    return registry_at(file, settle_seconds=0.5)


def test_it_is_a_system_with_these_abilities(system):
    for ability in (System, Registering, Locked, Recognising, SelfProving, Differing):
        assert isinstance(system, ability)
    with system.freeze() as frozen:
        assert isinstance(frozen, Registering)
        assert isinstance(frozen, Noticing)
        assert frozen.registry() == system.registry()
    assert system.lock_name == "features"
    assert registry_at("/some/registry.db", lock="feast").lock_name == "feast"


def test_a_lost_registry_comes_back_to_the_byte(system, file):
    system.beat(MARK)
    point, before = capture(system), file.read_bytes()
    file.unlink()
    system.beat(MARK.model_copy(update={"sequence": 99}))
    assert system.is_empty()
    assert not refused(system.preflight(point.record))

    restore(system, point)

    assert file.read_bytes() == before
    assert not broken(compare(point.record.facts, system.facts(point.record.facts)))
    assert {check.subject: check.verdict for check in system.verify(point.record, point)} == {
        "content": "passed",
        "caches": "failed",  # for information: nobody can tell from here whether servers were restarted
    }
    assert system.newest_beat() == MARK
    assert sorted(path.name for path in file.parent.iterdir()) == ["registry.db", "registry.db.drkeeper-heartbeat"]


def test_facts_name_every_object_and_tell_another_registry(system, file):
    point = capture(system)
    assert point.record.facts.exact["count.feature_views"] == 1
    assert "object.feature_services.churn.churn_v1" in point.record.facts.exact

    file.write_bytes(a_registry("orders"))

    wrong = {check.subject for check in broken(compare(point.record.facts, system.facts()))}
    assert {"version_id", "sha256", "object.feature_views.churn.churn"} <= wrong
    (content, _caches) = system.verify(point.record, point)
    assert content.verdict == "failed"
    assert "field days_since_last removed" in content.detail
    assert "~ feature view churn: field days_since_last added" in list(system.difference(point.record, point))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"garbage", "cannot be decoded"),
        (a_newer_registry(), "version 2"),
        (a_bare_registry(), "no object"),
    ],
    ids=["truncated", "garbage", "newer", "bare"],
)
def test_what_is_no_registry_is_not_captured(system, file, data, says):
    file.write_bytes(data)

    with pytest.raises(CaptureFailed, match=says), system.freeze():
        pass
    assert refused(system.probe())


def test_a_registry_that_is_gone_is_told_with_what_hides_the_loss(system, file):
    file.unlink()
    checks = {each.subject: each for each in system.probe()}
    assert checks["registry"].verdict == "failed"
    assert "holds no registry, or an empty one" in checks["registry"].detail
    assert "before a process of Feast writes an empty one" in checks["registry"].remedy


def test_what_is_no_registry_is_not_restored(system, file):
    point, before = capture(system), file.read_bytes()

    for data in (b"", b"garbage", a_newer_registry(), a_bare_registry(), a_registry()):
        with pytest.raises(Refused, match="the recovery point's registry"):
            system.load(point.record, point.with_registry(data), "drtest")

    assert file.read_bytes() == before


def test_a_writer_in_the_midst_of_writing_is_waited_for(system, file):
    """Feast truncates the file, then writes it: a reader finds it empty, or half of it, or two halves."""
    stop, written, torn = threading.Event(), [], threading.Event()

    def keep_writing():
        while not stop.is_set():
            data = a_registry(*(f"field_{number}" for number in range(2000)))
            with file.open("wb", buffering=0) as writer:
                for start in range(0, len(data), 8192):
                    writer.write(data[start : start + 8192])
                    torn.set()
                    time.sleep(0.001)
            written.append(data)
            stop.wait(0.3)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        torn.wait(5)
        patient = registry_at(file, settle_seconds=20)
        captured = [capture(patient).contents["registry.pb"] for _ in range(5)]
    finally:
        stop.set()
        writer.join()

    assert len(written) > 1, "the writer never wrote while the file was read"
    assert all(data in written for data in captured)


def test_a_writer_that_never_ends_fails_the_capture_within_its_bound(system, file):
    stop = threading.Event()

    def keep_writing():
        while not stop.wait(0.01):
            file.write_bytes(a_registry())

    writer = threading.Thread(target=keep_writing)
    writer.start()
    started = time.monotonic()
    try:
        with pytest.raises(CaptureFailed), system.freeze():
            pass
    finally:
        stop.set()
        writer.join()

    assert time.monotonic() - started < 5


def test_a_target_with_another_registry_is_not_empty_and_what_came_in_between_is_not_lost(system, file):
    point = capture(system)
    file.write_bytes(a_registry("other"))
    assert not system.is_empty()
    system.load(point.record, point, "drtest")
    came_between = a_registry("came", "in", "between")
    file.write_bytes(came_between)

    with pytest.raises(Refused, match="was written since"):
        system.switch(point.record, "drtest")
    assert file.read_bytes() == came_between

    system.switch(point.record, "drtest")  # resumed: an undo point of what came in between was taken before

    assert file.read_bytes() == point.contents["registry.pb"]


def test_what_is_no_registry_is_no_loss_but_is_kept_aside(system, file):
    point = capture(system)
    file.write_bytes(b"half a regis")
    assert system.is_empty()

    restore(system, point)

    assert file.with_name("registry.db.unreadable-drtest").read_bytes() == b"half a regis"
    file.write_bytes(a_newer_registry())
    assert not system.is_empty(), "a registry of a newer schema may hold anything"


def test_a_crash_between_load_and_switch_or_in_the_switch_ends_well(system, file):
    point = capture(system)
    file.write_bytes(a_registry("other"))
    system.load(point.record, point, "drtest")
    assert not system.recognises(point.record, "drtest")
    again = registry_at(file)  # another process
    again.switch(point.record, "drtest")
    assert again.recognises(point.record, "drtest")

    again.switch(point.record, "drtest")  # the journal did not hear of it

    assert file.read_bytes() == point.contents["registry.pb"]
    # Killed after the rename, before what was loaded was cleared away:
    again.load(point.record, point, "drtest")
    file.write_bytes(point.contents["registry.pb"])
    again.switch(point.record, "drtest")
    assert not list(file.parent.glob("registry.db.drtest*"))


def test_killed_anywhere_the_former_or_the_restored_registry_is_live(system, file):
    """Kill -9 before each single write; then the restore is done again, as after `--resume`."""
    point, writes = capture(system), 0
    while True:
        other = a_registry("other")
        file.write_bytes(other)
        killed = _killed_before_write(writes, system, point)
        assert file.read_bytes() in {other, point.contents["registry.pb"]}
        if not killed:
            break
        again = registry_at(file)
        if not again.recognises(point.record, "drtest"):
            again.load(point.record, point, "drtest")
        again.switch(point.record, "drtest")
        assert file.read_bytes() == point.contents["registry.pb"]
        writes += 1

    assert writes >= 3, "no write was cut off"


def _killed_before_write(number: int, system, point) -> bool:
    """Restore in a child that dies before its write of that number; whether it came to that."""
    child = os.fork()
    if child == 0:
        write, counter = folder.write, itertools.count()

        def mortal(*arguments, **options):
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments, **options)

        folder.write = mortal
        restore(system, point)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_while_it_tidies_up_a_switch_is_simply_done_again(system, file):
    """Kill -9 before each file that is removed, once the restored registry is live."""
    point, removed = capture(system), 0
    while _killed_before_removal(removed, lambda: restore(system, point)):
        assert file.read_bytes() == point.contents["registry.pb"]
        registry_at(file).switch(point.record, "drtest")
        assert sorted(path.name for path in file.parent.iterdir()) == ["registry.db"]
        file.write_bytes(a_registry("other"))
        removed += 1

    assert removed == len(point.contents) + 1, "its streams, and the note"


def test_a_point_of_rows_is_switched_again_in_a_file_too(file, tmp_path):
    """A file holds no rows: that the point has some does not make what is live another registry."""
    rows = InSqlite(tmp_path / "rows.db")
    rows.make()
    fill(rows, a_registry())
    point, system = capture(registry_at(rows.url)), registry_at(file)
    assert any(name.startswith("tables/") for name in point.contents)

    assert _killed_before_removal(0, lambda: restore(system, point))

    assert file.read_bytes() == point.contents["registry.pb"]
    system.switch(point.record, "drtest")


def _killed_before_removal(number: int, work) -> bool:
    """Work in a child that dies before it removes its file of that number; whether it came to that."""
    child = os.fork()
    if child == 0:
        unlink, counter = os.unlink, itertools.count()

        def mortal(*arguments, **options):
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            unlink(*arguments, **options)

        os.unlink = mortal
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_load_is_discarded_without_a_trace_and_can_be_done_again(system, file):
    point, before = capture(system), file.read_bytes()
    system.load(point.record, point, "drtest")
    assert list(file.parent.glob("registry.db.drtest*"))
    system.load(point.record, point, "drtest")
    system.discard("drtest")
    system.discard("drtest")

    assert [path.name for path in file.parent.iterdir()] == ["registry.db"]
    assert file.read_bytes() == before
    file.write_bytes(a_registry("other"))
    with pytest.raises(LoadFailed, match="load it first"):
        system.switch(point.record, "drtest")


def test_a_load_that_was_cut_off_is_no_load(system, file):
    """The note comes last: without it a switch takes nothing for whole."""
    point = capture(system)
    file.write_bytes(a_registry("other"))
    system.load(point.record, point, "drtest")
    (folder,) = file.parent.glob("registry.db.drtest*")
    (folder / "notes.json").unlink()

    with pytest.raises(LoadFailed, match="load it first"):
        system.switch(point.record, "drtest")


def test_mode_and_link_of_the_file_stay(system, file, tmp_path):
    point = capture(system)
    file.chmod(0o640)
    link = tmp_path / "link.db"
    link.symlink_to(file)

    restore(registry_at(link), point)

    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_lacks_stops_a_restore_before_anything(system, file, tmp_path):
    point = capture(system)

    assert "writable" in refused(registry_at(tmp_path / "gone" / "registry.db").preflight(point.record))


def test_a_record_of_a_newer_schema_is_refused_beforehand(system):
    record = capture(system).record
    exact = {**record.facts.exact, "schema_version": "2"}
    newer = record.model_copy(update={"facts": record.facts.model_copy(update={"exact": exact})})

    assert refused(system.preflight(newer)) == ["schema_version"]


def test_a_drill_restores_into_a_folder_of_its_own(system, tmp_path):
    point = capture(system)
    server = start_sandbox("feast_registry", tmp_path / "drill")
    sandbox = open_system("features", type(system._options).model_validate(server.options))

    assert sandbox.is_empty()
    assert (server.process_ids, server.port) == ((), 0)
    restore(sandbox, point)

    assert not broken(compare(point.record.facts, sandbox.facts(point.record.facts)))
    assert [check.subject for check in sandbox.verify(point.record, point)] == ["content"]
