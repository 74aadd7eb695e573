"""The scratch folder of a restore: the documents that were loaded, whole and checked, until the switch.

One JSON line for each object, so that the switch reads any of them by its place in the file, in the order that it
needs; Secrets are still the SOPS documents that they are in the recovery point.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from drkeeper.errors import LoadFailed, VerificationFailed
from drkeeper.systems._kubernetes.options import Options

# JSON is a little longer than the YAML that it comes from: quotes, and names of managers are short.
GROWTH = 1.5
_MARGIN_BYTES = 16 << 20
_SUFFIXES = (".jsonl", ".sha256", ".new", ".done")


@dataclass(frozen=True)
class Line:
    """Where one document lies in the file."""

    path: str
    manifest: dict[str, Any]
    offset: int
    length: int


@dataclass(frozen=True)
class Scratch:
    """The files of one system's restore under one staging name."""

    folder: Path
    stem: str

    @property
    def documents(self) -> Path:
        """The file of all documents; it is there only when it is whole."""
        return self._file(".jsonl")

    @property
    def switched(self) -> bool:
        """Whether the switch has been made: whoever crashed right after it may ask again."""
        return self._file(".done").exists()

    def write(self, documents: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Write path and manifest of each document, readable by us only; anew where an earlier try left something.

        Raises:
            LoadFailed: The disk is full or cannot be written.
        """
        try:
            _prepare(self.folder)
            self.clear()
            half, digest = self._file(".new"), hashlib.sha256()
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for path, manifest in documents:
                    line = orjson.dumps([path, manifest]) + b"\n"
                    digest.update(line)
                    file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._file(".sha256").write_text(digest.hexdigest(), encoding="ascii")
            half.replace(self.documents)
        except OSError as error:
            self.clear()
            raise LoadFailed(
                f"cannot write to {self.folder}: {error.strerror}; the cluster was not touched",
                hint="free space there, or name another folder with the system's `scratch`",
            ) from error
        except BaseException:
            self.clear()
            raise

    def verify(self) -> None:
        """Time may have passed since the load, and the disk is not ours alone.

        Raises:
            LoadFailed: Nothing was loaded.
            VerificationFailed: It is not what was loaded.
        """
        try:
            with self.documents.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            expected = self._file(".sha256").read_text(encoding="ascii")
        except FileNotFoundError as error:
            raise LoadFailed(f"nothing is loaded in {self.folder}; the cluster was not touched") from error
        if found != expected:
            raise VerificationFailed(f"{self.documents} is not what was loaded; the cluster was not touched")

    def lines(self) -> Iterator[Line]:
        """All documents, in the order of the recovery point."""
        offset = 0
        with self.documents.open("rb") as file:
            for raw in file:
                path, manifest = orjson.loads(raw)
                yield Line(path, manifest, offset, len(raw))
                offset += len(raw)

    def reader(self) -> BinaryIO:
        """The file, for `read_at`."""
        return self.documents.open("rb")

    def mark_switched(self) -> None:
        """Leave nothing but the word that the switch has been made."""
        self._file(".done").touch(mode=0o600)
        self.clear(keep_done=True)

    def clear(self, *, keep_done: bool = False) -> None:
        """Remove everything; nothing there is fine."""
        for suffix in _SUFFIXES:
            if not (keep_done and suffix == ".done"):
                self._file(suffix).unlink(missing_ok=True)

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.stem}{suffix}"


def read_at(file: BinaryIO, offset: int, length: int) -> dict[str, Any]:
    """One document's manifest; from several threads at once."""
    _, manifest = orjson.loads(os.pread(file.fileno(), length, offset))
    return dict(manifest)


def scratch_for(options: Options, system: str, staging: str) -> Scratch:
    """The scratch files of one system and staging."""
    return Scratch(scratch_folder(options), f"drkeeper-{_safe(system)}-{_safe(staging)}")


def forget_earlier(options: Options, system: str) -> None:
    """Remove the words that earlier switches of this system left."""
    for path in scratch_folder(options).glob(f"drkeeper-{_safe(system)}-*.done"):
        path.unlink(missing_ok=True)


def scratch_folder(options: Options) -> Path:
    """The folder for scratch files: the same one after a crash, and our own where temporary space is shared."""
    return options.scratch or Path(tempfile.gettempdir()) / f"drkeeper-{os.getuid()}"


def missing_bytes(folder: Path, wanted_bytes: int) -> int:
    """How many bytes the folder's disk lacks for so many more, 0 where they fit."""
    while not folder.exists():
        folder = folder.parent
    return max(0, int(wanted_bytes * GROWTH) + _MARGIN_BYTES - shutil.disk_usage(folder).free)


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid not in {os.getuid(), 0}:
        raise LoadFailed(f"the scratch folder {folder} belongs to another user; the cluster was not touched")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
