"""Sandbox servers do not outlive who started them, however that one ends; unless they are to."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.sandbox._files import descendants

# Started from threads that have ended by the time of the kill, as a drill does.
PROGRAM = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from drkeeper.sandbox import start_sandbox
folder = Path(sys.argv[1])
with ThreadPoolExecutor() as pool:
    servers = list(pool.map(lambda kind: start_sandbox(kind, folder / kind), ("postgres", "redis")))
if sys.argv[2] == "leaves":
    for server in servers:
        server.leave()
print(*(server.process_id for server in servers), flush=True)
if sys.argv[2] == "stays":
    time.sleep(600)
"""


def alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(process_ids, seconds=10.0):
    deadline = monotonic_seconds() + seconds
    while any(map(alive, process_ids)) and monotonic_seconds() < deadline:
        sleep(0.05)
    return not any(map(alive, process_ids))


@contextmanager
def starter(folder, then, *prefix):
    """A process that has started both servers, and their process ids."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", PROGRAM, str(folder), then], stdout=subprocess.PIPE, text=True
    ) as process:
        servers = [int(word) for word in process.stdout.readline().split()]
        assert len(servers) == 2
        family = [*servers, *(child for server in servers for child in descendants(server))]
        try:
            yield process, servers, family
        finally:
            process.kill()
            process.wait()
            for server in servers:
                if alive(server):
                    os.kill(server, signal.SIGKILL)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_servers_and_their_children_end_with_a_starter_that_is_killed(tmp_path, sign):
    tmp_path.chmod(0o711)
    with starter(tmp_path, "stays") as (process, servers, family):
        assert len(family) > len(servers) + 3
        watchdogs = [child for child in descendants(process.pid) if child not in family]
        assert len(watchdogs) == 2
        process.send_signal(sign)
        process.wait(10)
        assert gone([*family, *watchdogs])


def test_servers_that_are_left_outlive_their_starter(tmp_path):
    tmp_path.chmod(0o711)
    with starter(tmp_path, "leaves") as (process, servers, _):
        assert process.wait(10) == 0
        sleep(1)
        assert all(map(alive, servers))


def test_servers_of_an_ordinary_user_end_with_their_starter(tmp_path):
    if os.geteuid() != 0:
        pytest.xfail("the other tests run as an ordinary user here")
    as_user = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if subprocess.run([*as_user, "true"], check=False, capture_output=True).returncode:
        pytest.xfail("no user namespaces here")
    with starter(tmp_path, "stays", *as_user) as (process, _, family):
        process.kill()
        process.wait()
        assert gone(family)
