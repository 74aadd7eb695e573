"""A drill in a process of its own: the near side, which knows production, starts it, and hears what it says.

The far side (`drill_process`) gets an environment that is made anew and one `Order` on its stdin, which stays open: its
end is the word to stop, and comes by itself when we die. It answers on its stdout, line by line: progress, log events,
and at last the record. Whatever becomes of it, there is a record, and nothing of the sandbox is left.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from drkeeper import clock
from drkeeper.drill_places import folder_of, here, remains
from drkeeper.drill_record import build_record
from drkeeper.drill_request import DrillRequest, Measured, Order
from drkeeper.errors import Interrupted
from drkeeper.facts import Check
from drkeeper.log import get_logger
from drkeeper.process import running
from drkeeper.progress import Progress
from drkeeper.report.record import DrillRecord

ARGV = (sys.executable, "-P", "-m", "drkeeper.drill_process")
POLL_SECONDS = 0.1
BLOCK_BYTES = 1 << 16
LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True)
class Drilled:
    """How a drill ended.

    Attributes:
        served: Regions of the vault that something was read from.
    """

    record: DrillRecord
    served: frozenset[str] = frozenset()


def run_apart(order: Order, environment: Mapping[str, str], progress: Progress, stop: threading.Event) -> Drilled:
    """Carry a drill out in a process of its own; where that dies, the record says how.

    Args:
        order: What it is told.
        environment: Its whole environment.
        progress: Told of every block.
        stop: Set from elsewhere to end it.

    Raises:
        Interrupted: `stop` was set, or its process was told to end; the sandbox is gone.
    """
    request, began_at, drilled = order.request, clock.now(), None
    try:
        with running(
            ARGV, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, inherit=False, shown=True
        ) as process:
            drilled = _heard(process, order, progress, stop)
            problem = "" if drilled else f"the drill's process {_end_of(process)} before it told how the drill went"
    except ValueError as error:
        get_logger().error("drill's process told what is no record", drill=request.drill_id, error=str(error))
        problem = "the drill's process told what is no record of this drill"
    finally:
        # Of a drill that ended by itself this finds nothing, and costs a look through /proc.
        left = [] if drilled else remains(folder_of(request.folder, request.drill_id), request.fallbacks)
    return drilled or Drilled(failed_record(request, problem, began_at=began_at, clean_up=left))


def failed_record(
    request: DrillRequest, problem: str, *, began_at: datetime, clean_up: Sequence[Check] = ()
) -> DrillRecord:
    """The record of a drill that told nothing itself."""
    return build_record(
        request,
        Measured(error=problem, clean_up=list(clean_up)),
        drill_id=request.drill_id,
        started_at=began_at,
        ended_at=clock.now(),
        environment=here(),
    )


def _heard(
    process: "subprocess.Popen[bytes]", order: Order, progress: Progress, stop: threading.Event
) -> Drilled | None:
    """What it told at last; None where it ended without a word.

    Raises:
        Interrupted: It was told to end.
        ValueError: What it told is none of what it may tell.
    """
    assert process.stdin is not None  # noqa: S101 - asked for with PIPE
    with suppress(BrokenPipeError):  # it has died: its stdout tells
        process.stdin.write(TypeAdapter(Order).dump_json(order) + b"\n")
        process.stdin.flush()
    for line in _lines(process, stop):
        told = json.loads(line)
        drilled = conclude(told, order.request)
        if drilled:
            return drilled
        _replay(told, progress)
    return None


def conclude(told: object, request: DrillRequest) -> Drilled | None:
    """What it told at last; None where this is no such thing.

    Raises:
        Interrupted: It was told to end.
        ValueError: It is no record, or that of another drill.
    """
    match told:
        case {"record": record, "served": [*served]}:
            return Drilled(_insist_own(DrillRecord.model_validate(record), request), frozenset(served))
        case {"problem": str(words)}:
            return Drilled(failed_record(request, words, began_at=clock.now()))
        case {"interrupted": str(words)}:
            raise Interrupted(words)
        case _:
            return None


def _replay(told: object, progress: Progress) -> None:
    match told:
        case {"begin": str(task), "total_bytes": None | int() as total_bytes}:
            progress.begin(task, total_bytes)
        case {"advance": str(task), "size_bytes": int(size_bytes)}:
            progress.advance(task, size_bytes)
        case {"end": str(task), "outcome": str(outcome)}:
            progress.end(task, outcome)
        case {"log": str(level), "event": str(event), "values": dict(values)} if level in LEVELS:
            getattr(get_logger(), level)(event, **values)
        case _:
            raise ValueError("a line of no known form")


def _insist_own(record: DrillRecord, request: DrillRequest) -> DrillRecord:
    told = record.drill_id, record.policy, record.objectives, record.trigger, record.scenario_name
    asked = request.drill_id, request.point.policy, request.objectives, request.trigger, request.exercise.scenario
    if told != asked:
        raise ValueError("the record of another drill")
    return record


def _lines(process: "subprocess.Popen[bytes]", stop: threading.Event) -> Iterator[bytes]:
    """What it tells, until it ends; it is told to stop when we are."""
    assert process.stdin is not None  # noqa: S101 - asked for with PIPE
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    descriptor, ready, begun = process.stdout.fileno(), select.poll(), b""
    ready.register(descriptor, select.POLLIN)
    while True:
        if stop.is_set():
            with suppress(BrokenPipeError):
                process.stdin.close()
        if not ready.poll(POLL_SECONDS * 1000):
            continue
        block = os.read(descriptor, BLOCK_BYTES)
        if not block:
            return
        *lines, begun = (begun + block).split(b"\n")
        yield from lines


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    code = process.wait()
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
