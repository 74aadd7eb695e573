"""Changes of objects on their way back: patches of the policy, and other names for namespaces."""

import copy
from typing import Any

import pytest
from tests.kubernetes_system.restoring import config_map, obj, workload

from drkeeper.errors import Refused
from drkeeper.systems._kubernetes.conflicts import without
from drkeeper.systems._kubernetes.namespace_map import mapped
from drkeeper.systems._kubernetes.options import Options, Transform
from drkeeper.systems._kubernetes.transforms import transformed

NAMES = {"prod": "drill"}


def options(*transforms: dict[str, Any], **more: Any) -> Options:
    return Options(transforms=tuple(Transform(**transform) for transform in transforms), **more)


def test_a_patch_changes_the_objects_that_it_means_and_no_others() -> None:
    change = {
        "kind": "deployments.apps",
        "namespace": "kube*",
        "name": "ml-*",
        "patch": [{"op": "replace", "path": "/spec/replicas", "value": 1}],
    }
    meant = workload("Deployment", "ml-pipeline", "kubeflow")
    before = copy.deepcopy(meant)
    changed = transformed(meant, options(change), "deployments")
    assert changed is not None
    assert changed["spec"]["replicas"] == 1
    assert meant == before, "what is given is left alone"
    for other in (
        workload("Deployment", "other", "kubeflow"),
        workload("Deployment", "ml-x", "istio"),
        workload("StatefulSet", "ml-x", "kubeflow"),
    ):
        assert transformed(other, options(change), f"{other['kind'].lower()}s") == other


def test_a_kind_that_nobody_serves_is_meant_by_its_own_name() -> None:
    change = {
        "kind": "poddisruptionbudget.policy",
        "patch": [{"op": "replace", "path": "/apiVersion", "value": "policy/v1beta1"}],
    }
    changed = transformed(obj("policy/v1", "PodDisruptionBudget", "p", "ns"), options(change))
    assert changed is not None
    assert changed["apiVersion"] == "policy/v1beta1"


def test_a_test_that_fails_leaves_the_object_out() -> None:
    change = {"patch": [{"op": "test", "path": "/data/tier", "value": "prod"}]}
    assert transformed(config_map("c", "ns", tier="dev"), options(change)) is None
    assert transformed(config_map("c", "ns", tier="prod"), options(change)) is not None


def test_a_patch_that_does_not_fit_is_refused_with_both_names() -> None:
    change = {"patch": [{"op": "remove", "path": "/data/missing"}]}
    with pytest.raises(Refused, match=r"transform 1 does not fit ConfigMap ns/c.*nothing was changed"):
        transformed(config_map("c", "ns", a="1"), options(change))


def test_transforms_see_the_old_namespace_and_the_object_arrives_in_the_new_one() -> None:
    change = {"namespace": "prod", "patch": [{"op": "add", "path": "/data/was", "value": "prod"}]}
    changed = transformed(config_map("c", "prod", a="1"), options(change, namespace_map=NAMES))
    assert changed == config_map("c", "drill", a="1", was="prod")


SERVICE = {"name": "svc", "namespace": "prod"}
ACCOUNT = {"kind": "ServiceAccount", "name": "sa", "namespace": "prod"}
OWN_LABEL = "kubernetes.io/metadata.name"


