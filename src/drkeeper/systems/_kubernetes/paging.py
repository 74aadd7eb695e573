"""Lists in pages of bounded size, from one moment where the server can, and never an object twice.

A page has at most `page_size` objects and `MOST_BYTES` bytes: a larger answer is dropped and asked for again with a
sixteenth of the objects, so that memory does not depend on how large objects are. A single object is always taken.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import orjson

from drkeeper.systems._kubernetes.answers import GONE, ApiError

if TYPE_CHECKING:
    from drkeeper.systems._kubernetes.api import Cluster

MOST_BYTES = 4 << 20
_CONTINUE = re.compile(rb'"continue":"([^"\\]*)"')
# Built-in kinds have their metadata in front, custom resources at the end; neither can be inside an object.
_FRONT = re.compile(rb'\{"kind":"\w+List","apiVersion":"[^"\\]+","metadata":(\{[^{}]*\}),"items":')
_BACK = re.compile(rb'\],"kind":"\w+List","metadata":(\{[^{}]*\})\}\s*\Z')
_BACK_BYTES = 4096


@dataclass(frozen=True)
class RawPage:
    """One answer, undecoded.

    Attributes:
        body: The list as JSON.
        after: Skip objects up to this `namespace/name`: they were given out before the list was begun anew.
    """

    body: bytes
    after: str = ""


@dataclass(frozen=True)
class Page:
    """One answer: objects with apiVersion and kind, in order, and the resourceVersion of the list."""

    items: list[dict[str, Any]]
    resource_version: str


def raw_pages(
    cluster: "Cluster", path: str, params: Mapping[str, str], *, stop: Event | None = None
) -> Iterator[RawPage]:
    """Read a list page by page.

    A continue token that has expired (the server keeps old states for some minutes only) is replaced by the one that
    the server offers, which goes on from the same place in its newest state; where it offers none, the list is begun
    anew and what was given out is skipped.

    Raises:
        ApiError: The server said no.
        SystemUnreachable: It does not answer.
    """
    from drkeeper.systems._kubernetes.api import TooLarge

    limit = cluster.options.page_size
    token, after, previous = "", "", b""
    while True:
        query = {**params, "limit": str(limit), **({"continue": token} if token else {})}
        try:
            most = MOST_BYTES if limit > 1 else None
            body = cluster.request("GET", path, params=query, most_bytes=most, stop=stop)
        except TooLarge:
            limit = max(1, limit // 16)  # each try makes the server read it all: so not many
            continue
        except ApiError as error:
            if error.status != GONE or not token:
                raise
            token = error.continue_token
            after = after if token else _last_key(previous) or after
            continue
        yield RawPage(body, after)
        token, previous = next_token(body), body
        if not token:
            return


def next_token(body: bytes) -> str:
    """The continue token of a list, found without decoding it where that is safe; "" on the last page."""
    found = _FRONT.match(body) or _BACK.search(body, max(0, len(body) - _BACK_BYTES))
    if found is None:
        return str((orjson.loads(body).get("metadata") or {}).get("continue", ""))
    token = _CONTINUE.search(found[1])
    return token[1].decode() if token else ""


def decoded(raw: RawPage) -> Page:
    """Decode a page; objects of built-in kinds get the apiVersion and kind that their list has only once."""
    answer = orjson.loads(raw.body)
    items: list[dict[str, Any]] = answer.get("items") or []
    kind, api_version = str(answer.get("kind", "")).removesuffix("List"), answer.get("apiVersion", "")
    for item in items:
        item.setdefault("apiVersion", api_version)
        item.setdefault("kind", kind)
    items.sort(key=key)  # most servers do; it costs nothing then
    if raw.after:
        items = [item for item in items if key(item) > raw.after]
    return Page(items, str((answer.get("metadata") or {}).get("resourceVersion", "")))


def key(item: dict[str, Any]) -> str:
    """Namespace and name: the order in which a server keeps its objects."""
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _last_key(body: bytes) -> str:
    page = decoded(RawPage(body))
    return key(page.items[-1]) if page.items else ""
