"""A throw-away Feast registry: a file that does not exist yet. Nothing runs; each kind of registry fits into it."""

from dataclasses import dataclass
from pathlib import Path

FILE = "registry.db"


@dataclass
class RegistryFolder:
    """A folder in which a registry will be."""

    kind: str
    folder: Path
    options: dict[str, object]
    process_id: int = 0
    process_ids: tuple[int, ...] = ()
    port: int = 0

    def stop(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs; the folder stays as it is."""

    def leave(self) -> None:
        """Nothing ends with this process."""


def start(folder: Path) -> RegistryFolder:
    """Make the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, object] = {"url": str(folder.absolute() / FILE), "throw_away": True}
    return RegistryFolder("feast_registry", folder, options)
