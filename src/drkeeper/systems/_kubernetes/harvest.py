"""One walk over all that a policy protects in a cluster: each object selected, sanitised, rendered, counted.

A capture and the facts of a live cluster are both such a walk, so that they cannot drift apart.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drkeeper.facts import Check
from drkeeper.systems._kubernetes import derived, documents
from drkeeper.systems._kubernetes.answers import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.collector import collect, collector_paused
from drkeeper.systems._kubernetes.kinds import ResourceKind, selected
from drkeeper.systems._kubernetes.lists import Listing, lists_ahead
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import rule_text
from drkeeper.systems._kubernetes.render import Renderer
from drkeeper.systems._kubernetes.sanitise import sanitise
from drkeeper.systems._kubernetes.selection import Selection, heartbeat_path

Manifest = dict[str, Any]
_MOST_WARNINGS = 50
_BLOB_ID_BYTES = 20
_PAGES_BETWEEN_COLLECTIONS = 50


class Captured(NamedTuple):
    """One object: where it lies in git, its uid in this cluster, and its manifest rendered."""

    path: str
    uid: str
    rendered: bytes


@dataclass
class Tally:
    """What is known of one kind after its lists were read."""

    count: int = 0
    managed: int = 0
    blob_ids: bytearray = field(default_factory=bytearray)
    resource_versions: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Of the git blobs of all its objects, whatever their order."""
        starts = range(0, len(self.blob_ids), _BLOB_ID_BYTES)
        ordered = sorted(bytes(self.blob_ids[start : start + _BLOB_ID_BYTES]) for start in starts)
        return hashlib.sha256(b"".join(ordered)).hexdigest()


