"""The scratch folder of a restore: what was loaded lies there, whole and checked, until the switch."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from drkeeper.errors import LoadFailed
from drkeeper.systems._redis.options import Options

_MARGIN_BYTES = 16 << 20


class SwitchMark(BaseModel):
    """Notes of a switch that is under way, so that a later one, or a discard, can put things right.

    Attributes:
        host: Where we serve the RDB: the target names it as its primary.
        settings: The target's settings that we changed, as they were.
        spare_databases: Databases that hold nothing but what we loaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = ""
    port: int = 0
    settings: dict[str, str] = {}
    spare_databases: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scratch:
    """The files of one system's restores under one staging name."""

    folder: Path
    stem: str

    @property
    def marker(self) -> Path:
        """The notes of a switch that is under way."""
        return self.folder / f"{self.stem}.switch.json"

    def spool(self, stream_name: str) -> Path:
        """Where a stream's bytes lie."""
        return self.folder / f"{self.stem}{Path(stream_name).suffix}"

    def write(self, stream_name: str, blocks: Iterable[bytes]) -> Path:
        """Write a stream to the disk, readable by us only; anew where an earlier try left something.

        Raises:
            LoadFailed: The disk is full or cannot be written.
        """
        path = self.spool(stream_name)
        try:
            prepare_folder(self.folder)
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for block in blocks:
                    _write_all(file.fileno(), block)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise LoadFailed(
                f"cannot spool to {path}: {error.strerror}; the target was not touched",
                hint="free space there, or name another folder with the system's `scratch`",
            ) from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def read_mark(self) -> SwitchMark | None:
        """The notes of a switch that did not end, None where there is none."""
        try:
            return SwitchMark.model_validate_json(self.marker.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_mark(self, mark: SwitchMark) -> None:
        """Note what a switch is about to change."""
        half = self.marker.with_suffix(".new")
        half.write_text(mark.model_dump_json(), encoding="utf-8")
        half.replace(self.marker)

    @property
    def done(self) -> Path:
        """An empty file that says that the data are switched: whoever crashed right after it may ask again."""
        return self.folder / f"{self.stem}.done"

    def note_done(self) -> None:
        """Say that the target's data are those that were loaded; what is left to do takes nothing from anybody."""
        self.done.touch(mode=0o600)

    def mark_done(self) -> None:
        """Leave nothing but the word that the switch has been made."""
        self.note_done()
        self.clear(keep_done=True)

    def clear(self, *, keep_done: bool = False) -> None:
        """Remove everything; nothing there is fine."""
        if not keep_done:
            self.done.unlink(missing_ok=True)
        for suffix in (".rdb", ".resp", ".switch.json", ".switch.new"):
            (self.folder / f"{self.stem}{suffix}").unlink(missing_ok=True)


def scratch_for(options: Options, system: str, staging: str) -> Scratch:
    """The scratch files of one system and staging."""
    return Scratch(scratch_folder(options), f"drkeeper-{_safe(system)}-{_safe(staging)}")


def forget_earlier(options: Options, system: str) -> None:
    """Remove the words that earlier switches of this system left."""
    for path in scratch_folder(options).glob(f"drkeeper-{_safe(system)}-*.done"):
        path.unlink(missing_ok=True)


def unfinished_marks(options: Options, system: str) -> list[SwitchMark]:
    """The notes of all switches of this system that did not end."""
    folder, prefix = scratch_folder(options), f"drkeeper-{_safe(system)}-"
    stems = [path.name.removesuffix(".switch.json") for path in folder.glob(f"{prefix}*.switch.json")]
    marks = [Scratch(folder, stem).read_mark() for stem in stems]
    return [mark for mark in marks if mark is not None]


def scratch_folder(options: Options) -> Path:
    """The folder for scratch files: the same one after a crash, and our own where temporary space is shared."""
    return options.scratch or Path(tempfile.gettempdir()) / f"drkeeper-{os.getuid()}"


def prepare_folder(folder: Path) -> None:
    """Make the folder where it is missing.

    Raises:
        LoadFailed: It belongs to somebody else, who could read or replace what we put there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid not in {os.getuid(), 0}:
        raise LoadFailed(f"the scratch folder {folder} belongs to another user; the target was not touched")


def missing_bytes(folder: Path, wanted_bytes: int) -> int:
    """How many bytes the folder's disk lacks for so many more, 0 where they fit."""
    while not folder.exists():
        folder = folder.parent
    return max(0, wanted_bytes + _MARGIN_BYTES - shutil.disk_usage(folder).free)


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
