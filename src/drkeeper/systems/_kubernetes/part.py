"""Single namespaces of a cluster: which objects of a point are of them, which are gone, what keeps them away.

What lies in a point is read from the paths beside its UIDs, a small stream, and not from the manifests.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from drkeeper.errors import UsageInvalid, VerificationFailed
from drkeeper.facts import Check
from drkeeper.systems import Streams
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.answers import FORBIDDEN, NOT_FOUND, ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.documents import BUILT_IN_GROUPS
from drkeeper.systems._kubernetes.id_map import UIDS, uid_lines
from drkeeper.systems._kubernetes.identities import identity
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.outcome import named
from drkeeper.systems._kubernetes.selection import Selection

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAMESPACES = "/api/v1/namespaces"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
Manifest = dict[str, Any]


def part_of(options: Options, only: Sequence[str]) -> Options:
    """The options of that part of a cluster.

    Args:
        options: Of the whole, or of a part of it.
        only: Names of namespaces as they are in the point, with or without a slash at the end.

    Raises:
        UsageInvalid: One of them is no name of a namespace, or the policy does not protect it.
    """
    names = tuple(dict.fromkeys(name.removesuffix("/") for name in only))
    wrong = [name for name in names if not _LABEL.fullmatch(name)]
    if wrong:
        raise UsageInvalid(f"of a cluster, single namespaces can be restored, such as team-a/; not {', '.join(wrong)}")
    protects = Selection(options).protects
    strange = [name for name in names if not protects(name)]
    if strange:
        raise UsageInvalid(f"the policy does not protect namespace {', '.join(strange)}")
    return options.part(names)


def within(manifest: Manifest, options: Options) -> bool:
    """Whether an object, as it is in the point, is of the part: it lies in one of the namespaces, or is one."""
    if not options.only:
        return True
    key = identity(manifest)
    return (key.name if (key.group, key.kind) == ("", "Namespace") else key.namespace) in options.only


def lost(options: Options, streams: Streams) -> tuple[str, ...]:
    """Namespaces of the point that are not live, or are being deleted."""
    names = [name for name in sorted(contents(streams)) if Selection(options).protects(name)]
    try:
        with Cluster.open(options) as cluster:
            live = _live(cluster, [_here(options, name) for name in names])
    except ApiError as error:
        raise translated(error) from error
    return tuple(name for name in names if live.get(_here(options, name), True))


def checks(options: Options, streams: Streams) -> Iterator[Check]:
    """What would stop a restore of the part: nothing of it in the point, definitions that are gone with it."""
    if not options.only:
        return
    found = contents(streams)
    for name in (name for name in options.only if name not in found):
        there = ", ".join(sorted(found)[:20]) or "none"
        yield Check(
            subject=f"namespace.{name}",
            verdict="failed",
            detail="the recovery point holds nothing of it",
            remedy=f"choose another point, or one of its namespaces: {there}",
        )
    try:
        with Cluster.open(options) as cluster:
            yield definitions(cluster.kinds(), {kind for name in options.only for kind in found.get(name, ())})
            yield from _webhooks(cluster, options)
    except ApiError as error:
        yield Check(subject="part", verdict="not checked", detail=error.message)


def definitions(served: Sequence[ResourceKind], wanted: set[str]) -> Check:
    """Definitions lie outside of namespaces; where one is missing, its objects cannot come back."""
    missing = sorted(wanted - {_folder(kind) for kind in served})
    if not missing:
        detail = f"{len(wanted)} kinds are served; nothing outside of the namespaces is touched"
        return Check(subject="definitions", verdict="passed", detail=detail)
    return Check(
        subject="definitions",
        verdict="failed",
        detail=f"not served here: {', '.join(missing)}; what defines them lies outside of the namespaces, and is not "
        "restored with them",
        remedy="bring back the whole cluster with `drkeeper restore --system {system} --overwrite`, which sets other "
        "namespaces to the point as well; or install what defines these kinds",
    )


def _webhooks(cluster: Cluster, options: Options) -> Iterator[Check]:
    """Webhooks that are live, and whose Service is in the part: nobody answers for them until it runs again."""
    places, found = {_here(options, name) for name in options.only}, {}
    for kind in cluster.kinds():
        if kind.kind not in _WEBHOOKS:
            continue
        try:
            items = [item for page in cluster.pages(kind.path()) for item in page.items]
        except ApiError as error:
            yield Check(subject="webhooks", verdict="not checked", severity="info", detail=error.message)
            continue
        for item in items:
            strict = {**item, "webhooks": [one for one in item.get("webhooks") or () if _strict(one)]}
            if places & {namespace for namespace, _ in hold.backing_services(strict)}:
                found[identity(item)] = "its Service is in the part"
    if found:
        yield Check(
            subject="webhooks",
            verdict="failed",
            severity="warning",
            detail=f"{named(found)}: they refuse objects as long as nobody answers for them",
            remedy="set their failurePolicy to Ignore until the namespace runs again",
        )


def _strict(webhook: Manifest) -> bool:
    return bool(webhook.get("failurePolicy", "Fail") == "Fail")


def _live(cluster: Cluster, names: Sequence[str]) -> dict[str, bool]:
    """Those that are there: name -> whether it is going away. Asked one by one where all cannot be listed."""
    try:
        items = [item for page in cluster.pages(_NAMESPACES) for item in page.items]
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        items = [item for name in names if (item := _one(cluster, name)) is not None]
    return {item["metadata"]["name"]: "deletionTimestamp" in item["metadata"] for item in items}


def _one(cluster: Cluster, name: str) -> Manifest | None:
    try:
        return cluster.get(f"{_NAMESPACES}/{name}")
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None


def live_namespaces(cluster: Cluster, options: Options) -> Iterator[Manifest]:
    """The namespaces of the part that are there, as far as we may look."""
    for name in options.only:
        try:
            found = _one(cluster, _here(options, name))
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            continue
        if found is not None:
            yield found


def _here(options: Options, name: str) -> str:
    return options.namespace_map.get(name, name)


def contents(streams: Streams) -> dict[str, set[str]]:
    """Namespaces of the point, each with the kinds that lie in it, as folders name them."""
    if UIDS not in streams.names():
        raise VerificationFailed(f"the record holds no {UIDS}, so nobody knows what is in which namespace")
    found: dict[str, set[str]] = {}
    for line in uid_lines(streams):
        parts = line.partition("\t")[2].split("/")
        if parts[:2] == ["cluster", "namespace"]:
            found.setdefault(parts[2].removesuffix(".yaml"), set())
        elif parts[0] == "namespaces":
            found.setdefault(parts[1], set()).add(parts[2])
    return found


def _folder(kind: ResourceKind) -> str:
    return kind.kind.lower() if kind.group in BUILT_IN_GROUPS else f"{kind.kind.lower()}.{kind.group}"
