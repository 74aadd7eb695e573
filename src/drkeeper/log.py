"""Logging: readable on a terminal, JSON lines otherwise, always on stderr; stdout is for results."""

import sys
from typing import TextIO

import structlog


def configure(*, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Set up structlog for this process.

    Args:
        verbose: Show debug events too.
        stream: Where to; stderr by default.
    """
    out = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(10 if verbose else 20),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
