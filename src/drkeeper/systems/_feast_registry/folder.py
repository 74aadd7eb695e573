"""Files that replace one another in one step, and a folder of them beside a live file."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from drkeeper.errors import SystemUnreachable


def read(path: Path) -> bytes:
    """All bytes of a file; none where there is no file.

    Raises:
        SystemUnreachable: It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SystemUnreachable(f"{path} cannot be read: {error.strerror}", hint=f"permit it to {_who()}") from error


def write(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Put a file in place in one step, and on the disk.

    Args:
        path: Replaced.
        data: Its bytes.
        like: A file whose mode, and owner where we may, the new one gets.

    Raises:
        SystemUnreachable: It cannot be written.
    """
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if like is not None and like.exists():
            take_after(Path(name), like)
        Path(name).replace(path)
        flush_folder(path.parent)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise SystemUnreachable(
            f"{path} cannot be written: {error.strerror}", hint=f"permit it to {_who()}, also to make files beside it"
        ) from error


def take_after(path: Path, other: Path) -> None:
    """Give a file the mode of another, or of a folder what of it a file needs, and its owner where we may."""
    status = other.stat()
    path.chmod(status.st_mode & (0o666 if other.is_dir() else 0o7777))
    with suppress(PermissionError):
        os.chown(path, status.st_uid, status.st_gid)


def flush_folder(folder: Path) -> None:
    """Bring the folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FolderShelf:
    """A folder beside the live file, on the same disk, readable to its owner only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Keep, durably."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SystemUnreachable(
                f"{self.folder} cannot be made: {error.strerror}", hint=f"permit it to {_who()}"
            ) from error
        write(self.folder / quote(name, safe=""), data)

    def get(self, name: str) -> bytes | None:
        """None where there is none."""
        path = self.folder / quote(name, safe="")
        return read(path) if path.exists() else None

    def names(self) -> Iterable[str]:
        """Of all that is kept."""
        return [unquote(path.name) for path in sorted(self.folder.glob("[!.]*"))]

    def clear(self) -> None:
        """Forget everything at once: killed at any moment, all of it is there, or nothing.

        Raises:
            SystemUnreachable: It may not be removed.
        """
        gone = self.folder.with_name(f"{self.folder.name}.cleared")
        shutil.rmtree(gone, ignore_errors=True)
        try:
            self.folder.rename(gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SystemUnreachable(
                f"{self.folder} cannot be removed: {error.strerror}", hint=f"permit it to {_who()}"
            ) from error
        shutil.rmtree(gone, ignore_errors=True)


def _who() -> str:
    return f"user {os.getuid()}"
