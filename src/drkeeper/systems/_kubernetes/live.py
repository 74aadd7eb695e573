"""What is live on the target, by name: UID and a digest of each object, from one list of each kind."""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from drkeeper.systems._kubernetes.answers import FORBIDDEN
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.hold import is_held
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.sanitise import sanitise

_NOT_FOUND = 404


@dataclass(frozen=True)
class Known:
    """A live object."""

    uid: str
    fingerprint: bytes


def fingerprint(declared: Manifest, *, held: bool) -> bytes:
    """Equal for objects that declare the same, whoever wrote them and when.

    Args:
        declared: As a capture writes it: sanitised, and not at rest.
        held: Whether the object is, or is to be, held.
    """
    metadata = declared["metadata"]
    if owners := metadata.get("ownerReferences"):
        nameless = [{key: value for key, value in owner.items() if key != "uid"} for owner in owners]
        declared = {**declared, "metadata": {**metadata, "ownerReferences": nameless}}
    return hashlib.sha256(orjson.dumps([declared, held], option=orjson.OPT_SORT_KEYS)).digest()


class Live:
    """The live objects of one cluster, listed kind by kind when asked to. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._objects: dict[Identity, Known | None] = {}
        self._listed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def list_kind(self, kind: ResourceKind, namespaces: Iterable[str] = ()) -> None:
        """List a kind, once; in single namespaces where it may not be listed everywhere."""
        if (kind.group, kind.kind) in self._listed or "list" not in kind.verbs:
            return
        self._listed.add((kind.group, kind.kind))
        try:
            self._list(kind, None)
        except ApiError as error:
            if error.status != FORBIDDEN:
                return  # then each object is asked for by itself
            for namespace in namespaces:
                self._list_quietly(kind, namespace)

    def find(self, target: Identity, kind: ResourceKind | None = None) -> Known | None:
        """The object, None where there is none; asked of the server where its kind was not listed."""
        with self._lock:
            if target in self._objects:
                return self._objects[target]
        if kind is None or (target.group, target.kind) in self._listed:
            return None
        try:
            found = self._cluster.get(kind.path(target.namespace, target.name))
        except ApiError as error:
            if error.status not in {_NOT_FOUND, FORBIDDEN}:
                raise
            self._note(target, None)
            return None
        return self.note(found)

    def note(self, live: Manifest) -> Known:
        """Remember an object as the server gave it; it is changed by this, and must not be used again."""
        target, uid, held = identity(live), str(live["metadata"]["uid"]), is_held(live)
        known = Known(uid, fingerprint(sanitise(live), held=held))
        self._note(target, known)
        return known

    def _note(self, target: Identity, known: Known | None) -> None:
        with self._lock:
            self._objects[target] = known

    def _list(self, kind: ResourceKind, namespace: str | None) -> None:
        for page in self._cluster.pages(kind.path(namespace)):
            for item in page.items:
                self.note(item)

    def _list_quietly(self, kind: ResourceKind, namespace: str) -> None:
        try:
            self._list(kind, namespace)
        except ApiError:
            self._listed.discard((kind.group, kind.kind))
