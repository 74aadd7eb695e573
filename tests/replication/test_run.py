"""A bucket and its replica, on two real servers: equal afterwards, whatever happens on the way."""

import os
import threading
import time

import pytest
from tests.buckets.faulty import faulty
from tests.buckets.regions import bucket_at
from tests.buckets.test_copying import CARRIED, put_parts
from tests.buckets.test_listing import ODD_KEYS
from tests.replication.buckets import contents, pair_of, run, versioned

from drkeeper.buckets.errors import BucketFull, BucketUnreachable
from drkeeper.buckets.listing import list_objects, list_uploads, list_versions
from drkeeper.buckets.reserved import HEARTBEAT, MISSING, UPLOADS
from drkeeper.errors import Interrupted, Refused
from drkeeper.replication import shard_run
from drkeeper.replication.missing import read_missing
from drkeeper.throttle import stopped_by

MEBIBYTE = 1 << 20


def fill(server, bucket):
    """Artifacts of every sort."""
    for key in ODD_KEYS:
        bucket.request("PUT", key, body=key.encode())
    bucket.request("PUT", "empty", body=b"")
    bucket.request("PUT", "models/m", headers=CARRIED, body=os.urandom(3000))
    bucket.request("PUT", "models/two", body=os.urandom(2 * MEBIBYTE))
    bucket.request("PUT", "models/nine", body=os.urandom(9 * MEBIBYTE + 1))
    put_parts(server, bucket, "models/parts", [os.urandom(5 * MEBIBYTE), os.urandom(MEBIBYTE)])
    bucket.request("PUT", HEARTBEAT, body=b"{}")


def test_a_bucket_of_every_sort_of_object_is_copied_and_a_second_run_asks_for_none_of_it(near, source, replica):
    fill(near, source)
    first = run(pair_of(source, replica))
    assert first.complete
    assert contents(replica) == contents(source)
    assert (first.new, first.source_objects, first.failed) == (len(ODD_KEYS) + 6, len(ODD_KEYS) + 6, 0)
    assert first.verified == {"etag": first.new}
    with faulty(source.endpoint) as at_source, faulty(replica.endpoint) as at_replica:
        pair = pair_of(source, replica, endpoint=at_source.endpoint, replica_endpoint=at_replica.endpoint)
        second = run(pair)
        assert (second.new, second.overwritten, second.copied_bytes, second.behind_seconds) == (0, 0, 0, 0)
        assert not any(
            key in path for key in ("models", "empty", "tab") for _, path in at_source.seen + at_replica.seen
        )


@pytest.mark.parametrize("keys_in_a_table", [5, 10_000])
def test_a_bucket_that_fits_into_no_table_is_brought_piece_by_piece(
    near, source, replica, monkeypatch, keys_in_a_table
):
    monkeypatch.setattr(shard_run, "TABLE_KEYS", keys_in_a_table)
    monkeypatch.setattr("drkeeper.replication.run.TABLE_KEYS", keys_in_a_table)
    fill(near, source)
    assert run(pair_of(source, replica)).complete
    source.request("PUT", "models/m", body=b"other")
    source.request("PUT", "added/later", body=b"new")
    source.request("DELETE", "empty")
    record = run(pair_of(source, replica))
    assert (record.new, record.overwritten, record.waiting) == (1, 1, 0 if record.notes else 1) or record.waiting == 1
    there = contents(replica)
    assert there.pop("empty")
    assert there == contents(source)


def test_a_piece_that_has_grown_too_large_meanwhile_is_named_and_the_run_is_not_complete(source, replica, monkeypatch):
    for number in range(8):
        source.request("PUT", f"large/{number}", body=b"x")
        replica.request("PUT", f"large/{number}", body=b"x")
    source.request("PUT", "other/1", body=b"x")
    monkeypatch.setattr(shard_run, "TABLE_KEYS", 3)
    monkeypatch.setattr("drkeeper.replication.run.TABLE_KEYS", 32)
    record = run(pair_of(source, replica))
    assert not record.complete
    assert [(each.key.rstrip("*"), "grown" in each.error) for each in record.failures] == [("large/", True)]
    assert "other/1" in contents(replica)


