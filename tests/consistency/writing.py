"""The two processes that write into a platform (`writers.py`), and the journal of what they wrote."""

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NAMES = ("mlflow", "feast")
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Write:
    """A line of the journal; times are seconds since the epoch."""

    what: str
    name: str
    began: float
    ended: float


class Writers:
    """Both processes, and the folder with their journals and what else they say."""

    def __init__(self, folder, processes):
        self._folder, self._processes = folder, processes

    @contextmanager
    def at_work(self, requests):
        """They write until the end of the block; neither may end before, or badly."""
        try:
            for name, process in self._processes.items():
                process.stdin.write(json.dumps({"journal": str(self._file(name)), **requests[name]}).encode())
                process.stdin.close()
            self._wait_until(lambda: {write.what for write in self.journal()} >= {"version", "view"})
            yield
            assert self._codes() == [None, None], self._said()
        finally:
            for process in self._processes.values():
                process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait(timeout=PATIENCE_SECONDS)
        assert self._codes() == [0, 0], self._said()

    def journal(self):
        """What was written so far, by both."""
        lines = [line for name in NAMES for line in _lines(self._file(name))]
        return sorted((Write(**json.loads(line)) for line in lines), key=lambda write: write.ended)

    def registered_between(self, began, ended):
        """Versions that became READY in that time."""
        return [write for write in self.journal() if write.what == "version" and began < write.ended < ended]

    def wait_for_another(self, since=None):
        """Until a version was registered of which nothing was written at that time, now by default."""
        began = since or time.time()
        self._wait_until(lambda: any(write.what == "version" and write.began > began for write in self.journal()))

    def _wait_until(self, met):
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not met():
            assert time.monotonic() < give_up_at, self._said()
            assert self._codes() == [None, None], self._said()
            time.sleep(0.05)

    def _codes(self):
        return [process.poll() for process in self._processes.values()]

    def _file(self, name):
        return self._folder / f"{name}.jsonl"

    def _said(self):
        return "\n".join((self._folder / f"{name}.log").read_text()[-3000:] for name in NAMES)


@contextmanager
def started_writers(folder):
    """Processes that import what they need, and wait for their requests."""
    with ExitStack() as stack:
        yield Writers(folder, {name: stack.enter_context(_started(name, folder)) for name in NAMES})


@contextmanager
def _started(name, folder):
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writers.py")), name],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _lines(file):
    """All that are whole."""
    text = file.read_text() if file.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()
