"""Listing buckets of a real server: odd keys, several pages, versions; and what an endpoint's errors become."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.buckets.regions import bucket_at

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import BucketUnreachable, BytesDamaged, ObjectChanged, ObjectGone
from drkeeper.buckets.listed import moment
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.options import BucketOptions

ODD_KEYS = (
    "a+b", "a b", "ü/é", "per%20cent", "new\nline", "tab\t", "&<>\"'", "a/b", "a-b", "..x", "~t*()!'", "q?a=b&c", "h#h",
    "\U0001f600", "ctrl\x01", "/".join(["n" * 200] * 5) + "/" + "n" * 19,
)  # fmt: skip


def test_every_odd_key_is_written_listed_and_read_as_it_is(source):
    for key in ODD_KEYS:
        source.request("PUT", key, body=key.encode())
    assert {listed.key for listed in list_objects(source)} == set(ODD_KEYS)
    for key in ODD_KEYS:
        assert source.request("GET", key).body == key.encode()


def test_a_listing_of_several_pages_has_each_key_once(source):
    keys = {f"runs/{number % 7}/{number}" for number in range(1205)}
    for key in keys:
        source.request("PUT", key, body=b"x")
    listed = [one.key for one in list_objects(source)]
    assert len(listed) == len(keys)
    assert set(listed) == keys
    assert {one.key for one in list_objects(source, "runs/3")} == {key for key in keys if key.startswith("runs/3")}


def test_versions_and_delete_markers_are_told_apart_the_newest_first(near, source):
    near.client().put_bucket_versioning(Bucket=source.name, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"second"):
        source.request("PUT", "models/m+1 ü", body=body)
    source.request("DELETE", "models/m+1 ü")
    versions = list(list_versions(source))
    assert [(one.is_marker, one.is_latest, one.size_bytes) for one in versions] == [
        (True, True, 0), (False, False, 6), (False, False, 3),
    ]  # fmt: skip
    assert {one.key for one in versions} == {"models/m+1 ü"}
    assert moment(versions[0].modified_at) >= moment(versions[2].modified_at)
    oldest = versions[2]
    assert b"".join(source.read(oldest.key, 3, version_id=oldest.version_id, etag=oldest.etag)) == b"one"


def test_answers_that_are_errors_say_what_is_the_case(near, source):
    with pytest.raises(ObjectGone, match="GET nothing-here"):
        source.request("GET", "nothing-here")
    source.request("PUT", "taken", body=b"x")
    with pytest.raises(ObjectChanged):
        source.request("PUT", "taken", body=b"y", headers={"if-none-match": "*"})
    with pytest.raises(BytesDamaged):
        source.request("PUT", "damaged", body=b"y", headers={"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    with pytest.raises(BucketUnreachable, match="NoSuchBucket"):
        list(list_objects(bucket_at(near, "no-such-bucket")))
    with pytest.raises(BucketUnreachable, match="403") as refused:
        list(list_objects(bucket_at(near, source.name, secret_key="not-the-secret")))
    assert "not-the-secret" not in str(refused.value)


class Failing:
    """A server at the process edge that gives the answers it is told to, one after the other, and counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        faults = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, headers, body = faults.answers[min(faults.asked, len(faults.answers) - 1)]
                faults.asked += 1
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = len(body) < int(headers.get("Content-Length", 0))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bucket(self, **more):
        endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        options = {"url": "s3://b", "endpoint": endpoint, "allow_http": True, "access_key": "a", "secret_key": "s"}
        return Bucket(BucketOptions(**{**options, "timeout_seconds": 5, **more}))


SLOW_DOWN = (503, {"Retry-After": "0"}, b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
PAGE = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a&amp;b</Key><ETag>&quot;e&quot;</ETag>"
    b"<Size>3</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>"
)


def test_a_server_that_is_busy_is_asked_again_and_not_for_ever():
    with Failing(SLOW_DOWN, SLOW_DOWN, (200, {}, PAGE)) as server:
        assert [one.key for one in list_objects(server.bucket())] == ["a&b"]
        assert server.asked == 3
    with Failing(SLOW_DOWN) as server:
        with pytest.raises(BucketUnreachable, match="SlowDown"):
            list(list_objects(server.bucket(retries=2)))
        assert server.asked == 3


def test_a_listing_that_is_cut_off_is_never_taken_for_a_shorter_one():
    whole = {"Content-Length": str(len(PAGE))}
    with Failing((200, whole, PAGE[:-30])) as server, pytest.raises(BucketUnreachable):
        list(list_objects(server.bucket(retries=0)))
    with Failing((200, {}, PAGE[:-30])) as server, pytest.raises(BytesDamaged, match="without its end"):
        list(list_objects(server.bucket()))


def test_a_proxy_of_the_environment_is_not_asked_for_this_very_machine(source, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    source.request("PUT", "k", body=b"x")
    assert [one.key for one in list_objects(source)] == ["k"]


def test_a_server_that_is_mute_is_given_up_in_time(source):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        options = source.options.model_copy(update={"endpoint": endpoint, "timeout_seconds": 0.5, "retries": 1})
        began = time.monotonic()
        with pytest.raises(BucketUnreachable, match="timed out") as told:
            list(list_objects(Bucket(options)))
        assert time.monotonic() - began < 5
        assert told.value.hint