def test_a_dry_run_says_what_would_be_and_changes_nothing(near, source, replica):
    fill(near, source)
    dry = run(pair_of(source, replica), dry_run=True)
    assert not list(list_objects(replica))
    wet = run(pair_of(source, replica))
    assert (dry.new, dry.overwritten, dry.copied_bytes) == (wet.new, wet.overwritten, wet.copied_bytes)


def test_excluded_keys_stay_where_they_are(source, replica):
    for key in ("scratch/a/b", "models/scratch", "models/m"):
        source.request("PUT", key, body=b"x")
    run(pair_of(source, replica, exclude=("scratch/*",)))
    assert {one.key for one in list_objects(replica)} == {"models/scratch", "models/m"}


class TestTheGuard:
    def test_a_source_that_was_encrypted_by_somebody_else_stops_before_the_first_object(self, source, replica):
        for number in range(10):
            source.request("PUT", f"m/{number}", body=b"a model")
        run(pair_of(source, replica))
        before = contents(replica)
        for number in range(3):
            source.request("PUT", f"m/{number}", body=b"give us money")
        pair = pair_of(source, replica, copying={"guard_share": 0.2})
        with pytest.raises(Refused, match=r"3 objects of the replica would be overwritten .* 30%") as refused:
            run(pair)
        assert refused.value.exit_code == 4
        assert "allow-share" in refused.value.hint
        assert contents(replica) == before
        assert run(pair, allow_share=0.3).overwritten == 3
        assert contents(replica) == contents(source)

    def test_an_emptied_source_empties_no_replica(self, far, source, replica):
        versioned(far, replica)
        for number in range(5):
            source.request("PUT", f"m/{number}", body=b"a model")
        run(pair_of(source, replica))
        before = contents(replica)
        for number in range(5):
            source.request("DELETE", f"m/{number}")
        with pytest.raises(Refused, match="5 deleted"):
            run(pair_of(source, replica, copying={"guard_share": 0.2, "deletions_after_days": 0}))
        assert contents(replica) == before

    def test_few_objects_may_always_change(self, source, replica):
        source.request("PUT", "one", body=b"before")
        run(pair_of(source, replica))
        source.request("PUT", "one", body=b"after")
        assert run(pair_of(source, replica, copying={"guard_share": 0.1, "guard_objects": 1})).overwritten == 1


class TestDeletions:
    def test_they_follow_as_markers_after_their_delay_and_what_comes_back_is_forgotten(self, far, source, replica):
        versioned(far, replica)
        for key in ("stays", "goes", "comes back"):
            source.request("PUT", key, body=key.encode())
        run(pair_of(source, replica))
        source.request("DELETE", "goes")
        source.request("DELETE", "comes back")
        waiting = run(pair_of(source, replica))
        assert (waiting.deleted, waiting.waiting) == (0, 2)
        assert set(read_missing(replica)) == {"goes", "comes back"}
        source.request("PUT", "comes back", body=b"again")
        followed = run(pair_of(source, replica, copying={"deletions_after_days": 0}))
        assert (followed.deleted, followed.waiting) == (1, 0)
        assert contents(replica) == contents(source)
        marker, original = [one for one in list_versions(replica) if one.key == "goes"]
        assert marker.is_marker
        assert original.size_bytes == 4

    def test_a_replica_without_versions_keeps_what_was_deleted_and_the_run_says_so(self, source, replica):
        source.request("PUT", "k", body=b"x")
        run(pair_of(source, replica))
        source.request("DELETE", "k")
        record = run(pair_of(source, replica, copying={"deletions_after_days": 0}))
        assert (record.deleted, record.waiting) == (0, 1)
        assert "not versioned" in record.notes[0]
        assert list(contents(replica)) == ["k"]

    @pytest.mark.parametrize(("action", "why"), [("expired", "cannot be told"), ("lacking", "not versioned")])
    def test_where_versions_cannot_be_asked_for_deletions_do_not_follow(self, far, source, replica, action, why):
        versioned(far, replica)
        source.request("PUT", "k", body=b"x")
        run(pair_of(source, replica))
        source.request("DELETE", "k")
        with faulty(replica.endpoint) as proxy:
            rule = proxy.rule("GET", "versioning", action, times=100)
            pair = pair_of(source, replica, replica_endpoint=proxy.endpoint, copying={"deletions_after_days": 0})
            record = run(pair)
        assert rule.hits
        assert why in record.notes[0]
        assert (record.complete, record.deleted, record.waiting) == (True, 0, 1)

    def test_notes_that_cannot_be_read_begin_anew(self, source, replica):
        replica.request("PUT", MISSING, body=b"\x00 no json\n[1]\n")
        assert run(pair_of(source, replica)).complete


