"""After a restore: is every object of the point there and equal, and is everything there that objects name?

Kind by kind, in the order of the point, so that no more than one kind of live objects is held at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import orjson

from drkeeper.errors import KeyMissing, VerificationFailed
from drkeeper.facts import Check, Severity
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Streams
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.answers import FORBIDDEN, ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.documents import Document, read_documents
from drkeeper.systems._kubernetes.field_difference import FieldDifference, differing_fields
from drkeeper.systems._kubernetes.identities import Identity, Manifest, group_of, identity
from drkeeper.systems._kubernetes.index import arriving
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.part import within
from drkeeper.systems._kubernetes.proof_of_references import ReferenceProof
from drkeeper.systems._kubernetes.references import missing_references
from drkeeper.systems._kubernetes.sanitise import sanitise
from drkeeper.systems._kubernetes.served import Served
from drkeeper.systems._kubernetes.transforms import transformed

MANIFESTS = "manifests.yaml"
# Of one kind so many objects are told one by one, and of one object so many fields; the rest is counted.
TOLD_OBJECTS = 100
TOLD_FIELDS = 8
TOLD_NAMES = 20
_AUTOSCALER = "HorizontalPodAutoscaler"
_REPLICAS = "spec.replicas"


def verify(options: Options, record: SystemRecord, streams: Streams) -> Iterator[Check]:
    """Compare a cluster with a recovery point. Values never appear in a check, only the names of fields.

    Args:
        options: The target's.
        record: Of the point.
        streams: Of the same.

    Raises:
        SystemUnreachable: The API server went away.
        VerificationFailed: The stream is not sound.
    """
    if MANIFESTS not in streams.names():
        yield Check(subject="objects", verdict="not checked", detail="the point holds no manifests")
    elif options.dry_run:
        yield from _asked_only(options, streams)
    else:
        try:
            with Cluster.open(options) as cluster:
                yield from Proof(options, cluster, record).checks(streams)
        except ApiError as error:
            raise translated(error) from error


def _asked_only(options: Options, streams: Streams) -> Iterator[Check]:
    """What can be said where the server was asked, and nothing was changed."""
    detail = "dry run: the API server was asked, and nothing was changed that could be compared"
    yield Check(subject="objects", verdict="not checked", detail=detail)
    manifests = (document.manifest for document in read_documents(streams.read(MANIFESTS)))
    for missing in missing_references(manifests, made_by_others=options.made_by_others):
        yield Check(
            subject=f"reference.{missing.target}",
            verdict="failed",
            severity="warning",
            detail=f"{missing.source} names it in {missing.field}; it was missing when captured",
        )


@dataclass
class _Kind:
    """What was found of one kind."""

    label: str
    equal: int = 0
    left_out: int = 0
    masked: int = 0
    waiting: int = 0
    told: list[Check] = field(default_factory=list)
    untold: int = 0

    def tell(self, check: Check) -> None:
        """Keep a finding, or count it where there are too many."""
        if len(self.told) < TOLD_OBJECTS:
            self.told.append(check)
        else:
            self.untold += 1

    def checks(self) -> Iterator[Check]:
        """The findings, and what is well."""
        yield from self.told
        subject = f"objects.{self.label}"
        if self.untold:
            yield Check(
                subject=subject, verdict="failed", detail=f"{self.untold} more of this kind are not as they were"
            )
        if self.equal or not (self.told or self.masked or self.left_out):
            yield Check(subject=subject, verdict="passed", detail=f"{self.equal} are there and equal")
        if self.left_out:
            detail = f"{self.left_out} left out by a transform"
            yield Check(subject=f"{subject}.left_out", verdict="not checked", detail=detail)
        if self.masked:
            detail = f"values of {self.masked} Secrets: there is no identity that decrypts them"
            yield Check(subject=f"{subject}.values", verdict="not checked", detail=detail)
        if self.waiting:
            yield Check(
                subject=f"{subject}.held",
                verdict="failed",
                severity="warning",
                detail=f"{self.waiting} are held and wait for their release",
                remedy="let them run with `drkeeper release`",
            )


class Proof:
    """One comparison of a cluster with a point."""

    def __init__(self, options: Options, cluster: Cluster, record: SystemRecord) -> None:
        self._options = options
        self._cluster = cluster
        self._served = Served(cluster)
        self._scaled: set[Identity] | None = None
        self._references = ReferenceProof(cluster, self._served, options, record)

    def checks(self, streams: Streams) -> Iterator[Check]:
        """All checks, kind by kind; then what objects name."""
        documents = self._meant(read_documents(streams.read(MANIFESTS)))
        for (api_version, kind), group in groupby(documents, key=_kind_of):
            yield from self._checks_of_kind(api_version, kind, group)
        yield from self._references.checks()

    def _meant(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Those of the part; the others are only what may be named."""
        for document in documents:
            if within(document.manifest, self._options):
                yield document
            else:
                self._references.skip(document.manifest)

    def _checks_of_kind(self, api_version: str, kind: str, documents: Iterable[Document]) -> Iterator[Check]:
        served = self._served.find(api_version, kind)
        if served is None:
            yield self._not_served(api_version, kind, documents)
            return
        try:
            live = self._list(served)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            yield Check(subject=f"objects.{served.label}", verdict="not checked", detail=error.message)
            return
        found = _Kind(served.label)
        for document in documents:
            self._compare(document, served, live, found)
        yield from found.checks()

    def _not_served(self, api_version: str, kind: str, documents: Iterable[Document]) -> Check:
        names = []
        for document in documents:
            self._references.skip(document.manifest)
            names.append(document.path)
        more = f" and {len(names) - TOLD_NAMES} more" if len(names) > TOLD_NAMES else ""
        detail = f"the target does not serve {api_version} {kind}: {', '.join(names[:TOLD_NAMES])}{more}"
        return Check(subject=f"objects.{kind.lower()}.{api_version}", verdict="not checked", detail=detail)

    def _list(self, kind: ResourceKind) -> dict[Identity, bytes]:
        """All live objects of a kind; those of the policy's namespaces where we may not look everywhere."""
        try:
            return dict(self._items(kind, None))
        except ApiError as error:
            if error.status != FORBIDDEN or not kind.namespaced or self._options.namespaces is None:
                raise
        names = self._options.namespace_map
        places = [names.get(namespace, namespace) for namespace in self._options.namespaces]
        return {target: raw for place in places for target, raw in self._items(kind, place)}

    def _items(self, kind: ResourceKind, namespace: str | None) -> Iterator[tuple[Identity, bytes]]:
        """Live objects, each as small as can be."""
        for page in self._cluster.pages(kind.path(namespace)):
            for item in page.items:
                self._references.note_live(item)
                yield identity(item), orjson.dumps(item)

    def _compare(self, document: Document, kind: ResourceKind, live: dict[Identity, bytes], found: _Kind) -> None:
        try:
            expected, masked = self._expected(document, kind)
        except VerificationFailed as error:
            found.tell(Check(subject=f"objects.{document.path}", verdict="failed", detail=str(error)))
            return
        if expected is None:
            found.left_out += 1
            return
        found.masked += masked
        self._references.expect(expected)
        raw = live.get(identity(expected))
        if raw is None:
            found.tell(_missing(document.path))
            return
        actual: Manifest = orjson.loads(raw)
        self._references.compare_owners(expected, actual)
        found.waiting += hold.is_held(actual)
        # Sanitising also undoes a hold. The point's object has been through it, with what it then still told.
        pair = (comparable(expected, masked=masked), comparable(sanitise(actual), masked=masked))
        differences = list(differing_fields(*pair))
        if differences:
            found.tell(self._differs(document.path, identity(expected), differences))
        else:
            found.equal += 1

    def _expected(self, document: Document, kind: ResourceKind) -> tuple[Manifest | None, bool]:
        """What the object should be here, and whether its values cannot be compared."""
        try:
            return arriving(document.path, document.manifest, self._options, kind.plural), False
        except KeyMissing:
            bare = {name: value for name, value in document.manifest.items() if name != "sops"}
            return transformed(bare, self._options, kind.plural), True

    def _differs(self, path: str, target: Identity, differences: list[FieldDifference]) -> Check:
        lost = [each for each in differences if each.change != "added"]
        shown = ", ".join(f"{each.field} ({each.change})" for each in (lost or differences)[:TOLD_FIELDS])
        more = len(lost or differences) - TOLD_FIELDS
        detail = f"differs in {shown}" + (f" and {more} more fields" if more > 0 else "")
        severity: Severity = "error" if lost else "warning"
        if self._options.existing == "keep":
            severity, detail = "warning", f"{detail}; kept as it was, as the policy says"
        elif [each.field for each in lost] == [_REPLICAS] and self._is_scaled(target):
            severity, detail = "warning", f"{detail}; an autoscaler sets it"
        remedy = "fields that another manager owns are taken over with `conflicts: force`" if lost else ""
        return Check(subject=f"objects.{path}", verdict="failed", severity=severity, detail=detail, remedy=remedy)

    def _is_scaled(self, target: Identity) -> bool:
        """Whether an autoscaler, which runs again since the release, decides how many replicas there are."""
        if self._scaled is None:
            preferred = self._served.other_version("autoscaling", _AUTOSCALER)
            kind = self._served.find(preferred, _AUTOSCALER) if preferred else None
            pages = self._cluster.pages(kind.path()) if kind else ()
            self._scaled = {_scaled_by(each) for page in pages for each in page.items}
        return target in self._scaled


def _scaled_by(autoscaler: Manifest) -> Identity:
    named = autoscaler["spec"]["scaleTargetRef"]
    group = group_of(named.get("apiVersion", ""))
    return Identity(group, named["kind"], autoscaler["metadata"]["namespace"], named["name"])


def comparable(manifest: Manifest, *, masked: bool = False) -> Manifest:
    """What of a sanitised object must be equal; owner references are a matter of their own, for their UIDs are new."""
    without = {name: value for name, value in manifest["metadata"].items() if name != "ownerReferences"}
    declared = {**manifest, "metadata": without}
    for name in ("data", "stringData"):
        if masked and isinstance(declared.get(name), dict):
            declared[name] = dict.fromkeys(declared[name])
    return declared


def _missing(path: str) -> Check:
    return Check(
        subject=f"objects.{path}",
        verdict="failed",
        detail="is not there",
        remedy="the restore's log says why the API server did not take it; put that right and restore again",
    )


def _kind_of(document: Document) -> tuple[str, str]:
    return str(document.manifest.get("apiVersion", "")), str(document.manifest.get("kind", ""))
