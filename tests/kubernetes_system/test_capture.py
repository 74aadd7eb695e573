"""What a capture of a real cluster gives, twice and after a restore by kubectl alone; facts, ids, heartbeats, git."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest
from tests.kubernetes_system.cluster import Http, Manifest, kubectl

from drkeeper import clock
from drkeeper.errors import ToolMissing
from drkeeper.facts import Check, Facts, compare, findings
from drkeeper.heartbeat import Heartbeat
from drkeeper.sandbox.kubernetes import ControlPlane
from drkeeper.systems import Noticing, System, load_kind
from drkeeper.systems._kubernetes.answers import ApiError
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.documents import object_path, read_documents
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems.kubernetes import Kubernetes, open_system


def thing(api_version: str, kind: str, name: str, **rest: Any) -> Manifest:
    metadata = {"name": name, **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


TEMPLATE = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "example.com/a:1", "env": [{"name": "ON", "value": "yes"}]}]},
}
SELECTOR = {"matchLabels": {"app": "a"}}
TEXT = "a: 1\n\nb: 'two'  # three\n"
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader:x"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
BACKEND = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "plain", "port": {"number": 80}}}}
POD = {**TEMPLATE["spec"], "restartPolicy": "Never"}
# Each has something that the cluster fills in, or that YAML may spoil.
OBJECTS = [
    thing("v1", "ConfigMap", "texts", data={"conf": TEXT, "yes": "no", "n": "1.10", "crlf": "a\r\nb", "uni": "ü\u2028"}),
    thing("v1", "Secret", "password", stringData={"password": "hunter2-hunter2"}),
    thing("v1", "ServiceAccount", "worker"),
    thing("v1", "Service", "plain", spec={"selector": {"app": "a"}, "ports": [{"port": 80}]}),
    thing("v1", "Service", "headless", spec={"clusterIP": "None", "selector": {"app": "a"}, "ports": [{"port": 80}]}),
    thing("v1", "Service", "given-port", spec={"type": "NodePort", "selector": {"app": "a"}, "ports": [{"port": 80}]}),
    thing("v1", "PersistentVolumeClaim", "data", spec=CLAIM),
    thing("rbac.authorization.k8s.io/v1", "Role", "reader:x", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    thing("rbac.authorization.k8s.io/v1", "RoleBinding", "reader:x", roleRef=ROLE, subjects=[{"kind": "ServiceAccount", "name": "worker"}]),
    thing("apps/v1", "Deployment", "web", spec={"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}),
    thing("apps/v1", "DaemonSet", "agent", spec={"selector": SELECTOR, "template": TEMPLATE}),
    thing(
        "apps/v1",
        "StatefulSet",
        "db",
        spec={
            "serviceName": "headless",
            "replicas": 0,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": CLAIM}],
        },
    ),
    thing("batch/v1", "Job", "once", spec={"template": {"spec": POD}}),
    thing("v1", "Pod", "bare", spec=POD),
    thing("networking.k8s.io/v1", "Ingress", "web", spec={"rules": [{"host": "a.example.com", "http": {"paths": [BACKEND]}}]}),
    thing("autoscaling/v1", "HorizontalPodAutoscaler", "web", spec={"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
]  # fmt: skip


@dataclass
class Capture:
    streams: dict[str, bytes]
    facts: Facts
    findings: tuple[Check, ...]

    @property
    def manifests(self) -> dict[str, Manifest]:
        return {each.path: each.manifest for each in read_documents([self.streams["manifests.yaml"]])}


def capture(options: Options) -> Capture:
    with Kubernetes("cluster", options).freeze() as view:
        assert isinstance(view, Noticing)
        streams = {stream.name: b"".join(stream.chunks) for stream in view.streams()}
        return Capture(streams, view.facts(), view.findings)


def of_namespace(plane: ControlPlane, namespace: str, **more: Any) -> Options:
    narrow = {"namespaces": (namespace,), "cluster_scoped": False, "heartbeat_namespace": namespace}
    return Options(**{"kubeconfig": plane.kubeconfig, **narrow, **more})


def fill(plane: ControlPlane, namespace: str) -> None:
    with Cluster.open(Options(kubeconfig=plane.kubeconfig)) as cluster:
        kinds = {(kind.api_version, kind.kind): kind for kind in cluster.kinds()}
        cluster.create("/api/v1/namespaces", thing("v1", "Namespace", namespace))
        for each in OBJECTS:
            kind = kinds[each["apiVersion"], each["kind"]]
            subjects = [{**subject, "namespace": namespace} for subject in each.get("subjects", ())]
            create(cluster, kind.path(namespace), {**each, **({"subjects": subjects} if subjects else {})})


def create(cluster: Cluster, path: str, manifest: Manifest) -> None:
    """Pods are refused until the controllers have given the new namespace's account its token."""
    until = clock.monotonic_seconds() + 30
    while True:
        try:
            cluster.create(path, manifest)
        except ApiError as error:
            if "No API token found" not in error.message or clock.monotonic_seconds() > until:
                raise
            clock.sleep(0.1)
        else:
            return


