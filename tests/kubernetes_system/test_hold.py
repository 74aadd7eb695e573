"""Workloads that come up at rest, and run again as they did."""

import copy
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.kubernetes_system.cluster import Http, Manifest
from tests.kubernetes_system.restoring import (
    as_captured,
    asking,
    config_map,
    definition,
    live_path,
    namespace,
    obj,
    options_for,
    point,
    restore,
    workload,
)

from drkeeper.errors import LoadFailed
from drkeeper.systems._kubernetes.hold import HELD, STOPS, excepted, held, is_held, release_patch
from drkeeper.systems._kubernetes.identities import identity
from drkeeper.systems._kubernetes.release import release
from drkeeper.systems._kubernetes.sanitise import merge

TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}], "restartPolicy": "Never"},
}


def cron_job(name: str, where: str, **spec: Any) -> Manifest:
    job = {"spec": {"template": {"spec": TEMPLATE["spec"]}}}
    return obj("batch/v1beta1", "CronJob", name, where, spec={"schedule": "0 3 * * *", "jobTemplate": job, **spec})


def job(name: str, where: str, **spec: Any) -> Manifest:
    return obj("batch/v1", "Job", name, where, spec={"template": {"spec": TEMPLATE["spec"]}, **spec})


def daemon(name: str, where: str, **pod: Any) -> Manifest:
    made = workload("DaemonSet", name, where, None)
    made["spec"]["template"]["spec"].update(pod)
    return made


def webhook(name: str, service_namespace: str, *, kinds: tuple[str, ...] = ("configmaps",), **more: Any) -> Manifest:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": list(kinds), "scope": "*"}
    hook = {
        "name": f"{name}.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 2,
        "clientConfig": {"service": {"name": "hook", "namespace": service_namespace}},
        "namespaceSelector": {"matchLabels": {"guarded": "yes"}},
        "rules": [rule],
        **more,
    }
    return obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", name, webhooks=[hook])