@pytest.fixture
def proxies(source, replica):
    with faulty(source.endpoint) as at_source, faulty(replica.endpoint) as at_replica:
        yield at_source, at_replica


@pytest.mark.parametrize(
    ("side", "method", "target", "action"),
    [
        ("source", "GET", "small", "cut"),
        ("source", "GET", "large", "cut"),
        ("source", "GET", "parts", "cut"),
        ("source", "GET", "small", "slow"),
        ("source", "GET", "small", "error"),
        ("source", "GET", "small", "hang up"),
        ("source", "GET", "small", "damage"),
        ("source", "GET", "large", "damage"),
        ("source", "GET", "parts", "damage"),
        ("source", "GET", "list-type", "cut"),
        ("source", "GET", "list-type", "error"),
        ("replica", "PUT", "small", "slow"),
        ("replica", "PUT", "small", "error"),
        ("replica", "PUT", "small", "hang up"),
        ("replica", "PUT", "small", "lose the answer"),
        ("replica", "PUT", "small", "wrong etag"),
        ("replica", "PUT", "large", "wrong etag"),
        ("replica", "PUT", "large", "lose the answer"),
        ("replica", "PUT", "partNumber", "wrong etag"),
        ("replica", "PUT", "partNumber", "lose the answer"),
        ("replica", "POST", "uploadId", "lose the answer"),
        ("replica", "POST", "uploads", "lose the answer"),
        ("replica", "GET", "list-type", "cut"),
    ],
)
def test_a_fault_costs_a_try_and_nothing_else(near, source, replica, proxies, side, method, target, action):
    source.request("PUT", "small", headers=CARRIED, body=os.urandom(20_000))
    source.request("PUT", "large", body=os.urandom(9 * MEBIBYTE))
    put_parts(near, source, "parts", [os.urandom(5 * MEBIBYTE), os.urandom(100)])
    at_source, at_replica = proxies
    rule = (at_source if side == "source" else at_replica).rule(method, target, action)
    pair = pair_of(source, replica, endpoint=at_source.endpoint, replica_endpoint=at_replica.endpoint)
    record = run(pair)
    assert rule.hits == 1
    if not record.complete:  # what cannot be known to be right is told as failed, and done again
        record = run(pair)
    assert record.complete
    assert contents(replica) == contents(source)
    assert not list(list_uploads(replica))
    assert not list(list_objects(replica, UPLOADS))


