"""Asking before something is changed that cannot be changed back."""

import sys

from drkeeper.errors import Refused


def confirm(question: str, *, yes: bool) -> None:
    """Go on only when told to.

    Args:
        question: What will happen, as a question; what led to it is shown before.
        yes: Whether `--yes` was given: nothing is asked.

    Raises:
        Refused: The answer was not yes, or there is nobody to ask.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused("this needs a confirmation, and there is no terminal to ask on", hint="give --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("not confirmed; nothing was changed", hint="answer y, or give --yes")