EXAMPLES = [
    workload("Deployment", "d", "ns", 3),
    workload("Deployment", "default-replicas", "ns", None),
    workload("StatefulSet", "s", "ns", 2),
    workload("ReplicaSet", "r", "ns", 1),
    obj("v1", "ReplicationController", "rc", "ns", spec={"replicas": 4, "template": TEMPLATE}),
    daemon("ds", "ns"),
    daemon("ds-selected", "ns", nodeSelector={"gpu": "yes"}),
    cron_job("c", "ns"),
    cron_job("c-explicit", "ns", suspend=False),
    job("j", "ns"),
    job("j-wide", "ns", parallelism=7),
    obj("argoproj.io/v1alpha1", "Application", "a", "ns", spec={"syncPolicy": {"automated": {"prune": True}}}),
    obj("argoproj.io/v1alpha1", "Application", "manual", "ns", spec={"project": "default"}),
    obj("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "k", "ns", spec={"path": "./x"}),
    obj("helm.toolkit.fluxcd.io/v2", "HelmRelease", "h", "ns", spec={"suspend": False}),
    webhook("w", "ns", failurePolicy="Fail"),
    webhook("w-default", "ns"),
]


@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_what_is_held_is_at_rest_and_its_release_gives_the_very_same_object(manifest) -> None:
    before = copy.deepcopy(manifest)
    at_rest = held(manifest)
    assert manifest == before, "what is given is left alone"
    assert is_held(at_rest)
    assert at_rest != before
    assert held(at_rest) == at_rest, "holding twice is holding once"
    live = copy.deepcopy(at_rest)
    live["metadata"]["resourceVersion"] = "7"
    patch = release_patch(live)
    assert patch["metadata"]["resourceVersion"] == "7"
    merge(live, patch)
    del live["metadata"]["resourceVersion"]
    assert without_empty(live) in (before, without_empty(before), with_default_policy(before))


def without_empty(value: Any) -> Any:
    """An API server drops empty maps."""
    if isinstance(value, dict):
        return {key: without_empty(each) for key, each in value.items() if each not in ({}, None)}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


def with_default_policy(manifest: Manifest) -> Manifest:
    return {**manifest, "webhooks": [{**each, "failurePolicy": "Fail"} for each in manifest.get("webhooks", [])]}


@pytest.mark.parametrize(
    "manifest",
    [
        workload("Deployment", "at-zero", "ns", 0),
        cron_job("suspended", "ns", suspend=True),
        job("paused", "ns", parallelism=0),
        webhook("lenient", "ns", failurePolicy="Ignore"),
        webhook("outside", "ns", clientConfig={"url": "https://hooks.example.com"}, failurePolicy="Fail"),
        config_map("c", "ns"),
        obj("autoscaling/v1", "HorizontalPodAutoscaler", "h", "ns", spec={"minReplicas": 2}),
    ],
    ids=lambda each: each["metadata"]["name"],
)
def test_what_rests_already_or_does_not_run_is_left_as_it_is(manifest) -> None:
    assert held(manifest) is manifest


def test_a_value_that_somebody_changed_meanwhile_stays() -> None:
    live = held(workload("Deployment", "d", "ns", 3))
    live["metadata"]["resourceVersion"] = "1"
    live["spec"]["replicas"] = 5
    merge(live, release_patch(live))
    assert live["spec"]["replicas"] == 5
    assert not is_held(live)


def test_an_annotation_can_change_nothing_but_the_fields_that_hold() -> None:
    live = held(workload("Deployment", "d", "ns", 3))
    live["metadata"]["resourceVersion"] = "1"
    live["metadata"]["annotations"][HELD] = json.dumps({"/spec/replicas": 1, "/spec/template/spec/hostNetwork": True})
    patch = release_patch(live)
    assert patch["spec"] == {"replicas": 1}
    live["metadata"]["annotations"][HELD] = "no json"
    with pytest.raises(ValueError, match="cannot be read"):
        release_patch(live)


def test_workloads_that_a_policy_excepts_are_known_by_namespace_and_name() -> None:
    target = identity(workload("StatefulSet", "mysql-0", "data"))
    assert excepted(target, ["data/mysql*"])
    assert not excepted(target, ["data/pg*", "kubeflow/*"])


def test_every_kind_that_stops_names_the_field_as_a_pointer() -> None:
    assert {stop.pointer for stops in STOPS.values() for stop in stops} >= {
        "/spec/replicas",
        "/spec/template/spec/nodeSelector/drkeeper.io~1held",
    }


# --- on a real server -----------------------------------------------------------------------------------

NS = "hold-1"


def objects(where: str) -> list[Manifest]:
    return [
        obj("v1", "Namespace", where, metadata={"labels": {"guarded": "yes"}}),
        definition("applications", "Application", "argoproj.io"),
        workload("Deployment", "web", where, 3),
        workload("Deployment", "database", where, 1),
        workload("Deployment", "hook", where, 2, {"app": "hook"}),
        workload("StatefulSet", "store", where, 2),
        daemon("agent", where),
        cron_job("nightly", where),
        job("once", where, parallelism=2, completions=4),
        obj(
            "v1",
            "Service",
            "hook",
            where,
            spec={"selector": {"app": "hook"}, "ports": [{"port": 443, "protocol": "TCP"}]},
        ),
        obj("argoproj.io/v1", "Application", "gitops", where, spec={"syncPolicy": {"automated": {"prune": True}}}),
        webhook("guard-of-hold", where, failurePolicy="Fail"),
        config_map("plain", where, a="1"),
    ]


def state(http: Http, where: str) -> dict[str, Any]:
    apps = f"/apis/apps/v1/namespaces/{where}"
    hook = http("GET", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard-of-hold")
    return {
        "web": http("GET", f"{apps}/deployments/web")["spec"]["replicas"],
        "database": http("GET", f"{apps}/deployments/database")["spec"]["replicas"],
        "store": http("GET", f"{apps}/statefulsets/store")["spec"]["replicas"],
        "agent": http("GET", f"{apps}/daemonsets/agent")["spec"]["template"]["spec"].get("nodeSelector"),
        "nightly": http("GET", f"/apis/batch/v1beta1/namespaces/{where}/cronjobs/nightly")["spec"]["suspend"],
        "once": http("GET", f"/apis/batch/v1/namespaces/{where}/jobs/once")["spec"]["parallelism"],
        "gitops": http("GET", f"/apis/argoproj.io/v1/namespaces/{where}/applications/gitops")["spec"]["syncPolicy"],
        "guard": hook["webhooks"][0]["failurePolicy"],
    }


def remove_webhook(plane) -> None:
    with asking(plane) as http:
        http("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard-of-hold")


def test_a_cluster_comes_up_at_rest_and_runs_after_its_release(control_plane, tmp_path) -> None:
    options = options_for(control_plane, tmp_path, hold=True, hold_except=(f"{NS}/data*",))
    source = point(objects(NS))
    outcome = restore(options, source)
    assert not outcome.failed
    with asking(control_plane) as http:
        assert state(http, NS) == {
            "web": 0,
            "database": 1,
            "store": 0,
            "agent": {HELD: "true"},
            "nightly": True,
            "once": 0,
            "gitops": {},
            "guard": "Ignore",
        }
        exact = point(as_captured(http, objects(NS)))
        again = restore(options, exact, "s2")
        assert not again.applied, "what is held already is not touched again"
        assert len(again.unchanged) == len(objects(NS))
        assert release(options) == 8
        running = {
            "web": 3,
            "database": 1,
            "store": 2,
            "agent": None,
            "nightly": False,
            "once": 2,
            "gitops": {"automated": {"prune": True}},
            "guard": "Fail",
        }
        assert state(http, NS) == running
        assert release(options) == 0, "nothing is held any more"
        assert state(http, NS) == running
    remove_webhook(control_plane)


def test_a_release_that_was_cut_short_goes_on_where_it_stopped(control_plane, tmp_path) -> None:
    where = "hold-2"
    options = options_for(control_plane, tmp_path, hold=True)
    restore(options, point([namespace(where), *[workload("Deployment", f"d{n}", where, n + 1) for n in range(6)]]))
    path = f"/apis/apps/v1/namespaces/{where}/deployments"
    with asking(control_plane) as http:
        for name in ("d0", "d3"):  # as far as the first release got
            live = http("GET", f"{path}/{name}")
            patch = release_patch(live)
            del patch["metadata"]["resourceVersion"]  # its controller may have written the status just now
            http("PATCH", f"{path}/{name}", patch, content_type="application/merge-patch+json")
        assert release(options) == 4
        assert {each["metadata"]["name"]: each["spec"]["replicas"] for each in http("GET", path)["items"]} == {
            f"d{n}": n + 1 for n in range(6)
        }


def test_a_release_by_a_user_who_may_not_is_told_and_can_be_made_later(control_plane, kubeconfig_for, tmp_path) -> None:
    where = "hold-3"
    allowed = options_for(control_plane, tmp_path, hold=True)
    restore(allowed, point([namespace(where), workload("Deployment", "d", where, 2)]))
    with asking(control_plane) as http:
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
        http(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            obj("rbac.authorization.k8s.io/v1", "ClusterRole", "hold-reader", rules=rules),
        )
        binding = obj(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "hold-reader",
            subjects=[{"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}],
            roleRef={"kind": "ClusterRole", "name": "hold-reader", "apiGroup": "rbac.authorization.k8s.io"},
        )
        http("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        reader = allowed.model_copy(update={"kubeconfig": kubeconfig_for(control_plane, user="reader")})
        with pytest.raises(
            LoadFailed, match=r'1 objects are still held: Deployment.apps hold-3/d: .*"reader" cannot patch'
        ):
            release(reader)
        assert http("GET", f"/apis/apps/v1/namespaces/{where}/deployments/d")["spec"]["replicas"] == 0
        assert release(allowed) == 1
        assert http("GET", f"/apis/apps/v1/namespaces/{where}/deployments/d")["spec"]["replicas"] == 2


def test_a_workload_whose_replicas_another_manager_owns_is_held_and_gets_the_others_value_back(
    control_plane, tmp_path
) -> None:
    where = "hold-4"
    path = f"/apis/apps/v1/namespaces/{where}/deployments/d"
    options = options_for(control_plane, tmp_path, hold=True)
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        theirs = workload("Deployment", "d", where, 5)
        http("PATCH", f"{path}?fieldManager=somebody", theirs, content_type="application/apply-patch+yaml")
        outcome = restore(options, point([namespace(where), workload("Deployment", "d", where, 3)]))
        [conflicts] = outcome.left.values()
        assert [str(each) for each in conflicts] == [".spec.replicas is somebody's"]
        assert http("GET", path)["spec"]["replicas"] == 0
        assert release(options) == 1
        assert http("GET", path)["spec"]["replicas"] == 5


def test_workloads_behind_webhooks_run_first_and_the_others_when_these_answer(control_plane, tmp_path) -> None:
    """With a node, and a Pod that is bound to it and made ready by hand: nothing runs Pods here."""
    where = "hold-5"
    guard = webhook("guard-of-hold", where, failurePolicy="Fail")
    objects = [
        obj("v1", "Namespace", where, metadata={"labels": {"guarded": "yes"}}),
        workload("Deployment", "web", where, 3),
        workload("Deployment", "hook", where, 1, {"app": "hook"}),
        obj(
            "v1",
            "Service",
            "hook",
            where,
            spec={"selector": {"app": "hook"}, "ports": [{"port": 443, "protocol": "TCP"}]},
        ),
        guard,
    ]
    options = options_for(control_plane, tmp_path, hold=True)
    restore(options, point(objects))
    web = f"/apis/apps/v1/namespaces/{where}/deployments/web"
    with asking(control_plane) as http, ThreadPoolExecutor(1) as pool:
        http("POST", "/api/v1/nodes", obj("v1", "Node", "node-of-hold"))
        try:
            releasing = pool.submit(release, options)
            pod = await_pod(http, where)
            time.sleep(2)
            assert http("GET", web)["spec"]["replicas"] == 0, "nobody answers for the webhook yet"
            assert http("GET", live_path(guard))["webhooks"][0]["failurePolicy"] == "Ignore"
            make_ready(http, f"/api/v1/namespaces/{where}/pods/{pod}", node="node-of-hold")
            assert releasing.result(timeout=options.established_seconds / 2) == 3, "it did not wait in vain"
            assert http("GET", web)["spec"]["replicas"] == 3
            assert http("GET", live_path(guard))["webhooks"][0]["failurePolicy"] == "Fail"
        finally:
            http("DELETE", "/api/v1/nodes/node-of-hold")
            remove_webhook(control_plane)


def make_ready(http: Http, pod: str, *, node: str) -> None:
    """What a scheduler and a kubelet would do; a Pod without a node is no endpoint."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    http("POST", f"{pod}/binding", obj("v1", "Binding", pod.rpartition("/")[2], target=target))
    ready = {"phase": "Running", "podIP": "192.0.2.7", "conditions": [{"type": "Ready", "status": "True"}]}
    http("PATCH", f"{pod}/status", {"status": ready}, content_type="application/merge-patch+json")


def await_pod(http: Http, where: str) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if pods := http("GET", f"/api/v1/namespaces/{where}/pods?labelSelector=app%3Dhook")["items"]:
            return str(pods[0]["metadata"]["name"])
        time.sleep(0.1)
    raise AssertionError("no Pod was made")
