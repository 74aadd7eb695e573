"""What is common to encrypting and decrypting a SOPS document: which values, in which order, and their digest.

Pure. From SOPS' own `sops.go`: values are walked in the order of the file, a list's entries have their list's path, and
null is passed over.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

SECTION = "sops"
Path = tuple[str, ...]
# So that a MAC of the one sort is never taken for one of the other.
_ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()


@dataclass(frozen=True)
class Rules:
    """Which values are encrypted; at most one of the first four is set."""

    encrypted_regex: str = ""
    unencrypted_regex: str = ""
    encrypted_suffix: str = ""
    unencrypted_suffix: str = ""
    mac_only_encrypted: bool = False

    def encrypts(self, path: Path) -> bool:
        """Whether the value at a path is."""
        if self.encrypted_regex:
            return any(re.search(self.encrypted_regex, name) for name in path)
        if self.unencrypted_regex:
            return not any(re.search(self.unencrypted_regex, name) for name in path)
        if self.encrypted_suffix:
            return any(name.endswith(self.encrypted_suffix) for name in path)
        return not (self.unencrypted_suffix and any(name.endswith(self.unencrypted_suffix) for name in path))


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All values of a tree with their paths, in its order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None:
        yield path, value


def replaced(value: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """A tree with each value changed, in the order of `leaves`."""
    if isinstance(value, dict):
        return {key: replaced(inner, change, (*path, str(key))) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, change, path) for inner in value]
    return None if value is None else change(path, value)


def digest(values: Iterable[Any], *, only_encrypted: bool) -> bytes:
    """What the MAC is over, as SOPS writes it: upper-case hexadecimal."""
    hashed = hashlib.sha512(_ONLY_ENCRYPTED if only_encrypted else b"")
    for value in values:
        hashed.update(encoded(value)[1])
    return hashed.hexdigest().upper().encode()


def encoded(value: Any) -> tuple[str, bytes]:
    """A value's type and bytes in SOPS.

    Raises:
        TypeError: YAML has no such value.
    """
    if isinstance(value, str):
        return "str", value.encode()
    if isinstance(value, bool):
        return "bool", b"True" if value else b"False"
    if isinstance(value, int):
        return "int", str(value).encode()
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return "float", (text.rstrip("0").rstrip(".") if "." in text else text).encode()
    if isinstance(value, datetime):
        return "time", value.replace(tzinfo=value.tzinfo or UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    raise TypeError(f"not a value of SOPS: {type(value).__name__}")


def decoded(kind: str, data: bytes) -> Any:
    """The reverse.

    Raises:
        ValueError: The bytes do not fit the type.
    """
    text = data.decode()
    if kind in ("str", "bytes"):
        return text
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "bool" and text in ("True", "False", "true", "false"):
        return text in ("True", "true")
    raise ValueError(f"type {kind} cannot be read")
