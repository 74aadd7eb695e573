"""What is restored before what: one number for each kind, and capture writes in the same order.

Within a rank the order is by kind's name, then namespace and name; owners before owned is the restore's work.
"""

NAMESPACES = 0
DEFINITIONS = 10
CLASSES = 20
QUOTAS = 25
ACCOUNTS = 30
ROLES = 40
BINDINGS = 45
SECRETS = 50
CONFIG_MAPS = 55
VOLUMES = 60
CLAIMS = 65
SERVICES = 70
POLICIES = 75
WORKLOADS = 80
SCALERS = 85
# After workloads: by then their operators, and the webhooks' Services, are declared.
CUSTOM = 90
ROUTES = 93
APIS = 95
# Last: a webhook whose Service is not up yet refuses everything that comes after it.
WEBHOOKS = 99

_RANKS = {
    ("", "Namespace"): NAMESPACES,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): DEFINITIONS,
    ("storage.k8s.io", "StorageClass"): CLASSES,
    ("storage.k8s.io", "CSIDriver"): CLASSES,
    ("storage.k8s.io", "VolumeAttributesClass"): CLASSES,
    ("scheduling.k8s.io", "PriorityClass"): CLASSES,
    ("node.k8s.io", "RuntimeClass"): CLASSES,
    ("networking.k8s.io", "IngressClass"): CLASSES,
    ("policy", "PodSecurityPolicy"): CLASSES,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): CLASSES,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): CLASSES + 1,
    ("resource.k8s.io", "DeviceClass"): CLASSES,
    ("", "LimitRange"): QUOTAS,
    ("", "ResourceQuota"): QUOTAS,
    ("", "ServiceAccount"): ACCOUNTS,
    ("rbac.authorization.k8s.io", "ClusterRole"): ROLES,
    ("rbac.authorization.k8s.io", "Role"): ROLES,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): BINDINGS,
    ("rbac.authorization.k8s.io", "RoleBinding"): BINDINGS,
    ("", "Secret"): SECRETS,
    ("", "ConfigMap"): CONFIG_MAPS,
    ("", "PersistentVolume"): VOLUMES,
    ("", "PersistentVolumeClaim"): CLAIMS,
    ("", "Service"): SERVICES,
    ("networking.k8s.io", "NetworkPolicy"): POLICIES,
    ("policy", "PodDisruptionBudget"): POLICIES,
    ("", "PodTemplate"): POLICIES,
    ("apps", "Deployment"): WORKLOADS,
    ("apps", "StatefulSet"): WORKLOADS,
    ("apps", "DaemonSet"): WORKLOADS,
    ("apps", "ReplicaSet"): WORKLOADS,
    ("", "ReplicationController"): WORKLOADS,
    ("", "Pod"): WORKLOADS,
    ("batch", "CronJob"): WORKLOADS,
    ("batch", "Job"): WORKLOADS,
    ("autoscaling", "HorizontalPodAutoscaler"): SCALERS,
    ("networking.k8s.io", "Ingress"): ROUTES,
    ("extensions", "Ingress"): ROUTES,
    ("apiregistration.k8s.io", "APIService"): APIS,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): WEBHOOKS,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): WEBHOOKS,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): WEBHOOKS,
}


def rank(group: str, kind: str) -> int:
    """When a kind is restored; a kind that is not ours to know is a custom resource."""
    return _RANKS.get((group, kind), CUSTOM)


def rank_of(api_version: str, kind: str) -> int:
    """The same, from a manifest's own two words."""
    group, _, version = api_version.rpartition("/")
    return rank(group if version else "", kind)
