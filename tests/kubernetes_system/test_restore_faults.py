"""What goes wrong while a cluster is brought back. Each fault is shown to have struck."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest
from tests.kubernetes_system.cluster import Answer, Http, Manifest
from tests.kubernetes_system.hooks import refusing
from tests.kubernetes_system.injecting_proxy import Injected, InjectingProxy, status
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

from drkeeper.errors import LoadFailed, SystemUnreachable, VerificationFailed
from drkeeper.systems._kubernetes import load
from drkeeper.systems._kubernetes.apply import switch
from drkeeper.systems._kubernetes.release import release

ADMISSION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def there(http: Http, manifest: Manifest) -> bool:
    try:
        http("GET", live_path(manifest))
    except Answer as answer:
        if answer.status == 404:
            return False
        raise
    return True


def count(http: Http, where: str, kind: str = "configmaps") -> int:
    items = http("GET", f"/api/v1/namespaces/{where}/{kind}")["items"]
    return len([each for each in items if each["metadata"]["name"].startswith("c")])


def test_a_definition_that_never_becomes_established_is_named_with_its_condition(control_plane, tmp_path) -> None:
    where = "faults-1"
    with asking(control_plane) as http:
        http(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition("taken", "Taken", "faults.example"),
        )
    late = definition("late", "Late", "faults.example", singular="taken")
    objects = [namespace(where), late, obj("faults.example/v1", "Late", "one", where), config_map("c", where, a="1")]
    started = time.monotonic()
    with pytest.raises(LoadFailed) as failed:
        restore(options_for(control_plane, tmp_path, established_seconds=4), point(objects))
    assert time.monotonic() - started < 40
    told = str(failed.value)
    assert "late.faults.example: not Established after 4 s: NamesAccepted is False" in told
    assert '"taken" is already in use' in told
    assert "Late.faults.example faults-1/one: faults.example/v1 is not served" in told
    assert "live now: 3 applied" in told
    with asking(control_plane) as http:
        assert there(http, config_map("c", where)), "the others go on"
        http("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/taken.faults.example")
    outcome = switch("cluster", options_for(control_plane, tmp_path, established_seconds=60), "s1")
    assert not outcome.failed
    with asking(control_plane) as http:
        assert http("GET", f"/apis/faults.example/v1/namespaces/{where}/late/one")


def test_what_a_webhook_refuses_is_named_with_its_words_and_the_others_go_on(control_plane, tmp_path) -> None:
    where = "faults-2"
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    ]
    selector = {"matchLabels": {"faults": "two"}}
    objects = [
        obj("v1", "Namespace", where, metadata={"labels": {"faults": "two"}}),
        *[config_map(name, where, a="1") for name in ("c-good", "c-bad", "c-fine")],
    ]
    with asking(control_plane) as http, refusing(control_plane) as (client, asked):
        hook = {
            "name": "faults.example.com",
            "clientConfig": client,
            "rules": rules,
            "namespaceSelector": selector,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }
        http(
            "POST",
            ADMISSION,
            obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "faults-2", webhooks=[hook]),
        )
        try:
            with pytest.raises(
                LoadFailed, match=r"did not take 1 objects: ConfigMap faults-2/c-bad: .*names must be good"
            ) as failed:
                restore(options_for(control_plane, tmp_path), point(objects))
        finally:
            http("DELETE", f"{ADMISSION}/faults-2")
        assert asked.count("c-bad") >= 2, "it is tried once more at the end"
        assert "--resume" in failed.value.hint
        assert count(http, where) == 2
        outcome = switch("cluster", options_for(control_plane, tmp_path), "s1")
        assert [target.name for target in outcome.applied] == ["c-bad"]
        assert count(http, where) == 3


def test_webhooks_without_anybody_behind_them_come_last_and_held_they_refuse_nothing(control_plane, tmp_path) -> None:
    """Both halves of the reason: with Fail everything is refused once they are there, with hold nothing is."""
    where = "faults-3"
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    service = {"service": {"name": "nobody", "namespace": where}}
    hook = {
        "name": "w.example.com",
        "clientConfig": service,
        "rules": rules,
        "namespaceSelector": {"matchLabels": {"faults": "three"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "failurePolicy": "Fail",
    }
    webhook = obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "faults-3", webhooks=[hook])
    objects = [
        obj("v1", "Namespace", where, metadata={"labels": {"faults": "three"}}),
        *[config_map(f"c{number}", where, a="1") for number in range(5)],
        workload("Deployment", "web", where, 2),
        webhook,
    ]
    with asking(control_plane) as http:
        try:
            held = options_for(control_plane, tmp_path, hold=True)
            assert not restore(held, point(objects)).failed
            again = [*objects, config_map("c-new", where, a="1")]
            assert not restore(held, point(again), "s2").failed
            assert release(held) == 2
            assert http("GET", live_path(workload("Deployment", "web", where)))["spec"]["replicas"] == 2
            assert http("GET", f"{ADMISSION}/faults-3")["webhooks"][0]["failurePolicy"] == "Fail"
            with pytest.raises(Answer, match="failed calling webhook"):
                http("POST", f"/api/v1/namespaces/{where}/configmaps", config_map("c-refused", where))
            exact = point(as_captured(http, objects))
            unchanged = restore(options_for(control_plane, tmp_path), exact, "s3")
            assert not unchanged.applied, "a resume does not run into the webhooks that are there already"
        finally:
            http("DELETE", f"{ADMISSION}/faults-3")


def test_webhooks_that_outlived_those_who_answered_for_them_do_not_stop_the_restore_that_brings_them_back(
    control_plane, tmp_path
) -> None:
    """The namespace was lost with all that ran in it; the webhooks, which lie outside of it, were not."""
    where = "faults-9"
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}]
    hook = {
        "name": "w.example.com",
        "clientConfig": {"service": {"name": "nobody", "namespace": where}},
        "rules": rules,
        "namespaceSelector": {"matchLabels": {"faults": "nine"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "failurePolicy": "Fail",
    }
    webhook = obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "faults-9", webhooks=[hook])
    labelled = obj("v1", "Namespace", where, metadata={"labels": {"faults": "nine"}})
    source = point([labelled, config_map("c", where, a="1"), webhook])
    with asking(control_plane) as http:
        http("POST", ADMISSION, webhook)
        try:
            running = options_for(control_plane, tmp_path, hold=False)
            with pytest.raises(LoadFailed, match=r"1 objects: ConfigMap faults-9/c: .*failed calling webhook"):
                restore(running, source)
            held = options_for(control_plane, tmp_path, hold=True)
            assert not restore(held, source, "s2").failed
            assert release(held) == 1
            assert http("GET", f"{ADMISSION}/faults-9")["webhooks"][0]["failurePolicy"] == "Fail"
        finally:
            http("DELETE", f"{ADMISSION}/faults-9")


def test_objects_that_are_too_large_or_not_valid_are_named_before_anything_changes(control_plane, tmp_path) -> None:
    where = "faults-4"
    bad_key = config_map("c-invalid", "default", **{"a b": "1"})
    large = config_map("c-large", "default", a="x" * 1_100_000)
    source = point([namespace(where), bad_key, large, config_map("c", "default", a="1")])
    with asking(control_plane) as http:
        with pytest.raises(
            LoadFailed, match=r"would refuse 2 objects: .*c-invalid.*; .*c-large.*Too long.*; nothing was changed"
        ):
            load.load("cluster", options_for(control_plane, tmp_path), source.record, source, "s1")
        assert not there(http, namespace(where))
        assert not there(http, config_map("c", "default"))
    assert not list(tmp_path.glob("*.jsonl"))


def test_an_object_that_only_the_store_finds_too_large_is_named_and_the_others_go_on(control_plane, tmp_path) -> None:
    """A dry run does not reach etcd, whose limit is 1.5 MiB."""
    where = "faults-5"
    objects = [
        definition("bulks", "Bulk", "faults5.example"),
        namespace(where),
        obj("faults5.example/v1", "Bulk", "huge", where, spec={"text": "x" * 2_000_000}),
        obj("faults5.example/v1", "Bulk", "small", where, spec={"text": "x"}),
    ]
    with pytest.raises(LoadFailed, match=r"did not take 1 objects: Bulk.faults5.example faults-5/huge: .*too large"):
        restore(options_for(control_plane, tmp_path), point(objects))
    with asking(control_plane) as http:
        assert http("GET", f"/apis/faults5.example/v1/namespaces/{where}/bulks/small")


def test_a_kind_that_we_may_not_write_is_named_and_the_others_go_on(control_plane, kubeconfig_for, tmp_path) -> None:
    where = "faults-6"
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        rules = [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["create", "patch"]},
        ]
        http(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            obj("rbac.authorization.k8s.io/v1", "ClusterRole", "faults-6", rules=rules),
        )
        subjects = [{"kind": "User", "name": "half", "apiGroup": "rbac.authorization.k8s.io"}]
        role = {"kind": "ClusterRole", "name": "faults-6", "apiGroup": "rbac.authorization.k8s.io"}
        http(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            obj("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "faults-6", subjects=subjects, roleRef=role),
        )
        half = options_for(control_plane, tmp_path, kubeconfig=kubeconfig_for(control_plane, user="half"))
        objects = [namespace(where), config_map("c", where, a="1"), workload("Deployment", "web", where, 1)]
        with pytest.raises(
            LoadFailed, match=r'1 objects: Deployment.apps faults-6/web: .*User "half" cannot patch'
        ) as failed:
            restore(half, point(objects))
        assert "live now: 1 applied, 1 equal already" in str(failed.value)
        assert there(http, config_map("c", where))


def test_a_scratch_file_that_was_changed_after_the_load_is_never_applied(control_plane, tmp_path) -> None:
    source = point([namespace("faults-7")])
    options = options_for(control_plane, tmp_path)
    load.load("cluster", options, source.record, source, "s1")
    [scratch] = tmp_path.glob("*.jsonl")
    scratch.write_bytes(scratch.read_bytes().replace(b"faults-7", b"faults-x"))
    with pytest.raises(VerificationFailed, match="is not what was loaded"):
        switch("cluster", options, "s1")
    load.discard("cluster", options, "s1")
    load.discard("cluster", options, "s1")
    assert not list(tmp_path.iterdir())


# --- kill -9 ----------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from drkeeper.systems._kubernetes.apply import switch
from drkeeper.systems._kubernetes.options import Options
switch("cluster", Options(kubeconfig=Path(sys.argv[1]), scratch=Path(sys.argv[2]), hold=True), "s1")
"""
MANY = 160


