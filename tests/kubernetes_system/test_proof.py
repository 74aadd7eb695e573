"""The proof after a restore: each thing that is wrong on a real server is found and named, and no value is told."""

import base64
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyrage
import pytest
from tests.kubernetes_system.cluster import Http, Manifest, apply, kubectl

from drkeeper.facts import Check, Facts, findings
from drkeeper.recovery_point import SystemRecord
from drkeeper.sandbox.kubernetes import ControlPlane
from drkeeper.systems._kubernetes import hold, sops
from drkeeper.systems._kubernetes.documents import document, object_path
from drkeeper.systems._kubernetes.field_difference import FieldDifference, differing_fields
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.proof import verify
from drkeeper.systems._kubernetes.render import render
from drkeeper.systems._kubernetes.sanitise import sanitise

SECRET_VALUE = "hunter2-hunter2"
KINDS = ("namespaces", "secrets", "configmaps", "serviceaccounts", "deployments.apps")


class Kept:
    """The streams of a point, in memory."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self._bytes = b"".join(document(object_path(each), render(each)) for each in manifests)

    def names(self) -> tuple[str, ...]:
        return ("manifests.yaml",)

    def size_bytes(self, name: str) -> int:
        return len(self._bytes)

    def read(self, name: str) -> Iterator[bytes]:
        for start in range(0, len(self._bytes), 1000):
            yield self._bytes[start : start + 1000]


RECORD = SystemRecord(
    name="cluster",
    kind="kubernetes",
    status="complete",
    facts=Facts(info={f"list.{kind}.resource_version": "1" for kind in KINDS}),
)


class Place:
    """A namespace of its own with a small application, and what a point would hold of it."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.plane = plane
        self.name = name
        self.http = Http(plane)
        loaded = apply(plane, _application(name))
        assert loaded.rejected == {}
        self.point = [self._captured(each) for each in _application(name)]

    def _captured(self, manifest: Manifest) -> Manifest:
        live = self.live(manifest["kind"], manifest["metadata"]["name"])
        return sanitise({"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **live})

    def live(self, kind: str, name: str) -> Manifest:
        plurals = {"Namespace": ("", "namespaces"), "Deployment": ("/apis/apps/v1", "deployments")}
        root, plural = plurals.get(kind, ("", f"{kind.lower()}s"))
        place = "" if kind == "Namespace" else f"/namespaces/{self.name}"
        return dict(self.http("GET", f"{root or '/api/v1'}{place}/{plural}/{name}"))

    def of(self, kind: str) -> Manifest:
        return next(each for each in self.point if each["kind"] == kind)

    def checks(self, point: Sequence[Manifest] | None = None, **options: Any) -> list[Check]:
        chosen = Options.model_validate({"kubeconfig": self.plane.kubeconfig, **options})
        return list(verify(chosen, RECORD, Kept(self.point if point is None else point)))

    def wrong(self, point: Sequence[Manifest] | None = None, **options: Any) -> list[Check]:
        return findings(self.checks(point, **options))


@pytest.fixture
def place(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Place]:
    name = "proof-" + request.node.name.lower().replace("_", "-")[-40:].strip("-")
    made = Place(control_plane, name)
    yield made
    kubectl(control_plane, "delete", "namespace", name, "--wait=false")
    made.http.__exit__()


def test_a_cluster_that_is_as_it_was_has_no_findings(place: Place):
    checks = place.checks()
    assert findings(checks) == []
    assert {each.subject for each in checks if each.verdict == "passed"} == {
        "objects.namespaces",
        "objects.secrets",
        "objects.configmaps",
        "objects.serviceaccounts",
        "objects.deployments.apps",
        "references",
    }


def test_a_field_that_is_not_as_it_was_is_named_without_its_value(place: Place):
    kubectl(place.plane, "set", "image", "deployment/web", "main=other:2", "-n", place.name)
    [wrong] = place.wrong()
    assert wrong.subject == f"objects.namespaces/{place.name}/deployment/web.yaml"
    assert wrong.detail == "differs in spec.template.spec.containers[0].image (changed)"
    assert wrong.severity == "error"


def test_a_field_that_came_later_is_only_a_warning(place: Place):
    kubectl(place.plane, "label", "configmap", "settings", "added=later", "-n", place.name)
    [wrong] = place.wrong()
    assert (wrong.detail, wrong.severity) == ("differs in metadata.labels (added)", "warning")


def test_an_object_that_is_not_there_is_named_with_those_that_name_it(place: Place):
    kubectl(place.plane, "delete", "configmap", "settings", "-n", place.name)
    wrong = {each.subject: each for each in place.wrong()}
    assert wrong[f"objects.namespaces/{place.name}/configmap/settings.yaml"].detail == "is not there"
    missing = wrong[f"reference.ConfigMap {place.name}/settings"]
    assert "spec.template.spec.containers[0].envFrom[0].configMapRef" in missing.detail
    assert "it is in the point, and not here" in missing.detail
    assert missing.severity == "error"


def test_what_was_missing_when_captured_is_a_warning(place: Place):
    kubectl(place.plane, "delete", "configmap", "settings", "-n", place.name)
    wrong = place.wrong([each for each in place.point if each["kind"] != "ConfigMap"])
    assert [(each.subject, each.severity) for each in wrong if each.subject != "references"] == [
        (f"reference.ConfigMap {place.name}/settings", "warning")
    ]


def test_what_was_never_captured_and_is_missing_is_an_error_that_says_what_to_do(place: Place):
    kubectl(place.plane, "delete", "configmap", "settings", "-n", place.name)
    record = RECORD.model_copy(update={"facts": Facts()})
    point = Kept([each for each in place.point if each["kind"] != "ConfigMap"])
    wrong = findings(verify(Options(kubeconfig=place.plane.kubeconfig), record, point))
    missing = next(each for each in wrong if each.subject == f"reference.ConfigMap {place.name}/settings")
    assert missing.severity == "error"
    assert "let the policy capture configmaps" in missing.remedy


def test_a_kind_that_the_target_does_not_serve_is_named_and_not_checked(place: Place):
    alien = {"apiVersion": "example.org/v1", "kind": "Alien", "metadata": {"name": "et", "namespace": place.name}}
    checks = [each for each in place.checks([*place.point, alien]) if each.verdict == "not checked"]
    assert [each.detail for each in checks] == [
        f"the target does not serve example.org/v1 Alien: namespaces/{place.name}/alien.example.org/et.yaml"
    ]


def test_a_held_workload_is_compared_as_it_is_held(place: Place):
    deployment = hold.held(place.of("Deployment"))
    patch = {"spec": {"replicas": 0}, "metadata": {"annotations": deployment["metadata"]["annotations"]}}
    kubectl(place.plane, "patch", "deployment", "web", "-n", place.name, "--type=merge", "-p", json.dumps(patch))
    [waiting] = place.wrong()
    assert (waiting.subject, waiting.severity) == ("objects.deployments.apps.held", "warning")
    assert waiting.detail == "1 are held and wait for their release"


def test_a_workload_that_somebody_scaled_down_is_not_taken_for_held(place: Place):
    kubectl(place.plane, "scale", "deployment/web", "--replicas=0", "-n", place.name)
    assert [each.detail for each in place.wrong()] == ["differs in spec.replicas (changed)"]


def test_a_workload_that_an_autoscaler_scaled_is_only_a_warning(place: Place):
    kubectl(place.plane, "autoscale", "deployment/web", "--min=2", "--max=9", "-n", place.name)
    kubectl(place.plane, "scale", "deployment/web", "--replicas=7", "-n", place.name)
    [wrong] = place.wrong()
    assert (wrong.severity, wrong.detail) == ("warning", "differs in spec.replicas (changed); an autoscaler sets it")


def test_what_the_policy_kept_as_it_was_is_only_a_warning(place: Place):
    kubectl(place.plane, "scale", "deployment/web", "--replicas=7", "-n", place.name)
    assert [each.severity for each in place.wrong(existing="keep")] == ["warning"]


def test_namespaces_are_compared_under_their_new_names(place: Place):
    old = json.loads(json.dumps(place.point).replace(place.name, "old-name"))
    assert findings(place.checks(old, namespace_map={"old-name": place.name})) == []
    assert findings(place.checks(old)) != []


def test_transforms_are_expected(place: Place):
    kubectl(place.plane, "scale", "deployment/web", "--replicas=5", "-n", place.name)
    patch = {"op": "replace", "path": "/spec/replicas", "value": 5}
    assert place.wrong(transforms=[{"kind": "deployments.apps", "patch": [patch]}]) == []


def test_what_a_transform_leaves_out_is_not_missed(place: Place):
    kubectl(place.plane, "delete", "deployment", "web", "-n", place.name)
    leave_out = {"op": "test", "path": "/metadata/name", "value": "another"}
    checks = place.checks(transforms=[{"kind": "deployments.apps", "patch": [leave_out]}])
    assert findings(checks) == []
    assert "1 left out by a transform" in [each.detail for each in checks]


def test_an_encrypted_secret_is_compared_and_never_told(place: Place):
    identity = pyrage.x25519.Identity.generate()
    secrets = {"recipients": [str(identity.to_public())], "key": "k" * 40, "identity": str(identity)}
    chosen = Options.model_validate({"secrets": secrets}).secrets
    assert chosen is not None
    point = [sops.encrypt(each, chosen) if each["kind"] == "Secret" else each for each in place.point]
    assert findings(place.checks(point, secrets=secrets)) == []
    changed = base64.b64encode(b"changed").decode()
    kubectl(
        place.plane, "patch", "secret", "login", "-n", place.name, "-p", json.dumps({"data": {"password": changed}})
    )
    [wrong] = place.wrong(point, secrets=secrets)
    assert wrong.detail == "differs in data.password (changed)"
    told = "".join(each.model_dump_json() for each in place.checks(point, secrets=secrets))
    for value in (SECRET_VALUE, base64.b64encode(SECRET_VALUE.encode()).decode(), changed):
        assert value not in told


def test_without_an_identity_the_values_are_not_checked_but_the_keys_are(place: Place):
    identity = pyrage.x25519.Identity.generate()
    secrets = {"recipients": [str(identity.to_public())], "key": "k" * 40}
    chosen = Options.model_validate({"secrets": secrets}).secrets
    assert chosen is not None
    point = [sops.encrypt(each, chosen) if each["kind"] == "Secret" else each for each in place.point]
    checks = place.checks(point, secrets=secrets)
    assert findings(checks) == []
    unchecked = [each.detail for each in checks if each.verdict == "not checked"]
    assert unchecked == ["values of 1 Secrets: there is no identity that decrypts them"]
    kubectl(place.plane, "patch", "secret", "login", "-n", place.name, "-p", '{"data": {"password": null}}')
    assert [each.detail for each in place.wrong(point)] == ["differs in data (missing)"]


def test_an_owner_that_has_another_uid_is_found(place: Place):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "uid": "0-not-the-one"}
    # The garbage collector removes such an object at once; a finalizer keeps it for us to see.
    metadata = {
        "name": "owned",
        "namespace": place.name,
        "ownerReferences": [owner],
        "finalizers": ["example.org/stay"],
    }
    owned: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    place.http("POST", f"/api/v1/namespaces/{place.name}/configmaps", owned)
    expected = copy.deepcopy(owned)
    expected["metadata"]["ownerReferences"][0].pop("uid")
    subject = f"owner.ConfigMap {place.name}/owned"
    try:
        [wrong] = [each for each in place.wrong([*place.point, expected]) if each.subject == subject]
        assert wrong.detail == f"its owner ConfigMap {place.name}/settings does not have the UID by which it owns"
    finally:
        kubectl(
            place.plane, "patch", "configmap", "owned", "-n", place.name, "-p", '{"metadata": {"finalizers": null}}'
        )


def test_an_owner_that_was_dropped_is_a_warning(place: Place):
    expected = copy.deepcopy(place.of("ConfigMap"))
    expected["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "gone"}]
    others = [each for each in place.point if each["kind"] != "ConfigMap"]
    owner = [each for each in place.wrong([*others, expected]) if each.subject.startswith("owner.")]
    assert [each.severity for each in owner] == ["warning"]


def test_a_dry_run_claims_nothing_of_the_cluster(place: Place):
    kubectl(place.plane, "delete", "deployment", "web", "-n", place.name)
    checks = place.checks(dry_run=True)
    assert [(each.subject, each.verdict) for each in checks] == [("objects", "not checked")]


def test_what_may_not_be_listed_is_not_checked(place: Place):
    ann = place.plane.add_user("nobody-special")
    checks = place.checks(kubeconfig=ann)
    assert {each.verdict for each in checks if each.subject.startswith("objects.")} == {"not checked"}


def test_who_may_only_look_into_one_namespace_compares_what_is_in_it(place: Place):
    ann = place.plane.add_user("ann-of-one-namespace")
    kubectl(
        place.plane,
        "create",
        "rolebinding",
        "ann",
        "--clusterrole=admin",
        "--user=ann-of-one-namespace",
        "-n",
        place.name,
    )
    kubectl(place.plane, "delete", "serviceaccount", "runner", "-n", place.name)
    checks = place.checks(kubeconfig=ann, namespaces=[place.name])
    assert [each.detail for each in findings(checks) if each.subject.startswith("objects.")] == ["is not there"]
    unchecked = [each.subject for each in checks if each.verdict == "not checked"]
    assert unchecked == ["objects.namespaces"]


@pytest.mark.parametrize(
    ("expected", "actual", "differences"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, [("a.b[1]", "missing")]),
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, [("a.b[1]", "added")]),
        ({"data": {"x.yaml": "1"}}, {"data": {"x.yaml": "2"}}, [("data[x.yaml]", "changed")]),
        ({"a": True}, {"a": 1}, [("a", "changed")]),
        ({"a": {}}, {"a": []}, [("a", "changed")]),
        ({"a": None}, {}, [("a", "missing")]),
    ],
)
def test_differing_fields_are_named(expected: Any, actual: Any, differences: list[Any]):
    assert list(differing_fields(expected, actual)) == [FieldDifference(*each) for each in differences]


def _application(namespace: str) -> list[Manifest]:
    here = {"namespace": namespace}
    password = base64.b64encode(SECRET_VALUE.encode()).decode()
    container = {
        "name": "main",
        "image": "app:1",
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"serviceAccountName": "runner", "containers": [container]},
    }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner", **here}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", **here}, "data": {"password": password}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", **here}, "data": {"a.yaml": "1"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", **here}, "spec": spec},
    ]