@pytest.mark.parametrize(
    ("manifest", "path", "expected"),
    [
        (config_map("c", "prod"), "metadata.namespace", "drill"),
        (obj("v1", "Namespace", "prod"), "metadata.name", "drill"),
        (obj("v1", "ConfigMap", "prod", "other"), "metadata.name", "prod"),
        (obj("rbac.authorization.k8s.io/v1", "RoleBinding", "b", "x", subjects=[ACCOUNT]), "subjects.0.namespace", "drill"),
        (
            obj(
                "rbac.authorization.k8s.io/v1",
                "ClusterRoleBinding",
                "b",
                subjects=[{"kind": "User", "name": "system:serviceaccount:prod:sa"}],
            ),
            "subjects.0.name",
            "system:serviceaccount:drill:sa",
        ),
        (
            obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "w", webhooks=[{"name": "a", "clientConfig": {"service": SERVICE}}]),
            "webhooks.0.clientConfig.service.namespace",
            "drill",
        ),
        (
            obj(
                "admissionregistration.k8s.io/v1",
                "MutatingWebhookConfiguration",
                "w",
                webhooks=[{"name": "a", "clientConfig": {"url": "https://x"}, "namespaceSelector": {"matchExpressions": [{"key": OWN_LABEL, "operator": "In", "values": ["prod", "b"]}]}}],
            ),
            "webhooks.0.namespaceSelector.matchExpressions.0.values",
            ["drill", "b"],
        ),
        (obj("apiregistration.k8s.io/v1", "APIService", "v1.x", spec={"service": SERVICE}), "spec.service.namespace", "drill"),
        (obj("v1", "PersistentVolume", "pv", spec={"claimRef": {"namespace": "prod", "name": "c"}}), "spec.claimRef.namespace", "drill"),
        (
            obj("v1", "PersistentVolume", "pv", spec={"csi": {"nodeStageSecretRef": {"namespace": "prod", "name": "c"}}}),
            "spec.csi.nodeStageSecretRef.namespace",
            "drill",
        ),
        (
            obj(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "a.b",
                spec={"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"service": SERVICE}}}},
            ),
            "spec.conversion.webhook.clientConfig.service.namespace",
            "drill",
        ),
        (
            obj("networking.k8s.io/v1", "NetworkPolicy", "n", "x", spec={"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {OWN_LABEL: "prod"}}}]}]}),
            f"spec.ingress.0.from.0.namespaceSelector.matchLabels.{OWN_LABEL}",
            "drill",
        ),
    ],
)  # fmt: skip
def test_a_renamed_namespace_is_followed_in_every_field_that_holds_one(manifest, path, expected) -> None:
    before = copy.deepcopy(manifest)
    found: Any = mapped(manifest, NAMES)
    while path:
        if isinstance(found, dict) and path in found:
            found, path = found[path], ""
            continue
        part, _, path = path.partition(".")
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == expected
    assert manifest == before


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ([".spec.replicas"], ("spec", "replicas")),
        ([".metadata.labels.app.kubernetes.io/name"], ("metadata", "labels", "app.kubernetes.io/name")),
        (['.spec.template.spec.containers[name="b"].image'], ("spec", "template", "spec", "containers", 1, "image")),
        (
            ['.spec.template.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"].name'],
            ("spec", "template", "spec", "containers", 1, "ports", 0, "name"),
        ),
        ([".spec.versions[0].schema"], ("spec", "versions", 0, "schema")),
    ],
)
def test_a_field_is_found_by_the_words_of_server_side_apply(fields, gone) -> None:
    manifest: Any = {
        "metadata": {"labels": {"app": "x", "app.kubernetes.io/name": "y"}},
        "spec": {
            "replicas": 1,
            "versions": [{"name": "v1", "schema": {}}],
            "template": {
                "spec": {
                    "containers": [
                        {"name": "a", "image": "i"},
                        {"name": "b", "image": "j", "ports": [{"containerPort": 80, "name": "http"}]},
                    ]
                }
            },
        },
    }
    result = without(manifest, fields)
    expected = copy.deepcopy(manifest)
    holder = expected
    for part in gone[:-1]:
        holder = holder[part]
    del holder[gone[-1]]
    assert result == expected


def test_items_of_sets_are_found_by_their_value_and_unknown_paths_are_told() -> None:
    manifest = {"metadata": {"finalizers": ["a/b", "c"]}}
    assert without(manifest, ['.metadata.finalizers[="a/b"]']) == {"metadata": {"finalizers": ["c"]}}
    assert without(manifest, [".spec.replicas"]) is None
    assert without(manifest, ['.metadata.finalizers[="z"]']) is None
