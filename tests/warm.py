"""`drkeeper` in a process of its own, without its start: forked from one that has imported everything already.

A suite that calls the command some hundred times spends half a second of CPU on each for importing the same modules.
The process that is forked from has one thread, has opened nothing and was told nothing; each command gets its own
environment, folder and files, takes signals and ends as any process does. Tests of the start itself (`tests/cli`) and
of terminals start Python anew.
"""

import atexit
import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

# What commands import as they go.
MODULES = (
    "drkeeper.__main__", "drkeeper.cli.backup", "drkeeper.cli.drill", "drkeeper.cli.plan", "drkeeper.cli.points",
    "drkeeper.cli.restore", "drkeeper.cli.verify", "drkeeper.recovery", "drkeeper.drill", "drkeeper.report.html",
    "drkeeper.report.markdown", "drkeeper.systems.postgres", "drkeeper.systems.redis", "drkeeper.vault.object_store",
    "kubernetes",
)  # fmt: skip
# What reads the environment as it is imported: each command imports it for itself.
TOLD = "kubernetes.config"
MESSAGE_BYTES = 1 << 17
LINE_BYTES = 16


def run(words, *, env, timeout, cwd=None):
    """As `subprocess.run` with the output caught and no input; `words` come after `drkeeper`."""
    process = Process(words, env, cwd)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


class Process:
    """What tests need of `subprocess.Popen`, with the output caught and no input."""

    def __init__(self, words, env, cwd=None):
        self.args = [str(word) for word in words]
        self.returncode = None
        self._files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when they were read
        self._said = ["", ""]
        self._way, telling = socket.socketpair()
        with telling:
            request = json.dumps({"words": self.args, "env": env, "folder": str(cwd or Path.cwd())}).encode()
            socket.send_fds(starter(), [request], [*(file.fileno() for file in self._files), telling.fileno()])
        self.pid = int(self._line())

    def wait(self, timeout=None):
        """How it ended, as `returncode` says it."""
        if self.returncode is None:
            self._way.settimeout(timeout)
            try:
                self.returncode = int(self._line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout) from None
        return self.returncode

    def poll(self):
        """The same; None where it has not ended."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)

    def communicate(self, timeout=None):
        """All that it has said, once it has ended."""
        self.wait(timeout)
        self._way.close()
        for place, file in enumerate(self._files):
            self._said[place] = file.seek(0) or file.read().decode()
            file.close()
        self._files = ()
        return tuple(self._said)

    def send_signal(self, number):
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _line(self):
        """Told in one piece each."""
        said = self._way.recv(LINE_BYTES)
        assert said, "the process that is forked from has ended"
        return said


@cache
def starter():
    """The way to the process that is forked from, which is started once and ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    @atexit.register
    def end():
        ours.close()
        process.wait(30)

    return ours


def serve(way):
    """Fork for each request, until nobody is there to make one."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for name in MODULES:
        with suppress(Exception):  # the commands that need it will say so
            import_module(name)
    for name in [name for name in sys.modules if name.startswith(TOLD)]:
        del sys.modules[name]
    gc.freeze()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads must not be forked from"
    while True:
        request, fds, _, _ = socket.recv_fds(way, MESSAGE_BYTES, 3)
        if not request:
            return
        if os.fork() == 0:
            way.close()
            look_after(json.loads(request), *fds)
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def look_after(request, out, err, telling):
    """Fork once more, for the command; tell who it is, and how it ended."""
    command = os.fork()
    if command == 0:
        os.close(telling)
        carry_out(request, out, err)
    os.write(telling, f"{command:{LINE_BYTES}}".encode())
    _, status = os.waitpid(command, 0)
    os.write(telling, f"{os.waitstatus_to_exitcode(status):{LINE_BYTES}}".encode())
    os._exit(0)


def carry_out(request, out, err):
    """Become the command."""
    for fd, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    time.tzset()
    random.seed()
    sys.argv = ["drkeeper", *request["words"]]
    code = 1
    try:
        sys.modules["drkeeper.__main__"].main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
