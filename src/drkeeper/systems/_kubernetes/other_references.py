"""What objects name apart from Pods: roles, Services behind hooks and routes, classes, scale targets, issuers."""

from collections.abc import Callable, Iterator

from drkeeper.systems._kubernetes.identities import Identity, Manifest, group_of, identity
from drkeeper.systems._kubernetes.reference import Reference, mapping, mappings, part

Found = Iterator[tuple[str, Identity]]
_RBAC = "rbac.authorization.k8s.io"
_CERTS = "cert-manager.io"
_STORAGE = "storage.k8s.io"
# Annotations by which an Ingress asks cert-manager for the certificate that it names.
_ASKS_FOR_CERTIFICATE = ("cert-manager.io/issuer", "cert-manager.io/cluster-issuer", "kubernetes.io/tls-acme")
# Where an object names the Secret that its operator makes: a path, or () where the Secret has the object's own name.
_SECRET_MAKERS: dict[tuple[str, str], tuple[str, ...]] = {
    (_CERTS, "Certificate"): ("spec", "secretName"),
    ("external-secrets.io", "ExternalSecret"): ("spec", "target", "name"),
    ("bitnami.com", "SealedSecret"): ("spec", "template", "metadata", "name"),
    ("secrets.hashicorp.com", "VaultStaticSecret"): ("spec", "destination", "name"),
    ("secrets.hashicorp.com", "VaultDynamicSecret"): ("spec", "destination", "name"),
    ("onepassword.com", "OnePasswordItem"): (),
}


def of(manifest: Manifest) -> Iterator[Reference]:
    """References that do not stand in a description of a Pod."""
    key = identity(manifest)
    for rule in (_RULES.get((key.group, key.kind)), _injected):
        for field, target in rule(manifest, key) if rule else ():
            if target.name:
                yield Reference(key, field, target)


def made_by(manifest: Manifest) -> Iterator[Identity]:
    """What an operator makes because of this object."""
    key = identity(manifest)
    spec = mapping(manifest.get("spec"))
    if (key.group, key.kind) in _SECRET_MAKERS:
        path = _SECRET_MAKERS[key.group, key.kind]
        name = (part(manifest, path) if path else "") or key.name
        yield Identity("", "Secret", key.namespace, str(name))
    if (key.group, key.kind) == ("networking.k8s.io", "Ingress"):
        annotations = mapping(manifest["metadata"].get("annotations"))
        if any(each in annotations for each in _ASKS_FOR_CERTIFICATE):
            for each in mappings(spec.get("tls")):
                yield Identity("", "Secret", key.namespace, each.get("secretName", ""))


# --- by kind --------------------------------------------------------------------------------------------


def _binding(manifest: Manifest, key: Identity) -> Found:
    role = mapping(manifest.get("roleRef"))
    namespace = key.namespace if role.get("kind") == "Role" else ""
    yield "roleRef", Identity(_RBAC, role.get("kind", ""), namespace, role.get("name", ""))
    for index, subject in enumerate(mappings(manifest.get("subjects"))):
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount" and name != "default":
            place = subject.get("namespace") or key.namespace
            yield f"subjects[{index}]", Identity("", "ServiceAccount", place, name)


def _account(manifest: Manifest, key: Identity) -> Found:
    for index, each in enumerate(mappings(manifest.get("imagePullSecrets"))):
        yield f"imagePullSecrets[{index}]", Identity("", "Secret", key.namespace, each.get("name", ""))


def _hooks(manifest: Manifest, key: Identity) -> Found:
    del key
    for index, hook in enumerate(mappings(manifest.get("webhooks"))):
        yield from _service_of(f"webhooks[{index}].clientConfig", hook.get("clientConfig"))


def _api(manifest: Manifest, key: Identity) -> Found:
    del key
    yield from _service_of("spec", manifest.get("spec"))


def _definition(manifest: Manifest, key: Identity) -> Found:
    del key
    field = "spec.conversion.webhook.clientConfig"
    yield from _service_of(field, part(manifest, tuple(field.split("."))))


