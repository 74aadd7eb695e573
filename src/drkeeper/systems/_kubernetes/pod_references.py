"""What Pods name: Secrets, ConfigMaps, claims, accounts, classes; wherever a Pod is described, custom resources too."""

from collections.abc import Iterator

from drkeeper.systems._kubernetes.documents import BUILT_IN_GROUPS
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity
from drkeeper.systems._kubernetes.reference import Reference, mapping, mappings, part

_TEMPLATES = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
# KServe's components are Pod specs whose container may stand under the framework's name.
_INFERENCE_PARTS = ("predictor", "transformer", "explainer")
# Volume types that name a Secret outside `secret:` itself, as `secretRef.name` or `nodePublishSecretRef.name`.
_SECRET_REFS = ("secretRef", "nodePublishSecretRef")
Found = Iterator[tuple[str, Identity, bool]]  # field, what it names, whether that is optional


def of(manifest: Manifest) -> Iterator[Reference]:
    """References of every Pod that an object describes; none where the object stands outside namespaces."""
    key = identity(manifest)
    if not key.namespace:
        return  # a cluster-wide template is filled in wherever it is used
    for field, spec in _pods(manifest, key):
        for at, target, optional in _of_pod(spec, key.namespace):
            if target.name and not _is_template(target.name):
                yield Reference(key, f"{field}.{at}", target, optional)


def _pods(manifest: Manifest, key: Identity) -> Iterator[tuple[str, Manifest]]:
    if key.group in BUILT_IN_GROUPS:
        if where := _TEMPLATES.get(key.kind):
            yield ".".join(where), mapping(part(manifest, where))
    elif key.kind == "InferenceService":
        for component in _INFERENCE_PARTS:
            yield f"spec.{component}", mapping(part(manifest, ("spec", component)))
    else:
        yield from _described("spec", manifest.get("spec"))


def _described(field: str, value: object) -> Iterator[tuple[str, Manifest]]:
    """Every mapping with a list of containers in it is taken for a Pod's."""
    if isinstance(value, dict):
        containers = value.get("containers")
        if isinstance(containers, list) and all(isinstance(each, dict) for each in containers):
            yield field, value
        else:
            for name, inner in value.items():
                yield from _described(f"{field}.{name}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _described(f"{field}[{index}]", inner)


def _of_pod(spec: Manifest, namespace: str) -> Found:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account and account != "default":  # each namespace gets that one by itself
        yield "serviceAccountName", Identity("", "ServiceAccount", namespace, account), False
    if spec.get("priorityClassName"):
        yield "priorityClassName", Identity("scheduling.k8s.io", "PriorityClass", "", spec["priorityClassName"]), False
    if spec.get("runtimeClassName"):
        yield "runtimeClassName", Identity("node.k8s.io", "RuntimeClass", "", spec["runtimeClassName"]), False
    for index, each in enumerate(mappings(spec.get("imagePullSecrets"))):
        yield f"imagePullSecrets[{index}]", Identity("", "Secret", namespace, each.get("name", "")), False
    for index, volume in enumerate(mappings(spec.get("volumes"))):
        for at, target, optional in _of_volume(volume, namespace):
            yield f"volumes[{index}].{at}", target, optional
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(mappings(spec.get(group))):
            for at, target, optional in _of_container(container, namespace):
                yield f"{group}[{index}].{at}", target, optional


def _of_volume(volume: Manifest, namespace: str) -> Found:
    claim, azure = mapping(volume.get("persistentVolumeClaim")), mapping(volume.get("azureFile"))
    yield "persistentVolumeClaim", Identity("", "PersistentVolumeClaim", namespace, claim.get("claimName", "")), False
    yield "azureFile", Identity("", "Secret", namespace, azure.get("secretName", "")), False
    yield from _named(volume, ("secret", "configMap"), namespace)
    for index, source in enumerate(mappings(mapping(volume.get("projected")).get("sources"))):
        for at, target, optional in _named(source, ("secret", "configMap"), namespace):
            yield f"projected.sources[{index}].{at}", target, optional
    for name, source in volume.items():
        for reference in _SECRET_REFS:
            secret = mapping(mapping(source).get(reference))
            yield f"{name}.{reference}", Identity("", "Secret", namespace, secret.get("name", "")), False


def _of_container(container: Manifest, namespace: str) -> Found:
    for index, each in enumerate(mappings(container.get("env"))):
        for at, target, optional in _named(each.get("valueFrom"), ("secretKeyRef", "configMapKeyRef"), namespace):
            yield f"env[{index}].valueFrom.{at}", target, optional
    for index, each in enumerate(mappings(container.get("envFrom"))):
        for at, target, optional in _named(each, ("secretRef", "configMapRef"), namespace):
            yield f"envFrom[{index}].{at}", target, optional


def _named(holder: object, fields: tuple[str, str], namespace: str) -> Found:
    """What the two fields name, the first one a Secret (volumes say `secretName`), the other a ConfigMap."""
    for field, kind in zip(fields, ("Secret", "ConfigMap"), strict=True):
        named = mapping(mapping(holder).get(field))
        name = named.get("secretName") or named.get("name") or ""
        yield field, Identity("", kind, namespace, name), bool(named.get("optional"))


def _is_template(name: str) -> bool:
    """Whether a name is filled in when a Pod is made (`{{workflow.name}}`, `$(params.secret)`)."""
    return "{{" in name or "$(" in name
