"""How a task may end without an answer."""

from typing import ClassVar

from drkeeper.errors import DrkeeperError


class TaskFailed(DrkeeperError):
    """The SDK, or what it ran, raised an error or died.

    Args:
        message: Its own words.
        hint: What to do next.
        missing_module: What could not be imported, where that was it.
    """

    default_hint: ClassVar[str] = "run the same by hand with that Python; the message is the SDK's own"

    def __init__(self, message: str, *, hint: str = "", missing_module: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing_module = missing_module


class TaskTimedOut(TaskFailed):
    """It gave no answer in time; it was killed."""

    default_hint = "allow more (`model_seconds:` or `seconds:` of the application), or see what it waits for"


class TaskTooLarge(TaskFailed):
    """It took more memory, or gave a longer answer, than it may; it was killed."""

    default_hint = "allow more (`model_memory_bytes:` or `memory_bytes:` of the application), or ask for less"
