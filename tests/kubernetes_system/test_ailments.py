"""What runs in a cluster and will fail is named by `drkeeper check`, with cause and remedy."""

import pytest

from drkeeper.systems._kubernetes.ailments import budgets
from drkeeper.systems._kubernetes.checks import probe
from drkeeper.systems._kubernetes.options import Options


@pytest.fixture(scope="module")
def place(control_plane):
    """A namespace with a Pod that memory ended, one that was killed, and workloads with and without a budget."""
    name = "ailments"
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for pod, reason in (("registry", "OOMKilled"), ("serving", "Error"), ("fine", "Completed")):
        _pod(control_plane, name, pod, reason)
    for kind, workload, replicas in (
        ("Deployment", "covered", 2),
        ("Deployment", "bare", 3),
        ("StatefulSet", "cache", 2),
        ("Deployment", "single", 1),
    ):
        _workload(control_plane, name, kind, workload, replicas)
    budget = {
        "metadata": {"name": "covered"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "covered"}}},
    }
    control_plane.request("POST", f"/apis/policy/v1beta1/namespaces/{name}/poddisruptionbudgets", budget)
    return name


def _pod(plane, namespace, name, reason):
    limits = {"limits": {"memory": "128Mi"}} if name == "registry" else {}
    spec = {"containers": [{"name": "main", "image": "x", "resources": limits}], "automountServiceAccountToken": False}
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = plane.request("POST", path, {"metadata": {"name": name}, "spec": spec})
    code = 0 if reason == "Completed" else 137
    status = {
        "name": "main",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": code, "reason": reason}},
    }
    plane.request("PUT", f"{path}/{name}/status", {**made, "status": {"containerStatuses": [status]}})


def _workload(plane, namespace, kind, name, replicas):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    more = {"serviceName": name} if kind == "StatefulSet" else {}
    body = {"metadata": {"name": name}, "spec": {**spec, **more}}
    plane.request("POST", f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s", body)


def found(kubeconfig, namespace):
    options = Options(kubeconfig=kubeconfig, kinds=("configmaps",), namespaces=(namespace,))
    return {check.subject: check for check in probe(options)}


def test_a_container_that_memory_ended_is_named_with_its_limit(control_plane, place):
    checks = found(control_plane.kubeconfig, place)
    starved = checks[f"memory_limits.{place}/registry.main"]
    assert (starved.verdict, starved.severity) == ("failed", "warning")
    assert "exit 137 (OOMKilled), 4 restarts" in starved.detail
    assert "limit of 128Mi" in starved.detail
    assert "resources.limits.memory" in starved.remedy
    killed = checks[f"memory_limits.{place}/serving.main"]
    assert "exit 137 (Error)" in killed.detail
    assert "describe pod" in killed.remedy
    assert f"memory_limits.{place}/fine.main" not in checks


def test_workloads_that_a_drain_takes_away_are_named(control_plane, place):
    check = found(control_plane.kubeconfig, place)["disruption_budgets"]
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert f"deployment {place}/bare, statefulset {place}/cache:" in check.detail
    assert "maxUnavailable" in check.remedy


def test_a_namespace_without_them_has_no_finding(control_plane):
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "no-ailments"}})
    checks = found(control_plane.kubeconfig, "no-ailments")
    assert checks["memory_limits"].verdict == checks["disruption_budgets"].verdict == "passed"


def test_what_may_not_be_listed_is_not_checked_and_told_with_its_rule(control_plane, kubeconfig_for, place):
    checks = found(kubeconfig_for(control_plane, user="ailments-reader"), place)
    for subject, resource in (("memory_limits", "pods"), ("disruption_budgets", "deployments")):
        assert checks[subject].verdict == "not checked"
        assert f"resources: [{resource}], verbs: [list]}} in a Role of namespace {place}" in checks[subject].detail


def workload(**labels):
    return {
        "kind": "Deployment",
        "metadata": {"name": "w", "namespace": "n"},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": labels}}},
    }


@pytest.mark.parametrize(
    ("selector", "namespace", "covers"),
    [
        ({}, "n", True),
        ({}, "other", False),
        (None, "n", False),
        ({"matchLabels": {"app": "w", "tier": "x"}}, "n", False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["v", "w"]}]}, "n", True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["w"]}]}, "n", False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "n", True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, "n", False),
    ],
)
def test_a_budget_covers_what_its_selector_says(selector, namespace, covers):
    budget = {"metadata": {"namespace": namespace}, "spec": {"selector": selector}}
    assert (budgets([workload(app="w")], [budget]).verdict == "passed") is covers
