"""What the cluster makes is dropped, what people declared stays; each rule by itself, and all twice over."""

import copy
from typing import Any

import pytest

from drkeeper.systems._kubernetes.derived import kind_reason, rules_for
from drkeeper.systems._kubernetes.hold import held
from drkeeper.systems._kubernetes.identities import group_of
from drkeeper.systems._kubernetes.kinds import ResourceKind, selected, without_twins
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.sanitise import sanitise
from drkeeper.systems._kubernetes.selection import Selection

Manifest = dict[str, Any]


def obj(api_version: str, kind: str, name: str = "a", namespace: str = "ns", **rest: Any) -> Manifest:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def clean(manifest: Manifest) -> Manifest:
    once = sanitise(copy.deepcopy(manifest))
    assert once == sanitise(copy.deepcopy(once)), "sanitising twice changes nothing"
    return once


def left_out(manifest: Manifest) -> list[str]:
    rules = rules_for(group_of(manifest["apiVersion"]), manifest["kind"])
    return [rule.name for rule in rules if rule.applies(manifest)]


def test_the_servers_book_keeping_and_status_go() -> None:
    made = {"uid": "u", "resourceVersion": "1", "generation": 2, "creationTimestamp": "t", "managedFields": [{}]}
    more = {"selfLink": "/x", "generateName": "a-"}
    manifest = obj("v1", "ConfigMap", metadata={**made, **more}, data={"a": "1"}, status={"phase": "x"})
    assert clean(manifest) == obj("v1", "ConfigMap", data={"a": "1"})


def test_annotations_of_controllers_go_and_those_of_people_stay() -> None:
    made = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "deployment.kubernetes.io/revision": "3",
        "drkeeper.io/anything": "x",
    }
    manifest = obj("v1", "ConfigMap", metadata={"annotations": {**made, "team": "ml"}})
    assert clean(manifest)["metadata"]["annotations"] == {"team": "ml"}
    assert "annotations" not in clean(obj("v1", "ConfigMap", metadata={"annotations": made}))["metadata"]


def test_an_owner_keeps_its_name_and_loses_its_uid() -> None:
    owner = {"apiVersion": "v1", "kind": "A", "name": "o", "uid": "u", "controller": True}
    manifest = clean(obj("kubeflow.org/v1", "Trial", metadata={"ownerReferences": [owner]}))
    assert manifest["metadata"]["ownerReferences"] == [{k: v for k, v in owner.items() if k != "uid"}]


def test_finalizers_of_the_control_plane_go_and_those_of_operators_stay() -> None:
    both = ["kubernetes.io/pvc-protection", "resources-finalizer.argocd.argoproj.io"]
    assert clean(obj("v1", "X", metadata={"finalizers": both}))["metadata"]["finalizers"] == both[1:]
    assert "finalizers" not in clean(obj("v1", "X", metadata={"finalizers": both[:1]}))["metadata"]


def test_a_service_loses_the_addresses_that_it_was_given() -> None:
    given = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ports": [{"port": 80}]}
    assert clean(obj("v1", "Service", spec=given))["spec"] == {"ports": [{"port": 80}]}


def test_a_headless_service_stays_headless() -> None:
    headless = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert clean(obj("v1", "Service", spec=dict(headless)))["spec"] == headless


def test_a_node_port_stays_only_where_somebody_asked_for_it() -> None:
    key = 'k:{"port":80,"protocol":"TCP"}'
    fields = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:ports": {key: {"f:nodePort": {}}}}}}]
    ports = [
        {"port": 80, "protocol": "TCP", "nodePort": 30080},
        {"port": 81, "protocol": "TCP", "nodePort": 31999},
    ]
    manifest = obj("v1", "Service", metadata={"managedFields": fields}, spec={"ports": ports, "healthCheckNodePort": 1})
    assert sanitise(manifest)["spec"]["ports"] == [ports[0], {"port": 81, "protocol": "TCP"}]
    assert "healthCheckNodePort" not in manifest["spec"]


def test_a_claim_forgets_the_volume_that_a_binder_chose() -> None:
    bound = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
    chosen = obj("v1", "PersistentVolumeClaim", metadata={"annotations": bound}, spec={"volumeName": "pv-1"})
    asked = obj("v1", "PersistentVolumeClaim", spec={"volumeName": "pv-1"})
    assert sanitise(chosen)["spec"] == {}
    assert "annotations" not in chosen["metadata"]
    assert clean(asked)["spec"] == {"volumeName": "pv-1"}