@pytest.mark.parametrize(
    ("side", "method", "action", "error"),
    [
        ("source", "GET", "expired", "ExpiredToken"),
        ("replica", "PUT", "expired", "ExpiredToken"),
        ("source", "GET", "error", "InternalError"),
        ("replica", "PUT", "slow", "SlowDown"),
    ],
)
def test_an_object_that_cannot_be_copied_is_named_and_the_others_are_copied(
    source, replica, proxies, side, method, action, error
):
    for key in ("good/1", "bad/1", "good/2"):
        source.request("PUT", key, body=key.encode())
    at_source, at_replica = proxies
    rule = (at_source if side == "source" else at_replica).rule(method, "bad", action, times=1000)
    pair = pair_of(source, replica, endpoint=at_source.endpoint, replica_endpoint=at_replica.endpoint, retries=1)
    record = run(pair)
    assert rule.hits
    assert not record.complete
    assert [failure.key for failure in record.failures] == ["bad/1"]
    assert error in record.failures[0].error
    assert source.options.secret_key.get_secret_value() not in record.model_dump_json()
    assert set(contents(replica)) == {"good/1", "good/2"}
    rule.times = 0
    assert run(pair).complete
    assert contents(replica) == contents(source)


def test_an_endpoint_that_asks_for_less_is_given_less(source, replica, proxies):
    for number in range(120):
        source.request("PUT", f"k/{number}", body=b"x")
    at_source, at_replica = proxies
    rule = at_replica.rule("PUT", "k/", "slow", times=12, skip=40)
    pair = pair_of(source, replica, endpoint=at_source.endpoint, replica_endpoint=at_replica.endpoint)
    copier = pair.copier()
    assert run(pair).complete
    assert rule.hits == 12
    assert at_replica.most_at_once <= copier.pace.most
    assert contents(replica) == contents(source)


def test_a_bucket_that_is_full_ends_the_run_and_what_was_copied_stays(source, replica, proxies):
    for number in range(40):
        source.request("PUT", f"k/{number:02}", body=b"x")
    _, at_replica = proxies
    rule = at_replica.rule("PUT", "k/", "full", times=1000, skip=10)
    pair = pair_of(source, replica, replica_endpoint=at_replica.endpoint, retries=0)
    with pytest.raises(BucketFull, match="XMinioStorageFull"):
        run(pair)
    assert rule.hits
    assert 0 < len(contents(replica)) < 40
    rule.times = 0
    assert run(pair).complete
    assert contents(replica) == contents(source)


def test_expired_credentials_are_told_at_once_with_nothing_changed(source, replica, proxies):
    source.request("PUT", "k", body=b"x")
    at_source, _ = proxies
    at_source.rule("GET", "list-type", "expired", times=1000)
    with pytest.raises(BucketUnreachable, match="ExpiredToken") as told:
        run(pair_of(source, replica, endpoint=at_source.endpoint))
    assert told.value.hint
    assert not list(list_objects(replica))


def test_an_object_that_is_changed_or_deleted_while_it_is_copied(near, source, replica, proxies):
    source.request("PUT", "changed", body=b"before")
    source.request("PUT", "deleted", body=b"x")
    source.request("PUT", "large", body=os.urandom(9 * MEBIBYTE))
    at_source, _ = proxies
    later = os.urandom(9 * MEBIBYTE)
    rules = [
        at_source.rule("GET", "changed", "pass", before=lambda: source.request("PUT", "changed", body=b"after!")),
        at_source.rule("GET", "deleted", "pass", before=lambda: source.request("DELETE", "deleted")),
        at_source.rule("GET", "large", "pass", skip=1, before=lambda: source.request("PUT", "large", body=later)),
    ]
    record = run(pair_of(source, replica, endpoint=at_source.endpoint))
    assert [rule.hits for rule in rules] == [1, 1, 1]
    assert (record.gone, record.failed) == (1, 0)
    assert contents(replica) == contents(source)


def test_whoever_tells_a_run_to_stop_does_not_wait_for_its_end(source, replica):
    for number in range(300):
        source.request("PUT", f"k/{number}", body=b"x" * 1000)
    stop = threading.Event()
    pair = pair_of(source, replica)
    pair = type(pair)(pair.system, pair.options, rate_bytes_per_second=30_000)
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with stopped_by(stop), pytest.raises(Interrupted):
        run(pair)
    assert time.monotonic() - began < 5
    assert len(contents(replica)) < 300


