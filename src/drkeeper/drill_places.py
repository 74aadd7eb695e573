"""Where a drill restores to: a server of its own, and where none can be had, the next best place, named in the report.

A system of kind kubernetes needs a control plane, which not every machine has. Then a scratch cluster that the
policy names serves, and without one the live API server is asked what it would do (a dry run: nothing is created).
"""

import os
import platform
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import cast

from pydantic import JsonValue

from drkeeper import clock
from drkeeper.errors import DrkeeperError, Interrupted, LoadFailed, Refused, ToolMissing
from drkeeper.facts import Check, Facts
from drkeeper.recovery_point import SystemRecord
from drkeeper.sandbox import SandboxServer, start_sandbox
from drkeeper.systems import Clearing, Streams, System, load_kind

REMAINS_SECONDS = 15.0  # three times what the watchdogs give a server
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Fallback:
    """A place for one system where no sandbox of its kind can be started.

    Attributes:
        name: Of the system.
        options: Of its kind, secrets in the clear.
        words: What it is, for the report.
        scratch: It is restored into, and emptied again; else the server is only asked what it would do.
    """

    name: str
    kind: str
    options: Mapping[str, JsonValue]
    words: str
    scratch: bool = False

    def open(self) -> System:
        """The system; connects to nothing."""
        kind = load_kind(self.kind)
        return kind.open_system(self.name, kind.options.model_validate(self.options))

    def admit(self) -> None:
        """Called before anything is restored into it.

        Raises:
            Refused: The place must not be used now.
        """
        if not self.scratch:
            return
        system = self.open()
        if isinstance(system, Clearing):
            system.insist_clearable()
        if not system.is_empty():
            raise Refused(
                f"{self.name}: the scratch cluster is not empty, so the drill did not restore into it",
                hint="empty it, or name another one under sandbox.cluster",
            )

    def clear(self) -> None:
        """Remove everything from it again."""
        system = self.open()
        if isinstance(system, Clearing):
            system.clear()


class AskedOnly:
    """A system that a drill only asks what it would do; whatever it answers, nothing is proven by it.

    A refusal (an account that may only read, say) is told and costs the other systems nothing.
    """

    def __init__(self, system: System) -> None:
        self.name = system.name
        self.kind = system.kind
        self._system = system
        self._refusals: list[str] = []

    def preflight(self, record: SystemRecord) -> Iterable[Check]:
        """What the server says would stop a restore, none of it an error of the drill."""
        for check in self._system.preflight(record):
            if check.verdict == "failed":
                self._refusals.append(f"{check.subject}: {check.detail}")
            yield check.model_copy(update={"severity": "warning"})

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Ask."""
        self._ask(lambda: self._system.load(record, streams, staging))

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Ask, where the load was not refused."""
        if not self._refusals:
            self._ask(lambda: self._system.switch(record, staging))

    def facts(self, witness: Facts | None = None) -> Facts:
        """None that count: what is live is not what was restored."""
        return self._system.facts(witness)

    def verify(self, record: SystemRecord, streams: Streams) -> Iterable[Check]:
        """What the server said."""
        del record, streams
        said = "; ".join(self._refusals)
        detail = f"the server was only asked, and refused: {said}" if said else "the server was only asked: it agrees"
        yield Check(subject="dry-run", verdict="not checked", detail=detail)

    def _ask(self, question: Callable[[], None]) -> None:
        try:
            question()
        except Interrupted:
            raise
        except DrkeeperError as error:
            self._refusals.append(str(error))


@dataclass
class Places:
    """The places of one drill: what was started, what was borrowed, and what goes away again.

    Attributes:
        folder: Holds the data of all servers.
        carried: Options of the policy that say how to restore, not where to (identities, selections), by system.
        fallbacks: By system.
        words: What serves instead of a sandbox, by system; for the report.
    """

    folder: Path
    carried: Mapping[str, Mapping[str, object]]
    fallbacks: Mapping[str, Fallback]
    servers: dict[str, SandboxServer] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def provision(self, name: str, kind: str) -> None:
        """Start a server for one system, or find another place for it. Called from several threads.

        Raises:
            ToolMissing: There is neither.
            Refused: The other place must not be used.
        """
        try:
            server = start_sandbox(kind, self.folder / name)
        except ToolMissing:
            fallback = self.fallbacks.get(name)
            if fallback is None:
                raise
            fallback.admit()
            with self._lock:
                self.words[name] = fallback.words
            return
        with self._lock:
            self.servers[name] = server

    def open(self, name: str, kind: str) -> System:
        """The system that is restored into."""
        if name not in self.servers:
            fallback = self.fallbacks[name]
            return fallback.open() if fallback.scratch else cast("System", AskedOnly(fallback.open()))
        model = load_kind(kind).options
        options: dict[str, object] = {**self.carried.get(name, {}), **self.servers[name].options}
        if "scratch" in model.model_fields:
            scratch = self.folder / f"{name}-scratch"
            scratch.mkdir()
            options.setdefault("scratch", scratch)
        return load_kind(kind).open_system(name, model.model_validate(options))

    def clear_borrowed(self) -> list[Check]:
        """Empty the places that were borrowed, with proof."""
        borrowed = [self.fallbacks[name] for name in sorted(self.words)]
        return [_cleared(fallback) for fallback in borrowed if fallback.scratch]


