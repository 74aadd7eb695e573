"""What is not captured because something else makes it again, one named rule each, with its reason."""

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
    ("metrics.k8s.io", "NodeMetrics"): "measured",
    ("metrics.k8s.io", "PodMetrics"): "measured",
    ("internal.apiserver.k8s.io", "StorageVersion"): "the API server's own book-keeping",
    ("networking.k8s.io", "IPAddress"): "made from Services' addresses",
    ("resource.k8s.io", "ResourceSlice"): "published by drivers",
}
_GROUPS = {
    "custom.metrics.k8s.io": "measured",
    "external.metrics.k8s.io": "measured",
}


def kind_reason(group: str, kind: str) -> str:
    """Why no object of a kind is captured; "" where they are."""
    return _KINDS.get((group, kind)) or _GROUPS.get(group, "")