def much(where: str) -> list[Manifest]:
    group = f"{where}.example"
    return [
        definition("widgets", "Widget", group),
        namespace(where),
        *[config_map(f"c{number:03}", where, a=str(number)) for number in range(MANY)],
        *[workload("Deployment", f"d{number}", where, 2) for number in range(10)],
        *[obj(f"{group}/v1", "Widget", f"w{number}", where, spec={"n": number}) for number in range(50)],
    ]


def progress(http: Http, where: str) -> int:
    """How many objects of a restore are there."""
    paths = (
        f"/api/v1/namespaces/{where}/configmaps",
        f"/apis/apps/v1/namespaces/{where}/deployments",
        f"/apis/{where}.example/v1/namespaces/{where}/widgets",
    )
    total = 0
    for path in paths:
        try:
            names = [each["metadata"]["name"] for each in http("GET", path)["items"]]
        except Answer:
            continue
        total += len([name for name in names if name != "kube-root-ca.crt"])
    return total


@pytest.mark.parametrize("moment", [0, 30, 100, MANY + 12])
def test_a_switch_that_is_killed_is_made_again_and_gives_the_same(moment, control_plane, tmp_path) -> None:
    where = f"killed{moment}"
    everything = MANY + 10 + 50
    source = point(much(where))
    options = options_for(control_plane, tmp_path, hold=True)
    load.load("cluster", options, source.record, source, "s1")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(control_plane.kubeconfig), str(tmp_path)])
    with asking(control_plane) as http:
        until = time.monotonic() + 120
        while time.monotonic() < until and child.poll() is None:
            if there(http, namespace(where)) and progress(http, where) >= moment:
                break
        child.send_signal(signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL, "it ended before it was killed"
        reached = progress(http, where)
        assert moment <= reached < everything, "killed in its midst"
        outcome = switch("cluster", options, "s1")
        assert not outcome.failed
        assert progress(http, where) == everything
        assert len(outcome.applied) + len(outcome.unchanged) == len(much(where))
        assert release(options) == 10
        again = restore(options_for(control_plane, tmp_path), point(as_captured_all(http, where)), "s2")
        assert not again.applied


def as_captured_all(http: Http, where: str) -> list[Manifest]:
    return as_captured(http, [each for each in much(where) if each["kind"] in ("Namespace", "ConfigMap", "Deployment")])


def test_a_switch_that_was_made_is_not_made_again(control_plane, tmp_path) -> None:
    where = "faults-8"
    options = options_for(control_plane, tmp_path)
    restore(options, point([namespace(where), config_map("c", where, a="1")]))
    with asking(control_plane) as http:
        http("DELETE", live_path(config_map("c", where)))
        outcome = switch("cluster", options, "s1")
        assert not outcome.applied
        assert not there(http, config_map("c", where))
    assert [path.suffix for path in tmp_path.iterdir()] == [".done"]


# --- the server goes away -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_api_server_that_restarts_midway_is_waited_for_and_one_that_stays_away_is_told(
    empty_control_plane, tmp_path, monkeypatch
) -> None:
    where = "restarted"
    plane = empty_control_plane(controllers=False)
    options = options_for(plane, tmp_path, hold=True)
    source = point(much(where))
    load.load("cluster", options, source.record, source, "s1")
    with ThreadPoolExecutor(1) as pool:
        switching = pool.submit(switch, "cluster", options, "s1")
        await_progress(plane, where, 30)
        plane.stop_api_server(by_force=True)
        assert not switching.done(), "it was in its midst"
        plane.start_api_server()
        outcome = switching.result(timeout=120)
    assert not outcome.failed
    with asking(plane) as http:
        assert progress(http, where) == MANY + 10 + 50

    monkeypatch.setattr("drkeeper.systems._kubernetes.api.PATIENCE_SECONDS", 2.0)
    source = point(much("goneaway"))
    load.load("cluster", options, source.record, source, "s2")
    with ThreadPoolExecutor(1) as pool:
        switching = pool.submit(switch, "cluster", options, "s2")
        await_progress(plane, "goneaway", 30)
        plane.stop_api_server(by_force=True)
        with pytest.raises(SystemUnreachable, match=r"does not answer.*live now: \d+ applied") as away:
            switching.result(timeout=60)
    assert "--resume" in away.value.hint


