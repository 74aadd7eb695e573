"""The far side of tasks: `PYTHON -I child.py SDK DESCRIPTOR`; each line on stdin names a file with a request as JSON.

Run by its path with the Python of a model, which need not have drkeeper: standard library only, and the syntax of
Python 3.9. Each answer is one line of JSON on the descriptor; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import base64
import functools
import importlib
import importlib.util
import json
import math
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

OOM_SCORE_MOST = "1000"


def main(sdk: str, descriptor: int) -> None:
    """Do one task after the other, and be gone: threads that an SDK left behind are not waited for."""
    asked_on = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what a model reads from its stdin is not what we ask
    _settle(descriptor)
    with os.fdopen(descriptor, "w", closefd=False) as answers, os.fdopen(asked_on, encoding="utf-8") as questions:
        for line in questions:
            asked = json.loads(Path(line.rstrip("\n")).read_text(encoding="utf-8"))
            answers.write(json.dumps(_answer(sdk, asked["task"], asked["request"])) + "\n")
            answers.flush()
            _give_back()
    os._exit(0)


def _give_back() -> None:
    """Arrow keeps what it has freed (500 MB where 9 million rows were counted): the next task's bound is its own."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()


def _settle(descriptor: int) -> None:
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - a process started by a model is not to hold it
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would lie somewhere with the secrets in it
    with suppress(OSError):  # whatever is short of memory on this machine, this goes first
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_MOST, encoding="ascii")
    threading.Thread(target=_end_with_the_asker, args=(descriptor,), daemon=True).start()


def _end_with_the_asker(descriptor: int) -> None:
    """Nobody reads the answer any more, as whoever asked was killed: end the whole group (pipe(7), POLLERR)."""
    nobody_reads = select.poll()
    nobody_reads.register(descriptor, 0)
    nobody_reads.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


def _answer(sdk: str, task: str, request: dict[str, Any]) -> dict[str, Any]:
    during = "import"
    try:
        tasks = _load(sdk)
        during = "task"
        answer: dict[str, Any] = plain(getattr(tasks, task)(**request))
    except Exception as error:  # noqa: BLE001 - SDKs and models raise what they like; it is told on the near side
        missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        return {"error": f"{type(error).__name__}: {error}", "missing": missing, "during": during}
    return answer


def plain(value: Any) -> Any:
    """What an SDK answered as JSON; NaN and infinities become words and bytes an object, as JSON has none.

    Raises:
        TypeError: It is something that could not be compared later.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value).replace("nan", "NaN").replace("inf", "Infinity")
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if type(value).__name__ == "NAType":  # of pandas
        return None
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame
        split = value.to_dict(orient="split")
        return {"columns": plain(list(split["columns"])), "data": plain(split["data"])}
    for turned in ("toarray", "numpy", "tolist"):  # sparse matrices, tensors, arrays, series and scalars
        if hasattr(value, turned):
            return plain(getattr(value, turned)())
    if isinstance(value, Iterable):
        return [plain(part) for part in value]
    raise TypeError(f"an answer of type {type(value).__name__} cannot be recorded")


@functools.lru_cache(maxsize=1)
def _load(sdk: str) -> Any:
    """The tasks of an SDK, which they import."""
    spec = importlib.util.spec_from_file_location(f"child_{sdk}", Path(__file__).with_name(f"child_{sdk}.py"))
    if spec is None or spec.loader is None:
        raise LookupError(f"no tasks of {sdk}")
    module = importlib.util.module_from_spec(spec)
    with unchecked():
        spec.loader.exec_module(module)
    return module


@contextmanager
def unchecked() -> Iterator[None]:
    """Feast has typeguard rewrite its classes as they are imported: 2.5 of the 3.7 seconds of CPU that this takes."""
    try:
        typeguard: Any = importlib.import_module("typeguard")
    except ImportError:
        yield
        return
    kept = typeguard.typechecked
    typeguard.typechecked = lambda target=None, **_: (lambda same: same) if target is None else target
    try:
        yield
    finally:
        typeguard.typechecked = kept  # what users wrote is checked as they wish


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
