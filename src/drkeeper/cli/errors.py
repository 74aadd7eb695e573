"""Errors into messages, hints and exit codes; the one place where the command line catches what it did not expect."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType

import click

from drkeeper.cli.settings import Settings
from drkeeper.errors import DrkeeperError

INTERRUPTED = 130
BROKEN_PIPE = 128 + signal.SIGPIPE


def guarded(action: Callable[[], object], settings: Settings, arguments: Sequence[str]) -> int:
    """Run an action; whatever it raises becomes a message on stderr and an exit code.

    Args:
        action: Returns an exit code, or anything else for 0.
        settings: What to show, and which values to keep out of what is shown.
        arguments: The command line; `-o json` in it asks for errors as JSON too.
    """
    teller = _Teller(settings, arguments)
    try:
        with terminate_as_interrupt():
            result = action()
            sys.stdout.flush()
    except DrkeeperError as error:
        return teller.tell(error, str(error), error.hint, error.exit_code, said=error.said)
    except click.ClickException as error:
        return teller.tell(error, _usage_message(error), _usage_hint(error), 2)
    except (KeyboardInterrupt, click.Abort) as error:
        return teller.tell(error, "interrupted", "", INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads on. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last place that can say something useful
        message = f"unexpected {type(error).__name__}: {error}"
        hint = "" if settings.verbose else "`--verbose` shows where; please report it"
        return teller.tell(error, message, hint, 1)
    return result if isinstance(result, int) else 0


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM ends us like Ctrl-C: through every context manager. Does nothing outside the main thread."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@dataclass(frozen=True)
class _Teller:
    settings: Settings
    arguments: Sequence[str]

    def tell(self, error: BaseException, message: str, hint: str, exit_code: int, *, said: str = "") -> int:
        if self.settings.verbose and not isinstance(error, click.ClickException | KeyboardInterrupt):
            import traceback

            _write(hide_secrets("".join(traceback.format_exception(error)), self.settings.secrets))
        message, hint, said = (hide_secrets(text, self.settings.secrets) for text in (message, hint, said))
        if wants_json(self.arguments):
            told = {"error": message, "hint": hint, "exit_code": exit_code, **({"said": said} if said else {})}
            _write(json.dumps(told, ensure_ascii=False) + "\n")
            return exit_code
        lines = message.splitlines() or [type(error).__name__]
        if len(lines) > 1:
            lines.insert(0, f"{len(lines)} problems")
        shown = [f"{name}: {text}" for name, text in (("it said", said), ("hint", hint)) if text]
        _write("\n".join([f"error: {lines[0]}", *lines[1:], *shown]) + "\n")
        return exit_code


def hide_secrets(text: str, secrets: Sequence[str]) -> str:
    """The text without any of the values; longest first, for one may be part of another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "********")
    return text


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, even one that cannot be parsed."""
    together = any(argument in {"-ojson", "-o=json", "--output=json"} for argument in arguments)
    return together or any(pair in {("-o", "json"), ("--output", "json")} for pair in pairwise(arguments))


def _usage_message(error: click.ClickException) -> str:
    message = error.format_message()
    return f"{message[:1].lower()}{message[1:].rstrip('.')}"


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path} --help`" if context else ""


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
