"""What objects name, and what of it is missing: on a real Kubeflow installation, and field by field."""

import copy
from typing import Any

import pytest
import yaml
from tests.kubernetes_system.cluster import Manifest

from drkeeper.systems._kubernetes.identities import Identity
from drkeeper.systems._kubernetes.options import MADE_BY_OTHERS
from drkeeper.systems._kubernetes.references import Closure, missing_references, references_of

_CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding"}


@pytest.fixture
def kubeflow(corpus: list[Manifest]) -> list[Manifest]:
    """The corpus as an API server would hold it: what is cluster-wide has no namespace."""
    cleaned = copy.deepcopy(corpus)
    for manifest in cleaned:
        if manifest["kind"] in _CLUSTER_WIDE:
            manifest["metadata"].pop("namespace", None)
    return cleaned


def test_the_pods_of_a_kubeflow_make_146_references(kubeflow: list[Manifest]):
    found = [each for manifest in kubeflow for each in references_of(manifest)]
    pods = ("ontainers[", "volumes[", "serviceAccountName")
    assert sum(any(word in each.field for word in pods) for each in found) == 146


def test_what_a_kubeflow_lacks_is_what_others_make_later_and_one_real_mistake(kubeflow: list[Manifest]):
    missing = missing_references(kubeflow, made_by_others=MADE_BY_OTHERS)
    assert [(each.source.name, str(each.target)) for each in missing] == [
        # The manifests bind a role to an account that none of them declares.
        ("jupyter-web-app-jupyter-notebook-role-binding", "ServiceAccount kubeflow/jupyter-notebook")
    ]


def test_without_the_certificates_their_six_secrets_are_missing(kubeflow: list[Manifest]):
    without = [each for each in kubeflow if each["apiVersion"] != "cert-manager.io/v1"]
    missing = missing_references(without, made_by_others=MADE_BY_OTHERS)
    assert sum(each.target.kind == "Secret" for each in missing) == 6


def test_without_the_patterns_istios_config_map_is_missing_twice(kubeflow: list[Manifest]):
    named = [each.target.name for each in missing_references(kubeflow)]
    assert named.count("istio-ca-root-cert") == 2


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "ServiceAccount", "Service", "PersistentVolumeClaim", "Role"])
def test_an_object_taken_away_is_missed(kubeflow: list[Manifest], kind: str):
    closure = Closure(MADE_BY_OTHERS)
    for manifest in kubeflow:
        closure.add(manifest)
    named = {each.target for each in closure.references if not each.optional and each.target.kind == kind}
    victim = next(each for each in kubeflow if _key(each) in named)
    left = [each for each in kubeflow if each is not victim]
    assert _key(victim) in {each.target for each in missing_references(left, made_by_others=MADE_BY_OTHERS)}


POD = """
serviceAccountName: runner
priorityClassName: high
runtimeClassName: gvisor
imagePullSecrets: [{name: pull}]
initContainers:
- {name: i, envFrom: [{secretRef: {name: from-init}}]}
containers:
- name: main
  env:
  - {name: A, valueFrom: {secretKeyRef: {name: key, key: k}}}
  - {name: B, valueFrom: {configMapKeyRef: {name: maybe, key: k, optional: true}}}
  - {name: C, value: plain}
  envFrom: [{configMapRef: {name: all}}]
volumes:
- {name: a, persistentVolumeClaim: {claimName: claim}}
- {name: b, secret: {secretName: mounted}}
- {name: c, projected: {sources: [{secret: {name: part}}, {configMap: {name: piece}}, {serviceAccountToken: {path: t}}]}}
- {name: d, csi: {driver: x, nodePublishSecretRef: {name: driver}}}
- {name: e, azureFile: {shareName: s, secretName: azure}}
- {name: f, emptyDir: {}}
"""
NAMED_BY_POD = {
    "ServiceAccount runner",
    "PriorityClass high",
    "RuntimeClass gvisor",
    "Secret pull",
    "Secret from-init",
    "Secret key",
    "ConfigMap maybe",
    "ConfigMap all",
    "PersistentVolumeClaim claim",
    "Secret mounted",
    "Secret part",
    "ConfigMap piece",
    "Secret driver",
    "Secret azure",
}