def settle(plane: ControlPlane, namespace: str) -> None:
    """Wait for what controllers make of the objects: the capture must leave all of that out."""
    until = clock.monotonic_seconds() + 60
    with Http(plane) as http:
        while clock.monotonic_seconds() < until:
            pods = [each["metadata"]["name"] for each in http("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]]
            web = http("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
            seen = web.get("status", {}).get("observedGeneration")
            if (
                any(name.startswith("web-") for name in pods)
                and any(name.startswith("once-") for name in pods)
                and seen
            ):
                return
            clock.sleep(0.2)
    raise AssertionError(f"controllers made nothing in {namespace}")


SECRETS = {"recipients": (str(pyrage.x25519.Identity.generate().to_public()),), "key": "k" * 40}


@pytest.fixture(scope="module")
def filled(control_plane: ControlPlane) -> ControlPlane:
    fill(control_plane, "captured")
    settle(control_plane, "captured")
    return control_plane


def test_each_object_is_captured_once_and_nothing_that_the_cluster_made_of_it(filled: ControlPlane) -> None:
    found = capture(of_namespace(filled, "captured", secrets=SECRETS))
    names = [(each["kind"], each["metadata"]["name"]) for each in found.manifests.values()]
    assert sorted(names) == sorted((each["kind"], each["metadata"]["name"]) for each in OBJECTS)
    assert found.facts.info["left_out.made-by-its-controller"] >= 3, "ReplicaSet, its Pod, the Job's Pod"
    assert found.findings == ()


def test_paths_follow_the_restore_order_and_name_the_objects(filled: ControlPlane) -> None:
    found = capture(of_namespace(filled, "captured", secrets=SECRETS))
    assert [object_path(each) for each in found.manifests.values()] == list(found.manifests)
    kinds = [each["kind"] for each in found.manifests.values()]
    assert kinds.index("Secret") < kinds.index("ConfigMap") < kinds.index("PersistentVolumeClaim") < kinds.index("Job")
    assert "namespaces/captured/role/reader%3Ax.yaml" in found.manifests


def test_nothing_of_the_servers_own_and_no_secret_is_in_the_bytes(filled: ControlPlane) -> None:
    found = capture(of_namespace(filled, "captured", secrets=SECRETS))
    text = found.streams["manifests.yaml"]
    for word in (b"resourceVersion", b"managedFields", b"creationTimestamp", b"\nstatus:", b"  uid:", b"nodePort"):
        assert word not in text
    for word in (b"hunter2", b"aHVudGVyMi1odW50ZXIy", b"controller-uid"):
        assert word not in text
    assert b"clusterIP: None" in text


def test_an_unchanged_cluster_gives_the_very_same_bytes(filled: ControlPlane) -> None:
    first = capture(of_namespace(filled, "captured", secrets=SECRETS))
    pages_of_two = capture(of_namespace(filled, "captured", secrets=SECRETS, page_size=2))
    assert first.streams == pages_of_two.streams
    assert first.facts.exact == pages_of_two.facts.exact


def test_what_kubectl_restores_is_captured_with_the_same_bytes(control_plane: ControlPlane) -> None:
    fill(control_plane, "lost")
    settle(control_plane, "lost")
    before = capture(of_namespace(control_plane, "lost"))
    kubectl(control_plane, "delete", "namespace", "lost", "--wait", "--timeout=100s")
    kubectl(control_plane, "create", "namespace", "lost")
    text = before.streams["manifests.yaml"].decode()
    kubectl(control_plane, "apply", "--server-side", "-f", "-", stdin=text)
    settle(control_plane, "lost")
    after = capture(of_namespace(control_plane, "lost"))
    assert before.streams["manifests.yaml"] == after.streams["manifests.yaml"]
    assert before.facts.exact == after.facts.exact
    assert before.streams["uids.tsv"] != after.streams["uids.tsv"]


def test_uids_are_those_of_the_live_objects(filled: ControlPlane) -> None:
    found = capture(of_namespace(filled, "captured", secrets=SECRETS))
    lines = [line.split("\t") for line in found.streams["uids.tsv"].decode().splitlines()]
    assert [path for _, path in lines] == list(found.manifests)
    with Http(filled) as http:
        live = http("GET", "/api/v1/namespaces/captured/services/plain")["metadata"]["uid"]
    assert [live, "namespaces/captured/service/plain.yaml"] in lines


def test_a_policy_without_secrets_leaves_them_out(filled: ControlPlane) -> None:
    assert "Secret" not in {each["kind"] for each in capture(of_namespace(filled, "captured")).manifests.values()}


def test_facts_of_the_live_cluster_meet_the_witness_once_drkeeper_has_applied_it(control_plane: ControlPlane) -> None:
    with Http(control_plane) as http:
        http("POST", "/api/v1/namespaces", {"metadata": {"name": "facts"}})
        http("POST", "/api/v1/namespaces/facts/configmaps", {"metadata": {"name": "one"}, "data": {"a": "1", "b": "1"}})
    options = of_namespace(control_plane, "facts", kinds=("configmaps",))
    before = capture(options)
    system = Kubernetes("cluster", options)
    strangers = {check.subject: check for check in compare(before.facts, system.facts(before.facts))}
    assert strangers["digest.configmaps"].verdict == "not checked", "nothing there is ours yet"
    with Cluster.open(options) as cluster:
        for manifest in before.manifests.values():
            cluster.apply(f"/api/v1/namespaces/facts/configmaps/{manifest['metadata']['name']}", manifest, force=True)
    assert {check.verdict for check in compare(before.facts, system.facts(before.facts))} == {"passed"}
    with Http(control_plane) as http:
        http("POST", "/api/v1/namespaces/facts/configmaps", {"metadata": {"name": "stranger"}})
    assert not findings(compare(before.facts, system.facts(before.facts))), "what was there besides is no fault"
    kubectl(control_plane, "patch", "configmap", "one", "-n", "facts", "-p", '{"data": {"a": "2"}}')
    failed = findings(compare(before.facts, system.facts(before.facts)))
    assert [check.subject for check in failed] == ["digest.configmaps"]


def test_a_heartbeat_is_written_read_and_kept_apart_from_the_manifests(control_plane: ControlPlane) -> None:
    with Http(control_plane) as http:
        http("POST", "/api/v1/namespaces", {"metadata": {"name": "beats"}})
    options = of_namespace(control_plane, "beats")
    system = Kubernetes("cluster", options)
    assert system.newest_beat() is None
    streams = []
    for sequence in (1, 2):
        mark = Heartbeat(at=datetime(2026, 11, 23, 20, sequence, tzinfo=UTC), sequence=sequence)
        system.beat(mark)
        assert system.newest_beat() == mark
        streams.append(capture(options).streams)
    assert streams[0]["manifests.yaml"] == streams[1]["manifests.yaml"]
    assert streams[0]["uids.tsv"] == streams[1]["uids.tsv"]
    (beat,) = read_documents([streams[1]["heartbeat.yaml"]])
    assert beat.manifest["data"]["sequence"] == "2"
    elsewhere = capture(of_namespace(control_plane, "beats", kinds=("services",)))
    assert elsewhere.streams["heartbeat.yaml"] == streams[1]["heartbeat.yaml"], "found even where the walk passes it by"


def test_each_capture_that_changes_something_is_one_commit(filled: ControlPlane, tmp_path: Path) -> None:
    repository = tmp_path / "r.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    options = of_namespace(filled, "captured", secrets=SECRETS, git={"url": str(repository), "branch": "main"})
    first, second = capture(options), capture(options)
    assert first.facts.info["git.pushed"] is True
    assert first.facts.info["git.commit"] == second.facts.info["git.commit"]

    def git(*argv: str) -> str:
        return subprocess.run(["git", "-C", str(repository), *argv], check=True, capture_output=True, text=True).stdout

    assert git("rev-list", "--count", "main").strip() == "1"
    assert git("ls-tree", "-r", "--name-only", "main").split() == sorted(first.manifests)
    assert git("show", "main:namespaces/captured/service/plain.yaml").startswith("apiVersion: v1\nkind: Service\n")


def test_an_unreachable_remote_leaves_the_commit_in_the_vault(filled: ControlPlane, tmp_path: Path) -> None:
    options = of_namespace(filled, "captured", git={"url": str(tmp_path / "nowhere.git")})
    found = capture(options)
    assert found.facts.info["git.pushed"] is False
    assert found.streams["commit.bundle"].startswith(b"# v2 git bundle\n")
    assert [(check.subject, check.severity) for check in found.findings] == [("git", "warning")]


def test_a_forbidden_kind_stays_in_git_as_it_was(
    control_plane: ControlPlane, kubeconfig_for: Callable[..., Path], tmp_path: Path
) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/halved"
    subject = {"kind": "User", "name": "half-reader", "apiGroup": "rbac.authorization.k8s.io"}
    with Http(control_plane) as http:
        http("POST", "/api/v1/namespaces", {"metadata": {"name": "halved"}})
        http("POST", "/api/v1/namespaces/halved/configmaps", {"metadata": {"name": "a"}, "data": {"a": "1"}})
        http(
            "POST", "/api/v1/namespaces/halved/services", {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 1}]}}
        )
        rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}
        http("POST", f"{rbac}/roles", {"metadata": {"name": "half-reader"}, "rules": [rule]})
        reference = {"kind": "Role", "name": "half-reader", "apiGroup": "rbac.authorization.k8s.io"}
        http(
            "POST",
            f"{rbac}/rolebindings",
            {"metadata": {"name": "half-reader"}, "roleRef": reference, "subjects": [subject]},
        )
    repository = tmp_path / "r.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    more = {"kinds": ("configmaps", "services"), "git": {"url": str(repository)}}
    whole = capture(of_namespace(control_plane, "halved", **more))
    less = of_namespace(
        control_plane, "halved", **{**more, "kubeconfig": kubeconfig_for(control_plane, user="half-reader")}
    )
    half = capture(less)
    assert [check.subject for check in half.findings] == ["configmaps"]
    assert "a Role of namespace halved" in half.findings[0].remedy
    assert half.facts.info["git.commit"] == whole.facts.info["git.commit"], (
        "nothing is said to be gone that was not read"
    )


# --- the kind ---------------------------------------------------------------------------------------------------


def test_the_kind_is_found_by_its_name_and_connects_to_nothing(tmp_path: Path) -> None:
    kind = load_kind("kubernetes")
    system = kind.open_system("cluster", kind.options(kubeconfig=tmp_path / "none"))
    assert isinstance(system, System)


def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drkeeper.systems.kubernetes.find_spec", lambda name: None if name == "dulwich" else name)
    with pytest.raises(ToolMissing, match="dulwich") as caught:
        open_system("cluster", Options())
    assert "drkeeper[kubernetes]" in caught.value.hint


def test_the_server_is_asked_what_it_serves_in_preferred_versions(control_plane: ControlPlane) -> None:
    with Cluster.open(Options(kubeconfig=control_plane.kubeconfig)) as cluster:
        kinds = cluster.kinds()
        assert cluster.version().startswith("v1.")
    labels = [kind.label for kind in kinds]
    assert len(labels) == len(set(labels))
    assert {"configmaps", "deployments.apps", "cronjobs.batch", "ingresses.networking.k8s.io"} <= set(labels)
    assert {kind.version for kind in kinds if kind.label == "deployments.apps"} == {"v1"}
