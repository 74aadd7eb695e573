"""A fail-back while work goes on: in pieces, in parts, and with what is written between its two passes."""

import pytest
from tests.failover.platform import Platform, delete, put, texts

from drkeeper.failover import survey
from drkeeper.failover.telling import Teller
from drkeeper.replication import shard_run

PART_BYTES = 5 << 20


def put_in_parts(server, bucket, key, *bodies):
    client = server.client()
    named = {"Bucket": bucket.name, "Key": key}
    named["UploadId"] = client.create_multipart_upload(**named)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        etag = client.upload_part(**named, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})


@pytest.fixture
def meanwhile(monkeypatch):
    """What happens when consumers are told before the switch, between the two passes."""
    tell = Teller.tell

    def happens(act):
        def telling(self, phase, labels):
            if phase == "before":
                act()
            tell(self, phase, labels)

        monkeypatch.setattr(Teller, "tell", telling)

    return happens


def test_what_is_written_until_consumers_stop_comes_along(platform, meanwhile):
    platform.fail_over()
    put(platform.replica, models__a="a2", models__b="b2")

    def write():
        assert texts(platform.source)["models/a"] == "a2"
        put(platform.replica, models__a="a3", models__new="n1")
        delete(platform.replica, "models__b")

    meanwhile(write)
    platform.fail_back()
    assert texts(platform.source) == {"models/a": "a3", "models/c": "c1", "models/new": "n1"}


def test_what_was_deleted_and_written_anew_between_the_passes_is_no_conflict(platform, meanwhile):
    platform.fail_over()
    delete(platform.replica, "models__a")
    meanwhile(lambda: put(platform.replica, models__a="anew"))
    platform.fail_back()
    assert texts(platform.source)["models/a"] == "anew"


def test_a_conflict_that_comes_up_between_the_passes_is_not_overwritten(platform, meanwhile):
    platform.fail_over()
    put(platform.replica, models__a="a2", models__b="b2")
    meanwhile(lambda: put(platform.source, models__a="a-source") or put(platform.replica, models__a="a3"))
    said = platform.fail_back(code=3).err
    assert "1 conflicts came up meanwhile, the first: models/a" in said
    assert texts(platform.source) == {"models/a": "a-source", "models/b": "b2", "models/c": "c1"}
    assert platform.roles().primary == "replica"
    assert platform.json("failover", "status")["state"] == "settled"


def test_a_bucket_too_large_for_a_table_is_gone_through_in_pieces(platform, monkeypatch):
    monkeypatch.setattr(survey, "TABLE_KEYS", 8)
    monkeypatch.setattr(shard_run, "TABLE_KEYS", 8)
    for number in range(30):
        put(platform.source, **{f"runs__{number % 3}__{number}": f"{number}"})
    assert platform.json("failover", "plan")["loss"]["objects"] == 30
    monkeypatch.setattr(shard_run, "TABLE_KEYS", 1000)
    platform.fail_over()
    for number in range(0, 30, 2):
        put(platform.replica, **{f"runs__{number % 3}__{number}": f"new {number}"})
    for number in range(12):
        put(platform.replica, **{f"new__{number}": f"{number}"})
    delete(platform.replica, "runs__1__1", "models__a")
    put(platform.source, runs__0__3="conflict")
    assert platform.json("failback", "--dry-run", code=4)["reconciliation"]["conflict_count"] == 1
    found = platform.json("failback", "--dry-run", "--prefer", "replica")["reconciliation"]
    assert (found["source_objects"], found["copies"], found["deletions"]) == (33, 28, 2)
    platform.fail_back("--prefer", "replica")
    assert texts(platform.source) == texts(platform.replica)


def test_objects_in_parts_come_back_in_their_parts(platform):
    platform.fail_over()
    put_in_parts(platform.far, platform.replica, "models/large", b"x" * PART_BYTES, b"y" * 1000)
    platform.fail_back()
    etags = {side.request("HEAD", "models/large").headers["etag"] for side in (platform.source, platform.replica)}
    assert len(etags) == 1


def test_a_server_that_copies_parts_by_itself_gives_them_other_etags_and_they_are_known_all_the_same(
    tmp_path, near, capfd, monkeypatch
):
    platform = Platform(tmp_path, near, near, capfd)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    put(platform.source, a="a1")
    put_in_parts(near, platform.source, "large", b"x" * PART_BYTES, b"first")
    platform.fail_over()
    put(platform.replica, a="a2", b="b1")
    put_in_parts(near, platform.replica, "large", b"x" * PART_BYTES, b"again")
    plan = platform.json("failback", "--dry-run")["reconciliation"]
    assert (plan["copies"], plan["overwrites"], plan["conflict_count"]) == (3, 2, 0)
    platform.fail_back()
    assert platform.source.request("GET", "large").body.endswith(b"again")
    etags = {side.request("HEAD", "large").headers["etag"] for side in (platform.source, platform.replica)}
    assert len(etags) == 2
    assert platform.source.request("GET", "b").body == b"b1"
