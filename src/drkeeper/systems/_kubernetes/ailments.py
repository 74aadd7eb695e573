"""Known failure modes of what runs in a cluster: containers that memory ended, services that a drain takes away.

Each is told with symptom, cause and remedy. Changes nothing; what may not be listed is "not checked", with the rule
that would permit it.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from drkeeper.facts import Check
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import rule_text

KILLED = 137
"""128 + SIGKILL."""
TOLD = 5
"""Names in one sentence; more are counted."""
WORKLOADS = ("deployments.apps", "statefulsets.apps")
BUDGETS = "poddisruptionbudgets.policy"

Manifest = dict[str, Any]


class _Unlisted(Exception):
    """Objects of a kind could not be listed; the message says what would permit it."""


def probe(cluster: Cluster, options: Options) -> Iterator[Check]:
    """What of it is the matter in the namespaces that are protected."""
    kinds = {kind.label: kind for kind in cluster.kinds()}
    try:
        yield from memory(_listed(cluster, options, kinds["pods"]))
    except _Unlisted as error:
        yield Check(subject="memory_limits", verdict="not checked", severity="info", detail=str(error))
    try:
        workloads = [each for label in WORKLOADS for each in _listed(cluster, options, kinds[label])]
        yield budgets(workloads, _listed(cluster, options, kinds[BUDGETS]) if BUDGETS in kinds else [])
    except _Unlisted as error:
        yield Check(subject="disruption_budgets", verdict="not checked", severity="info", detail=str(error))


def memory(pods: Iterable[Manifest]) -> Iterator[Check]:
    """Containers that were ended by SIGKILL: their limit is under their need. Pure."""
    found = list(_killed(pods))
    if not found:
        yield Check(subject="memory_limits", verdict="passed", detail="no container was ended with exit 137")
    for where, container, status, ended in found[:TOLD]:
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        starved = ended.get("reason") == "OOMKilled"
        why = (
            f"it needs more memory than its limit of {limit}"
            if starved and limit
            else "the node had no memory left, and the container has no limit of its own"
            if starved
            else "somebody killed it: memory of the node, a failing liveness probe, or an eviction"
        )
        yield Check(
            subject=f"memory_limits.{where}.{container['name']}",
            verdict="failed",
            severity="warning",
            detail=f"ended with exit 137 ({ended.get('reason') or 'Error'}), {status.get('restartCount', 0)} restarts: "
            f"{why}",
            remedy="raise resources.limits.memory of the container above what it takes at its peak (`kubectl top pod`)"
            if starved
            else "see why in `kubectl describe pod` and the node's events",
        )
    if len(found) > TOLD:
        more = f"{len(found) - TOLD} more containers were ended with exit 137"
        yield Check(subject="memory_limits.more", verdict="failed", severity="warning", detail=more, remedy="as above")


def budgets(workloads: Iterable[Manifest], present: Iterable[Manifest]) -> Check:
    """Workloads of several replicas that a drain of nodes may end all at once. Pure."""
    subject, known = "disruption_budgets", list(present)
    several = [each for each in workloads if int((each.get("spec") or {}).get("replicas") or 0) > 1]
    bare = [_named(each) for each in several if not any(_covers(budget, each) for budget in known)]
    if not bare:
        return Check(
            subject=subject, verdict="passed", detail=f"each of {len(several)} workloads with replicas has one"
        )
    more = f" and {len(bare) - TOLD} more" if len(bare) > TOLD else ""
    return Check(
        subject=subject,
        verdict="failed",
        severity="warning",
        detail=f"no PodDisruptionBudget selects {', '.join(bare[:TOLD])}{more}: a drain of nodes may end all their "
        "replicas at once, and the service with them",
        remedy="give each one a PodDisruptionBudget with maxUnavailable: 1",
    )


def _listed(cluster: Cluster, options: Options, kind: ResourceKind) -> list[Manifest]:
    found: list[Manifest] = []
    for namespace in options.namespaces if options.namespaces is not None else (None,):
        try:
            for page in cluster.pages(kind.path(namespace), params={"limit": str(options.page_size)}):
                found += [each for each in page.items if not _left_out(each, options)]
        except ApiError as error:
            permit = rule_text(kind, "list", namespace)
            raise _Unlisted(f"{kind.label} cannot be listed: {error.message}; permit it by {permit}") from error
    return found


def _left_out(manifest: Manifest, options: Options) -> bool:
    namespace = str(manifest["metadata"].get("namespace", ""))
    return any(fnmatchcase(namespace, pattern) for pattern in options.exclude_namespaces)


def _killed(pods: Iterable[Manifest]) -> Iterator[tuple[str, Manifest, Manifest, Manifest]]:
    for pod in pods:
        containers = {each["name"]: each for each in pod["spec"].get("containers", ())}
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = _ended(status)
            if ended is not None and ended.get("exitCode") == KILLED and status["name"] in containers:
                yield _place(pod), containers[status["name"]], status, ended


def _ended(status: Manifest) -> Manifest | None:
    """How it ended: just now, or the last time."""
    for state in ("state", "lastState"):
        terminated: Manifest | None = (status.get(state) or {}).get("terminated")
        if terminated is not None:
            return terminated
    return None


def _covers(budget: Manifest, workload: Manifest) -> bool:
    if budget["metadata"].get("namespace") != workload["metadata"].get("namespace"):
        return False
    selector = (budget.get("spec") or {}).get("selector")
    if selector is None:
        return False
    labels = ((workload["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    exact = (selector.get("matchLabels") or {}).items()
    return all(labels.get(key) == value for key, value in exact) and all(
        _expressed(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _expressed(expression: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:  # DoesNotExist
            return key not in labels


def _place(manifest: Manifest) -> str:
    return f"{manifest['metadata'].get('namespace', 'default')}/{manifest['metadata']['name']}"


def _named(manifest: Manifest) -> str:
    return f"{str(manifest['kind']).lower()} {_place(manifest)}"
