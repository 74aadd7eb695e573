"""What is not captured because something else makes it again, or must not come back; each with its reason.

Whole kinds are never asked for. Single objects are told by named rules, and counted under these names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from drkeeper.systems._kubernetes import born

Manifest = dict[str, Any]

_KINDS = {
    ("", "Event"): "what happened, not what is declared; gone by itself after an hour",
    ("events.k8s.io", "Event"): "what happened, not what is declared; gone by itself after an hour",
    ("", "Endpoints"): "made from Services and Pods",
    ("discovery.k8s.io", "EndpointSlice"): "made from Services and Pods",
    ("coordination.k8s.io", "Lease"): "who leads now; a restored lease would lock leaders out",
    ("coordination.k8s.io", "LeaseCandidate"): "who leads now",
    ("apps", "ControllerRevision"): "history of StatefulSets and DaemonSets, made by their controllers",
    ("", "Node"): "registered by kubelets",
    ("", "ComponentStatus"): "computed when asked",
    ("storage.k8s.io", "CSINode"): "registered by kubelets",
    ("storage.k8s.io", "CSIStorageCapacity"): "measured by CSI drivers",
    ("storage.k8s.io", "VolumeAttachment"): "which volume hangs on which node now",
    ("certificates.k8s.io", "CertificateSigningRequest"): "a request of one moment; its answer lies elsewhere",
    ("networking.k8s.io", "IPAddress"): "made from Services' addresses",
    ("resource.k8s.io", "ResourceSlice"): "published by drivers",
    ("argoproj.io", "WorkflowTaskSet"): "the work at hand of a running Workflow",
    ("argoproj.io", "WorkflowTaskResult"): "what the steps of a Workflow gave back",
}
_GROUPS = {
    "metrics.k8s.io": "measured",
    "custom.metrics.k8s.io": "measured",
    "external.metrics.k8s.io": "measured",
    "internal.apiserver.k8s.io": "the API server's own book-keeping",
}
# Made again by whoever controls the owner. Not so where the object is a state of its own: a Trial of an Experiment,
# a StatefulSet of a Notebook.
_MADE_BY_OWNER = frozenset(
    {
        ("", "Pod"),
        ("apps", "ReplicaSet"),
        ("", "ReplicationController"),
        ("batch", "Job"),
        ("cert-manager.io", "CertificateRequest"),
        ("acme.cert-manager.io", "Order"),
        ("acme.cert-manager.io", "Challenge"),
    }
)
_INTERNAL_GROUPS = ".internal.knative.dev"
_ENDED = frozenset({"Succeeded", "Failed", "Error"})
_LEADER = "control-plane.alpha.kubernetes.io/leader"


@dataclass(frozen=True)
class Rule:
    """A reason to leave an object out.

    Attributes:
        name: Under which such objects are counted.
        reason: For people.
        applies: Whether an object, as the API server gave it, is meant.
    """

    name: str
    reason: str
    applies: Callable[[Manifest], bool]


def kind_reason(group: str, kind: str) -> str:
    """Why no object of a kind is captured; "" where they are."""
    return _KINDS.get((group, kind)) or group_reason(group)


def group_reason(group: str) -> str:
    """Why nothing of a whole group is captured; "" where it is."""
    return _GROUPS.get(group, "")


@cache
def rules_for(group: str, kind: str) -> tuple[Rule, ...]:
    """The rules that an object of a kind is put to."""
    rules = [_GOING]
    if (group, kind) in _MADE_BY_OWNER or group.endswith(_INTERNAL_GROUPS):
        rules.append(_OWNED)
    rules.extend(_BY_KIND.get((group, kind), ()))
    if (group, kind) in born.KINDS:
        rules.append(_BORN)
    return tuple(rules)


def _is_going(manifest: Manifest) -> bool:
    return "deletionTimestamp" in manifest["metadata"]


def _is_owned(manifest: Manifest) -> bool:
    return any(owner.get("controller") for owner in manifest["metadata"].get("ownerReferences") or ())


def _is_ended_pod(manifest: Manifest) -> bool:
    return (manifest.get("status") or {}).get("phase") in _ENDED


def _is_ended_job(manifest: Manifest) -> bool:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in ("Complete", "Failed") and each.get("status") == "True" for each in conditions)


def _is_ended_workflow(manifest: Manifest) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return labels.get("workflows.argoproj.io/completed") == "true" or _is_ended_pod(manifest)


def _is_made_token(manifest: Manifest) -> bool:
    """A token Secret that nobody asked for: `<account>-token-<5>`; one under another name was declared by somebody."""
    if manifest.get("type") != "kubernetes.io/service-account-token":
        return manifest.get("type") == "bootstrap.kubernetes.io/token"
    metadata = manifest["metadata"]
    account = (metadata.get("annotations") or {}).get("kubernetes.io/service-account.name", "")
    return made_for_account(metadata["name"], account)


def made_for_account(name: str, account: str) -> bool:
    """Whether a Secret's name is one that a controller gives to an account's token or registry credentials."""
    head, _, tail = name.rpartition("-")
    return len(tail) == 5 and head in (f"{account}-token", f"{account}-dockercfg")  # noqa: PLR2004 - its suffix


def _is_provisioned(manifest: Manifest) -> bool:
    """Deleted with its claim, so it is never there without one; one that is retained holds data and is kept."""
    dynamic = "pv.kubernetes.io/provisioned-by" in (manifest["metadata"].get("annotations") or {})
    return dynamic and manifest["spec"].get("persistentVolumeReclaimPolicy", "Delete") == "Delete"


def _is_registered(manifest: Manifest) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return "kube-aggregator.kubernetes.io/automanaged" in labels or not manifest["spec"].get("service")


def _is_published(manifest: Manifest) -> bool:
    return manifest["metadata"]["name"] in ("kube-root-ca.crt", "openshift-service-ca.crt")


def _is_lock(manifest: Manifest) -> bool:
    annotated = _LEADER in (manifest["metadata"].get("annotations") or {})
    return annotated and not manifest.get("data") and not manifest.get("binaryData")


def _is_status_report(manifest: Manifest) -> bool:
    return "cluster-autoscaler.kubernetes.io/last-updated" in (manifest["metadata"].get("annotations") or {})


GOING = "being-deleted"
_GOING = Rule(GOING, "it is being deleted", _is_going)
_OWNED = Rule("made-by-its-controller", "the controller that owns it makes it again", _is_owned)
_BORN = Rule("born-with-the-cluster", "every cluster has it from its first minute", born.is_born)
_BY_KIND: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("", "Pod"): (Rule("ended-pod", "it would run again", _is_ended_pod),),
    ("batch", "Job"): (Rule("ended-job", "it would run again", _is_ended_job),),
    ("argoproj.io", "Workflow"): (
        Rule("ended-workflow", "without its status it would be reported anew", _is_ended_workflow),
    ),
    ("", "Secret"): (Rule("account-token", "each cluster makes tokens of its own", _is_made_token),),
    ("", "PersistentVolume"): (
        Rule("provisioned-volume", "its storage class makes one for the claim, as it made this one", _is_provisioned),
    ),
    ("apiregistration.k8s.io", "APIService"): (
        Rule("registered-api", "the API server registers its own groups, and those of CRDs", _is_registered),
    ),
    ("", "ConfigMap"): (
        Rule("published-authority", "each cluster publishes its own certificate authority", _is_published),
        Rule("leader-lock", "who leads now; it changes every few seconds", _is_lock),
        Rule("status-report", "the autoscaler's report; it changes all the time", _is_status_report),
    ),
}
