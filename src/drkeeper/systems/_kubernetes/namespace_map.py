"""A namespace that is called otherwise on the target: in every field where the API has a namespace.

Texts are left as they are (DNS names in ConfigMaps, arguments of containers): what such a text means, only a person
or a transform can know.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drkeeper.systems._kubernetes.identities import Manifest, group_of

Names = Mapping[str, str]
_OWN_NAME = "kubernetes.io/metadata.name"
_ACCOUNT = "system:serviceaccount:"


def mapped(manifest: Manifest, names: Names) -> Manifest:
    """The manifest with its namespaces as they are called on the target; the one given is left alone."""
    if not names:
        return manifest
    result = copy.deepcopy(manifest)
    metadata = result.get("metadata") or {}
    _rename(metadata, "namespace", names)
    change = _CHANGES.get((group_of(str(result.get("apiVersion", ""))), str(result.get("kind", ""))))
    if change:
        change(result, names)
    return result


def _rename(holder: Any, key: str, names: Names) -> None:
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        holder[key] = names.get(holder[key], holder[key])


def _namespace(manifest: Manifest, names: Names) -> None:
    _rename(manifest["metadata"], "name", names)
    _rename(manifest["metadata"].get("labels"), _OWN_NAME, names)


def _binding(manifest: Manifest, names: Names) -> None:
    for subject in manifest.get("subjects") or ():
        _rename(subject, "namespace", names)
        name = str(subject.get("name", ""))
        if subject.get("kind") == "User" and name.startswith(_ACCOUNT):
            place, colon, account = name.removeprefix(_ACCOUNT).partition(":")
            subject["name"] = f"{_ACCOUNT}{names.get(place, place)}{colon}{account}"
        elif subject.get("kind") == "Group" and name.startswith("system:serviceaccounts:"):
            place = name.removeprefix("system:serviceaccounts:")
            subject["name"] = f"system:serviceaccounts:{names.get(place, place)}"


def _webhooks(manifest: Manifest, names: Names) -> None:
    for webhook in manifest.get("webhooks") or ():
        _rename((webhook.get("clientConfig") or {}).get("service"), "namespace", names)
        _selector(webhook.get("namespaceSelector"), names)


def _selector(selector: Any, names: Names) -> None:
    """Selectors that name namespaces by the label that the API server sets itself."""
    if not isinstance(selector, dict):
        return
    _rename(selector.get("matchLabels"), _OWN_NAME, names)
    for expression in selector.get("matchExpressions") or ():
        if expression.get("key") == _OWN_NAME:
            expression["values"] = [names.get(value, value) for value in expression.get("values") or ()]


def _network_policy(manifest: Manifest, names: Names) -> None:
    for peer in _peers(manifest.get("spec") or {}):
        _selector(peer.get("namespaceSelector"), names)


def _peers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for direction, word in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            yield from rule.get(word) or ()


def _api_service(manifest: Manifest, names: Names) -> None:
    _rename((manifest.get("spec") or {}).get("service"), "namespace", names)


def _volume(manifest: Manifest, names: Names) -> None:
    spec = manifest.get("spec") or {}
    _rename(spec.get("claimRef"), "namespace", names)
    for source in spec.values():
        if isinstance(source, dict):
            _rename(source, "secretNamespace", names)
            for key, value in source.items():
                if key.endswith("SecretRef") or key == "secretRef":
                    _rename(value, "namespace", names)


def _storage_class(manifest: Manifest, names: Names) -> None:
    parameters = manifest.get("parameters") or {}
    for key in parameters:
        if key.endswith("-secret-namespace"):
            _rename(parameters, key, names)


def _definition(manifest: Manifest, names: Names) -> None:
    webhook = ((manifest.get("spec") or {}).get("conversion") or {}).get("webhook") or {}
    _rename((webhook.get("clientConfig") or {}).get("service"), "namespace", names)


_CHANGES: dict[tuple[str, str], Callable[[Manifest, Names], None]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolume"): _volume,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
