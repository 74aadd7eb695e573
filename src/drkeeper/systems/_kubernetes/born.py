"""Objects that every cluster has from its first minute: made by the API server, by the controllers, by kubeadm.

One of them that a person has changed in a way that shows (labels, annotations, pull secrets, auto-update off) is
captured like any other.
"""

from collections.abc import Callable
from typing import Any

Manifest = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_RBAC_KINDS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_FLOW_KINDS = ("FlowSchema", "PriorityLevelConfiguration")
KINDS = frozenset(
    {
        ("", "Namespace"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("", "ConfigMap"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("networking.k8s.io", "ServiceCIDR"),
        *((_RBAC, kind) for kind in _RBAC_KINDS),
        *((_FLOW, kind) for kind in _FLOW_KINDS),
    }
)
NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_OWN_LABELS = frozenset({"kubernetes.io/metadata.name"})
_CONFIG_MAPS = frozenset(
    {
        ("kube-system", "extension-apiserver-authentication"),
        ("kube-system", "kube-apiserver-legacy-service-account-token-tracking"),
        ("kube-system", "kubeadm-config"),
        ("kube-system", "kubelet-config"),
        ("kube-public", "cluster-info"),
    }
)
# Of kube-controller-manager with --use-service-account-credentials, which makes one for each controller. From the
# roles `system:controller:*` of plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go.
_ACCOUNTS = frozenset(
    {
        "attachdetach-controller",
        "bootstrap-signer",
        "certificate-controller",
        "clusterrole-aggregation-controller",
        "cronjob-controller",
        "daemon-set-controller",
        "deployment-controller",
        "device-taint-eviction-controller",
        "disruption-controller",
        "endpoint-controller",
        "endpointslice-controller",
        "endpointslicemirroring-controller",
        "ephemeral-volume-controller",
        "expand-controller",
        "generic-garbage-collector",
        "horizontal-pod-autoscaler",
        "job-controller",
        "legacy-service-account-token-cleaner",
        "namespace-controller",
        "node-controller",
        "persistent-volume-binder",
        "pod-garbage-collector",
        "pv-protection-controller",
        "pvc-protection-controller",
        "replicaset-controller",
        "replication-controller",
        "resource-claim-controller",
        "resourcequota-controller",
        "root-ca-cert-publisher",
        "route-controller",
        "selinux-warning-controller",
        "service-account-controller",
        "service-cidrs-controller",
        "service-controller",
        "statefulset-controller",
        "storage-version-migrator-controller",
        "taint-eviction-controller",
        "token-cleaner",
        "ttl-after-finished-controller",
        "ttl-controller",
        "validatingadmissionpolicy-status-controller",
        "volumeattributesclass-protection-controller",
    }
)
# kubernetes/apis/flowcontrol/bootstrap; later versions mark theirs with the annotation below.
_FLOWS = frozenset(
    {
        "catch-all",
        "endpoint-controller",
        "exempt",
        "global-default",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-system-service-accounts",
        "leader-election",
        "node-high",
        "probes",
        "service-accounts",
        "system",
        "system-leader-election",
        "system-node-high",
        "system-nodes",
        "workload-high",
        "workload-leader-election",
        "workload-low",
    }
)
_FLOW_UPDATE = "apf.kubernetes.io/autoupdate-spec"
_RBAC_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def is_born(manifest: Manifest) -> bool:
    """Whether a cluster has this object by itself; for kinds in `KINDS`."""
    metadata = manifest["metadata"]
    return _TESTS[manifest["kind"]](manifest, metadata["name"], metadata.get("namespace", ""))


def _role(manifest: Manifest, name: str, _: str) -> bool:
    mine = _annotations(manifest).get(_RBAC_UPDATE) == "false"
    return name.startswith("kubeadm:") or ("kubernetes.io/bootstrapping" in _labels(manifest) and not mine)


def _flow(manifest: Manifest, name: str, _: str) -> bool:
    update = _annotations(manifest).get(_FLOW_UPDATE)
    return update == "true" or (update is None and name in _FLOWS)


def _account(manifest: Manifest, name: str, namespace: str) -> bool:
    changed = manifest.keys() & {"automountServiceAccountToken", "imagePullSecrets"}
    if changed or _labels(manifest) or _annotations(manifest):
        return False
    return name == "default" or (namespace == "kube-system" and name in _ACCOUNTS)


def _namespace(manifest: Manifest, name: str, _: str) -> bool:
    return name in NAMESPACES and not _annotations(manifest) and _labels(manifest).keys() <= _OWN_LABELS


def _labels(manifest: Manifest) -> Manifest:
    return manifest["metadata"].get("labels") or {}


def _annotations(manifest: Manifest) -> Manifest:
    return manifest["metadata"].get("annotations") or {}


_TESTS: dict[str, Callable[[Manifest, str, str], bool]] = {
    **dict.fromkeys(_RBAC_KINDS, _role),
    **dict.fromkeys(_FLOW_KINDS, _flow),
    "ServiceAccount": _account,
    "Namespace": _namespace,
    "ConfigMap": lambda _, name, namespace: (namespace, name) in _CONFIG_MAPS,
    "PriorityClass": lambda _, name, __: name.startswith("system-"),  # reserved: nobody else may make one
    "Service": lambda _, name, namespace: (namespace, name) == ("default", "kubernetes"),
    "ServiceCIDR": lambda _, name, __: name == "kubernetes",
}