def _service_of(field: str, holder: object) -> Found:
    service = mapping(mapping(holder).get("service"))
    if service:
        yield f"{field}.service", Identity("", "Service", service.get("namespace", ""), service.get("name", ""))


def _injected(manifest: Manifest, key: Identity) -> Found:
    """Whose certificate cert-manager writes into a hook."""
    del key
    annotations = mapping(manifest["metadata"].get("annotations"))
    for name, group, kind in (
        ("cert-manager.io/inject-ca-from", _CERTS, "Certificate"),
        ("cert-manager.io/inject-ca-from-secret", "", "Secret"),
    ):
        namespace, _, named = str(annotations.get(name, "")).partition("/")
        yield f"metadata.annotations[{name}]", Identity(group, kind, namespace, named)


def _ingress(manifest: Manifest, key: Identity) -> Found:
    spec = mapping(manifest.get("spec"))
    yield "spec.ingressClassName", Identity(key.group, "IngressClass", "", spec.get("ingressClassName") or "")
    for index, each in enumerate(mappings(spec.get("tls"))):
        yield f"spec.tls[{index}]", Identity("", "Secret", key.namespace, each.get("secretName") or "")
    backends = [("spec.defaultBackend", spec.get("defaultBackend"))]
    for index, rule in enumerate(mappings(spec.get("rules"))):
        for number, path in enumerate(mappings(mapping(rule.get("http")).get("paths"))):
            backends.append((f"spec.rules[{index}].http.paths[{number}].backend", path.get("backend")))
    for field, backend in backends:
        service = mapping(mapping(backend).get("service"))
        name = service.get("name") or mapping(backend).get("serviceName") or ""
        yield field, Identity("", "Service", key.namespace, name)


def _virtual_service(manifest: Manifest, key: Identity) -> Found:
    spec = mapping(manifest.get("spec"))
    for index, gateway in enumerate(spec.get("gateways") or ()):
        if gateway != "mesh":
            namespace, slash, name = str(gateway).rpartition("/")
            place = namespace if slash else key.namespace
            yield f"spec.gateways[{index}]", Identity(key.group, "Gateway", place, name)
    for protocol in ("http", "tcp", "tls"):
        for index, rule in enumerate(mappings(spec.get(protocol))):
            ways = [("mirror", rule.get("mirror"))]
            ways += [(f"route[{n}]", each.get("destination")) for n, each in enumerate(mappings(rule.get("route")))]
            for at, destination in ways:
                yield f"spec.{protocol}[{index}].{at}", _host(mapping(destination).get("host"), key.namespace)


def _destination_rule(manifest: Manifest, key: Identity) -> Found:
    yield "spec.host", _host(mapping(manifest.get("spec")).get("host"), key.namespace)


def _host(host: object, namespace: str) -> Identity:
    """The Service behind a host name of the cluster; of no name where it may be anybody's."""
    name, _, rest = str(host or "").partition(".")
    if "*" in name or not name:
        return Identity("", "Service", "", "")
    if not rest:
        return Identity("", "Service", namespace, name)
    place, _, domain = rest.partition(".")
    return Identity("", "Service", place, name if domain == "svc" or domain.startswith("svc.") else "")


def _gateway_route(manifest: Manifest, key: Identity) -> Found:
    """Routes of the Gateway API."""
    spec = mapping(manifest.get("spec"))
    named = [
        (f"spec.parentRefs[{n}]", each, key.group, "Gateway") for n, each in enumerate(mappings(spec.get("parentRefs")))
    ]
    for index, rule in enumerate(mappings(spec.get("rules"))):
        for number, each in enumerate(mappings(rule.get("backendRefs"))):
            named.append((f"spec.rules[{index}].backendRefs[{number}]", each, "", "Service"))
    for field, each, group, kind in named:
        place = each.get("namespace") or key.namespace
        yield field, Identity(each.get("group", group), each.get("kind", kind), place, each.get("name", ""))


