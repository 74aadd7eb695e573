"""Where a drill restores to: a server of its own, and where none can be had, the next best place, named in the report.

A system of kind kubernetes needs a control plane, which not every machine has. Then a scratch cluster that the
policy names serves, and without one the live API server is asked what it would do (a dry run: nothing is created).
"""

import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import cast

from drkeeper.errors import DrkeeperError, Interrupted, ToolMissing
from drkeeper.facts import Check, Facts
from drkeeper.recovery_point import SystemRecord
from drkeeper.sandbox import SandboxServer, start_sandbox
from drkeeper.systems import Streams, System, load_kind


@dataclass(frozen=True)
class Fallback:
    """A place for one system where no sandbox of its kind can be started.

    Attributes:
        open: Opens the place; called only when it is needed.
        words: What it is, for the report.
        admit: Raises `Refused` where the place must not be used now. Called before anything is restored into it.
        clear: Removes everything from it again; None where nothing is created in it.
    """

    open: Callable[[], System]
    words: str
    admit: Callable[[], None] = lambda: None
    clear: Callable[[], None] | None = None


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
            return cast("System", AskedOnly(fallback.open())) if fallback.clear is None else fallback.open()
        model = load_kind(kind).options
        options: dict[str, object] = {**self.carried.get(name, {}), **self.servers[name].options}
        if "scratch" in model.model_fields:
            scratch = self.folder / f"{name}-scratch"
            scratch.mkdir()
            options.setdefault("scratch", scratch)
        return load_kind(kind).open_system(name, model.model_validate(options))

    def clear_borrowed(self) -> list[Check]:
        """Empty the places that were borrowed, with proof."""
        checks = []
        for name in sorted(self.words):
            fallback = self.fallbacks[name]
            if fallback.clear is not None:
                checks.append(_cleared(name, fallback, fallback.clear))
        return checks


def _cleared(name: str, fallback: Fallback, clear: Callable[[], None]) -> Check:
    subject = f"{name}.scratch"
    try:
        clear()
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