@pytest.mark.parametrize(
    ("api_version", "kind", "place"),
    [
        ("v1", "Pod", ["spec"]),
        ("v1", "PodTemplate", ["template", "spec"]),
        ("apps/v1", "Deployment", ["spec", "template", "spec"]),
        ("batch/v1", "CronJob", ["spec", "jobTemplate", "spec", "template", "spec"]),
        ("serving.knative.dev/v1", "Service", ["spec", "template", "spec"]),
        ("kubeflow.org/v1", "Notebook", ["spec", "template", "spec"]),
        ("serving.kserve.io/v1beta1", "InferenceService", ["spec", "predictor"]),
        ("kubeflow.org/v1", "PyTorchJob", ["spec", "pytorchReplicaSpecs", "Worker", "template", "spec"]),
    ],
)
def test_a_pod_is_understood_wherever_it_is_described(api_version: str, kind: str, place: list[str]):
    inner: Any = yaml.safe_load(POD)
    for name in reversed(place):
        inner = {name: inner}
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **inner}
    found = {f"{each.target.kind} {each.target.name}" for each in references_of(manifest)}
    assert (
        found - {"Namespace n", f"CustomResourceDefinition {kind}.{api_version.split('/', maxsplit=1)[0]}"}
        == NAMED_BY_POD
    )


def test_what_a_pod_does_without_is_not_missing():
    assert not _missing(
        {"apiVersion": "v1", "kind": "Pod", "spec": {"volumes": [{"secret": {"secretName": "s", "optional": True}}]}}
    )


def test_a_name_that_is_filled_in_later_is_no_reference():
    container = {"name": "c", "envFrom": [{"secretRef": {"name": "{{workflow.parameters.secret}}"}}]}
    assert not _missing({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}})


@pytest.mark.parametrize(
    ("manifest", "target"),
    [
        ("kind: RoleBinding|rbac.authorization.k8s.io/v1|roleRef: {kind: Role, name: r}", "Role.rbac n/r"),
        ("kind: RoleBinding|rbac.authorization.k8s.io/v1|roleRef: {kind: ClusterRole, name: r}", "ClusterRole.rbac r"),
        (
            "kind: RoleBinding|rbac.authorization.k8s.io/v1|subjects: [{kind: ServiceAccount, name: a, namespace: m}]",
            "ServiceAccount m/a",
        ),
        ("kind: ServiceAccount|v1|imagePullSecrets: [{name: s}]", "Secret n/s"),
        ("kind: PersistentVolumeClaim|v1|spec: {storageClassName: fast}", "StorageClass.storage fast"),
        ("kind: PersistentVolumeClaim|v1|spec: {volumeName: v}", "PersistentVolume v"),
        ("kind: StatefulSet|apps/v1|spec: {serviceName: s}", "Service n/s"),
        (
            (
                "kind: HorizontalPodAutoscaler|autoscaling/v2|"
                "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: d}}"
            ),
            "StatefulSet.apps n/d",
        ),
        ("kind: ScaledObject|keda.sh/v1alpha1|spec: {scaleTargetRef: {name: d}}", "Deployment.apps n/d"),
        (
            "kind: Ingress|networking.k8s.io/v1|spec: {defaultBackend: {service: {name: s, port: {number: 1}}}}",
            "Service n/s",
        ),
        (
            "kind: Ingress|networking.k8s.io/v1beta1|spec: {rules: [{http: {paths: [{backend: {serviceName: s}}]}}]}",
            "Service n/s",
        ),
        ("kind: Ingress|networking.k8s.io/v1|spec: {tls: [{secretName: t}]}", "Secret n/t"),
        (
            (
                "kind: ValidatingWebhookConfiguration|admissionregistration.k8s.io/v1|"
                "webhooks: [{clientConfig: {service: {namespace: m, name: s}}}]"
            ),
            "Service m/s",
        ),
        (
            "kind: APIService|apiregistration.k8s.io/v1|spec: {group: g, service: {namespace: m, name: s}}",
            "Service m/s",
        ),
        (
            (
                "kind: CustomResourceDefinition|apiextensions.k8s.io/v1|"
                "spec: {conversion: {webhook: {clientConfig: {service: {namespace: m, name: s}}}}}"
            ),
            "Service m/s",
        ),
        ("kind: VirtualService|networking.istio.io/v1|spec: {gateways: [m/g]}", "Gateway.networking.istio.io m/g"),
        (
            (
                "kind: VirtualService|networking.istio.io/v1|"
                "spec: {http: [{route: [{destination: {host: s.m.svc.cluster.local}}]}]}"
            ),
            "Service m/s",
        ),
        ("kind: DestinationRule|networking.istio.io/v1|spec: {host: s}", "Service n/s"),
        ("kind: HTTPRoute|gateway.networking.k8s.io/v1|spec: {rules: [{backendRefs: [{name: s}]}]}", "Service n/s"),
        (
            "kind: Route|serving.knative.dev/v1|spec: {traffic: [{configurationName: c}]}",
            "Configuration.serving.knative.dev n/c",
        ),
        ("kind: Certificate|cert-manager.io/v1|spec: {issuerRef: {name: i}}", "Issuer.cert-manager.io n/i"),
        ("kind: ConfigMap|v1|data: {}", "Namespace n"),
        ("kind: Experiment|kubeflow.org/v1|spec: {}", "CustomResourceDefinition.apiextensions Experiment.kubeflow.org"),
    ],
)
def test_what_each_kind_names_is_missed(manifest: str, target: str):
    kind, api_version, rest = manifest.split("|")
    missing = _missing({"apiVersion": api_version, **yaml.safe_load(kind), **yaml.safe_load(rest)}, namespace=False)
    assert target in {str(each.target).replace(".authorization.k8s.io", "").replace(".k8s.io", "") for each in missing}


