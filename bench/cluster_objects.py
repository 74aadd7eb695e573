"""Makes the objects: 10,000 in 50 kinds, 40 of them custom resources, seeded, as large as such objects are in life.

Created like in life too, by a client with a field manager, so that each carries its managedFields.

`cluster_objects.py OPTIONS.json full|quick`: a process of its own, for the peak memory of a process that starts others
counts as theirs.
"""

import base64
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drkeeper.systems._kubernetes.options import Options

if TYPE_CHECKING:
    from drkeeper.systems._kubernetes.api import Cluster
    from drkeeper.systems._kubernetes.kinds import ResourceKind

GROUP = "bench.example"
NAMESPACES = 20
BUILT_IN = (
    ("", "ConfigMap", "configmaps"),
    ("", "Secret", "secrets"),
    ("", "Service", "services"),
    ("", "ServiceAccount", "serviceaccounts"),
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
    ("rbac.authorization.k8s.io", "Role", "roles"),
    ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
)
THREADS = 8
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Amount:
    """`each` objects of every kind that lies in namespaces; with the namespaces and the CRDs that makes `total`."""

    custom_kinds: int
    each: int

    @property
    def kinds(self) -> int:
        return self.custom_kinds + len(BUILT_IN) + 2

    @property
    def total(self) -> int:
        return NAMESPACES + self.custom_kinds + self.each * (self.custom_kinds + len(BUILT_IN))


FULL = Amount(custom_kinds=40, each=208)
QUICK = Amount(custom_kinds=4, each=20)
AMOUNTS = {"full": FULL, "quick": QUICK}


def labels(amount: Amount) -> list[str]:
    """As a policy and `kubectl get` name the kinds."""
    built_in = [f"{plural}.{group}" if group else plural for group, _, plural in BUILT_IN]
    custom = [f"{_plural(number)}.{GROUP}" for number in range(amount.custom_kinds)]
    return ["namespaces", "customresourcedefinitions.apiextensions.k8s.io", *built_in, *custom]


def make(cluster: "Cluster", amount: Amount) -> None:
    """Create all; returns when the last CRD is served and the last object is stored."""
    for number in range(NAMESPACES):
        _create(cluster, "/api/v1/namespaces", _named("v1", "Namespace", _namespace(number)))
    for number in range(amount.custom_kinds):
        _create(cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition(number))
    _wait_for_kinds(cluster, amount)
    kinds = {kind.label: kind for kind in cluster.kinds()}
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda made: _create(cluster, *made), _objects(kinds, amount)):
            pass


def _objects(kinds: "dict[str, ResourceKind]", amount: Amount) -> Iterator[tuple[str, Manifest]]:
    source = random.Random(20261123)
    for label in labels(amount)[2:]:
        kind = kinds[label]
        for number in range(amount.each):
            namespace = _namespace(number % NAMESPACES)
            manifest = _named(kind.api_version, kind.kind, f"{kind.kind.lower()}-{number:04}", namespace)
            yield kind.path(namespace), manifest | _body(kind.kind, number, source)


def _create(cluster: "Cluster", path: str, manifest: Manifest) -> None:
    cluster.request("POST", path, body=manifest, params={"fieldManager": "kubectl-client-side-apply"})


def _wait_for_kinds(cluster: "Cluster", amount: Amount) -> None:
    from drkeeper.clock import monotonic_seconds, sleep

    deadline = monotonic_seconds() + 120
    while not set(labels(amount)) <= {kind.label for kind in cluster.kinds()}:
        if monotonic_seconds() > deadline:
            raise SystemExit("the API server does not serve the bench's CRDs")
        sleep(0.5)
        cluster.forget_kinds()


def _named(api_version: str, kind: str, name: str, namespace: str = "") -> Manifest:
    metadata: Manifest = {
        "name": name,
        "labels": {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/part-of": "bench",
            "team": f"team-{len(name) % 7}",
        },
        "annotations": {"bench.example/description": f"{kind} {name} of the bench, described as such things are"},
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata | ({"namespace": namespace} if namespace else {}),
    }