def _knative_route(manifest: Manifest, key: Identity) -> Found:
    for index, each in enumerate(mappings(mapping(manifest.get("spec")).get("traffic"))):
        for field, kind in (("configurationName", "Configuration"), ("revisionName", "Revision")):
            yield f"spec.traffic[{index}].{field}", Identity(key.group, kind, key.namespace, each.get(field) or "")


def _scaler(manifest: Manifest, key: Identity) -> Found:
    spec = mapping(manifest.get("spec"))
    for field in ("scaleTargetRef", "targetRef"):
        target = mapping(spec.get(field))
        group = group_of(target.get("apiVersion") or "apps/v1")  # what KEDA takes where nothing is said
        kind = target.get("kind") or "Deployment"
        yield f"spec.{field}", Identity(group, kind, key.namespace, target.get("name") or "")


def _claim(manifest: Manifest, key: Identity) -> Found:
    del key
    spec = mapping(manifest.get("spec"))
    yield "spec.storageClassName", Identity(_STORAGE, "StorageClass", "", spec.get("storageClassName") or "")
    yield "spec.volumeName", Identity("", "PersistentVolume", "", spec.get("volumeName") or "")


def _volume(manifest: Manifest, key: Identity) -> Found:
    """Secrets that a volume is mounted with; its class is a mere name."""
    del key
    for name, source in mapping(manifest.get("spec")).items():
        for field, value in mapping(source).items():
            secret = mapping(value) if field.endswith("ecretRef") else {}
            if secret.get("namespace"):
                yield f"spec.{name}.{field}", Identity("", "Secret", secret["namespace"], secret.get("name") or "")


def _stateful_set(manifest: Manifest, key: Identity) -> Found:
    spec = mapping(manifest.get("spec"))
    yield "spec.serviceName", Identity("", "Service", key.namespace, spec.get("serviceName") or "")
    for index, template in enumerate(mappings(spec.get("volumeClaimTemplates"))):
        name = mapping(template.get("spec")).get("storageClassName") or ""
        field = f"spec.volumeClaimTemplates[{index}].spec.storageClassName"
        yield field, Identity(_STORAGE, "StorageClass", "", name)


def _certificate(manifest: Manifest, key: Identity) -> Found:
    issuer = mapping(mapping(manifest.get("spec")).get("issuerRef"))
    kind = issuer.get("kind") or "Issuer"
    place = "" if kind.startswith("Cluster") else key.namespace
    yield "spec.issuerRef", Identity(issuer.get("group") or _CERTS, kind, place, issuer.get("name") or "")


def _issuer(manifest: Manifest, key: Identity) -> Found:
    authority = mapping(mapping(manifest.get("spec")).get("ca"))
    # A ClusterIssuer's Secret lies where cert-manager itself was told to look, which its manifest does not say.
    name = authority.get("secretName") or "" if key.namespace else ""
    yield "spec.ca.secretName", Identity("", "Secret", key.namespace, name)


_RULES: dict[tuple[str, str], Callable[[Manifest, Identity], Found]] = {
    (_RBAC, "RoleBinding"): _binding,
    (_RBAC, "ClusterRoleBinding"): _binding,
    ("", "ServiceAccount"): _account,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("apps", "StatefulSet"): _stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): _scaler,
    ("autoscaling.k8s.io", "VerticalPodAutoscaler"): _scaler,
    ("keda.sh", "ScaledObject"): _scaler,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("extensions", "Ingress"): _ingress,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _hooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _hooks,
    ("apiregistration.k8s.io", "APIService"): _api,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("networking.istio.io", "VirtualService"): _virtual_service,
    ("networking.istio.io", "DestinationRule"): _destination_rule,
    **{
        ("gateway.networking.k8s.io", kind): _gateway_route
        for kind in ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute")
    },
    ("serving.knative.dev", "Route"): _knative_route,
    (_CERTS, "Certificate"): _certificate,
    (_CERTS, "Issuer"): _issuer,
    (_CERTS, "ClusterIssuer"): _issuer,
}