def await_progress(plane, where: str, wanted: int) -> None:
    with asking(plane) as http:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if there(http, namespace(where)) and progress(http, where) >= wanted:
                return
    raise AssertionError("it never got so far")


class PatchingProxy(InjectingProxy):
    """Passes changes on too; one that is cut was carried out, and its answer is lost."""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(super()._handler()):  # type: ignore[misc]
            def do_PATCH(self) -> None:  # noqa: N802 - as the class wants it
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = self.path.partition("?")[0]
                with proxy._lock:
                    number = proxy._requests[plain] = proxy._requests[plain] + 1
                    injected = proxy._choose(self.path, number)
                    proxy.struck += injected is not None
                code, answer = (injected.status, injected.body) if injected and not injected.cut else (0, b"")
                if not code:
                    headers = {"Content-Type": self.headers["Content-Type"]}
                    passed = proxy._pool.request("PATCH", proxy._target + self.path, body=body, headers=headers)
                    code, answer = passed.status, passed.data
                self.send_response(code)
                for name, value in injected.headers if injected else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer[:10] if injected and injected.cut else answer)
                self.close_connection = bool(injected and injected.cut)

        return Handler


def test_a_server_that_is_too_busy_changes_its_leader_or_drops_connections_is_asked_again(
    control_plane, tmp_path
) -> None:
    where = "faults-10"
    leader = Injected(500, b'{"kind":"Status","status":"Failure","message":"etcdserver: leader changed","code":500}')
    faults = {"c0": status(429, "TooManyRequests", retry_after=1), "c1": leader, "c2": Injected(cut=True)}

    def choose(path: str, number: int) -> Injected | None:
        return faults.get(path.partition("?")[0].rpartition("/")[2]) if number == 1 and "fieldManager" in path else None

    objects = [namespace(where), *[config_map(f"c{number}", where, a="1") for number in range(5)]]
    with PatchingProxy(control_plane, tmp_path, choose) as proxy, asking(control_plane) as http:
        outcome = restore(options_for(control_plane, tmp_path, kubeconfig=proxy.kubeconfig), point(objects))
        assert not outcome.failed
        assert proxy.struck == 3
        assert count(http, where) == 5