def test_a_volume_stays_reserved_for_its_claim_by_name() -> None:
    claim = {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    manifest = clean(obj("v1", "PersistentVolume", namespace="", spec={"claimRef": claim}))
    assert manifest["spec"]["claimRef"] == {"name": "c", "namespace": "ns"}


def test_an_account_loses_the_tokens_that_were_made_for_it() -> None:
    secrets = [{"name": "a-token-x7x7x"}, {"name": "a-dockercfg-x7x7x"}, {"name": "mine"}]
    assert clean(obj("v1", "ServiceAccount", secrets=secrets))["secrets"] == [{"name": "mine"}]
    assert "secrets" not in clean(obj("v1", "ServiceAccount", secrets=secrets[:1]))


def test_a_token_that_was_asked_for_by_hand_keeps_the_request_only() -> None:
    names = {"kubernetes.io/service-account.name": "a", "kubernetes.io/service-account.uid": "u"}
    token = {"type": "kubernetes.io/service-account-token", "data": {"token": "c2VjcmV0"}}
    by_hand = obj("v1", "Secret", "my-token", metadata={"annotations": names}, **token)
    made = obj("v1", "Secret", "a-token-x7x7x", metadata={"annotations": names}, **token)
    assert left_out(made) == ["account-token"]
    assert left_out(by_hand) == []
    manifest = clean(by_hand)
    assert "data" not in manifest
    assert manifest["metadata"]["annotations"] == {"kubernetes.io/service-account.name": "a"}


def test_a_job_loses_the_selector_that_carries_its_uid() -> None:
    labels = {"controller-uid": "u", "job-name": "a"}
    template = {"metadata": {"creationTimestamp": None, "labels": {**labels, "app": "x"}}, "spec": {}}
    spec = {"selector": {"matchLabels": {"controller-uid": "u"}}, "template": template}
    manifest = clean(obj("batch/v1", "Job", metadata={"labels": labels}, spec=spec))
    assert manifest["spec"] == {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {}}}
    assert "labels" not in manifest["metadata"]


def test_a_job_with_a_selector_of_its_own_keeps_it() -> None:
    spec = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {}}}
    assert clean(obj("batch/v1", "Job", spec=copy.deepcopy(spec)))["spec"] == spec


def test_a_bare_pod_can_be_scheduled_anew() -> None:
    mount = {"name": "kube-api-access-abcde", "mountPath": "/var/run/secrets"}
    container = {"name": "c", "volumeMounts": [mount, {"name": "data", "mountPath": "/d"}]}
    volumes = [{"name": "kube-api-access-abcde"}, {"name": "data"}]
    spec = {"nodeName": "n", "priority": 0, "containers": [container], "volumes": volumes}
    expected = {
        "containers": [{"name": "c", "volumeMounts": [container["volumeMounts"][1]]}],
        "volumes": [{"name": "data"}],
    }
    assert clean(obj("v1", "Pod", spec=copy.deepcopy(spec)))["spec"] == expected


def test_a_role_that_gathers_rules_keeps_what_it_gathers_by() -> None:
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    manifest = clean(
        obj("rbac.authorization.k8s.io/v1", "ClusterRole", aggregationRule=gathers, rules=[{"verbs": ["get"]}])
    )
    assert "rules" not in manifest
    assert manifest["aggregationRule"] == gathers


def test_an_injected_authority_goes_and_a_declared_one_stays() -> None:
    webhooks = [{"name": "w", "clientConfig": {"caBundle": "eA=="}}]
    kind = ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    injected = {"annotations": {"cert-manager.io/inject-ca-from": "ns/cert"}}
    assert clean(obj(*kind, webhooks=copy.deepcopy(webhooks)))["webhooks"] == webhooks
    assert clean(obj(*kind, metadata=injected, webhooks=webhooks))["webhooks"] == [{"name": "w", "clientConfig": {}}]


def test_a_namespace_loses_what_every_namespace_has() -> None:
    labels = {"kubernetes.io/metadata.name": "a", "istio-injection": "enabled"}
    manifest = clean(
        obj("v1", "Namespace", namespace="", metadata={"labels": labels}, spec={"finalizers": ["kubernetes"]})
    )
    assert manifest == obj("v1", "Namespace", namespace="", metadata={"labels": {"istio-injection": "enabled"}})


def test_templates_lose_the_null_that_go_writes() -> None:
    claim = {"metadata": {"name": "d", "creationTimestamp": None}, "spec": {}, "status": {"phase": "Pending"}}
    template = {"metadata": {"creationTimestamp": None, "labels": {"a": "b"}}}
    manifest = clean(obj("apps/v1", "StatefulSet", spec={"template": template, "volumeClaimTemplates": [claim]}))
    expected = {
        "template": {"metadata": {"labels": {"a": "b"}}},
        "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}],
    }
    assert manifest["spec"] == expected


