"""A real cluster of Dask for tests: a scheduler and workers, each a process of its own on 127.0.0.1."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60


@dataclass
class Cluster:
    """Attributes:
    workers: Processes, by the names that Dask knows them by.
    """

    folder: Path
    address: str
    workers: dict = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start_worker(self, name):
        self.workers[name] = self._stack.enter_context(
            _process(
                self.folder,
                name,
                "distributed.cli.dask_worker",
                self.address,
                *("--no-nanny", "--no-dashboard", "--nthreads=1", f"--name={name}", "--memory-limit=0"),
                f"--local-directory={self.folder}",
            )
        )

    def kill_worker(self, name):
        process = self.workers.pop(name)
        process.kill()
        process.wait()


@contextmanager
def running_dask(folder, workers=3):
    """Ended, and waited for, at the end."""
    file = folder / "scheduler.json"
    argv = ("distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", "--no-show")
    with _process(folder, "scheduler", *argv, f"--scheduler-file={file}") as scheduler, ExitStack() as stack:
        cluster = Cluster(folder, _address(file, scheduler), _stack=stack)
        for number in range(workers):
            cluster.start_worker(f"worker-{number}")
        yield cluster


def _address(file, scheduler):
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and scheduler.poll() is None:
        try:
            return json.loads(file.read_text())["address"]
        except (FileNotFoundError, ValueError):
            time.sleep(0.1)
    raise RuntimeError(f"no scheduler: {(file.parent / 'scheduler.log').read_text()[-2000:]}")


@contextmanager
def _process(folder, name, module, *argv):
    with (folder / f"{name}.log").open("wb") as log:
        # The profiler looks at the stacks of threads that come and go, and has hung a worker of Python 3.11 for good.
        env = {**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
        process = subprocess.Popen([sys.executable, "-m", module, *argv], stdout=log, stderr=log, cwd=folder, env=env)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
