"""The near side of a task: starts its process, hears what it says, and ends it with all that came of it."""

import json
import os
import secrets
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pydantic import JsonValue, SecretStr

from drkeeper import clock
from drkeeper.applications._sdk._errors import TaskFailed, TaskTooLarge
from drkeeper.applications._sdk._family import MARK, Family
from drkeeper.applications._sdk._scrub import Secrets
from drkeeper.errors import ToolMissing

SCRIPT = Path(__file__).with_name("child.py")
POLL_SECONDS = 0.05
ANSWER_BYTES = 8 << 20
STDERR_KEPT_BYTES = 4096
BLOCK_BYTES = 1 << 16
# Of ours, what says how to run and not with whose rights. A library path is how CUDA is found.
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "FEAST_USAGE": "False",
    "DO_NOT_TRACK": "true",
    "TQDM_DISABLE": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Child:
    """A running process that does one task at a time. Made by `started`."""

    def __init__(
        self, process: subprocess.Popen[bytes], answers: int, family: Family, hidden: Secrets, folder: Path
    ) -> None:
        self.family = family
        self.secrets = hidden
        self._process = process
        self._folder = folder
        self._asked = 0
        self._idle = True
        self._answers, self._errors = answers, _pipe(process.stderr).fileno()
        self._answer = bytearray()
        self._said = bytearray()
        self._poll = select.poll()
        for descriptor in (self._answers, self._errors):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)

    def begin(self, task: str, request: Mapping[str, JsonValue]) -> None:
        """Begin a task; the one before has been answered."""
        self._asked += 1
        self._idle = False
        self._answer.clear()
        file = self._folder / f".request-{self._asked}.json"
        file.write_text(json.dumps({"task": task, "request": dict(request)}), encoding="utf-8")
        with suppress(BrokenPipeError):  # it has died: `ended` sees that
            # A short line, which the pipe always has room for: what is asked may be long, and it may not read yet.
            os.write(_pipe(self._process.stdin).fileno(), f"{file}\n".encode())

    def ended(self, seconds: float) -> bool:
        """Hear it for so long; whether there is an answer, or never will be.

        Raises:
            TaskTooLarge: The answer is too long.
        """
        until = clock.monotonic_seconds() + seconds
        while not self._answered and (left := until - clock.monotonic_seconds()) > 0:
            dead = self._died() is not None
            heard = [self._hear(descriptor) for descriptor, _ in self._poll.poll(left * 1000)]
            if dead and not any(heard):
                return True
        return self._answered

    def answer(self) -> dict[str, Any]:
        """What it answered.

        Raises:
            TaskFailed: It died before; the message says how, and the end of what it wrote to stderr.
        """
        if not self._answered:
            raise TaskFailed(f"the process of the task {self._how_it_died()}: {self._last_words()}")
        try:
            answer: dict[str, Any] = json.loads(self._answer)
        except ValueError as error:
            raise TaskFailed("what ran in the task wrote over its answer") from error
        self._idle = True
        return answer

    @property
    def ready(self) -> bool:
        """Whether it lives, and has answered what it was asked."""
        return self._idle and self._died() is None

    @property
    def _answered(self) -> bool:
        return self._answer.endswith(b"\n")

    def _died(self) -> os.waitid_result | None:
        """How, if it did. It is not reaped yet, so that its number stays its own until its family is gone."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def _how_it_died(self) -> str:
        death = self._died()
        if death is None or death.si_code == os.CLD_EXITED:
            return f"exited with {death.si_status if death else 0}"
        return f"was ended by {signal.Signals(death.si_status).name}"

    def _hear(self, descriptor: int) -> bool:
        try:
            block = os.read(descriptor, BLOCK_BYTES)
        except BlockingIOError:
            return False
        if not block:
            self._poll.unregister(descriptor)
        elif descriptor == self._errors:
            self._said = (self._said + block)[-STDERR_KEPT_BYTES - self.secrets.longest_bytes :]
        else:
            self._answer += block
            if len(self._answer) > ANSWER_BYTES:
                raise TaskTooLarge(f"the answer of the task is longer than {ANSWER_BYTES >> 20} MiB")
        return bool(block)

    def _last_words(self) -> str:
        text = self.secrets.scrubbed(self._said.decode(errors="replace"))
        if len(self._said) > STDERR_KEPT_BYTES:  # what it begins with may be the end of a secret
            text = text[self.secrets.longest_bytes :]
        return text.strip() or "it said nothing"


@contextmanager
def started(argv: Sequence[str], environment: Mapping[str, SecretStr], folder: Path) -> Iterator[Child]:
    """A process that ends with the block, whatever it started too.

    Args:
        argv: Python, SDK.
        environment: Secrets, and what else it needs.
        folder: Its home, working and temporary folder.

    Raises:
        ToolMissing: There is no such Python.
    """
    family = Family(mark=secrets.token_hex(16))
    env = _environment(environment, family.mark, folder)
    near, far = os.pipe()
    with os.fdopen(near, "rb", 0) as answers, os.fdopen(far, "wb", 0) as theirs:
        process = _begin(argv, far, env, folder)
        theirs.close()
        family.begins_with(process.pid)
        try:
            yield Child(process, answers.fileno(), family, Secrets(environment), folder)
        finally:
            family.end()
            process.wait()
            for pipe in (process.stdin, process.stderr):
                _pipe(pipe).close()


def _begin(argv: Sequence[str], answers: int, env: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    python, *rest = argv
    try:
        # Isolated: neither our modules, nor those of the working folder, nor PYTHON… variables come into it.
        return subprocess.Popen(
            [python, "-I", str(SCRIPT), *rest, str(answers)],
            env=env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(answers,),
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise ToolMissing(
            f"there is no Python at {python} that can be run",
            hint="name another one in the policy (`python:` of the application)",
        ) from error


def _environment(environment: Mapping[str, SecretStr], mark: str, folder: Path) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **QUIET,
        **{name: value.get_secret_value() for name, value in environment.items()},
        **dict.fromkeys(("HOME", "TMPDIR"), str(folder)),
        MARK: mark,
    }


def _pipe(one: IO[bytes] | None) -> IO[bytes]:
    assert one is not None  # noqa: S101 - asked for with PIPE
    return one
