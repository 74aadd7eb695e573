"""An emulator of S3 whose replication rules really copy: MiniStack, one process, everything in memory, no auth.

Of the servers that tests can start it is the only one. `make` installs it as a tool of its own, for it pins botocore.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import seaweed

START_SECONDS = 30


@contextmanager
def running_ministack(folder: Path):
    """A server on a free port; its bucket names are one namespace, as in AWS."""
    program = shutil.which("ministack") or shutil.which("ministack", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no MiniStack: `make install`, or uv tool install ministack")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program], stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            _wait_until_it_listens(port, process, folder / "log")
            yield seaweed.S3Server(f"http://127.0.0.1:{port}", "any-key", "any-secret")
        finally:
            process.kill()
            process.wait()


def _wait_until_it_listens(port, process, log):
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise RuntimeError(f"MiniStack ended at once: {log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"MiniStack did not answer in {START_SECONDS} s: {log.read_text()[-2000:]}")
