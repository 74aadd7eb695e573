"""A hook runs a program in a container, asked of a real API server, and says how that went."""

import sys
import threading
import time
from datetime import timedelta

import pytest
from tests.kubernetes_system.kubelet import add_pod, running_kubelet

from drkeeper.deployment import rules
from drkeeper.errors import Interrupted
from drkeeper.hooks import Hook, HookFailed, call
from drkeeper.systems import Executing
from drkeeper.systems.kubernetes import Options, open_system
from drkeeper.throttle import stopped_by

NAMESPACE = "execute"


@pytest.fixture(scope="module")
def node(control_plane):
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    with running_kubelet(control_plane) as seen:
        add_pod(control_plane, NAMESPACE, "a-pending", labels={"app": "trainer"}, phase="Pending")
        add_pod(control_plane, NAMESPACE, "b-running", labels={"app": "trainer"})
        yield seen


@pytest.fixture
def cluster(control_plane, node):
    return open_system("cluster", Options(kubeconfig=control_plane.kubeconfig))


def hook(*command, timeout=20.0, **place):
    program = {
        "system": "cluster",
        "namespace": NAMESPACE,
        "command": command,
        **(place or {"selector": "app=trainer"}),
    }
    return Hook.model_validate({"exec": program, "timeout": timedelta(seconds=timeout)})


def python(script, **more):
    return hook(sys.executable, "-c", script, **more)


def test_a_cluster_can_run_programs(cluster):
    assert isinstance(cluster, Executing)


def test_the_first_running_pod_of_the_selector_runs_the_command_as_it_is(cluster, node, tmp_path):
    made = tmp_path / "made; $(here)"
    call(hook("touch", str(made)), {}, {"cluster": cluster})
    assert made.exists()
    path, asked = node[-1]
    assert path.startswith(f"/exec/{NAMESPACE}/b-running/main")
    assert asked["command"] == ["touch", str(made)]
    assert "input" not in asked


def test_a_program_that_fails_says_how_and_why(cluster):
    failing = python("import sys; print('the queue is full', file=sys.stderr); sys.exit(3)", pod="b-running")
    with pytest.raises(HookFailed, match=r"in execute/b-running exited with 3$") as failed:
        call(failing, {}, {"cluster": cluster})
    assert failed.value.said == "the queue is full"


def test_a_program_that_hangs_is_given_its_time_only(cluster):
    started = time.monotonic()
    with pytest.raises(HookFailed, match="did not end in time"):
        call(hook("sleep", "4", timeout=0.7), {}, {"cluster": cluster})
    assert time.monotonic() - started < 3


def test_a_signal_ends_the_waiting(cluster):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with stopped_by(stop), pytest.raises(Interrupted):
        call(hook("sleep", "3"), {}, {"cluster": cluster})


def test_where_no_pod_runs_nothing_is_run(cluster):
    with pytest.raises(HookFailed, match="no Pod app=nobody runs in namespace execute"):
        call(hook("true", selector="app=nobody"), {}, {"cluster": cluster})


def test_who_may_not_is_told_the_rule(control_plane, kubeconfig_for, node):
    user = open_system("cluster", Options(kubeconfig=kubeconfig_for(control_plane, user="execute-nobody")))
    with pytest.raises(HookFailed, match="we may not run programs in Pods") as failed:
        call(hook("true", pod="b-running"), {}, {"cluster": user})
    assert "resources: [pods/exec], verbs: [create, get]" in failed.value.hint


def test_the_rules_that_are_made_for_a_policy_with_such_a_hook_are_enough(control_plane, kubeconfig_for, node):
    options = Options(kubeconfig=control_plane.kubeconfig, kinds=("configmaps",))
    needed = rules({"cluster": (options, ())}, hooks=[hook("true")])
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hooks"}
    theirs = [each.manifest() for each in needed if each.namespace == NAMESPACE]
    control_plane.request("POST", f"{path}/roles", {"metadata": {"name": "hooks"}, "rules": theirs})
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "execute-ruled"}]
    binding = {"metadata": {"name": "hooks"}, "roleRef": role, "subjects": subjects}
    control_plane.request("POST", f"{path}/rolebindings", binding)
    user = open_system("cluster", Options(kubeconfig=kubeconfig_for(control_plane, user="execute-ruled")))
    deadline = time.monotonic() + 10
    while True:  # the authorizer learns of a binding a moment later
        try:
            return call(hook("true"), {}, {"cluster": user})
        except HookFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_system_that_runs_no_programs_is_named():
    with pytest.raises(HookFailed, match="no program can be run in cluster"):
        call(hook("true"), {})
