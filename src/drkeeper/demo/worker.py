"""The demo's sub-processes: each imports one SDK once and then does tasks, one JSON line each way.

`Worker` is the near side. Run as a module this file is the far side:
`python -m drkeeper.demo.worker tracking|features FOLDER`. The endpoint, which holds the password, and the keys of a
bucket come through stdin once the servers are up: they stand on no command line. Whatever the SDKs print goes to
stderr; stdout carries answers only.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from drkeeper.clock import monotonic_seconds
from drkeeper.errors import CaptureFailed, DrkeeperError, ToolMissing
from drkeeper.process import running, stderr_tail

OPEN = "open"
SDKS = ("tracking", "features")
START_SECONDS = 90.0  # importing an SDK takes 12 s on one slow core
TASK_SECONDS = 120.0

Answer = dict[str, Any]


class Worker:
    """One SDK in a process of its own. Made by `started`."""

    def __init__(self, sdk: str, process: subprocess.Popen[bytes]) -> None:
        self._sdk = sdk
        self._process = process
        self._unread = b""

    @property
    def process_id(self) -> int:
        """Of the sub-process."""
        return self._process.pid

    def ask(self, task: str, **arguments: object) -> Answer:
        """`begin` a task and wait for its `answer`."""
        self.begin(task, **arguments)
        return self.answer()

    def open(self, endpoint: Mapping[str, object], env: Mapping[str, str] = MappingProxyType({})) -> None:
        """Say where the servers are; before the first task. What comes of it, the answer to that tells.

        Args:
            endpoint: host, port, password …, as a sandbox server's `options` have them.
            env: What the SDK finds in its environment besides.
        """
        self.begin(OPEN, endpoint={name: str(value) for name, value in endpoint.items()}, env=dict(env))

    def begin(self, task: str, **arguments: object) -> None:
        """Begin a task of the SDK's class (`seed`, `go_on`, `snapshot`).

        Raises:
            CaptureFailed: The process has died.
        """
        assert self._process.stdin is not None  # noqa: S101 - asked for with PIPE
        try:
            self._process.stdin.write(json.dumps({"task": task, "arguments": arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise CaptureFailed(f"{self._sdk} ended: {stderr_tail(self._process)}") from error

    def answer(self) -> Answer:
        """Of the task that was begun first.

        Raises:
            CaptureFailed: The task failed, the process died, or it took too long.
            ToolMissing: The SDK is not installed.
        """
        answer: Answer = json.loads(self._line(START_SECONDS + TASK_SECONDS))
        if "error" in answer:
            kind = ToolMissing if answer["missing"] else CaptureFailed
            raise kind(f"{self._sdk}: {answer['error']}", hint=answer["hint"])
        result: Answer = answer["result"]
        return result

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE
        descriptor = self._process.stdout.fileno()
        deadline = monotonic_seconds() + seconds
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, deadline - monotonic_seconds()))[0]:
                raise CaptureFailed(f"{self._sdk} gave no answer in {seconds:g} s")
            block = os.read(descriptor, 1 << 16)
            if not block:
                raise CaptureFailed(f"{self._sdk} ended: {stderr_tail(self._process)}")
            self._unread += block
        line, _, self._unread = self._unread.partition(b"\n")
        return line


@contextmanager
def started(sdk: str, folder: Path) -> Iterator[Worker]:
    """A worker that ends with the block; it imports its SDK while we go on, then waits to be told where to `open` it.

    Args:
        sdk: One of `SDKS`.
        folder: Where the SDK keeps its files, temporary ones too; made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "drkeeper.demo.worker", sdk, str(folder)]
    # No profile, key or endpoint of whoever runs the demo comes between the SDK and the demo's own servers.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "FEAST_"))}
    env = {**ours, "TMPDIR": str(folder)}
    with running(argv, env=env, inherit=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Worker(sdk, process)


def _prepare(sdk: str) -> None:
    """Import the SDK, which takes seconds."""
    if sdk == "tracking":
        from drkeeper.demo.tracking import import_mlflow

        import_mlflow()
    else:
        from drkeeper.demo.features import import_feast

        import_feast()


def _open(sdk: str, folder: Path, endpoint: Mapping[str, Any], env: Mapping[str, str]) -> object:
    os.environ.update(env)
    if sdk == "tracking":
        from drkeeper.demo.tracking import Tracking, tracking_uri

        return Tracking(tracking_uri(endpoint), endpoint["artifacts"])
    from drkeeper.demo.features import Features, connection_string

    return Features(connection_string(endpoint), Path(endpoint["registry"]), folder)


def _serve(sdk: str, folder: Path, requests: Iterable[str], answers: TextIO) -> None:
    failure: Answer | None = None
    subject: object = None
    try:
        _prepare(sdk)
    except Exception as error:  # noqa: BLE001 - the SDKs raise what they like; it is told on the near side
        failure = _told(error)
    for line in requests:
        request = json.loads(line)
        if request["task"] != OPEN:
            answers.write(json.dumps(failure or _answer(subject, request)) + "\n")
            answers.flush()
            continue
        try:
            subject = _open(sdk, folder, **request["arguments"])
        except Exception as error:  # noqa: BLE001 - as above
            failure = failure or _told(error)


def _answer(subject: object, request: Mapping[str, Any]) -> Answer:
    try:
        return {"result": getattr(subject, request["task"])(**request["arguments"]) or {}}
    except Exception as error:  # noqa: BLE001 - as above
        return _told(error)


def _told(error: Exception) -> Answer:
    if isinstance(error, DrkeeperError):
        return {"error": str(error), "hint": error.hint, "missing": isinstance(error, ToolMissing)}
    return {"error": f"{type(error).__name__}: {error}", "hint": "", "missing": False}


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as _answers:
        os.dup2(2, 1)
        _serve(sys.argv[1], Path(sys.argv[2]), sys.stdin, _answers)
