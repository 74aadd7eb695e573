"""What would stop a restore of a recovery point here; asked, and nothing changed."""

import tempfile
from collections.abc import Iterator

from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check, Severity
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._kubernetes import documents, spool
from drkeeper.systems._kubernetes.answers import ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import GRANTING, RBAC, RESTORE_VERBS, Rule, written

MANIFESTS = "manifests.yaml"
_COUNT = "count."
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def preflight(options: Options, record: SystemRecord) -> Iterator[Check]:
    """What would stop a restore of this record here."""
    yield _streams(record)
    yield _identity(options, record)
    yield _scratch(options, record)
    try:
        with Cluster.open(options) as cluster:
            version = cluster.version()
            yield said("version", good=True, detail=f"{version}; captured from {_source_version(record)}")
            yield from _kinds(cluster, options, record)
            yield from _permissions(cluster, options, record)
            yield from _terminating(cluster, options)
    except ApiError as error:
        known = translated(error)
        yield said("server", good=False, detail=str(known), remedy=known.hint)
    except DrkeeperError as error:
        yield said("server", good=False, detail=str(error), remedy=error.hint)


def said(subject: str, *, good: bool, detail: str = "", remedy: str = "", severity: Severity = "error") -> Check:
    """A check that could be made; its remedy only where it is needed."""
    if good:
        return Check(subject=subject, verdict="passed", detail=detail)
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy, severity=severity)


def _source_version(record: SystemRecord) -> str:
    return str(record.facts.info.get("server_version") or record.facts.info.get("version") or "an unknown version")


def _streams(record: SystemRecord) -> Check:
    there = MANIFESTS in {stream.name for stream in record.streams}
    detail = f"{sum(_counts(record).values())} objects" if there else "the record holds no manifests"
    return said("manifests", good=there, detail=detail, remedy="choose another recovery point")


def _identity(options: Options, record: SystemRecord) -> Check:
    count = _counts(record).get("secrets", 0)
    good = not count or (options.secrets is not None and options.secrets.identity is not None)
    detail = f"{count} Secrets are encrypted" if count else "no Secrets in the record"
    return said(
        "secrets.identity", good=good, detail=detail, remedy="set secrets.identity to ${file:PATH} of the age identity"
    )


def _scratch(options: Options, record: SystemRecord) -> Check:
    folder = spool.scratch_folder(options)
    size_bytes = sum(stream.ref.size_bytes for stream in record.streams if stream.name == MANIFESTS)
    remedy = "name another folder with the system's `scratch`"
    try:
        lacking = spool.missing_bytes(folder, size_bytes)
        if lacking:
            return said("scratch", good=False, detail=f"{folder} lacks {lacking} bytes", remedy=remedy)
        there = folder
        while not there.exists():
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            return said("scratch", good=True, detail=str(folder))
    except OSError as error:
        return said("scratch", good=False, detail=f"{folder}: {error.strerror}", remedy=remedy)


def _counts(record: SystemRecord) -> dict[str, int]:
    """How many objects of each kind (`deployments.apps`) the record holds."""
    bounds = record.facts.bounds.items()
    return {fact.removeprefix(_COUNT): low for fact, (low, _) in bounds if fact.startswith(_COUNT) and low}


def _kinds(cluster: Cluster, options: Options, record: SystemRecord) -> Iterator[Check]:
    """Whether each kind is served; a kind of nobody's group may come with a CRD of the record."""
    served, counts = {kind.label for kind in cluster.kinds()}, _counts(record)
    severity: Severity = "error" if options.missing_kinds == "refuse" else "warning"
    for label, count in counts.items():
        if label in served or options.only:  # of a part, `part.checks` knows which kinds are in it
            continue
        group = label.partition(".")[2]
        if group not in documents.BUILT_IN_GROUPS and _DEFINITIONS in counts:
            detail = "not served now; the CRDs of the recovery point are looked at when it is loaded"
            yield Check(subject=f"kind.{label}", verdict="not checked", detail=detail)
            continue
        detail = f"not served here; {count} objects of the recovery point need it"
        remedy = "install what serves it, or `missing_kinds: skip`"
        yield said(f"kind.{label}", good=False, detail=detail, remedy=remedy, severity=severity)
    for group, words in sorted(cluster.broken_groups.items()):
        detail = f"its API does not answer: {words}"
        yield said(f"group.{group}", good=False, detail=detail, remedy="look at its APIService", severity="warning")


def _permissions(cluster: Cluster, options: Options, record: SystemRecord) -> Iterator[Check]:
    """One question where everything is allowed; else one for each kind and verb."""
    if _allowed(cluster, "*", "*", "*"):
        yield said("permissions", good=True, detail="everything is allowed")
        return
    counts = _counts(record)
    missing = 0
    for kind in cluster.kinds():
        if kind.label not in counts or (options.only and not kind.namespaced and kind.label != "namespaces"):
            continue
        for rule in _lacking(cluster, kind, options):
            missing += 1
            detail = f"{', '.join(rule.verbs)} is not allowed"
            yield said(f"permission.{kind.label}", good=False, detail=detail, remedy=f"add {written(rule)}")
    if not missing:
        yield said("permissions", good=True, detail=f"to restore objects of {len(counts)} kinds")


def _lacking(cluster: Cluster, kind: ResourceKind, options: Options) -> Iterator[Rule]:
    """The rules that are missing for a kind; in the policy's namespaces where it names any."""
    verbs = (*RESTORE_VERBS, *(GRANTING.get(kind.plural, ()) if kind.group == RBAC else ()))
    places: tuple[str | None, ...] = (None,)
    if kind.namespaced and options.namespaces is not None:
        places = tuple(options.namespace_map.get(name, name) for name in options.namespaces)
    for place in places:
        refused = tuple(verb for verb in verbs if not _allowed(cluster, kind.group, kind.plural, verb, place))
        if refused:
            yield Rule(place, kind.group, (kind.plural,), refused)


def _allowed(cluster: Cluster, group: str, resource: str, verb: str, namespace: str | None = None) -> bool:
    attributes = {"group": group, "resource": resource, "verb": verb, **({"namespace": namespace} if namespace else {})}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool((cluster.create(_REVIEWS, body).get("status") or {}).get("allowed"))


def _terminating(cluster: Cluster, options: Options) -> Iterator[Check]:
    """Nothing can be created in a namespace that is going away; of a part nothing comes back before it is gone."""
    namespace = next((kind for kind in cluster.kinds() if (kind.group, kind.kind) == ("", "Namespace")), None)
    if namespace is None:
        return
    try:
        pages = list(cluster.pages(namespace.path()))
    except ApiError as error:
        yield Check(subject="namespaces", verdict="not checked", detail=error.message)
        return
    going = [
        each["metadata"]["name"] for page in pages for each in page.items if "deletionTimestamp" in each["metadata"]
    ]
    severity: Severity = "error" if options.only else "warning"
    if options.only:
        meant = {options.namespace_map.get(name, name) for name in options.only}
        going = [name for name in going if name in meant]
    remedy = "wait until they are gone, or see what their finalizers wait for"
    detail = f"being deleted: {', '.join(going)}" if going else "none is being deleted"
    yield said("namespaces", good=not going, detail=detail, remedy=remedy, severity=severity)