def _body(kind: str, number: int, source: random.Random) -> Manifest:
    make_body = BODIES.get(kind)
    if make_body is not None:
        return make_body(number, source)
    steps = [_step(index, source) for index in range(4)]
    return {"spec": _pod(number)["spec"] | {"schedule": f"{number % 60} * * * *", "steps": steps}}


def _config_map(_: int, source: random.Random) -> Manifest:
    lines = [f"setting.{index} = {source.getrandbits(64):x}" for index in range(60)]
    return {"data": {"application.properties": "\n".join(lines) + "\n", "mode": "production"}}


def _secret(_: int, source: random.Random) -> Manifest:
    values = {f"key-{index}": base64.b64encode(source.randbytes(24)).decode() for index in range(4)}
    return {"type": "Opaque", "data": values}


def _service(number: int, _: random.Random) -> Manifest:
    ports = [_port("http", 80), _port("grpc", 9000)]
    return {"spec": {"selector": {"app": f"a{number}"}, "clusterIP": "None", "ports": ports}}


def _workload(number: int, _: random.Random) -> Manifest:
    return {"spec": {"replicas": 0, "selector": {"matchLabels": {"app": f"a{number}"}}, "template": _pod(number)}}


def _stateful_set(number: int, source: random.Random) -> Manifest:
    return {"spec": _workload(number, source)["spec"] | {"serviceName": f"service-{number:04}"}}


def _role(number: int, _: random.Random) -> Manifest:
    verbs = ["get", "list", "watch"]
    kinds = (["configmaps", "deployments"], [f"r{number}"])
    return {"rules": [{"apiGroups": ["", "apps"], "resources": each, "verbs": verbs} for each in kinds]}


def _role_binding(number: int, _: random.Random) -> Manifest:
    namespace = _namespace(number % NAMESPACES)
    subject = {"kind": "ServiceAccount", "name": f"serviceaccount-{number:04}", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"role-{number:04}"}
    return {"subjects": [subject], "roleRef": reference}


BODIES: dict[str, Callable[[int, random.Random], Manifest]] = {
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Service": _service,
    "ServiceAccount": lambda _, __: {"automountServiceAccountToken": False},
    "Deployment": _workload,
    "StatefulSet": _stateful_set,
    "Role": _role,
    "RoleBinding": _role_binding,
}


def _pod(number: int) -> Manifest:
    container = {
        "name": "main",
        "image": f"registry.example/team/service-{number % 40}:1.{number % 9}.0",
        "args": ["--config", "/etc/service/application.properties", "--workers", "4"],
        "env": [{"name": f"SETTING_{index}", "value": f"value-{index}-{number}"} for index in range(8)],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/service"}],
    }
    volume = {"name": "config", "configMap": {"name": f"configmap-{number:04}"}}
    spec = {"containers": [container], "serviceAccountName": f"serviceaccount-{number:04}", "volumes": [volume]}
    return {"metadata": {"labels": {"app": f"a{number}"}}, "spec": spec}


def _step(index: int, source: random.Random) -> Manifest:
    return {
        "name": f"step-{index}",
        "parameters": {"seed": source.getrandbits(31), "rate": "0.01"},
        "note": "as reviewed",
    }


def _port(name: str, port: int) -> Manifest:
    return {"name": name, "port": port, "protocol": "TCP", "targetPort": port}


def _namespace(number: int) -> str:
    return f"bench-{number:02}"


def _plural(number: int) -> str:
    return f"kind{number:02}s"


def _definition(number: int) -> Manifest:
    names = {
        "plural": _plural(number),
        "singular": f"kind{number:02}",
        "kind": f"Kind{number:02}",
        "listKind": f"Kind{number:02}List",
    }
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = _named("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{_plural(number)}.{GROUP}")
    return definition | {"spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]}}


def main() -> None:
    from drkeeper.systems._kubernetes.api import Cluster

    _, given, amount = sys.argv
    with Cluster.open(Options.model_validate_json(Path(given).read_text())) as cluster:
        make(cluster, AMOUNTS[amount])


if __name__ == "__main__":
    main()
