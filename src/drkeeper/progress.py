"""What long work tells about itself; the command line decides how it looks."""

from typing import Protocol


class Progress(Protocol):
    """Receives the advance of tasks; called from several threads."""

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """A task starts; `total_bytes` is an estimate, None where nobody knows."""
        ...

    def advance(self, task: str, size_bytes: int) -> None:
        """So many more bytes of the task are done."""
        ...

    def end(self, task: str, outcome: str = "done") -> None:
        """The task is over: "done", "failed", or a short word of its own."""
        ...


class Silent:
    """Tells nobody."""

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """Do nothing."""

    def advance(self, task: str, size_bytes: int) -> None:
        """Do nothing."""

    def end(self, task: str, outcome: str = "done") -> None:
        """Do nothing."""