class Harvest:
    """A walk over a cluster's lists. Bounded memory: one page as objects, and 20 bytes for each object of a walk.

    Attributes:
        tallies: By the kind's label; complete after `objects` has ended.
        left_out: How many objects were left out, by the rule's name.
        unread: Labels of kinds, or names of groups, that could not be read in full, and why.
        unread_kinds: The kinds among them that are known.
    """

    def __init__(self, cluster: Cluster, options: Options, *, managed_only: bool = False) -> None:
        """Walk over a cluster.

        Args:
            cluster: Where.
            options: What is protected.
            managed_only: Digest only objects that drkeeper has applied; all are counted.
        """
        self._cluster = cluster
        self._options = options
        self._managed_only = managed_only
        self._selection = Selection(options)
        self._renderer = Renderer()
        self._folders: dict[tuple[str, str, str | None], str] = {}
        self.kinds = selected(cluster.kinds(), options)
        self.tallies: dict[str, Tally] = {}
        self.left_out: Counter[str] = Counter()
        self.unread: dict[str, str] = {}
        self.unread_kinds: list[ResourceKind] = []
        self._heartbeat = b""
        self._findings: list[Check] = []
        self._warnings = 0
        self._note_broken_groups()

    @property
    def findings(self) -> tuple[Check, ...]:
        """What was noticed: errors for what could not be read, warnings for what should not lie there."""
        if self._warnings <= _MOST_WARNINGS:
            return tuple(self._findings)
        more = Check(
            subject="configmaps",
            verdict="failed",
            severity="warning",
            detail=f"{self._warnings - _MOST_WARNINGS} more ConfigMaps look as if they held credentials",
            remedy="move them to Secrets",
        )
        return (*self._findings, more)

    def objects(self) -> Iterator[Captured]:
        """All objects in restore order.

        A kind that cannot be listed is a finding and is left out; the walk goes on.

        Raises:
            SystemUnreachable: The server is away, or does not know us any more.
        """
        with collector_paused():
            for listing in lists_ahead(self._cluster, self.kinds, self._options.namespaces):
                try:
                    yield from self._objects_of(listing)
                except ApiError as error:
                    if error.status == UNAUTHORIZED:
                        raise translated(error) from error
                    if error.status != NOT_FOUND:  # its definition went away since discovery: it has no objects
                        self._note_unread(listing, error)

    def read_heartbeat(self) -> bytes:
        """Our own mark, rendered; b"" where there is none. Asked for where the walk did not come by its namespace."""
        if not self._heartbeat:
            with suppress(ApiError):
                found = self._cluster.get(heartbeat_path(self._options.heartbeat_namespace))
                self._heartbeat = self._renderer.render(sanitise(found))
        return self._heartbeat

    def _objects_of(self, listing: Listing) -> Iterator[Captured]:
        kind = listing.kind
        tally = self.tallies.setdefault(kind.label, Tally())
        reason = self._selection.for_kind(kind)
        prepared = self._preparation(kind)
        for number, page in enumerate(listing.pages(), 1):
            if number % _PAGES_BETWEEN_COLLECTIONS == 0:
                collect()
            if page.resource_version not in tally.resource_versions:
                tally.resource_versions.append(page.resource_version)
            for manifest in page.items:
                left_out = reason(manifest)
                if left_out:
                    self.left_out[left_out] += 1
                    continue
                uid = manifest["metadata"].get("uid", "")
                managed = self._managed_only and is_managed(manifest)
                ready = prepared(manifest)
                if ready is None:
                    continue
                rendered = self._renderer.render(ready)
                tally.count += 1
                tally.managed += managed
                if managed or not self._managed_only:
                    tally.blob_ids += blob_id(rendered)
                yield Captured(self._path(ready), uid, rendered)

    def _preparation(self, kind: ResourceKind) -> Callable[[Manifest], Manifest | None]:
        if kind.label == "secrets":
            return self._sealed
        return self._config_map if kind.label == "configmaps" else sanitise

    def _sealed(self, manifest: Manifest) -> Manifest:
        from drkeeper.systems._kubernetes import sops

        assert self._options.secrets is not None  # noqa: S101 - else the kind is not selected
        return sops.encrypt(sanitise(manifest), self._options.secrets)

    def _config_map(self, manifest: Manifest) -> Manifest | None:
        from drkeeper.systems._kubernetes.credentials import looks_secret

        if self._selection.is_heartbeat(manifest):
            self._heartbeat = self._renderer.render(sanitise(manifest))
            return None
        clean = sanitise(manifest)
        if keys := looks_secret(clean):
            self._note_credential(clean, keys)
        return clean

    def _path(self, manifest: Manifest) -> str:
        metadata = manifest["metadata"]
        place = (manifest["apiVersion"], manifest["kind"], metadata.get("namespace"))
        folder = self._folders.get(place)
        if folder is None:
            folder = self._folders[place] = documents.folder_of(*place)
        return folder + documents.file_name(metadata["name"])

    # --- what is told ---------------------------------------------------------------------------------------

    def _note_unread(self, listing: Listing, error: ApiError) -> None:
        kind = listing.kind
        place = f" in namespace {listing.namespace}" if listing.namespace else ""
        self.unread[kind.label] = f"not listed{place}: {error.message}"
        self.unread_kinds.append(kind)
        self._findings.append(
            Check(
                subject=kind.label,
                verdict="failed",
                detail=f"{kind.label}{place} could not be listed: {error.message}",
                remedy=f"add the rule {rule_text(kind, 'list', listing.namespace)}"
                if error.status == FORBIDDEN
                else "ask the API server what is wrong with this kind: `kubectl get " + kind.label + "`",
            )
        )

    def _note_broken_groups(self) -> None:
        for group, reason in self._cluster.broken_groups.items():
            if derived.group_reason(group) or not _may_be_meant(group, self._options):
                continue
            self.unread[group] = f"not discovered: {reason}"
            self._findings.append(
                Check(
                    subject=group,
                    verdict="failed",
                    detail=f"the API group {group} does not answer: {reason}",
                    remedy=f"repair the server behind it, or leave it out with exclude_kinds: ['*.{group}']",
                )
            )

    def _note_credential(self, manifest: Manifest, keys: list[str]) -> None:
        self._warnings += 1
        if self._warnings > _MOST_WARNINGS:
            return
        metadata = manifest["metadata"]
        self._findings.append(
            Check(
                subject=f"configmaps.{metadata.get('namespace')}.{metadata['name']}",
                verdict="failed",
                severity="warning",
                detail=f"looks as if it held a credential in plain text: {', '.join(keys)}",
                remedy="move it to a Secret",
            )
        )


def is_managed(manifest: Manifest) -> bool:
    """Whether drkeeper has applied an object."""
    return any(
        entry.get("manager") == "drkeeper" and entry.get("operation") == "Apply"
        for entry in manifest["metadata"].get("managedFields") or ()
    )


def blob_id(content: bytes) -> bytes:
    """The id that git gives to a file of these bytes."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).digest()


def _may_be_meant(group: str, options: Options) -> bool:
    """Whether a policy could protect kinds of a group whose kinds nobody knows."""
    from drkeeper.systems._kubernetes.kinds import matches

    return f"*.{group}" not in options.exclude_kinds and matches(f"any.{group}", options.kinds)
