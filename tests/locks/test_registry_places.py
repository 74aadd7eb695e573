"""Where a registry lies: replaced only as it was read, by one writer at a time, or not at all."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

import seaweed
from drkeeper.errors import Refused
from drkeeper.registry_places import ConditionsIgnored, FilePlace, S3Place, open_place


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture(params=["a file", "S3"])
def place(request, tmp_path, monkeypatch):
    if request.param == "a file":
        return FilePlace(tmp_path / "some" / "registry.db")
    return s3_place(request.getfixturevalue("server"), monkeypatch)


def s3_place(server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("FEAST_S3_ENDPOINT_URL", server.endpoint)
    return open_place(f"s3://{server.make_bucket()}/some/registry.db", None, None)


def test_it_is_replaced_only_as_it_was_read(place):
    assert place.read() is None
    first = place.replace(b"one", None)
    assert first
    assert place.replace(b"another one", None) is None
    assert place.read() == (b"one", first)
    second = place.replace(b"two", first)
    assert place.replace(b"three", first) is None
    assert place.read() == (b"two", second)


def test_one_that_was_removed_meanwhile_is_not_replaced(place):
    tag = place.replace(b"one", None)
    place.remove()
    place.remove()
    assert place.replace(b"two", tag) is None
    assert place.read() is None


def test_of_those_who_read_the_same_one_wins(place):
    tag = place.replace(b"0", None)
    for turn in range(5):
        contents = [bytes([10 * turn + who]) * 1000 for who in range(4)]  # never the same twice, as registries are
        with ThreadPoolExecutor(4) as pool:
            won = list(filter(None, pool.map(place.replace, contents, [tag] * 4)))
        assert len(won) == 1
        data, tag = place.read()
        assert tag == won[0]
        assert len(set(data)) == 1, "whole, of one writer"


def test_a_file_keeps_its_permissions_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "registry.db"
    file.write_bytes(b"one")
    file.chmod(0o640)
    place = FilePlace(file)
    _, tag = place.read()
    place.replace(b"two", tag)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["registry.db", "registry.db.lock"]


def test_a_server_that_takes_no_notice_of_conditions_is_refused_before_anything_is_written(server, monkeypatch):
    place = s3_place(server, monkeypatch)
    dropped = []
    # The real server, which never hears of the condition.
    place._client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: dropped.append(params["headers"].pop("If-Match", None))
    )
    with pytest.raises(ConditionsIgnored, match="takes no notice of If-Match"):
        place.replace(b"one", None)
    assert dropped == [f'"{"0" * 32}"']
    assert "Contents" not in server.client().list_objects_v2(Bucket=place._bucket), "nothing is left"


def test_a_server_that_heeds_conditions_is_asked_once_and_nothing_is_left(server, monkeypatch):
    place = s3_place(server, monkeypatch)
    place.replace(b"two", place.replace(b"one", None))
    listed = server.client().list_objects_v2(Bucket=place._bucket)["Contents"]
    assert [each["Key"] for each in listed] == ["some/registry.db"]


@pytest.mark.parametrize("path", ["gs://bucket/registry.db", "s3://bucket", "postgresql://host/db"])
def test_other_places_are_refused(path):
    with pytest.raises(Refused, match="cannot be kept here"):
        open_place(path, None, None)


def test_a_path_may_be_relative_to_the_feature_repository(tmp_path):
    open_place("data/registry.db", tmp_path, None).replace(b"one", None)
    assert (tmp_path / "data" / "registry.db").read_bytes() == b"one"
    assert open_place(f"file://{tmp_path}/data/registry.db", None, None).read()[0] == b"one"
    assert isinstance(open_place("s3://bucket/key", None, {"ServerSideEncryption": "AES256"}), S3Place)