@pytest.mark.parametrize("host", ["example.com", "*.local", "s.example.org", "m.svc.example.org.evil", ""])
def test_a_host_that_may_be_anybodys_is_no_service(host: str):
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "spec": {"host": host}}
    assert [each.target for each in _missing(rule) if each.target.kind == "Service"] == []


def test_an_owner_may_stand_outside_namespaces():
    owner = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    owned: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Namespace", "name": "n"}]
    assert missing_references([owned, owner]) == []
    assert [each.field for each in missing_references([owned])] == ["metadata.namespace", "metadata.ownerReferences[0]"]


@pytest.mark.parametrize(
    ("maker", "made"),
    [
        ({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": {"secretName": "made"}}, "made"),
        ({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "spec": {}}, "x"),
        ({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "spec": {}}, "x"),
    ],
)
def test_a_secret_that_an_operator_makes_is_not_missing(maker: Manifest, made: str):
    maker["metadata"] = {"name": "x", "namespace": "n"}
    pod: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}
    pod["spec"] = {"volumes": [{"secret": {"secretName": made}}]}
    assert [each for each in missing_references([pod, maker]) if each.target.kind == "Secret"] == []
    assert [each for each in missing_references([pod]) if each.target.kind == "Secret"] != []


def test_a_kind_that_an_aggregated_api_serves_needs_no_definition():
    api: Manifest = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.g"}}
    api["spec"] = {"group": "g.example.org", "service": {"name": "kubernetes", "namespace": "default"}}
    thing = {"apiVersion": "g.example.org/v1", "kind": "Thing", "metadata": {"name": "t"}}
    assert missing_references([api, thing]) == []


def _missing(manifest: Manifest, *, namespace: bool = True) -> list[Any]:
    """What one object in a namespace misses; the namespace itself is there unless it is asked about."""
    manifest = {**manifest, "metadata": {"name": "x", "namespace": "n"}}
    there = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}] if namespace else []
    return missing_references([manifest, *there])


def _key(manifest: Manifest) -> Identity:
    metadata = manifest["metadata"]
    group, slash, _ = manifest["apiVersion"].rpartition("/")
    return Identity(group if slash else "", manifest["kind"], metadata.get("namespace") or "", metadata["name"])
