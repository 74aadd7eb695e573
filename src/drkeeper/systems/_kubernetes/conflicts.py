"""Fields that another manager owns, or that the server does not know: what it says of them, a manifest without them."""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from drkeeper.systems._kubernetes.answers import CONFLICT, ApiError
from drkeeper.systems._kubernetes.identities import Manifest

OURS = "drkeeper"
UNKNOWN = "unknown to this server"
_WITH = re.compile(r'conflict with "([^"]*)"')
# One key of an associative list: `name="main"`, `containerPort=80`; a value of a set: `="a"`.
_KEY = re.compile(r'([^=,\[\]]*)=("(?:[^"\\]|\\.)*"|[^,\]]+)')
_UNDECLARED = re.compile(r"(\.\S+): field not declared in schema")
_DEFAULTS = {"protocol": "TCP"}  # the server fills it in before it names the key


@dataclass(frozen=True)
class Conflict:
    """One field, as the server names it (`.spec.replicas`), and who owns it."""

    field: str
    manager: str

    def __str__(self) -> str:
        return f"{self.field} is {self.manager}" + ("" if self.manager == UNKNOWN else "'s")


def conflicts_of(error: ApiError) -> tuple[Conflict, ...]:
    """The fields that a refusal names; none where it is another kind of refusal."""
    if error.status != CONFLICT:
        return ()
    return tuple(
        Conflict(cause.field, found[1] if (found := _WITH.search(cause.message)) else "another manager")
        for cause in error.causes
        if cause.reason == "FieldManagerConflict"
    )


def unknown_fields(error: ApiError) -> tuple[Conflict, ...]:
    """Fields that the server's schema does not have; a server prunes them where they come by other ways than apply."""
    return tuple(Conflict(field, UNKNOWN) for field in dict.fromkeys(_UNDECLARED.findall(error.message)))


def without(manifest: Manifest, fields: Iterable[str]) -> Manifest | None:
    """A copy of the manifest that says nothing of these fields; None where one of them is not found in it."""
    result = copy.deepcopy(manifest)
    return result if all(_remove(result, field) for field in fields) else None


def _remove(holder: Any, path: str) -> bool:
    """Follow the path by what is there, and remove what it leads to; False where it leads nowhere."""
    key, rest = _next(holder, path)
    if key is None:
        return False
    if rest:
        return _remove(holder[key], rest)
    del holder[key]
    return True


def _next(holder: Any, path: str) -> tuple[Any, str]:
    """The key or position that a path goes on with, and the rest of the path."""
    if isinstance(holder, dict) and path.startswith("."):
        return _key(holder, path[1:])
    if isinstance(holder, list) and path.startswith("["):
        return _item(holder, path)
    return None, ""


def _key(holder: dict[str, Any], path: str) -> tuple[str | None, str]:
    """Names may hold dots, so the longest key that fits is the one meant."""
    keys = [key for key in holder if path.startswith(key) and path[len(key) : len(key) + 1] in {"", ".", "["}]
    key = max(keys, key=len, default=None)
    return key, path[len(key or "") :]


def _item(items: list[Any], path: str) -> tuple[int | None, str]:
    """Which item of a list is meant, and the path that goes on from it."""
    if plain := re.match(r"\[(\d+)\]", path):
        position = int(plain[1])
        return (position if position < len(items) else None), path[plain.end() :]
    wanted, end = {}, 1
    while found := _KEY.match(path, end):
        wanted[found[1]] = _value(found[2])
        end = found.end() + (path[found.end() : found.end() + 1] == ",")
    for position, item in enumerate(items):
        if _fits(item, wanted):
            return position, path[end + 1 :]
    return None, ""


def _fits(item: Any, wanted: dict[str, Any]) -> bool:
    if "" in wanted:
        return bool(item == wanted[""])
    return isinstance(item, dict) and all(item.get(key, _DEFAULTS.get(key)) == value for key, value in wanted.items())


def _value(word: str) -> Any:
    try:
        return orjson.loads(word)
    except orjson.JSONDecodeError:
        return word