@pytest.mark.parametrize(
    "manifest",
    [
        obj("apps/v1", "Deployment", spec={"replicas": 3, "template": {}}),
        obj("apps/v1", "DaemonSet", spec={"template": {"spec": {"nodeSelector": {"a": "b"}}}}),
        obj("batch/v1", "CronJob", spec={"suspend": False, "jobTemplate": {}}),
        obj("argoproj.io/v1alpha1", "Application", spec={"syncPolicy": {"automated": {"prune": True}}}),
        obj(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            webhooks=[
                {"name": "w", "failurePolicy": "Fail", "clientConfig": {"service": {"name": "s", "namespace": "n"}}}
            ],
        ),
    ],
    ids=lambda manifest: str(manifest["kind"]),
)
def test_a_held_object_is_captured_as_it_was_before(manifest: Manifest) -> None:
    at_rest = held(copy.deepcopy(manifest))
    assert at_rest != manifest
    at_rest["metadata"]["resourceVersion"] = "7"  # every live object has one
    assert clean(manifest) == clean(at_rest)


# --- what is left out ---------------------------------------------------------------------------------------

OWNED = {"ownerReferences": [{"apiVersion": "v1", "kind": "O", "name": "o", "uid": "u", "controller": True}]}
BOOTSTRAP = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
MINE = {**BOOTSTRAP, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
RBAC = "rbac.authorization.k8s.io/v1"
FLOW = "flowcontrol.apiserver.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (obj("v1", "ConfigMap", metadata={"deletionTimestamp": "t"}), "being-deleted"),
        (obj("v1", "Pod", metadata=OWNED), "made-by-its-controller"),
        (obj("v1", "Pod"), ""),
        (obj("v1", "Pod", status={"phase": "Succeeded"}), "ended-pod"),
        (obj("apps/v1", "ReplicaSet", metadata=OWNED), "made-by-its-controller"),
        (obj("apps/v1", "ReplicaSet"), ""),
        (obj("apps/v1", "StatefulSet", metadata=OWNED), ""),
        (obj("kubeflow.org/v1", "Trial", metadata=OWNED), ""),
        (obj("batch/v1", "Job", metadata=OWNED), "made-by-its-controller"),
        (obj("batch/v1", "Job", status={"conditions": [{"type": "Complete", "status": "True"}]}), "ended-job"),
        (obj("batch/v1", "Job", status={"active": 1}), ""),
        (obj("argoproj.io/v1alpha1", "Workflow", status={"phase": "Succeeded"}), "ended-workflow"),
        (obj("argoproj.io/v1alpha1", "Workflow", status={"phase": "Running"}), ""),
        (obj("caching.internal.knative.dev/v1alpha1", "Image", metadata=OWNED), "made-by-its-controller"),
        (obj("caching.internal.knative.dev/v1alpha1", "Image"), ""),
        (obj("v1", "ConfigMap", "kube-root-ca.crt"), "published-authority"),
        (obj("v1", "ConfigMap", "extension-apiserver-authentication", "kube-system"), "born-with-the-cluster"),
        (obj("v1", "ConfigMap", "kubeadm-config", "mine"), ""),
        (obj("v1", "ConfigMap", metadata={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}), "leader-lock"),
        (obj("v1", "Secret", type="bootstrap.kubernetes.io/token"), "account-token"),
        (obj("v1", "Secret", type="Opaque"), ""),
        (obj("v1", "ServiceAccount", "default"), "born-with-the-cluster"),
        (obj("v1", "ServiceAccount", "default", imagePullSecrets=[{"name": "registry"}]), ""),
        (obj("v1", "ServiceAccount", "job-controller", "kube-system"), "born-with-the-cluster"),
        (obj("v1", "ServiceAccount", "sealed-secrets-controller", "kube-system"), ""),
        (obj("v1", "Namespace", "kube-system", "", metadata={"labels": {"kubernetes.io/metadata.name": "x"}}), "born-with-the-cluster"),
        (obj("v1", "Namespace", "default", "", metadata={"labels": {"istio-injection": "enabled"}}), ""),
        (obj("v1", "Service", "kubernetes", "default"), "born-with-the-cluster"),
        (obj("v1", "Service", "kubernetes", "mine"), ""),
        (obj(RBAC, "ClusterRole", "edit", "", metadata=BOOTSTRAP), "born-with-the-cluster"),
        (obj(RBAC, "ClusterRole", "edit", "", metadata=MINE), ""),
        (obj(RBAC, "Role", "kubeadm:nodes", "kube-system"), "born-with-the-cluster"),
        (obj("scheduling.k8s.io/v1", "PriorityClass", "system-node-critical", ""), "born-with-the-cluster"),
        (obj("scheduling.k8s.io/v1", "PriorityClass", "mine", ""), ""),
        (obj(FLOW, "FlowSchema", "exempt", ""), "born-with-the-cluster"),
        (obj(FLOW, "FlowSchema", "mine", ""), ""),
        (obj("apiregistration.k8s.io/v1", "APIService", "v1.apps", "", spec={}), "registered-api"),
        (obj("apiregistration.k8s.io/v1", "APIService", "v1.metrics", "", spec={"service": {"name": "m"}}), ""),
        (obj("v1", "PersistentVolume", "p", "", spec={}), ""),
    ],
)  # fmt: skip
def test_what_comes_by_itself_is_left_out(manifest: Manifest, expected: str) -> None:
    assert left_out(manifest) == ([expected] if expected else [])


