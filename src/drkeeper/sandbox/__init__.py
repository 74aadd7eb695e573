"""Throw-away servers for drills, the demo and tests. `sandbox/<kind>.py` serves systems of that kind.

Such a module has `start(folder) -> SandboxServer`: a fresh server on a free port of 127.0.0.1, whose every file
lies under `folder` (which is made), with a random password. Needs the extra `drkeeper[sandbox]`; without it
`start` raises `ToolMissing` with the command that installs it.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from drkeeper.errors import ToolMissing


class SandboxServer(Protocol):
    """A running throw-away server."""

    kind: str
    folder: Path
    options: dict[str, object]
    """What a policy would say to reach it (host, port, user, password …), without `kind`."""

    @property
    def process_id(self) -> int:
        """Of the server's main process; 0 where the kind needs none."""
        ...

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of all servers that were started for it."""
        ...

    @property
    def port(self) -> int:
        """On which it listens, on 127.0.0.1; 0 where the kind needs no server."""
        ...

    def stop(self) -> None:
        """End it in order, wait for its exit, and leave the folder; stopping twice is fine."""
        ...

    def kill(self) -> None:
        """Kill -9 of the server and all its children; the folder stays as it is."""
        ...

    def leave(self) -> None:
        """Let it outlive this process; else it ends with it, even by kill -9."""
        ...


def startable(kind: str) -> bool:
    """Whether what a sandbox of this kind needs is on this machine; a module that does not say (`available`) has it."""
    try:
        module = import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError:
        return False
    return bool(getattr(module, "available", lambda: True)())


def start_sandbox(kind: str, folder: Path) -> SandboxServer:
    """Start a throw-away server for a kind of system.

    Raises:
        ToolMissing: No sandbox exists for this kind, or its extra is not installed.
    """
    try:
        module = import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{kind}":
            raise
        raise ToolMissing(f"there is no sandbox for systems of kind {kind}") from error
    return cast("SandboxServer", module.start(folder))