def _cleared(fallback: Fallback) -> Check:
    subject = f"{fallback.name}.scratch"
    try:
        fallback.clear()
        empty = fallback.open().is_empty()
    except DrkeeperError as error:
        return Check(subject=subject, verdict="failed", detail=str(error), remedy=error.hint or "empty it by hand")
    if empty:
        return Check(subject=subject, verdict="passed", detail=f"{fallback.words} is empty again")
    return Check(subject=subject, verdict="failed", detail=f"{fallback.words} is not empty", remedy="empty it by hand")


def remove(servers: Mapping[str, SandboxServer], folder: Path) -> Iterator[Check]:
    """End all servers and delete the folder; what is proven of each of their parts."""
    for name, server in sorted(servers.items()):
        process_ids, port = server.process_ids, server.port
        server.stop()
        for process_id in process_ids:
            gone = not Path(f"/proc/{process_id}").exists()
            yield _proof(f"{name}.process", gone=gone, what=f"process {process_id}")
        if port:
            yield _proof(f"{name}.port", gone=not _answers(port), what=f"port {port}")
        shutil.rmtree(server.folder, ignore_errors=True)
        yield _proof(f"{name}.folder", gone=not server.folder.exists(), what="the server's data folder")
    shutil.rmtree(folder, ignore_errors=True)
    yield _proof("sandbox.folder", gone=not folder.exists(), what="the sandbox folder")


def folder_of(parent: Path | None, drill_id: str) -> Path:
    """Where a drill's servers have their data; whoever knows the drill finds what it left."""
    return (parent or Path(tempfile.gettempdir())) / f"drkeeper-drill-{drill_id}"


def make_folder(folder: Path) -> None:
    """Make it, for one drill alone.

    Raises:
        LoadFailed: It cannot be made, or is there already.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        folder.chmod(0o711)  # servers that run as another user find their own folders in it
    except OSError as error:
        raise LoadFailed(f"no folder for the sandbox could be made: {error.strerror}: {error.filename}") from error


def remains(folder: Path, fallbacks: Mapping[str, Fallback]) -> list[Check]:
    """See to it that nothing is left of a drill whose process is dead; what is proven of that.

    Its servers end by themselves (`sandbox/_watchdog.py`); what has not after a while is killed.
    """
    give_up_at = clock.monotonic_seconds() + REMAINS_SECONDS
    while living_in(folder) and clock.monotonic_seconds() < give_up_at:
        clock.sleep(POLL_SECONDS)
    for process_id in living_in(folder):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    unsure = "the drill may have restored into it, and nobody emptied it"
    return [
        _proof("sandbox.processes", gone=not living_in(folder), what="every process of the sandbox"),
        _proof("sandbox.folder", gone=not folder.exists(), what="the sandbox folder"),
        *(
            Check(subject=f"{name}.scratch", verdict="not checked", detail=unsure, remedy="empty it by hand")
            for name, fallback in sorted(fallbacks.items())
            if fallback.scratch
        ),
    ]


def living_in(folder: Path) -> list[int]:
    """Processes that work in the folder, or were told of it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = f"{folder}/".encode() in (entry / "cmdline").read_bytes()
            if told or (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def here() -> str:
    """The machine of a drill, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.node()}: {platform.system()} {platform.release()} on {platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} processors, {memory:.1f} GiB of memory, Python {platform.python_version()}"
    )


def _proof(subject: str, *, gone: bool, what: str) -> Check:
    if gone:
        return Check(subject=subject, verdict="passed", detail=f"{what} is gone")
    return Check(subject=subject, verdict="failed", detail=f"{what} is still there", remedy="remove it by hand")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