def test_a_bandwidth_cap_is_kept(source, replica):
    source.request("PUT", "k", body=os.urandom(3 * MEBIBYTE))
    for number in range(20):
        source.request("PUT", f"s/{number}", body=os.urandom(50_000))
    pair = pair_of(source, replica)
    began = time.monotonic()
    run(type(pair)(pair.system, pair.options, rate_bytes_per_second=2 * MEBIBYTE))
    assert time.monotonic() - began >= 1.0  # 4 MB at 2 MiB/s, but for what begins at once
    assert contents(replica) == contents(source)


def test_two_buckets_of_one_endpoint_are_copied_by_the_server_itself(near, source):
    there = bucket_at(near)
    fill(near, source)
    with faulty(near.endpoint) as proxy:
        record = run(pair_of(source, there, endpoint=proxy.endpoint, replica_endpoint=proxy.endpoint))
        assert record.complete
        assert not any(method == "GET" and "models" in path and "tagging" not in path for method, path in proxy.seen)
    mine, theirs = contents(source), contents(there)
    # SeaweedFS gives parts that it copies by itself ETags of another kind; the original's is noted then.
    assert theirs["models/parts"][4].pop("drkeeper-source-etag") == mine["models/parts"][0]
    assert {key: one[1:] for key, one in theirs.items()} == {key: one[1:] for key, one in mine.items()}
    assert run(pair_of(source, there)).new + run(pair_of(source, there)).overwritten == 0


def test_an_object_too_large_for_one_request_goes_in_parts_of_our_own_and_is_known_by_its_age(
    source, replica, monkeypatch
):
    monkeypatch.setattr("drkeeper.buckets.copying.LARGEST_SINGLE_BYTES", 8 * MEBIBYTE)
    monkeypatch.setattr("drkeeper.buckets.parts.PART_BYTES", 5 * MEBIBYTE)
    source.request("PUT", "large", headers=CARRIED, body=os.urandom(12 * MEBIBYTE))
    record = run(pair_of(source, replica))
    assert (record.complete, record.verified) == (True, {"digest": 1})
    mine, theirs = contents(source)["large"], contents(replica)["large"]
    assert theirs[0].endswith("-3")
    assert theirs[4].pop("drkeeper-source-etag") == mine[0]
    assert theirs[1:] == mine[1:]
    assert run(pair_of(source, replica)).copied_bytes == 0
    time.sleep(1.1)  # by whole seconds
    source.request("PUT", "large", body=os.urandom(12 * MEBIBYTE))
    assert run(pair_of(source, replica)).overwritten == 1
    assert contents(replica)["large"][2] == contents(source)["large"][2]


def test_where_etags_are_no_digests_copies_are_confirmed_by_the_digest_that_was_sent_and_a_note_says_so(
    near, source, replica, proxies
):
    source.request("PUT", "small", body=os.urandom(1000))
    source.request("PUT", "large", body=os.urandom(9 * MEBIBYTE))
    _, at_replica = proxies
    rule = at_replica.rule("PUT", "", "kms", times=1000)
    record = run(pair_of(source, replica, replica_endpoint=at_replica.endpoint))
    assert rule.hits >= 2
    assert (record.complete, record.verified) == (True, {"digest": 2})
    assert any("etags: opaque" in note for note in record.notes)
    assert contents(replica) == contents(source)


def test_opaque_etags_are_compared_by_size_and_age(source, replica):
    source.request("PUT", "k", body=b"plain")
    time.sleep(1.1)  # by whole seconds
    replica.request("PUT", "k", body=b"PLAIN")  # as long, and another ETag: as if it were encrypted
    pair = pair_of(source, replica, etags="opaque")
    assert run(pair).copied_bytes == 0
    assert run(pair_of(source, replica), dry_run=True).overwritten == 1
    time.sleep(1.1)
    source.request("PUT", "k", body=b"later")
    assert run(pair).overwritten == 1
    assert contents(replica) == contents(source)
