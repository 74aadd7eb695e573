"""Tasks of the MLflow and Feast SDKs, each in a process of its own: with the model's Python, a time-out and a bound.

Those libraries take seconds to import, keep threads, and load models: a model is a program that somebody wrote (a
pickle runs what it likes), and may hang, allocate without end or kill its process. None of that may touch the process
that takes backups. So a task gets an environment that is made anew, with no secret but those handed to it (`predict`
gets none), a home and a temporary folder that are removed, and its whole process group is killed at the end. It is no
jail: what runs has our user's rights to files and the network, as it has wherever that model is served.

| task | request | answer |
|---|---|---|
| `predict` | `folder` of an MLmodel, `input` | `prediction`, `flavour`, `columns`, `mlflow`, `python`, `seconds` |
| `online` | `repo_config`, `features` or `service`, `entity_rows` | `rows` |
| `offline` | the same; each entity row with an `event_timestamp` | `rows`, as of those moments |
| `materialise` | `repo_config`, `start`, `end`, `views` | `views`, `seconds`, `rows_written` |
| `sources` | `repo_config`, and for counts `until`, `after`, `as_of` | `sources` |

`child_mlflow` and `child_feast` say what is in them.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue, SecretStr

from drkeeper import clock, throttle
from drkeeper.applications._sdk._child import POLL_SECONDS, Child, started
from drkeeper.applications._sdk._errors import TaskFailed, TaskTimedOut, TaskTooLarge
from drkeeper.errors import Interrupted, ToolMissing

__all__ = ["Limits", "Session", "TaskFailed", "TaskTimedOut", "TaskTooLarge", "ToolMissing", "opened", "run_task"]

NO_SECRETS: Mapping[str, SecretStr] = MappingProxyType({})
SDK_OF_TASK = {
    "predict": "mlflow",
    "online": "feast",
    "offline": "feast",
    "materialise": "feast",
    "sources": "feast",
}
EXTRAS = {"mlflow": "mlflow>=3.15,<4", "feast": "feast[redis]>=0.67,<0.68"}


@dataclass(frozen=True)
class Limits:
    """What a task may take.

    Attributes:
        python: That runs it, with the SDK and whatever the model needs; need not have drkeeper.
        seconds: From its start to its answer; importing an SDK takes 4 to 12 of them.
        memory_bytes: Of all its processes together; looked at every 50 ms, so what is touched in between comes on top.
    """

    python: str = sys.executable
    seconds: float = 120.0
    memory_bytes: int = 2 << 30


def run_task(
    task: str,
    request: Mapping[str, JsonValue],
    *,
    limits: Limits,
    environment: Mapping[str, SecretStr] = NO_SECRETS,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Run one task, and leave nothing of it behind.

    Args:
        task: One of `SDK_OF_TASK`.
        request: Its arguments, without secrets.
        limits: Its Python, time and memory.
        environment: What it finds in its environment besides PATH, locale, time zone and where CA certificates lie.
        stop: Ends it; by default the event that ends the work of this thread.

    Raises as `Session.ask` does.
    """
    with opened(SDK_OF_TASK[task], limits=limits, environment=environment, stop=stop) as session:
        return session.ask(task, request)


@dataclass(frozen=True)
class Session:
    """A process that does several tasks of one SDK, which is imported once. Made by `opened`."""

    sdk: str
    limits: Limits
    _child: Child
    _stop: threading.Event

    @property
    def ready(self) -> bool:
        """Whether it can be asked (again): an SDK's own error leaves it so, whatever else goes wrong does not."""
        return self._child.ready

    def ask(
        self,
        task: str,
        request: Mapping[str, JsonValue],
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Run a task, and wait for its answer.

        Args:
            task: One of the SDK's.
            request: Its arguments, without secrets.
            seconds: That it may take; None: those of the limits.
            stop: Ends this question; by default the event that the session was opened with.

        Raises:
            TaskFailed: In its own words, without the values of the environment; or it died.
            TaskTimedOut: No answer in time.
            TaskTooLarge: Too much memory, or too long an answer.
            ToolMissing: The SDK is not installed in that Python.
            Interrupted: It was told to stop.
        """
        child = self._child
        child.begin(task, request)
        limits = self.limits if seconds is None else replace(self.limits, seconds=seconds)
        _await(child, task, limits, stop or self._stop)
        answer = child.answer()
        if "error" in answer:
            told = {name: child.secrets.scrubbed(text) for name, text in answer.items()}
            raise _failure(self.sdk, task, self.limits, told)
        return answer


@contextmanager
def opened(
    sdk: str,
    *,
    limits: Limits,
    environment: Mapping[str, SecretStr] = NO_SECRETS,
    stop: threading.Event | None = None,
) -> Iterator[Session]:
    """A session; its process, and all that came of it, ends with the block. The arguments are those of `run_task`.

    Raises:
        ToolMissing: There is no such Python.
    """
    with (
        tempfile.TemporaryDirectory(prefix="drkeeper-task-", ignore_cleanup_errors=True) as folder,
        started([limits.python, sdk], environment, Path(folder)) as child,
    ):
        yield Session(sdk, limits, child, stop or throttle.current_stop())


def _await(child: Child, task: str, limits: Limits, stop: threading.Event) -> None:
    deadline = clock.monotonic_seconds() + limits.seconds
    while not child.ended(POLL_SECONDS):
        if stop.is_set():
            raise Interrupted(f"interrupted while the task {task} ran")
        if clock.monotonic_seconds() > deadline:
            raise TaskTimedOut(f"the task {task} gave no answer in {limits.seconds:g} s and was killed")
        memory_bytes = child.family.memory_bytes()
        if memory_bytes > limits.memory_bytes:
            raise TaskTooLarge(
                f"the task {task} took {memory_bytes >> 20} MiB of memory, of {limits.memory_bytes >> 20} that it may, "
                "and was killed"
            )


def _failure(sdk: str, task: str, limits: Limits, answer: Mapping[str, str]) -> TaskFailed | ToolMissing:
    missing = answer.get("missing", "")
    if answer.get("during") == "import":
        return ToolMissing(
            f"{limits.python} cannot import {sdk}: {answer['error']}",
            hint=f"install {EXTRAS[sdk]} there, or name another Python in the policy (`python:` of the application)",
        )
    hint = f"{limits.python} lacks the module {missing}: name a Python that has what the model needs" if missing else ""
    return TaskFailed(f"{task}: {answer['error']}", hint=hint, missing_module=missing)