@pytest.mark.parametrize(("policy", "expected"), [("Delete", ["provisioned-volume"]), ("Retain", [])])
def test_a_provisioned_volume_is_kept_only_where_its_data_are(policy: str, expected: list[str]) -> None:
    provisioned = {"annotations": {"pv.kubernetes.io/provisioned-by": "csi.example.com"}}
    volume = obj(
        "v1", "PersistentVolume", "p", "", metadata=provisioned, spec={"persistentVolumeReclaimPolicy": policy}
    )
    assert left_out(volume) == expected


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("", "Event"),
        ("events.k8s.io", "Event"),
        ("", "Endpoints"),
        ("coordination.k8s.io", "Lease"),
        ("", "Node"),
        ("", "ComponentStatus"),
        ("metrics.k8s.io", "PodMetrics"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
    ],
)
def test_kinds_that_are_derived_are_never_asked_for(group: str, kind: str) -> None:
    assert kind_reason(group, kind)


# --- what a policy protects -----------------------------------------------------------------------------------


def kind_of(group: str, name: str, *, namespaced: bool = True, verbs: str = "list get") -> ResourceKind:
    return ResourceKind(group, "v1", name, name.lower() + "s", namespaced, frozenset(verbs.split()))


KINDS = (
    kind_of("", "ConfigMap"),
    kind_of("", "Secret"),
    kind_of("", "Binding", verbs="create"),
    kind_of("", "Namespace", namespaced=False),
    kind_of("apps", "Deployment"),
    kind_of("extensions", "Ingress"),
    kind_of("networking.k8s.io", "Ingress"),
    kind_of("kubeflow.org", "Notebook"),
    kind_of("kubeflow.org", "Profile", namespaced=False),
)


def labels(**policy: Any) -> list[str]:
    return [kind.label for kind in selected(KINDS, Options(**policy))]


def test_kinds_come_in_restore_order_and_each_once() -> None:
    expected = ["namespaces", "configmaps", "deployments.apps", "notebooks.kubeflow.org", "profiles.kubeflow.org"]
    assert labels() == [*expected, "ingresss.networking.k8s.io"]


def test_an_old_server_is_asked_for_the_old_group() -> None:
    old = tuple(kind for kind in KINDS if kind.group != "networking.k8s.io")
    assert "extensions" in {kind.group for kind in without_twins(old)}


def test_secrets_are_captured_only_where_the_policy_says_how_they_are_encrypted() -> None:
    assert "secrets" not in labels()
    assert "secrets" in labels(secrets={"recipients": ["age1x"], "key": "k" * 32})


def test_a_policy_names_kinds() -> None:
    assert labels(kinds=("*.kubeflow.org",)) == ["notebooks.kubeflow.org", "profiles.kubeflow.org"]
    assert "configmaps" not in labels(exclude_kinds=("configmaps", "*.kubeflow.org"))
    assert labels(kinds=("*.kubeflow.org",), cluster_scoped=False) == ["notebooks.kubeflow.org"]


@pytest.mark.parametrize(
    ("policy", "manifest", "expected"),
    [
        ({}, obj("v1", "ConfigMap"), ""),
        ({"namespaces": ("ns",)}, obj("v1", "ConfigMap"), ""),
        ({"namespaces": ("other",)}, obj("v1", "ConfigMap"), "policy-namespaces"),
        ({"namespaces": ("other",)}, obj("v1", "Namespace", "ns", ""), "policy-namespaces"),
        ({"namespaces": ("other",)}, obj("v1", "PersistentVolume", "p", "", spec={}), ""),
        ({"exclude_namespaces": ("n*",)}, obj("v1", "ConfigMap"), "policy-namespaces"),
        ({"exclude_labels": ("skip",)}, obj("v1", "ConfigMap", metadata={"labels": {"skip": "any"}}), "policy-labels"),
        ({"exclude_labels": ("skip=yes",)}, obj("v1", "ConfigMap", metadata={"labels": {"skip": "no"}}), ""),
        ({"exclude_labels": ("skip=yes",)}, obj("v1", "ConfigMap", metadata={"labels": {"skip": "yes"}}), "policy-labels"),
    ],
)  # fmt: skip
def test_a_policy_leaves_objects_out(policy: Manifest, manifest: Manifest, expected: str) -> None:
    kind = kind_of("", manifest["kind"])
    assert Selection(Options(**policy)).for_kind(kind)(manifest) == expected
