"""A cluster brought back: order, owners, conflicts, names, what a server is asked beforehand."""

from typing import Any

import pyrage
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

from drkeeper.errors import KeyMissing, LoadFailed, Refused, VerificationFailed
from drkeeper.facts import findings
from drkeeper.systems._kubernetes import load, sops
from drkeeper.systems._kubernetes.apply import switch
from drkeeper.systems._kubernetes.difference import difference
from drkeeper.systems._kubernetes.documents import document, object_path
from drkeeper.systems._kubernetes.emptiness import is_empty
from drkeeper.systems._kubernetes.id_map import id_map
from drkeeper.systems._kubernetes.options import SecretsOptions, Transform
from drkeeper.systems._kubernetes.preflight import preflight
from drkeeper.systems._kubernetes.render import render

SSA = "application/apply-patch+yaml"


def custom(kind: str, name: str, where: str = "", **rest: Any) -> Manifest:
    return obj("example.com/v1", kind, name, where, **rest)


def owned_by(kind: str, name: str, api_version: str = "example.com/v1") -> dict[str, Any]:
    return {
        "ownerReferences": [
            {"apiVersion": api_version, "kind": kind, "name": name, "controller": True, "blockOwnerDeletion": True}
        ]
    }


def uid(http: Http, manifest: Manifest) -> str:
    return str(http("GET", live_path(manifest))["metadata"]["uid"])


@pytest.fixture(scope="module")
def secrets() -> SecretsOptions:
    identity = pyrage.x25519.Identity.generate()
    return SecretsOptions(recipients=(str(identity.to_public()),), key="k" * 40, identity=str(identity))


