"""Logging: readable on a terminal, JSON lines otherwise, always on stderr; stdout is for results.

structlog takes 0.15 s to import. `configure` notes what is wanted, and the first `get_logger` does it: a backup gets
there when its servers are at work and we wait for them.
"""

import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

DEBUG, INFO, WARNING = 10, 20, 30
Tell = Callable[[str, MutableMapping[str, Any]], None]


@dataclass
class _Wanted:
    """How this process logs: the one thing that a process has one of."""

    level: int = INFO
    stream: TextIO | None = None
    tell: Tell | None = None
    done: bool = True  # structlog's own defaults, until `configure` was called


_wanted = _Wanted()


def configure(*, level: int = INFO, stream: TextIO | None = None) -> None:
    """Say how this process logs.

    Args:
        level: Events below it are dropped.
        stream: Where to; stderr by default.
    """
    _wanted.level, _wanted.stream, _wanted.done = level, stream, False


def relay(tell: Tell) -> None:
    """Have events go to somebody who logs them: to `tell`, with the level's name and the values, `event` among them."""
    _wanted.level, _wanted.tell, _wanted.done = DEBUG, tell, False


def get_logger() -> "FilteringBoundLogger":
    """A logger. The event is a constant phrase, values are keys."""
    import structlog

    if not _wanted.done:
        _set_up(_wanted.level, _wanted.stream or sys.stderr, _wanted.tell)
        _wanted.done = True
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def _set_up(level: int, out: TextIO, tell: Tell | None) -> None:
    import structlog

    def hand_on(_logger: object, level_name: str, values: MutableMapping[str, Any]) -> NoReturn:
        if tell is not None:
            tell(level_name, values)
        raise structlog.DropEvent

    handed_on: list[Processor] = [hand_on] if tell is not None else []
    renderer: Processor = structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            *handed_on,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
