"""A registry in a file. Feast writes it in place, so that a reader may find it empty, or half of it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from drkeeper import clock
from drkeeper.errors import CaptureFailed, Interrupted, SystemUnreachable
from drkeeper.facts import Check
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry import folder
from drkeeper.systems._feast_registry.content import LARGEST_BYTES, Content, RegistryChanged, Snapshot
from drkeeper.systems._feast_registry.folder import FolderShelf
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.reading import LOST, insist_whole, is_unreadable
from drkeeper.throttle import current_stop

POLL_SECONDS = 0.05


class FilePlace:
    """One file; marks and what is loaded lie beside it."""

    has_tables = False
    sets_aside = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._named = options.path

    @property
    def path(self) -> Path:
        """Where the bytes are: a link is followed, so that it stays one."""
        return self._named.resolve()

    def probe(self) -> Iterator[Check]:
        """Readable, and whether a restore could replace it."""
        try:
            found = folder.read(self.path)
        except SystemUnreachable as error:
            yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)
            return
        if not found:
            said = "has 0 bytes" if self.path.exists() else "does not exist"
            yield Check(subject="reachable", verdict="failed", detail=f"{self._named} {said}", remedy=LOST)
            return
        yield Check(subject="reachable", verdict="passed", detail=str(self._named))
        yield self._writable("warning")

    def capture(self) -> Snapshot:
        """Read until it is whole and twice the same."""
        deadline = clock.monotonic_seconds() + self._options.settle_seconds
        before, problem = b"", CaptureFailed(f"{self._named} never stayed as it was while it was read")
        while True:
            beat, as_of, data = self.read_beat(), clock.now(), self._read()
            try:
                insist_whole(data, str(self._named))
            except CaptureFailed as error:
                problem = error
            else:
                if data == before:
                    return Snapshot(as_of, Content(data, beat=beat))
            before = data
            if clock.monotonic_seconds() > deadline:
                raise problem
            if current_stop().wait(POLL_SECONDS):
                raise Interrupted("interrupted")

    def look(self) -> Snapshot | None:
        """As it is now."""
        data = self._read()
        return Snapshot(clock.now(), Content(data, beat=self.read_beat())) if data else None

    def stamp(self) -> str:
        """A digest of its bytes."""
        return _digest(self._read())

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Whether we may write there."""
        yield self._writable("error")

    def shelf(self, staging: str) -> FolderShelf:
        """A folder beside the file."""
        return FolderShelf(self.path.with_name(f"{self.path.name}.{staging}"))

    def try_out(self, content: Content) -> None:
        """Nothing can go wrong that `shelf` would not have met."""

    def replace(self, content: Content, *, seen: str, staging: str) -> None:
        """By a rename; bytes that are no registry are kept as `<file>.unreadable-<staging>`."""
        path, present = self.path, self._read()
        if _digest(present) != seen:
            raise RegistryChanged(f"{self._named} was written")
        if is_unreadable(present):
            aside = path.with_name(f"{path.name}.unreadable-{staging}")
            folder.write(aside, present, like=path)
        if content.beat is not None:
            self.write_beat(content.beat)
        folder.write(path, content.registry, like=path if path.exists() else path.parent)

    def write_beat(self, mark: Heartbeat) -> None:
        """Into a file beside it."""
        folder.write(self._heartbeat, mark.model_dump_json().encode(), like=self.path)

    def read_beat(self) -> Heartbeat | None:
        """Of the file beside it."""
        with suppress(ValidationError):
            return Heartbeat.model_validate_json(folder.read(self._heartbeat))
        return None

    @property
    def _heartbeat(self) -> Path:
        return self.path.with_name(f"{self.path.name}.drkeeper-heartbeat")

    def _read(self) -> bytes:
        path = self.path
        with suppress(OSError):
            if path.stat().st_size > LARGEST_BYTES:
                raise CaptureFailed(f"{self._named} has more than {LARGEST_BYTES >> 20} MiB, which no registry has")
        return folder.read(path)

    def _writable(self, severity: str) -> Check:
        parent = self.path.parent
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return Check(subject="writable", verdict="passed", detail=str(parent))
        said = "may not be written by us" if parent.is_dir() else "does not exist"
        detail, remedy = f"{parent} {said}", "a restore makes a file there, and renames it"
        return Check.model_validate(
            {"subject": "writable", "verdict": "failed", "severity": severity, "detail": detail, "remedy": remedy}
        )


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest() if data else ""