def test_definitions_and_their_objects_namespaces_and_what_lies_in_them_come_back_in_one_go(
    control_plane, tmp_path
) -> None:
    """Owners before owned, though the owner is a custom resource and what it owns is a namespace."""
    where = "restore-1"
    profile = custom("Keeper", "ann")
    objects = [
        definition("keepers", "Keeper", scope="Cluster"),
        profile,
        obj("v1", "Namespace", where, metadata=owned_by("Keeper", "ann")),
        config_map("settings", where, a="1"),
        obj("v1", "Secret", "login", where, type="Opaque", data={"password": "c2VjcmV0"}),
        obj(
            "v1", "Service", "web", where, spec={"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}
        ),
        workload("Deployment", "web", where, 1),
    ]
    outcome = restore(options_for(control_plane, tmp_path), point(objects))
    assert not outcome.failed
    assert not outcome.ownerless
    assert len(outcome.applied) == len(objects)
    with asking(control_plane) as http:
        [owner] = http("GET", f"/api/v1/namespaces/{where}")["metadata"]["ownerReferences"]
        assert owner["uid"] == uid(http, profile)
        exact = as_captured(http, objects)
    again = restore(options_for(control_plane, tmp_path), point(exact), "s2")
    assert not again.applied
    assert len(again.unchanged) == len(objects)


def test_an_owner_that_is_nowhere_is_dropped_and_told_and_one_in_the_cluster_is_found(control_plane, tmp_path) -> None:
    where = "restore-2"
    lost = obj("v1", "ConfigMap", "lost", where, data={}, metadata=owned_by("ConfigMap", "nowhere", "v1"))
    found = obj("v1", "ConfigMap", "found", where, data={}, metadata=owned_by("ConfigMap", "there", "v1"))
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        http("POST", f"/api/v1/namespaces/{where}/configmaps", config_map("there", where, a="1"))
        outcome = restore(options_for(control_plane, tmp_path), point([lost, found]))
        assert {target.name: words for target, words in outcome.ownerless.items()} == {
            "lost": f"ConfigMap {where}/nowhere"
        }
        assert "ownerReferences" not in http("GET", live_path(lost))["metadata"]
        there = config_map("there", where)
        assert http("GET", live_path(found))["metadata"]["ownerReferences"][0]["uid"] == uid(http, there)


def test_fields_of_other_managers_are_left_and_named_and_all_the_rest_is_restored(control_plane, tmp_path) -> None:
    where = "restore-3"
    ours = config_map("shared", where, theirs="old", ours="restored", **{"with.dots": "old"})
    path = live_path(ours)
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        http(
            "PATCH",
            f"{path}?fieldManager=gitops",
            config_map("shared", where, theirs="new", **{"with.dots": "new"}),
            content_type=SSA,
        )
        outcome = restore(options_for(control_plane, tmp_path), point([ours]))
        [conflicts] = outcome.left.values()
        assert sorted(map(str, conflicts)) == [".data.theirs is gitops's", ".data.with.dots is gitops's"]
        assert http("GET", path)["data"] == {"theirs": "new", "ours": "restored", "with.dots": "new"}
        forced = restore(options_for(control_plane, tmp_path, conflicts="force"), point([ours]), "s2")
        assert not forced.left
        assert http("GET", path)["data"] == {"theirs": "old", "ours": "restored", "with.dots": "old"}


def test_existing_objects_can_be_kept(control_plane, tmp_path) -> None:
    where = "restore-4"
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        http("POST", f"/api/v1/namespaces/{where}/configmaps", config_map("there", where, a="live"))
        source = point([config_map("there", where, a="point"), config_map("gone", where, a="point")])
        outcome = restore(options_for(control_plane, tmp_path, existing="keep"), source)
        assert [target.name for target in outcome.kept] == ["there"]
        assert http("GET", live_path(config_map("there", where)))["data"] == {"a": "live"}
        assert http("GET", live_path(config_map("gone", where)))["data"] == {"a": "point"}


def test_a_namespace_arrives_under_another_name_with_all_that_refers_to_it(control_plane, tmp_path) -> None:
    account = {"kind": "ServiceAccount", "name": "sa", "namespace": "restore-5"}
    role = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    objects = [
        namespace("restore-5"),
        obj("v1", "ServiceAccount", "sa", "restore-5"),
        obj("rbac.authorization.k8s.io/v1", "RoleBinding", "b", "restore-5", subjects=[account], roleRef=role),
        config_map("c", "restore-5", a="1"),
        obj("v1", "ConfigMap", "owned", "restore-5", data={}, metadata=owned_by("ConfigMap", "c", "v1")),
    ]
    patch = ({"op": "add", "path": "/data/b", "value": "2"},)
    more = {
        "namespace_map": {"restore-5": "drill-5"},
        "transforms": (Transform(kind="configmaps", namespace="restore-5", name="c", patch=patch),),
    }
    outcome = restore(options_for(control_plane, tmp_path, **more), point(objects))
    assert not outcome.failed
    with asking(control_plane) as http:
        assert http("GET", live_path(config_map("c", "drill-5")))["data"] == {"a": "1", "b": "2"}
        binding = http("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/drill-5/rolebindings/b")
        assert binding["subjects"][0]["namespace"] == "drill-5"
        owned = http("GET", live_path(config_map("owned", "drill-5")))
        assert owned["metadata"]["ownerReferences"][0]["uid"] == uid(http, config_map("c", "drill-5"))
        names = {each["metadata"]["name"] for each in http("GET", "/api/v1/namespaces")["items"]}
        assert "restore-5" not in names


def test_two_objects_that_would_become_one_are_refused(control_plane, tmp_path) -> None:
    source = point([config_map("c", "one"), config_map("c", "two")])
    options = options_for(control_plane, tmp_path, namespace_map={"one": "two"})
    with pytest.raises(Refused, match=r"both become ConfigMap two/c; nothing was changed"):
        load.load("cluster", options, source.record, source, "s1")
    assert not list(tmp_path.iterdir())


def test_objects_whose_api_is_not_served_are_refused_by_name_or_skipped_by_name(control_plane, tmp_path) -> None:
    where = "restore-6"
    objects = [
        namespace(where),
        obj("policy/v1", "PodDisruptionBudget", "p", where, spec={}),
        obj("nowhere.example/v1", "Gadget", "g", where),
        config_map("c", where, a="1"),
    ]
    with pytest.raises(Refused) as refused:
        restore(options_for(control_plane, tmp_path), point(objects))
    assert "Gadget.nowhere.example restore-6/g: nowhere.example/v1 is not served" in str(refused.value)
    assert "policy/v1 is not served; policy/v1beta1 is" in str(refused.value)
    with asking(control_plane) as http:
        assert_no_namespace(http, where)
    outcome = restore(options_for(control_plane, tmp_path, missing_kinds="skip"), point(objects))
    assert sorted(target.name for target in outcome.skipped) == ["g", "p"]
    assert len(outcome.applied) == 2


def assert_no_namespace(http: Http, where: str) -> None:
    assert where not in {each["metadata"]["name"] for each in http("GET", "/api/v1/namespaces")["items"]}


def test_secrets_lie_encrypted_in_the_scratch_folder_and_arrive_in_plain(control_plane, tmp_path, secrets) -> None:
    where = "restore-7"
    plain = obj("v1", "Secret", "login", where, type="Opaque", data={"password": "dmVyeS1zZWNyZXQ="})
    source = point([namespace(where), sops.encrypt(plain, secrets)])
    options = options_for(control_plane, tmp_path, secrets=secrets)
    load.load("cluster", options, source.record, source, "s1")
    [scratch] = tmp_path.glob("*.jsonl")
    assert b"dmVyeS1zZWNyZXQ=" not in scratch.read_bytes()
    assert b"ENC[" in scratch.read_bytes()
    assert scratch.stat().st_mode & 0o777 == 0o600
    switch("cluster", options, "s1")
    with asking(control_plane) as http:
        live = http("GET", live_path(plain))
    assert live["data"] == plain["data"]
    assert "sops" not in live
    assert not list(tmp_path.glob("*.jsonl")), "nothing is left after the switch"
    text = "\n".join(difference(options, point([sops.encrypt({**plain, "data": {"password": "bmV3"}}, secrets)])))
    assert "(other value)" in text
    assert "bmV3" not in text
    assert "dmVyeS1zZWNyZXQ=" not in text


def test_a_secret_that_cannot_be_opened_stops_the_load(control_plane, tmp_path, secrets) -> None:
    secret = obj("v1", "Secret", "s", "restore-8", type="Opaque", data={"password": "eA=="})
    source = point([namespace("restore-8"), sops.encrypt(secret, secrets)])
    other = secrets.model_copy(update={"identity": None})
    for wrong in ({"secrets": other}, {}):
        with pytest.raises(KeyMissing):
            load.load("cluster", options_for(control_plane, tmp_path, **wrong), source.record, source, "s1")
    damaged = sops.encrypt(secret, secrets)
    damaged["data"]["password"] = damaged["data"]["password"].replace(
        "ENC[AES256_GCM,data:", "ENC[AES256_GCM,data:AAAA"
    )
    bad = point([damaged])
    with pytest.raises(VerificationFailed):
        load.load("cluster", options_for(control_plane, tmp_path, secrets=secrets), bad.record, bad, "s1")
    assert not list(tmp_path.glob("*.jsonl"))
    with asking(control_plane) as http:
        assert_no_namespace(http, "restore-8")


def test_a_stream_that_is_short_of_objects_or_damaged_is_never_applied(control_plane, tmp_path) -> None:
    source = point([namespace("restore-9"), config_map("a", "restore-9"), config_map("b", "restore-9")])
    text = source.contents["manifests.yaml"]
    for damaged in (text[: text.rindex(b"---\n")], text.replace(b"kind: ConfigMap", b"kind: [ConfigMap", 1), b"hello"):
        source.contents["manifests.yaml"] = damaged
        with pytest.raises(VerificationFailed):
            load.load("cluster", options_for(control_plane, tmp_path), source.record, source, "s1")
    with asking(control_plane) as http:
        assert_no_namespace(http, "restore-9")
    with pytest.raises(LoadFailed, match="nothing is loaded"):
        switch("cluster", options_for(control_plane, tmp_path), "s1")


def test_a_dry_run_changes_nothing_at_all(control_plane, tmp_path) -> None:
    where = "restore-10"
    objects = [
        namespace(where),
        config_map("c", where, a="1"),
        workload("Deployment", "web", where, 1),
        config_map("d", "default", a="1"),
    ]
    with asking(control_plane) as http:
        http(
            "PATCH",
            live_path(config_map("quiet", "default")) + "?fieldManager=x",
            config_map("quiet", "default"),
            content_type=SSA,
        )
        before = {path: versions(http, path, where) for path in LISTS}
        outcome = restore(options_for(control_plane, tmp_path, dry_run=True, hold=True), point(objects))
        assert before == {path: versions(http, path, where) for path in LISTS}
        assert_no_namespace(http, where)
    assert {target.name for target in outcome.applied} == {where, "d"}
    assert set(outcome.unasked.values()) == {f"namespace {where} does not exist yet"}


LISTS = (
    "/api/v1/configmaps",
    "/apis/apps/v1/deployments",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
)


def versions(http: Http, path: str, where: str) -> dict[str, str]:
    """UID and resourceVersion of every object that our restore could touch.

    Not what earlier tests left in namespaces of theirs, which may still be going away, nor what the controllers'
    leaders write by themselves.
    """
    return {
        each["metadata"]["uid"]: each["metadata"]["resourceVersion"]
        for each in http("GET", path)["items"]
        if each["metadata"].get("namespace", "default") in {"default", where}
        and "control-plane.alpha.kubernetes.io/leader" not in (each["metadata"].get("annotations") or {})
    }


def test_the_server_is_asked_before_anything_changes_and_a_certain_refusal_stops_the_load(
    control_plane, tmp_path
) -> None:
    """A field that can never be changed, of an object that is there."""
    where = "restore-11"
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        http(
            "POST",
            f"/apis/apps/v1/namespaces/{where}/deployments",
            workload("Deployment", "web", where, 1, {"app": "other"}),
        )
        source = point([config_map("c", where, a="1"), workload("Deployment", "web", where, 1)])
        with pytest.raises(
            LoadFailed,
            match=r"would refuse 1 objects: Deployment.apps restore-11/web: .*field is immutable.*nothing was changed",
        ):
            load.load("cluster", options_for(control_plane, tmp_path, conflicts="force"), source.record, source, "s1")
        assert "c" not in {
            each["metadata"]["name"] for each in http("GET", f"/api/v1/namespaces/{where}/configmaps")["items"]
        }


def test_what_server_side_apply_cannot_express_is_created_all_the_same(control_plane, tmp_path) -> None:
    """An environment variable that stands there twice: kubectl apply once let it in."""
    where = "restore-12"
    twice = workload("Deployment", "web", where, 1)
    twice["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "A", "value": "2"},
    ]
    outcome = restore(options_for(control_plane, tmp_path), point([namespace(where), twice]))
    assert not outcome.failed
    with asking(control_plane) as http:
        live = http("GET", live_path(twice))
        assert [each["value"] for each in live["spec"]["template"]["spec"]["containers"][0]["env"]] == ["1", "2"]


def test_the_heartbeat_comes_back_where_it_is_looked_for(control_plane, tmp_path) -> None:
    beat = config_map("drkeeper-heartbeat", "monitoring", at="2026-01-01T00:00:00+00:00", sequence="7")
    source = point([namespace("restore-13")], heartbeat_yaml=document(object_path(beat), render(beat)))
    outcome = restore(options_for(control_plane, tmp_path, heartbeat_namespace="restore-13"), source)
    assert not outcome.failed
    with asking(control_plane) as http:
        assert http("GET", live_path(config_map("drkeeper-heartbeat", "restore-13")))["data"]["sequence"] == "7"


def test_old_ids_are_mapped_to_new_ones(control_plane, tmp_path) -> None:
    where = "restore-14"
    objects = [namespace(where), config_map("a", where), config_map("b", where)]
    lines = "".join(
        f"old-{number}\t{object_path(each)}\n" for number, each in enumerate([*objects, config_map("gone", where)])
    )
    source = point(objects, uids_tsv=lines.encode())
    options = options_for(control_plane, tmp_path, namespace_map={where: "restore-14-new"})
    restore(options, source)
    with asking(control_plane) as http:
        expected = [
            ("old-0", uid(http, namespace("restore-14-new")), f"cluster/namespace/{where}.yaml"),
            ("old-1", uid(http, config_map("a", "restore-14-new")), f"namespaces/{where}/configmap/a.yaml"),
            ("old-2", uid(http, config_map("b", "restore-14-new")), f"namespaces/{where}/configmap/b.yaml"),
        ]
    assert list(id_map(options, source)) == expected


def test_a_difference_shows_what_the_server_would_hold(control_plane, tmp_path) -> None:
    where = "restore-15"
    options = options_for(control_plane, tmp_path)
    with asking(control_plane) as http:
        http("POST", "/api/v1/namespaces", namespace(where))
        for name in ("changed", "same"):
            http(
                "PATCH",
                live_path(config_map(name, where)) + "?fieldManager=drkeeper",
                config_map(name, where, a="live"),
                content_type=SSA,
            )
        source = point(
            [
                config_map("changed", where, a="point"),
                config_map("same", where, a="live"),
                config_map("new", where, a="1"),
                config_map("far", "restore-15-far", a="1"),
            ]
        )
        lines = list(difference(options, source))
    text = "\n".join(lines)
    assert f"--- live/namespaces/{where}/configmap/changed.yaml" in lines
    assert any(line.startswith("-") and line.endswith("a: live") for line in lines)
    assert any(line.startswith("+") and line.endswith("a: point") for line in lines)
    assert "same.yaml" not in text
    assert f"+++ restored/namespaces/{where}/configmap/new.yaml" in lines
    assert '# namespaces/restore-15-far/configmap/far.yaml: not checked: namespaces "restore-15-far" not found' in lines


def test_preflight_names_what_is_missing(control_plane, kubeconfig_for, tmp_path, secrets) -> None:
    secret = sops.encrypt(obj("v1", "Secret", "s", "ns", data={"a": "eA=="}), secrets)
    source = point(
        [
            namespace("ns"),
            secret,
            obj("policy.example/v1", "Gadget", "g", "ns"),
            obj("discovery.k8s.io/v2", "Nothing", "n", "ns"),
        ]
    )
    options = options_for(control_plane, tmp_path)
    # Warnings may tell of namespaces that an earlier test has deleted, and that are not quite gone.
    failed = {check.subject for check in findings(preflight(options, source.record)) if check.severity == "error"}
    assert failed == {"secrets.identity", "kind.gadgets.policy.example", "kind.nothings.discovery.k8s.io"}
    ready = options.model_copy(update={"secrets": secrets, "missing_kinds": "skip"})
    assert {check.severity for check in findings(preflight(ready, source.record))} == {"warning"}
    nobody = ready.model_copy(update={"kubeconfig": kubeconfig_for(control_plane, user="nobody")})
    refused = {
        check.subject: check.remedy for check in findings(preflight(nobody, source.record)) if check.severity == "error"
    }
    assert set(refused) == {"permission.namespaces", "permission.secrets"}
    assert "resources: [secrets], verbs: [create, get, list, patch]" in refused["permission.secrets"]


def test_preflight_of_a_server_that_is_away_says_so(control_plane, tmp_path) -> None:
    text = control_plane.kubeconfig.read_text().replace(f":{control_plane.port}", ":1")
    away = tmp_path / "away.kubeconfig"
    away.write_text(text)
    failed = findings(preflight(options_for(control_plane, tmp_path, kubeconfig=away), point([namespace("x")]).record))
    assert [check.subject for check in failed] == ["server"]
    assert "does not answer" in failed[0].detail


@pytest.mark.slow
def test_a_cluster_is_empty_until_somebody_puts_something_into_it(empty_control_plane, tmp_path) -> None:
    plane = empty_control_plane(controllers=False)
    options = options_for(plane, tmp_path)
    with asking(plane) as http:
        assert is_empty(options)
        http("POST", "/api/v1/namespaces/default/configmaps", config_map("drkeeper-heartbeat", "default", at="x"))
        assert is_empty(options)
        http("POST", "/api/v1/namespaces/default/configmaps", config_map("mine", "default", a="1"))
        assert not is_empty(options)
