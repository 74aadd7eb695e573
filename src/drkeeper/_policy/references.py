"""Values given by reference: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`; `$${` stands for `${`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 64 << 10
PATTERN = re.compile(r"\$\$\{|\$\{([^}]*)\}")
BODY = re.compile(r"env:(?P<env>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?|file:(?P<file>.+)", re.DOTALL)


class ReferenceUnresolved(Exception):
    """A reference that is malformed or has no value; the message names it, and nothing secret."""


@dataclass(frozen=True, repr=False)
class Reference:
    """A text with references in it.

    Attributes:
        written: As in the policy.
        value: What it stands for; never to be shown.
        whole: Whether the text is one reference and nothing else, without a default.
    """

    written: str
    value: str
    whole: bool

    def __repr__(self) -> str:
        return f"Reference({self.written!r})"


def has_reference(text: str) -> bool:
    """Whether anything in the text is, or escapes, a reference."""
    return "${" in text


def resolve(text: str, environment: Mapping[str, str], folder: Path, stand_in: str | None = None) -> Reference:
    """Put values in the place of references.

    Args:
        text: As written.
        environment: For `env:`.
        folder: What the paths of `file:` are relative to: the policy's own.
        stand_in: Taken where a reference has no value here: the policy is read somewhere else than where it is used.

    Raises:
        ReferenceUnresolved: One has no value, or is none.
    """

    def value_of(match: re.Match[str]) -> str:
        try:
            return _value(match, environment, folder)
        except ReferenceUnresolved:
            if stand_in is None or BODY.fullmatch(match.group(1)) is None:
                raise
            return stand_in

    value = PATTERN.sub(value_of, text)
    only = PATTERN.fullmatch(text)
    body = BODY.fullmatch(only.group(1)) if only and only.group(1) else None
    return Reference(written=text, value=value, whole=bool(body and not body["default"]))


def _value(match: re.Match[str], environment: Mapping[str, str], folder: Path) -> str:
    if match.group(0) == "$${":
        return "${"
    body = BODY.fullmatch(match.group(1))
    if body is None:
        raise ReferenceUnresolved(f"{match.group(0)} is no reference; expected ${{env:NAME}} or ${{file:path}}")
    if body["file"]:
        return _file_value(folder / body["file"])
    name = body["env"]
    if environment.get(name):
        return environment[name]
    if body["default"] is not None:
        return str(body["default"])
    state = "is empty" if name in environment else "is not set"
    raise ReferenceUnresolved(f"the environment variable {name} {state}")


def _file_value(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ReferenceUnresolved(f"the file {path} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ReferenceUnresolved(f"the file {path} is larger than {FILE_BYTES_MAX >> 10} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ReferenceUnresolved(f"the file {path} is not UTF-8 text") from None
    if not text.strip():
        raise ReferenceUnresolved(f"the file {path} is empty")
    return text.removesuffix("\n").removesuffix("\r")
