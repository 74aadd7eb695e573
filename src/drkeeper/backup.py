"""Freeze all systems in reference order, stream their bytes in parallel, commit one recovery point.

Nothing is committed before every stream is wholly in the vault. A system that fails is recorded as failed and
makes the point partial; a vault or a lease that fails ends the whole backup, and leaves unreferenced frames only.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from drkeeper import __version__, clock
from drkeeper.errors import (
    CaptureFailed,
    DrkeeperError,
    Interrupted,
    KeyMissing,
    LeaseHeld,
    LeaseLost,
    VaultFull,
    VaultUnreachable,
)
from drkeeper.facts import Check, Facts, broken
from drkeeper.locks import Guard
from drkeeper.log import get_logger
from drkeeper.process import end_children
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import (
    WITNESS,
    ApplicationRecord,
    Purpose,
    RecoveryPoint,
    StreamRecord,
    SystemRecord,
)
from drkeeper.systems import Frozen, Noticing, Stream, System
from drkeeper.throttle import interruptible, stopped_by, throttle
from drkeeper.vault.writer import Writer

# Errors after which no system's bytes can be stored: they end the backup, not one system.
FATAL = (VaultUnreachable, VaultFull, LeaseLost, LeaseHeld, KeyMissing, Interrupted)
STOP_SECONDS = 0.5


@dataclass(frozen=True)
class Source:
    """One system to back up.

    Attributes:
        rate_bytes_per_second: The cap on its bandwidth.
        guard: Held until it is frozen, and not while its bytes come in: its writers wait for that moment alone.
    """

    system: System
    rate_bytes_per_second: float | None = None
    guard: Guard = nullcontext


@dataclass
class _Opened:
    """A source on its way: frozen, or failed with an error."""

    name: str
    source: Source
    turn: ExitStack = field(default_factory=ExitStack)
    frozen: Frozen | None = None
    as_of: datetime | None = None
    started: float = field(default_factory=clock.monotonic_seconds)
    error: str = ""


def take_point(
    sources: Mapping[str, Source],
    *,
    policy: str,
    writer: Writer,
    point_id: str,
    purpose: Purpose = "backup",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    before_commit: Callable[[RecoveryPoint], None] = lambda _: None,
    witness: Callable[[Mapping[str, Frozen]], Sequence[ApplicationRecord]] = lambda _: (),
    freezing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> RecoveryPoint:
    """Take one recovery point and commit it.

    Args:
        sources: In the order in which they are frozen: what refers comes first.
        policy: The policy's name, for the record.
        writer: Where to; it checks its lease with every frame.
        point_id: 12 hexadecimal digits that no other point has.
        purpose: "undo" for a point taken before a restore overwrites something.
        progress: Told of every block.
        stop: Set from elsewhere to end the backup; nothing is committed then.
        before_commit: Called with the point when all its bytes are stored (its runbook is written then).
        witness: Asks the applications, once all systems are frozen and while their bytes come in; gets the views.
        freezing: Entered before the first system is frozen, left when the last one is, while bytes still come in.

    Raises:
        HookRefused: `freezing` said no; nothing was frozen.
        CaptureFailed: Every single system failed; nothing was committed.
        VaultUnreachable, VaultFull, LeaseLost, Interrupted: Nothing was committed.
    """
    stop = stop or threading.Event()
    started_at, started = clock.now(), clock.monotonic_seconds()
    with ExitStack() as stack, stopped_by(stop):
        opened = _freeze_all(sources, stack, freezing)
        sink = _Sink(writer=writer, progress=progress or Silent(), stop=stop)
        views = {name: one.frozen for name, one in zip(sources, opened, strict=True) if one.frozen is not None}
        records, applications = _capture_all(opened, sink, lambda: tuple(witness(views)))
        applications = tuple(_with_stored_witness(application, writer) for application in applications)
    if all(record.status == "failed" for record in records):
        raise CaptureFailed(
            "every system failed; nothing was committed: " + "; ".join(f"{r.name}: {r.error}" for r in records),
            hint="see what is wrong, and what to do about it, with `drkeeper check`",
        )
    moments = [record.as_of for record in records if record.as_of is not None and record.status != "failed"]
    point = RecoveryPoint(
        point_id=point_id,
        policy=policy,
        purpose=purpose,
        created_at=started_at,
        elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        systems=tuple(records),
        applications=applications,
        freeze_order=tuple(sources),
        skew_seconds=(max(moments) - min(moments)).total_seconds(),
        fencing_token=0,  # the writer fills in the lease's
        drkeeper_version=__version__,
    )
    before_commit(point)
    return writer.commit(point)


@dataclass(frozen=True)
class _Sink:
    """Where the bytes of all systems go, and who is told."""

    writer: Writer
    progress: Progress
    stop: threading.Event

    def store(self, task: str, stream: Stream, rate: float | None) -> StreamRecord:
        chunks = interruptible(throttle(stream.chunks, rate), self.stop)
        ref, stored_bytes = self.writer.write(chunks, on_bytes=lambda size: self.progress.advance(task, size))
        return StreamRecord(name=stream.name, ref=ref, stored_bytes=stored_bytes, restore_hint=stream.restore_hint)


def _freeze_all(
    sources: Mapping[str, Source], stack: ExitStack, freezing: Callable[[], AbstractContextManager[object]]
) -> list[_Opened]:
    """In order, when all turns have come: a writer that is waited for in between would leave the moments far apart.

    What the hooks hold back is held back no longer than that: neither while turns are waited for, nor for the bytes.
    """
    opened = [_Opened(name, source) for name, source in sources.items()]
    with ExitStack() as turns:
        for one in opened:
            turns.push(one.turn)
            with _at_its_own_cost(one):
                one.turn.enter_context(one.source.guard())
        with freezing():
            for one in opened:
                if not one.error:
                    _freeze(one, stack)
    return opened


def _freeze(one: _Opened, stack: ExitStack) -> None:
    one.started = clock.monotonic_seconds()
    with _at_its_own_cost(one):
        with one.turn:
            frozen = stack.enter_context(one.source.system.freeze())
        one.frozen, one.as_of = frozen, frozen.as_of


@contextmanager
def _at_its_own_cost(one: _Opened) -> Iterator[None]:
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - one system's failure must not cost the others their point
        one.error = _one_line(error)
        get_logger().error("system failed", system=one.name, step="freeze", error=one.error)


def _capture_all(
    opened: list[_Opened], sink: _Sink, witness: Callable[[], tuple[ApplicationRecord, ...]]
) -> tuple[list[SystemRecord], tuple[ApplicationRecord, ...]]:
    pool = ThreadPoolExecutor(max_workers=len(opened) + 1, thread_name_prefix="capture")
    try:
        futures = [pool.submit(_capture, one, sink) for one in opened]
        witnesses = pool.submit(_within, sink.stop, witness)
        while not sink.stop.is_set() and wait(futures, timeout=STOP_SECONDS).not_done:
            pass
        while not sink.stop.is_set() and wait([witnesses], timeout=STOP_SECONDS).not_done:
            pass
        if sink.stop.is_set():
            end_children()  # one that waits for a lock gives no block at which the word to stop would be seen
        return [future.result() for future in futures], witnesses.result()
    except BaseException:
        sink.stop.set()  # the others end at their next block; their contexts are closed by the caller
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _with_stored_witness(application: ApplicationRecord, writer: Writer) -> ApplicationRecord:
    """Its samples in a stream: they are values out of the systems, and sealed as these are."""
    if not application.samples:
        return application
    text = json.dumps(application.samples, ensure_ascii=False, sort_keys=True)
    ref, stored_bytes = writer.write(iter([text.encode()]))
    return application.model_copy(
        update={"samples": {}, "witness": StreamRecord(name=WITNESS, ref=ref, stored_bytes=stored_bytes)}
    )


def _within(
    stop: threading.Event, witness: Callable[[], tuple[ApplicationRecord, ...]]
) -> tuple[ApplicationRecord, ...]:
    with stopped_by(stop):
        return witness()


def _capture(opened: _Opened, sink: _Sink) -> SystemRecord:
    system, frozen = opened.source.system, opened.frozen
    streams: list[StreamRecord] = []
    facts, tools = Facts(), {}
    noticed: tuple[Check, ...] = ()
    if frozen is not None:
        try:
            streams = list(_store_streams(opened.source, frozen, sink))
            facts, tools = frozen.facts(), dict(frozen.tools)
            noticed = frozen.findings if isinstance(frozen, Noticing) else ()
        except FATAL:
            raise
        except Exception as error:  # as in _freeze: recorded, shown, and the point is partial
            if sink.stop.is_set():
                raise Interrupted("interrupted; nothing was committed") from error
            opened.error = _one_line(error)
    elapsed = round(clock.monotonic_seconds() - opened.started, 3)
    log = get_logger().bind(system=system.name, kind=system.kind)
    if opened.error:
        log.error("system failed", step="capture", error=opened.error, elapsed_seconds=elapsed)
        return SystemRecord(
            name=system.name,
            kind=system.kind,
            status="failed",
            as_of=opened.as_of,
            error=opened.error,
            capture_seconds=elapsed,
        )
    lacking = "; ".join(f"{check.subject}: {check.detail}" for check in broken(noticed))
    record = SystemRecord(
        name=system.name,
        kind=system.kind,
        status="partial" if lacking else "complete",
        as_of=opened.as_of,
        streams=tuple(streams),
        facts=facts,
        tools=tools,
        capture_seconds=elapsed,
        error=lacking,
        findings=noticed,
    )
    if lacking:
        log.error("system is partial", lacking=lacking)
    stored = sum(stream.stored_bytes for stream in streams)
    log.info("system captured", size_bytes=record.size_bytes, stored_bytes=stored, elapsed_seconds=elapsed)
    return record


def _store_streams(source: Source, frozen: Frozen, sink: _Sink) -> Iterator[StreamRecord]:
    for stream in frozen.streams():
        task = f"{source.system.name}/{stream.name}"
        sink.progress.begin(task, stream.size_hint_bytes)
        outcome = "failed"
        try:
            yield sink.store(task, stream, source.rate_bytes_per_second)
            outcome = "done"
        finally:
            sink.progress.end(task, outcome)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, DrkeeperError) else f"{type(error).__name__}: {text}"
