"""The loop of small requests, against a server that keeps one of them waiting."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.many import Ask, run_many
from drkeeper.buckets.options import BucketOptions

SLOW_SECONDS = 1.0


class _Waiting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "slow" in self.path:
            time.sleep(SLOW_SECONDS)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Waiting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        options = {"url": "s3://any", "endpoint": endpoint, "access_key": "a", "secret_key": "b", "allow_http": True}
        yield Bucket(BucketOptions.model_validate(options))
        server.shutdown()


def test_a_request_that_waits_does_not_keep_the_next_ones_from_being_sent(bucket):
    def one_slow():
        yield Ask(bucket, "GET", "slow")
        return "slow"

    def ten_in_turn():
        for number in range(10):
            yield Ask(bucket, "GET", f"quick-{number}")
        return "quick"

    assert list(run_many([one_slow(), ten_in_turn()], lambda: 2)) == ["quick", "slow"]
