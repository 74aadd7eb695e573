"""What every store promises, of each kind of store."""

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from drkeeper.errors import VaultFull, VaultUnreachable
from drkeeper.vault.object_store import _translate
from drkeeper.vault.store import ObjectMissing, StoreOptions, create_once, open_store


def test_what_was_put_is_read_back_at_once(any_store):
    any_store.put("frames/ab/one.zst", b"first")
    any_store.put("frames/ab/one.zst", b"second")
    assert any_store.get("frames/ab/one.zst") == b"second"


def test_an_empty_object_is_an_object(any_store):
    any_store.put("records/empty", b"")
    assert any_store.get("records/empty") == b""


def test_a_large_object_comes_back_whole(any_store):
    data = os.urandom(9 << 20)
    any_store.put("frames/ab/large.zst", data)
    assert any_store.get("frames/ab/large.zst") == data


def test_a_missing_object_is_told_apart_from_a_missing_store(any_store):
    with pytest.raises(ObjectMissing):
        any_store.get("frames/ab/none.zst")
    assert any_store.head("frames/ab/none.zst") is None


def test_create_refuses_a_key_that_is_taken_and_changes_nothing(any_store):
    assert any_store.create("points/one.json", b"first")
    assert not any_store.create("points/one.json", b"second")
    assert any_store.get("points/one.json") == b"first"


def test_of_sixteen_racing_creates_exactly_one_wins(any_store):
    start = threading.Barrier(16)

    def race(number):
        start.wait()
        return any_store.create("leases/write/1.json", b"%d" % number)

    with ThreadPoolExecutor(16) as pool:
        won = [number for number, result in enumerate(pool.map(race, range(16))) if result]
    assert len(won) == 1
    assert any_store.get("leases/write/1.json") == b"%d" % won[0]


def test_a_create_whose_answer_was_lost_counts_as_created(any_store):
    any_store.create("points/one.json", b"ours")
    assert create_once(any_store, "points/one.json", b"ours")
    assert not create_once(any_store, "points/one.json", b"theirs")


def test_head_and_list_tell_size_and_time(any_store):
    any_store.put("frames/ab/one.zst", b"12345")
    entry = any_store.head("frames/ab/one.zst")
    assert (entry.key, entry.size_bytes) == ("frames/ab/one.zst", 5)
    assert abs(entry.modified_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert [(e.key, e.size_bytes) for e in any_store.list("frames/")] == [("frames/ab/one.zst", 5)]


def test_list_gives_all_below_a_prefix_and_nothing_beside_it(any_store):
    keys = {f"frames/{n % 7:02x}/{n:04d}.zst" for n in range(60)}
    for key in [*keys, "frames2/aa/x", "streams/x"]:
        any_store.put(key, b"x")
    assert {entry.key for entry in any_store.list("frames/")} == keys
    assert list(any_store.list("nothing/")) == []


def test_a_prefix_that_is_no_folder_is_a_mistake(any_store):
    with pytest.raises(ValueError, match="ends in /"):
        list(any_store.list("frames"))


def test_delete_removes_what_is_there_and_passes_over_the_rest(any_store):
    keys = [f"frames/aa/{n}.zst" for n in range(30)]
    for key in keys[::2]:
        any_store.put(key, b"x")
    any_store.delete(keys)
    assert list(any_store.list("frames/")) == []


def test_flush_returns(any_store):
    any_store.put("frames/aa/1.zst", b"x")
    any_store.flush()
    assert any_store.get("frames/aa/1.zst") == b"x"


# --- what goes wrong ---


def test_a_folder_that_is_not_there_is_named(tmp_path):
    store = open_store(StoreOptions(url=str(tmp_path / "unmounted")))
    with pytest.raises(VaultUnreachable, match="unmounted is not there"):
        store.get("vault.json")


def test_a_folder_that_is_not_ours_is_refused_with_a_hint():
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(StoreOptions(url=folder))
        Path(folder).chmod(0o555)
        with _as_nobody_where_we_are_root(), pytest.raises(VaultUnreachable, match="refuses us") as caught:
            store.put("frames/aa/1.zst", b"x")
        Path(folder).chmod(0o755)
    assert "credentials" in caught.value.hint


@contextmanager
def _as_nobody_where_we_are_root():
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_host_that_does_not_answer_ends_in_bounded_time():
    store = open_store(
        StoreOptions(
            url="s3://bucket",
            endpoint="http://127.0.0.1:9",
            access_key="a",
            secret_key="hidden-value",
            allow_http=True,
            timeout_seconds=2,
            retries=1,
        )
    )
    with pytest.raises(VaultUnreachable, match="does not answer") as caught:
        store.get("vault.json")
    assert "hidden-value" not in str(caught.value)
    assert caught.value.exit_code == 10


def test_a_wrong_secret_key_is_refused_by_name(s3):
    store = open_store(s3.store_options(s3.make_bucket(), secret_key="not-the-secret"))
    with pytest.raises(VaultUnreachable, match="refuses us") as caught:
        store.put("frames/aa/1.zst", b"x")
    assert "not-the-secret" not in str(caught.value)


def test_a_full_disk_is_told_by_name(tmp_path):
    """The kernel's own way to have one: /dev/full says ENOSPC to whatever is written."""
    text = "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
    assert isinstance(_translate(OSError(text), "/vault"), VaultFull)
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as caught:
        full.write(b"x")
    assert isinstance(_translate(caught.value, "/vault"), VaultFull)


@pytest.mark.parametrize("folder", ["/vaults/507", "/vaults/403"])
def test_a_folder_with_a_number_for_a_name_is_neither_full_nor_locked_by_it(folder):
    text = f"Generic LocalFileSystem error: Unable to walk dir: {folder}/audit: No such device (os error 19)"
    assert type(_translate(OSError(text), folder)) is type(_translate(OSError(text.replace(folder, "/v")), "/v"))


def test_options_refuse_what_they_do_not_know_and_never_show_the_secret():
    with pytest.raises(ValidationError, match="url must be"):
        StoreOptions(url="ftp://somewhere")
    with pytest.raises(ValidationError, match="go together"):
        StoreOptions(url="s3://bucket", access_key="a")
    options = StoreOptions(url="s3://bucket", access_key="a", secret_key="hidden-value")
    assert "hidden-value" not in repr(options)
