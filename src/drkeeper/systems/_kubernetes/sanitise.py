"""What of an object is not declared but made by the cluster, and is dropped; one small rule each, with its reason.

The rules change the manifest in place: a capture sanitises what it has just decoded, ten thousand objects a second.
Rules for one kind lie in `sanitise_kinds.py`; here are those for every object.
"""

from functools import cache
from typing import Any

from drkeeper.systems._kubernetes import sanitise_kinds
from drkeeper.systems._kubernetes.hold import HELD, release_patch
from drkeeper.systems._kubernetes.identities import group_of

Manifest = dict[str, Any]

# Book-keeping of the API server: another server gives values of its own.
_SERVERS_OWN = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "selfLink",
    "generateName",  # the name that came of it is what others refer to
    "deletionGracePeriodSeconds",
)
_ANNOTATIONS = frozenset(
    {
        # A copy of the whole object, as kubectl sent it: what was changed later is not in it, and it may hold secrets.
        "kubectl.kubernetes.io/last-applied-configuration",
        # Written by controllers, for themselves.
        "deprecated.daemonset.template.generation",
        "control-plane.alpha.kubernetes.io/leader",
        "endpoints.kubernetes.io/last-change-trigger-time",
        # Status of a HorizontalPodAutoscaler, where its version has no better place for it.
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
        # How a claim found its volume; the next binder writes them anew.
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "pv.kubernetes.io/migrated-to",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
        # Of a token Secret: the account that it belongs to has another uid in another cluster.
        "kubernetes.io/service-account.uid",
        "cni.projectcalico.org/podIP",
        "cni.projectcalico.org/podIPs",
        "cni.projectcalico.org/containerID",
        "kubernetes.io/config.seen",
    }
)
# Revision numbers of a Deployment's history; our own marks (a held workload is captured as it was before).
_ANNOTATION_PREFIXES = ("deployment.kubernetes.io/", "drkeeper.io/")
# Put on every such object again by the control plane itself. Others are declared by people or kept by operators.
_FINALIZERS = frozenset(
    {
        "kubernetes.io/pvc-protection",
        "kubernetes.io/pv-protection",
        "service.kubernetes.io/load-balancer-cleanup",
        "customresourcecleanup.apiextensions.k8s.io",
        "external-provisioner.volume.kubernetes.io/finalizer",
        "batch.kubernetes.io/job-tracking",
        "foregroundDeletion",
        "orphan",
    }
)


def sanitise(manifest: Manifest) -> Manifest:
    """The manifest with what was declared only.

    What is sanitised, restored and sanitised again is the same. The argument is changed and given back.

    Args:
        manifest: An object as the API server gave it, managedFields included: they tell which node ports were declared.
    """
    without_hold(manifest)
    for rule in sanitise_kinds.rules_for(_group(manifest["apiVersion"]), manifest["kind"]):
        rule(manifest)  # these may look at managedFields, which go next
    without_servers_own(manifest)
    without_annotations(manifest)
    without_finalizers(manifest)
    without_owners_uid(manifest)
    return manifest


def without_servers_own(manifest: Manifest) -> None:
    """Status is observed, not declared; the server's book-keeping means nothing elsewhere."""
    manifest.pop("status", None)
    metadata = manifest["metadata"]
    for field in _SERVERS_OWN:
        if field in metadata:
            del metadata[field]


def without_annotations(manifest: Manifest) -> None:
    """Annotations that the cluster writes, or that copy the whole object."""
    annotations = manifest["metadata"].get("annotations")
    if annotations is None:
        return
    for name in [each for each in annotations if each in _ANNOTATIONS or each.startswith(_ANNOTATION_PREFIXES)]:
        del annotations[name]
    if not annotations:
        del manifest["metadata"]["annotations"]


def without_finalizers(manifest: Manifest) -> None:
    """Finalizers that the control plane puts on by itself. A Namespace's own lie in its spec."""
    finalizers = manifest["metadata"].get("finalizers")
    if finalizers is None:
        return
    kept = [each for each in finalizers if each not in _FINALIZERS and not each.startswith("external-attacher/")]
    if kept:
        manifest["metadata"]["finalizers"] = kept
    else:
        del manifest["metadata"]["finalizers"]


def without_owners_uid(manifest: Manifest) -> None:
    """The owner's name stays; its uid is another one after a restore, which fills it in."""
    for owner in manifest["metadata"].get("ownerReferences") or ():
        owner.pop("uid", None)


def without_hold(manifest: Manifest) -> None:
    """A workload that a restore still holds at zero is captured as it was before, and as it will be again."""
    if HELD not in (manifest["metadata"].get("annotations") or {}):
        return
    try:
        patch = release_patch(manifest)
    except (KeyError, ValueError):  # somebody wrote into the annotation: then the object is what it is
        return
    merge(manifest, patch)


def merge(target: Manifest, patch: Manifest) -> None:
    """Apply a merge patch (RFC 7396)."""
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            merge(target[name], value)
        else:
            target[name] = value


@cache
def _group(api_version: str) -> str:
    return group_of(api_version)
