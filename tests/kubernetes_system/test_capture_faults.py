"""Captures while the API server restarts, sheds load, forgets, refuses, or sends more than fits: each fault is seen to strike."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.kubernetes_system.cluster import Http
from tests.kubernetes_system.conftest import StartControlPlane
from tests.kubernetes_system.injecting_proxy import Injected, InjectingProxy, status

from drkeeper import clock
from drkeeper.errors import SystemUnreachable
from drkeeper.sandbox.kubernetes import ControlPlane
from drkeeper.systems._kubernetes import api, paging
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.frozen import frozen
from drkeeper.systems._kubernetes.harvest import Harvest
from drkeeper.systems._kubernetes.options import Options

COUNT = 40
NAMES = [f"object-{number:02d}" for number in range(COUNT)]
LIST = "/api/v1/configmaps"


@pytest.fixture(scope="module")
def plane(empty_control_plane: StartControlPlane) -> ControlPlane:
    """One without controllers, whose own ConfigMaps cannot come in between."""
    started = empty_control_plane(controllers=False)
    with Http(started) as http:
        for name in NAMES:
            body = {"metadata": {"name": name}, "data": {"a": "1"}}
            http("POST", "/api/v1/namespaces/default/configmaps", body)
    return started


def options(kubeconfig: Path, **more: Any) -> Options:
    return Options(kubeconfig=kubeconfig, **{"kinds": ("configmaps",), "page_size": 5, **more})


def names(paths: Iterator[Any]) -> list[str]:
    return [each.path.rpartition("/")[2].removesuffix(".yaml") for each in paths]


# --- the server goes away -----------------------------------------------------------------------------------


def test_a_server_that_restarts_midway_costs_time_and_nothing_else(plane: ControlPlane) -> None:
    with Cluster.open(options(plane.kubeconfig)) as cluster:
        objects = Harvest(cluster, cluster.options).objects()
        first = [next(objects)]
        before = plane.process_id
        plane.stop_api_server(by_force=True)
        again = threading.Timer(1.0, plane.start_api_server)
        again.start()
        found = names(iter([*first, *objects]))
        again.join()
        assert plane.process_id != before
        assert cluster.tries_repeated > 0, "the restart was noticed"
    assert found == NAMES


def test_a_server_that_stays_away_is_named(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 2.0)
    with Cluster.open(options(plane.kubeconfig)) as cluster:
        objects = Harvest(cluster, cluster.options).objects()
        next(objects)
        plane.stop_api_server(by_force=True)
        began = clock.monotonic_seconds()
        try:
            with pytest.raises(SystemUnreachable, match="does not answer"):
                list(objects)
            assert clock.monotonic_seconds() - began < 60
        finally:
            plane.start_api_server()


def test_a_server_that_never_answered_is_not_waited_for(plane: ControlPlane, tmp_path: Path) -> None:
    nobody = tmp_path / "nobody.kubeconfig"
    nobody.write_text(plane.kubeconfig.read_text().replace(f":{plane.port}", ":1"))
    began = clock.monotonic_seconds()
    with pytest.raises(SystemUnreachable) as caught, frozen(options(nobody)):
        pass
    assert caught.value.hint
    assert clock.monotonic_seconds() - began < 10


def test_no_kubeconfig_is_told_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SystemUnreachable) as caught, frozen(options(tmp_path / "missing")):
        pass
    assert "kubeconfig" in caught.value.hint


# --- continue tokens ------------------------------------------------------------------------------------------


def compact(plane: ControlPlane, revision: int) -> None:
    """Have etcd forget all states before that revision, as it does by itself every five minutes."""
    flag = next(each for each in plane._commands["etcd"] if each.startswith("--listen-client-urls="))
    credentials = plane.folder / "credentials"
    pool = urllib3.PoolManager(
        cert_file=str(credentials / "etcd.crt"),
        key_file=str(credentials / "etcd.key"),
        ca_certs=str(credentials / "authority.crt"),
    )
    body = {"revision": revision, "physical": True}
    answer = pool.request("POST", flag.partition("=")[2] + "/v3/kv/compaction", json=body)
    assert answer.status == 200, answer.data


def test_a_list_whose_state_etcd_has_forgotten_goes_on_in_the_newest_state(plane: ControlPlane) -> None:
    with Cluster.open(options(plane.kubeconfig)) as cluster, Http(plane) as http:
        raw = paging.raw_pages(cluster, "/api/v1/namespaces/default/configmaps", {})
        pages = [paging.decoded(next(raw))]
        late = http("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "zz-late"}})
        try:
            compact(plane, int(late["metadata"]["resourceVersion"]))
            pages += [paging.decoded(page) for page in raw]
        finally:
            http("DELETE", "/api/v1/namespaces/default/configmaps/zz-late")
    found = [item["metadata"]["name"] for page in pages for item in page.items]
    assert found == [*NAMES, "zz-late"], "none twice, none missing; the late one proves that the old state was gone"
    assert len({page.resource_version for page in pages}) == 2


def test_a_list_that_has_to_begin_anew_gives_no_object_twice(plane: ControlPlane, tmp_path: Path) -> None:
    def expire_once(path: str, number: int) -> Injected | None:
        return status(410, "Expired") if path.startswith(LIST) and number == 4 else None

    with InjectingProxy(plane, tmp_path, expire_once) as proxy:
        with Cluster.open(options(proxy.kubeconfig)) as cluster:
            found = names(Harvest(cluster, cluster.options).objects())
        assert proxy.struck == 1
    assert found == NAMES


# --- load and bad lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "injected",
    [status(429, "TooManyRequests", retry_after=1), status(503, "ServiceUnavailable"), Injected(cut=True)],
    ids=["429", "503", "cut in the middle"],
)
def test_a_page_is_asked_for_again(plane: ControlPlane, tmp_path: Path, injected: Injected) -> None:
    def strike_twice(path: str, number: int) -> Injected | None:
        return injected if path.startswith(LIST) and number in (1, 4) else None

    with InjectingProxy(plane, tmp_path, strike_twice) as proxy:
        began = clock.monotonic_seconds()
        with Cluster.open(options(proxy.kubeconfig)) as cluster:
            found = names(Harvest(cluster, cluster.options).objects())
            assert cluster.tries_repeated == 2
        assert proxy.struck == 2
    assert found == NAMES
    if injected.status == 429:
        assert clock.monotonic_seconds() - began >= 2, "what the server asked for was waited"


def test_a_token_that_ends_midway_ends_the_capture(plane: ControlPlane, tmp_path: Path) -> None:
    def unknown(path: str, number: int) -> Injected | None:
        return status(401, "Unauthorized") if path.startswith(LIST) and number == 3 else None

    with InjectingProxy(plane, tmp_path, unknown) as proxy:
        with Cluster.open(options(proxy.kubeconfig)) as cluster, pytest.raises(SystemUnreachable, match="who we are"):
            list(Harvest(cluster, cluster.options).objects())
        assert proxy.struck == 1


# --- refusals ---------------------------------------------------------------------------------------------------


def test_one_forbidden_kind_is_named_with_its_rule_and_the_rest_is_captured(
    plane: ControlPlane, kubeconfig_for: Callable[..., Path]
) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}}
    subject = {"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
    with Http(plane) as http:
        http("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {**role, "rules": rules})
        http("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    policy = options(kubeconfig_for(plane, user="reader"), kinds=("configmaps", "deployments.apps"))
    with frozen(policy) as view:
        streams = {stream.name: b"".join(stream.chunks) for stream in view.streams()}
        facts, found = view.facts(), view.findings
    assert streams["manifests.yaml"].count(b"kind: ConfigMap\n") == COUNT
    assert [check.subject for check in found] == ["deployments.apps"]
    assert found[0].severity == "error"
    assert "apiGroups: [apps]" in found[0].remedy
    assert "resources: [deployments]" in found[0].remedy
    assert "verbs: [list]" in found[0].remedy
    assert "count.deployments.apps" in facts.unread
    assert facts.bounds == {"count.configmaps": (COUNT, COUNT)}


# --- size -------------------------------------------------------------------------------------------------------

_MEASURE = """
import sys
from pathlib import Path
from drkeeper.systems._kubernetes.frozen import frozen
from drkeeper.systems._kubernetes.options import Options
with frozen(Options(kubeconfig=Path(sys.argv[1]), namespaces=("large",), cluster_scoped=False)) as view:
    size = sum(len(chunk) for stream in view.streams() for chunk in stream.chunks)
# Not ru_maxrss: that counts what whoever started us had before our program began.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(size, int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
def test_objects_larger_than_a_page_may_be_fit_in_128_mib(plane: ControlPlane) -> None:
    count, size = 140, 1_000_000
    with Http(plane) as http:
        http("POST", "/api/v1/namespaces", {"metadata": {"name": "large"}})

        def create(number: int) -> None:
            body = {"metadata": {"name": f"large-{number}"}, "data": {"a": f"{number:08d}" * (size // 8)}}
            http("POST", "/api/v1/namespaces/large/configmaps", body)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(create, range(count)))
    argv = [sys.executable, "-c", _MEASURE, str(plane.kubeconfig)]
    measured = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stderr
    captured, peak_mib = measured.stdout.split()
    assert int(captured) > count * size > 128 << 20, "the whole would not have fitted"
    assert int(peak_mib) < 128
