"""Rules of sanitising for single kinds: what their controllers and the API server fill in, and would fill in again."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from drkeeper.systems._kubernetes.derived import made_for_account

Manifest = dict[str, Any]
Rule = Callable[[Manifest], None]

_JOB_LABELS = (
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
)
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_INJECTED = (
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
)


def addresses(manifest: Manifest) -> None:
    """A Service's cluster IPs are given by the next cluster; `None` (headless) is declared and stays."""
    spec = manifest["spec"]
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if spec.get("ipFamilyPolicy", "SingleStack") == "SingleStack" and not _declared(manifest, "f:ipFamilies"):
        spec.pop("ipFamilies", None)


def node_ports(manifest: Manifest) -> None:
    """Node ports are given anew, unless somebody asked for one: firewalls and load balancers know those.

    Who asked is told by managedFields: the API server gives a port after it has noted what the client sent.
    """
    spec = manifest["spec"]
    asked = set(_declared_node_ports(manifest))
    for port in spec.get("ports") or ():
        if "nodePort" in port and (port.get("port"), port.get("protocol", "TCP")) not in asked:
            del port["nodePort"]
    if "healthCheckNodePort" in spec and not _declared(manifest, "f:healthCheckNodePort"):
        del spec["healthCheckNodePort"]


def claimed_volume(manifest: Manifest) -> None:
    """The volume that a binder chose for a claim is chosen again; one that the claim asked for stays."""
    if "pv.kubernetes.io/bound-by-controller" in (manifest["metadata"].get("annotations") or {}):
        manifest["spec"].pop("volumeName", None)


def volumes_claim(manifest: Manifest) -> None:
    """A volume stays reserved for its claim by name; the claim's uid is another one after a restore."""
    claim = manifest["spec"].get("claimRef")
    if claim:
        claim.pop("uid", None)
        claim.pop("resourceVersion", None)


def made_secrets(manifest: Manifest) -> None:
    """A ServiceAccount's list of Secrets that were made for it; what somebody put into the list stays."""
    account = manifest["metadata"]["name"]
    for field in ("secrets", "imagePullSecrets"):
        listed = manifest.get(field)
        if listed is None:
            continue
        kept = [each for each in listed if not made_for_account(str(each.get("name", "")), account)]
        if kept:
            manifest[field] = kept
        else:
            del manifest[field]


def token_data(manifest: Manifest) -> None:
    """A token that was asked for by hand: the request stays, the next cluster signs a token of its own."""
    if manifest.get("type") == "kubernetes.io/service-account-token":
        manifest.pop("data", None)


def job_selector(manifest: Manifest) -> None:
    """A Job's selector and labels carry its uid; they are made anew unless it has a selector of its own."""
    spec = manifest["spec"]
    if spec.get("manualSelector"):
        return
    spec.pop("selector", None)
    for metadata in (manifest["metadata"], spec.get("template", {}).get("metadata") or {}):
        labels = metadata.get("labels")
        if labels:
            for label in _JOB_LABELS:
                labels.pop(label, None)
            if not labels:
                del metadata["labels"]


def templates(manifest: Manifest) -> None:
    """A template's `creationTimestamp: null`, which Go writes, and the status of its claims."""
    spec = manifest.get("spec") or manifest
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    for holder in (spec.get("template"), spec.get("jobTemplate"), inner.get("template")):
        metadata = (holder or {}).get("metadata")
        if metadata is not None and metadata.get("creationTimestamp", 0) is None:
            del metadata["creationTimestamp"]
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.pop("status", None)
        if claim["metadata"].get("creationTimestamp", 0) is None:
            del claim["metadata"]["creationTimestamp"]


def scheduled(manifest: Manifest) -> None:
    """A Pod's node, its priority as a number, and the volume with its token: given to each Pod by admission."""
    spec = manifest["spec"]
    for field in ("nodeName", "priority", "serviceAccount"):
        spec.pop(field, None)
    account = str(spec.get("serviceAccountName", "default"))

    def made(entry: dict[str, Any]) -> bool:
        name = str(entry.get("name", ""))
        return _TOKEN_VOLUME.fullmatch(name) is not None or made_for_account(name, account)

    _drop(spec, "volumes", made)
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            _drop(container, "volumeMounts", made)


def aggregated(manifest: Manifest) -> None:
    """The rules of a ClusterRole that gathers them from others; and `null` for none."""
    if manifest.get("aggregationRule") or manifest.get("rules", ()) is None:
        manifest.pop("rules", None)


def injected_authority(manifest: Manifest) -> None:
    """A caBundle that cert-manager or OpenShift puts in: the next cluster's certificates have another authority."""
    annotations = manifest["metadata"].get("annotations") or {}
    if not any(name in annotations for name in _INJECTED):
        return
    for webhook in manifest.get("webhooks") or ():
        webhook.get("clientConfig", {}).pop("caBundle", None)
    spec = manifest.get("spec") or {}
    spec.pop("caBundle", None)
    ((spec.get("conversion") or {}).get("webhook") or {}).get("clientConfig", {}).pop("caBundle", None)


def namespace_itself(manifest: Manifest) -> None:
    """The finalizer that every Namespace has in its spec, and the label with its own name."""
    manifest.pop("spec", None)
    labels = manifest["metadata"].get("labels")
    if labels:
        labels.pop("kubernetes.io/metadata.name", None)
        if not labels:
            del manifest["metadata"]["labels"]


@cache
def rules_for(group: str, kind: str) -> tuple[Rule, ...]:
    """The rules for objects of a kind."""
    return _RULES.get((group, kind), ())


def _drop(holder: dict[str, Any], field: str, unwanted: Callable[[dict[str, Any]], bool]) -> None:
    entries = holder.get(field)
    if entries:
        holder[field] = [each for each in entries if not unwanted(each)]
        if not holder[field]:
            del holder[field]


def _fields(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The part of `spec` that each manager has declared."""
    for entry in manifest["metadata"].get("managedFields") or ():
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        if spec:
            yield spec


def _declared(manifest: Manifest, field: str) -> bool:
    return any(field in spec for spec in _fields(manifest))


def _declared_node_ports(manifest: Manifest) -> Iterator[tuple[int, str]]:
    import orjson

    for spec in _fields(manifest):
        for key, fields in (spec.get("f:ports") or {}).items():
            if "f:nodePort" in fields and key.startswith("k:"):
                port = orjson.loads(key[2:])
                yield port.get("port"), port.get("protocol", "TCP")


_TEMPLATED = (templates,)
_RULES: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("", "Namespace"): (namespace_itself,),
    ("", "Pod"): (scheduled,),
    ("", "PodTemplate"): _TEMPLATED,
    ("", "ReplicationController"): _TEMPLATED,
    ("apps", "Deployment"): _TEMPLATED,
    ("apps", "DaemonSet"): _TEMPLATED,
    ("apps", "ReplicaSet"): _TEMPLATED,
    ("apps", "StatefulSet"): _TEMPLATED,
    ("batch", "CronJob"): _TEMPLATED,
    ("batch", "Job"): (job_selector, templates),
    ("", "Service"): (node_ports, addresses),
    ("", "ServiceAccount"): (made_secrets,),
    ("", "Secret"): (token_data,),
    ("", "PersistentVolume"): (volumes_claim,),
    ("", "PersistentVolumeClaim"): (claimed_volume,),
    ("rbac.authorization.k8s.io", "ClusterRole"): (aggregated,),
    ("rbac.authorization.k8s.io", "Role"): (aggregated,),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (injected_authority,),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (injected_authority,),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (injected_authority,),
    ("apiregistration.k8s.io", "APIService"): (injected_authority,),
}
