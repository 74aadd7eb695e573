"""Streams go in deduplicated and come out verified."""

import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper import catalog
from drkeeper.errors import (
    CaptureFailed,
    FrameCorrupt,
    FrameMissing,
    KeyMissing,
    RecordCorrupt,
    Refused,
    VaultFull,
    VaultMissing,
    VaultUnreachable,
)
from drkeeper.replicate import replicate
from drkeeper.vault.frames import CutterOptions, cut
from drkeeper.vault.index import FrameIndex
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from vault_examples import (
    TEST_IDENTITY,
    TEST_RECIPIENT,
    FaultyStore,
    HeldLease,
    blocks,
    bytes_of,
    stream_of,
    write_point,
)

MIB = 1 << 20
SMALL = CutterOptions(minimum_bytes=64, average_bytes=256, maximum_bytes=1024, seed=3)


# --- cutting ---


@given(st.binary(max_size=20_000), st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_cuts_do_not_depend_on_the_blocks_that_the_bytes_come_in(data, sizes):
    def in_blocks():
        at = 0
        while at < len(data):
            for size in sizes:
                yield data[at : at + size]
                at += size

    frames = list(cut(in_blocks(), SMALL))
    assert b"".join(frames) == data
    assert frames == list(cut([data], SMALL))
    assert all(len(frame) <= SMALL.maximum_bytes for frame in frames)


def test_frames_keep_within_their_bounds_and_near_their_average():
    options = CutterOptions(seed=1)
    sizes = [len(frame) for frame in cut(blocks(bytes_of(1, 60 * MIB)), options)]
    assert all(options.minimum_bytes <= size <= options.maximum_bytes for size in sizes[:-1])
    assert 0.8 * MIB < sum(sizes) / len(sizes) < 1.6 * MIB


# --- writing and reading ---


@pytest.mark.parametrize("size", [0, 1, 300_000, 5 * MIB])
@pytest.mark.parametrize("recipients", [(), (TEST_RECIPIENT,)], ids=["plain", "encrypted"])
def test_a_stream_comes_back_bit_for_bit(any_store, size, recipients):
    Vault.create({"near": any_store}, recipients=recipients)
    vault = Vault.open({"near": any_store}, identities=[TEST_IDENTITY])
    data = bytes_of(size, size)
    told = []
    point = write_point(vault, {"dump": data})
    assert b"".join(vault.read(stream_of(point, "dump").ref, on_bytes=told.append)) == data
    assert sum(told) == size == stream_of(point, "dump").ref.size_bytes


def test_the_same_bytes_again_store_nothing(vault):
    data = bytes_of(1, 8 * MIB)
    first = write_point(vault, {"dump": data})
    again = write_point(vault, {"dump": data}, point_id="b00000000000")
    assert stream_of(first, "dump").stored_bytes > 8 * MIB
    assert stream_of(again, "dump").stored_bytes == 0
    assert stream_of(again, "dump").ref == stream_of(first, "dump").ref


def test_bytes_inserted_in_the_middle_store_a_few_frames_only(vault):
    data = bytes_of(1, 24 * MIB)
    write_point(vault, {"dump": data})
    changed = data[: 9 * MIB + 17] + b"a few bytes more" + data[9 * MIB + 17 :]
    point = write_point(vault, {"dump": changed}, point_id="b00000000000")
    assert 0 < stream_of(point, "dump").stored_bytes < 6 * MIB
    assert b"".join(vault.read(stream_of(point, "dump").ref)) == changed


def test_many_equal_frames_in_one_stream_are_stored_once(vault):
    point = write_point(vault, {"zeros": bytes(64 * MIB)})
    stream = stream_of(point, "zeros")
    frames = list(vault.primary.list("frames/"))
    assert stream.ref.frame_count >= 16
    assert len(frames) <= 2
    assert stream.stored_bytes == sum(e.size_bytes for e in [*frames, *vault.primary.list("streams/")])


def test_streams_written_at_once_by_several_threads_are_all_whole(vault):
    shared = bytes_of(9, 4 * MIB)
    datas = [shared + bytes_of(n, 3 * MIB) for n in range(4)]
    with vault.writing(HeldLease()) as writer, ThreadPoolExecutor(4) as pool:
        refs = [ref for ref, _ in pool.map(lambda data: writer.write(blocks(data)), datas)]
    assert [b"".join(vault.read(ref)) for ref in refs] == datas


def test_a_source_that_fails_midway_leaves_no_stream(vault):
    def chunks():
        yield bytes_of(1, 3 * MIB)
        raise CaptureFailed("pg_dump exited with 1")

    with vault.writing(HeldLease()) as writer, pytest.raises(CaptureFailed, match="pg_dump"):
        writer.write(chunks())
    assert list(vault.primary.list("streams/")) == []


# --- keys ---


def test_the_writing_side_needs_no_identity_and_cannot_read(local_regions):
    Vault.create(local_regions, recipients=[TEST_RECIPIENT])
    writing = Vault.open(local_regions)
    data = bytes_of(1, 3 * MIB)
    point = write_point(writing, {"dump": data})
    again = write_point(Vault.open(local_regions), {"dump": data}, point_id="b00000000000")
    assert stream_of(again, "dump").stored_bytes == 0
    with pytest.raises(KeyMissing) as caught:
        writing.read(stream_of(point, "dump").ref)
    assert caught.value.exit_code == 12
    reading = Vault.open(local_regions, identities=[f"# created: today\n{TEST_IDENTITY}\n"])
    assert b"".join(reading.read(stream_of(point, "dump").ref)) == data


def test_nothing_in_an_encrypted_store_shows_the_bytes(local_regions, tmp_path):
    Vault.create(local_regions, recipients=[TEST_RECIPIENT])
    write_point(Vault.open(local_regions), {"dump": b"a very recognisable secret" * 1000})
    stored = b"".join(path.read_bytes() for path in (tmp_path / "near").rglob("*") if path.is_file())
    assert b"recognisable" not in stored
    assert all(p.read_bytes().startswith(b"age-encryption.org") for p in (tmp_path / "near/frames").rglob("*.age"))


def test_an_identity_of_another_vault_is_refused_at_once(local_regions):
    Vault.create(local_regions, recipients=[TEST_RECIPIENT])
    other = str(pyrage.x25519.Identity.generate())
    with pytest.raises(KeyMissing, match="does not open this vault") as caught:
        Vault.open(local_regions, identities=[other])
    assert other not in str(caught.value)
    with pytest.raises(KeyMissing, match="no age identity"):
        Vault.open(local_regions, identities=["nonsense"])


def test_a_policy_with_other_recipients_is_refused(local_regions):
    Vault.create(local_regions, recipients=[TEST_RECIPIENT])
    Vault.open(local_regions, recipients=[TEST_RECIPIENT])
    with pytest.raises(Refused, match="sealed to age1"):
        Vault.open(local_regions, recipients=[])


# --- making and opening ---


def test_a_vault_is_made_once_and_a_new_region_joins_it(tmp_path):
    near, far = (open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far"))
    made = Vault.create({"near": near})
    with pytest.raises(Refused, match="already"):
        Vault.create({"near": near})
    joined = Vault.create({"near": near, "far": far})
    assert joined.header == made.header == Vault.open({"far": far}).header


def test_a_store_without_a_vault_says_how_to_make_one(any_store):
    with pytest.raises(VaultMissing, match="holds no vault") as caught:
        Vault.open({"near": any_store})
    assert "drkeeper init" in caught.value.hint


def test_two_different_vaults_are_not_one(tmp_path):
    stores = {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}
    for name, store in stores.items():
        Vault.create({name: store})
    with pytest.raises(Refused, match="another vault"):
        Vault.open(stores)


def test_a_vault_opens_for_reading_without_its_primary(vault, local_regions, tmp_path):
    (tmp_path / "near").rename(tmp_path / "gone")
    opened = Vault.open(local_regions)
    assert not opened.writable
    with pytest.raises(VaultUnreachable, match="near"):
        _ = opened.primary
    assert opened.first_reachable() is local_regions["far"]


def test_a_damaged_vault_json_is_noticed_and_read_elsewhere(vault, local_regions, tmp_path):
    file = tmp_path / "near/vault.json"
    file.write_text(file.read_text().replace('"level": 1', '"level": 2'))
    assert Vault.open(local_regions).header == vault.header
    with pytest.raises(RecordCorrupt, match="digest"):
        Vault.open({"near": local_regions["near"]})


# --- damage ---


def frame_files(folder, vault, ref):
    return [folder / vault.frame_key(span.frame_id) for span in vault.frames_of(ref.index_id)]


def flip(file, at=None):
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("recipients", [(), (TEST_RECIPIENT,)], ids=["plain", "encrypted"])
def test_a_flipped_byte_anywhere_in_a_frame_is_noticed(tmp_path, recipients):
    store = open_store(StoreOptions(url=str(tmp_path / "near")))
    Vault.create({"near": store}, recipients=recipients)
    vault = Vault.open({"near": store}, identities=[TEST_IDENTITY])
    ref = stream_of(write_point(vault, {"dump": bytes_of(1, 3000)}), "dump").ref
    (file,) = frame_files(tmp_path / "near", vault, ref)
    whole = file.read_bytes()
    for at in random.Random(5).sample(range(len(whole)), 60):
        file.write_bytes(whole)
        flip(file, at)
        with pytest.raises(FrameCorrupt):
            b"".join(vault.read(ref))
    for size in (0, 1, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(FrameCorrupt):
            b"".join(vault.read(ref))


def test_a_missing_frame_is_named(vault, tmp_path):
    ref = stream_of(write_point(vault, {"dump": bytes_of(1, 6 * MIB)}), "dump").ref
    gone = frame_files(tmp_path / "near", vault, ref)[1]
    gone.unlink()
    given_out = []
    with pytest.raises(FrameMissing, match=gone.name):
        given_out.extend(vault.read(ref))
    assert len(given_out) == 1, "the frames before it are given out, those after it are not"


def test_a_damaged_stream_index_is_noticed(vault, tmp_path):
    ref = stream_of(write_point(vault, {"dump": bytes_of(1, 3 * MIB)}), "dump").ref
    flip(tmp_path / f"near/streams/{ref.index_id}.idx.zst")
    with pytest.raises(FrameCorrupt, match=ref.index_id):
        b"".join(vault.read(ref))


def test_a_damaged_point_is_noticed_and_does_not_hide_the_others(vault, tmp_path):
    write_point(vault, {"dump": b"one"})
    whole = write_point(vault, {"dump": b"two"}, point_id="b00000000000")
    file = next((tmp_path / "near/points").glob("*a1b2c3d4e5f6*"))
    file.write_text(file.read_text().replace('"size_bytes": 3', '"size_bytes": 4'))
    listing = catalog.list_points(vault)
    assert [point.point_id for point in listing.points] == [whole.point_id]
    assert list(listing.damaged) == [f"points/{file.name}"]
    with pytest.raises(RecordCorrupt):
        catalog.find_point(vault, "a1b2")


# --- stores that fail ---


@pytest.mark.parametrize("error", [VaultUnreachable("away"), VaultFull("full")], ids=["fails", "fills up"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("method", "at"),
    [("put", 1), ("put", 4), ("put", 8), ("create", 1), ("list", 1), ("list", 2), ("flush", 1), ("flush", 2)],
)
def test_a_store_that_fails_at_any_call_leaves_no_half_point(vault, local_regions, *, method, at, error, after):
    kept = write_point(vault, {"dump": bytes_of(1, 2 * MIB)})
    faulty = FaultyStore(local_regions["near"], method, at, error, after=after)
    hurt = Vault(vault.header, type(vault.regions)({"near": faulty}, {}), ())
    data = bytes_of(2, 20 * MIB)
    with pytest.raises(type(error)):
        write_point(hurt, {"dump": data}, point_id="b00000000000")
    assert faulty.struck == 1
    # Whatever the catalog names afterwards must be whole.
    for point in catalog.list_points(vault).points:
        for stream in point.systems[0].streams:
            assert sum(map(len, vault.read(stream.ref))) == stream.ref.size_bytes
    assert kept in catalog.list_points(vault).points
    again = write_point(vault, {"dump": data}, point_id="c00000000000")
    assert b"".join(vault.read(stream_of(again, "dump").ref)) == data


def test_a_stream_waits_for_a_store_that_stalls(vault, local_regions):
    faulty = FaultyStore(local_regions["near"], "put", 3)
    slow = Vault(vault.header, type(vault.regions)({"near": faulty}, {}), ())
    data = bytes_of(2, 40 * MIB)

    with slow.writing(HeldLease()) as writer:
        result = []
        thread = threading.Thread(target=lambda: result.append(writer.write(blocks(data))))
        thread.start()
        assert faulty.stalled.wait(20)
        thread.join(timeout=1)
        assert thread.is_alive()
        assert not result, "a stream is not stored before its last frame is"
        faulty.go_on.set()
        thread.join(timeout=30)
    assert faulty.struck == 1
    assert b"".join(vault.read(result[0][0])) == data


def test_a_read_goes_on_in_the_next_region_when_the_first_fails(vault, local_regions):
    data = bytes_of(1, 6 * MIB)
    point = write_point(vault, {"dump": data})
    replicate(vault, [point], HeldLease())
    faulty = FaultyStore(local_regions["near"], "get", 3, VaultUnreachable("away"), keep_on=True)
    hurt = Vault(vault.header, type(vault.regions)({"near": faulty, "far": local_regions["far"]}, {}), ())
    assert b"".join(hurt.read(stream_of(point, "dump").ref)) == data
    assert faulty.struck >= 1


# --- what is known ---


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=300), st.binary(min_size=32, max_size=32))
def test_the_frame_index_knows_what_was_added_and_nothing_else(ids, other):
    index = FrameIndex()
    for one in ids:
        index.add(one.hex())
    assert all(one.hex() in index for one in ids)
    assert len(index) == len({one[:16] for one in ids})
    assert (other.hex() in index) == (other[:16] in {one[:16] for one in ids})


def test_the_frame_index_stays_right_when_it_merges():
    generator = random.Random(1)
    ids = [f"00{generator.getrandbits(248):062x}" for _ in range(3000)]
    index = FrameIndex()
    for one in ids:
        index.add(one)
        index.add(one)
    assert len(index) == 3000
    assert all(one in index for one in ids)
    assert f"00{generator.getrandbits(248):062x}" not in index


def test_an_empty_frame_file_does_not_count_as_a_frame(vault, tmp_path):
    data = bytes_of(1, 3000)
    ref = stream_of(write_point(vault, {"dump": data}), "dump").ref
    (file,) = frame_files(tmp_path / "near", vault, ref)
    file.write_bytes(b"")
    write_point(vault, {"dump": data}, point_id="b00000000000")
    assert b"".join(vault.read(ref)) == data


def test_reading_a_policy_does_not_pay_for_obstore():
    code = "import sys, drkeeper.vault.store; print('obstore' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "False"


# --- power cuts ---


@pytest.fixture
def torn(vault, local_regions, tmp_path):
    """A committed point; then a session that a power cut ended, which left a frame with its length and no bytes."""
    kept = write_point(vault, {"dump": bytes_of(1, 2 * MIB)})
    with vault.writing(HeldLease()) as writer:
        ref, _ = writer.write(blocks(bytes_of(2, 5 * MIB)))
        file = frame_files(tmp_path / "near", vault, ref)[0]
        file.write_bytes(bytes(file.stat().st_size))
        (note,) = local_regions["near"].list("sessions/")
        ended = local_regions["near"].get(note.key)
    local_regions["near"].put(note.key, ended)
    return kept, note.key


def test_after_a_power_cut_nothing_is_built_on_what_it_may_have_torn(vault, torn, monkeypatch):
    kept, _ = torn
    monkeypatch.setattr("drkeeper.vault.sessions._boot_id", lambda: "another boot")
    again = write_point(vault, {"dump": bytes_of(2, 5 * MIB)}, point_id="b00000000000")
    assert b"".join(vault.read(stream_of(again, "dump").ref)) == bytes_of(2, 5 * MIB)
    assert b"".join(vault.read(stream_of(kept, "dump").ref)) == bytes_of(1, 2 * MIB)
    assert list(vault.primary.list("sessions/")) == []


def test_a_note_that_the_power_cut_tore_counts_as_one(vault, torn, monkeypatch):
    _, note = torn
    vault.primary.put(note, b"")
    again = write_point(vault, {"dump": bytes_of(2, 5 * MIB)}, point_id="b00000000000")
    assert b"".join(vault.read(stream_of(again, "dump").ref)) == bytes_of(2, 5 * MIB)


def test_after_a_crash_without_a_power_cut_the_frames_are_used_again(vault):
    def chunks():
        yield from blocks(bytes_of(2, 12 * MIB))
        give_up_at = time.monotonic() + 20
        while sum(one.size_bytes for one in vault.primary.list("frames/")) < 4 * MIB and time.monotonic() < give_up_at:
            time.sleep(0.05)  # frames are compressed and stored beside us
        raise CaptureFailed("killed")

    with pytest.raises(CaptureFailed), vault.writing(HeldLease()) as writer:
        writer.write(chunks())
    assert len(list(vault.primary.list("sessions/"))) == 1
    again = write_point(vault, {"dump": bytes_of(2, 12 * MIB)}, point_id="b00000000000")
    assert stream_of(again, "dump").stored_bytes < 9 * MIB
    assert b"".join(vault.read(stream_of(again, "dump").ref)) == bytes_of(2, 12 * MIB)
    assert list(vault.primary.list("sessions/")) == []
