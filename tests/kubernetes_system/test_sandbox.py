"""The throw-away control plane: it comes up, is closed to others, survives its own crash, and leaves nothing behind."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kubernetes_system.cluster import kubectl
from tests.kubernetes_system.conftest import StartControlPlane, start_or_skip

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import SystemUnreachable, ToolMissing
from drkeeper.sandbox import start_sandbox
from drkeeper.sandbox._kubernetes_programs import controllers_off
from drkeeper.sandbox.kubernetes import ControlPlane


def test_kubectl_sees_a_namespace_with_its_account(control_plane: ControlPlane):
    assert "default" in kubectl(control_plane, "get", "serviceaccounts", "-n", "default", "-o", "name")


def test_a_deployment_gets_its_pods(control_plane: ControlPlane):
    kubectl(control_plane, "create", "namespace", "sandbox-pods")
    kubectl(control_plane, "create", "deployment", "web", "--image=none", "--replicas=2", "-n", "sandbox-pods")
    assert _soon(lambda: kubectl(control_plane, "get", "pods", "-n", "sandbox-pods", "-o", "name").count("pod/") == 2)


def test_a_new_user_may_nothing_until_rbac_says_so(control_plane: ControlPlane, kubeconfig_for: Callable[..., Path]):
    ann = kubeconfig_for(control_plane, user="ann")
    assert "Forbidden" in kubectl(ann, "get", "secrets", check=False)
    kubectl(control_plane, "create", "clusterrolebinding", "ann-views", "--clusterrole=cluster-admin", "--user=ann")
    assert _soon(lambda: "Forbidden" not in kubectl(ann, "get", "secrets", check=False))


def test_a_token_of_an_account_is_that_account(control_plane: ControlPlane, kubeconfig_for: Callable[..., Path]):
    account = kubeconfig_for(control_plane, account="default/default")
    assert "system:serviceaccount:default:default" in kubectl(account, "get", "secrets", check=False)


def test_no_file_of_it_is_open_to_others(control_plane: ControlPlane):
    secret = [*control_plane.folder.glob("*.kubeconfig"), *control_plane.folder.glob("credentials/*")]
    assert len(secret) > 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in secret} == {0o600}
    assert stat.S_IMODE((control_plane.folder / "etcd").stat().st_mode) == 0o700


def test_no_command_line_holds_a_secret(control_plane: ControlPlane):
    for process_id in control_plane.process_ids:
        command = Path(f"/proc/{process_id}/cmdline").read_text()
        assert "PRIVATE KEY" not in command
        assert "token" not in command.lower()


def test_started_again_it_still_has_its_objects_and_users(tmp_path: Path):
    first = start_or_skip(tmp_path / "plane")
    ann = first.add_user("ann").read_text()
    kubectl(first, "create", "configmap", "kept", "--from-literal=a=1")
    first.stop()
    second = start_or_skip(tmp_path / "plane")
    try:
        assert kubectl(second, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
        assert _user(second.add_user("ann").read_text()) == _user(ann)
    finally:
        second.kill()


def test_the_api_server_crashes_and_comes_back(empty_control_plane: StartControlPlane):
    plane = empty_control_plane()
    kubectl(plane, "create", "configmap", "kept", "--from-literal=a=1")
    port, process_id = plane.port, plane.process_id
    plane.stop_api_server(by_force=True)
    with pytest.raises(SystemUnreachable):
        plane.request("GET", "/version")
    plane.start_api_server()
    assert plane.port == port
    assert plane.process_id != process_id
    assert kubectl(plane, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nothing_of_it_is_left_though_one_server_died_before(tmp_path: Path, how: str):
    plane = start_or_skip(tmp_path / "plane", controllers=False)
    process_ids = plane.process_ids
    os.kill(process_ids[0], 9)
    getattr(plane, how)()
    getattr(plane, how)()  # twice is fine
    assert [each for each in process_ids if _runs(each)] == []


def test_a_webhook_is_not_called_in_a_drill(tmp_path: Path):
    plane = start_or_skip(tmp_path / "plane", controllers=False, webhooks=False)
    try:
        plane.request("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", _refuses_all())
        assert "created" in kubectl(plane, "create", "configmap", "a")
    finally:
        plane.kill()


def test_a_taken_port_is_told_with_the_log(tmp_path: Path, control_plane: ControlPlane):
    with pytest.raises(SystemUnreachable, match="no free port"):
        start_or_skip(tmp_path / "plane", controllers=False, port=control_plane.port)


def test_a_flag_that_the_server_does_not_know_is_told_with_the_log(tmp_path: Path, control_plane: ControlPlane):
    with pytest.raises(SystemUnreachable, match="no-such-flag"):
        start_or_skip(tmp_path / "plane", controllers=False, flags=["--no-such-flag"])


def test_without_its_programs_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("drkeeper.sandbox._kubernetes_programs.ENVTEST_FOLDER", tmp_path)
    with pytest.raises(ToolMissing, match="etcd, kube-apiserver") as missing:
        start_sandbox("kubernetes", tmp_path / "plane")
    assert "KUBEBUILDER_ASSETS" in missing.value.hint


def test_the_controllers_of_volumes_are_off_because_they_would_delete_folders_here(control_plane: ControlPlane):
    command = Path(f"/proc/{control_plane.process_ids[-1]}/cmdline").read_text()
    assert re.search(r"--controllers=\*,-persistentvolume-binder(-controller)?,", command)


def test_controllers_are_turned_off_by_the_names_of_their_version():
    old = "All controllers: attachdetach, persistentvolume-binder, service, ttl\nDisabled-by-default controllers: route"
    assert controllers_off(old) == ("persistentvolume-binder", "attachdetach", "service")
    new = (
        "All controllers: persistentvolume-binder-controller, service-lb-controller\nDisabled-by-default controllers: x"
    )
    assert controllers_off(new) == ("persistentvolume-binder-controller", "service-lb-controller")


def _refuses_all() -> dict[str, object]:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}
    hook = {
        "name": "no.example.org",
        "rules": [rule],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    metadata = {"name": "refuses"}
    kind = "ValidatingWebhookConfiguration"
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "webhooks": [hook]}


def _user(kubeconfig: str) -> str:
    return kubeconfig.partition('"users"')[2]


def _runs(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _soon(happens: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = monotonic_seconds() + seconds
    while monotonic_seconds() < deadline:
        if happens():
            return True
        sleep(0.1)
    return False
