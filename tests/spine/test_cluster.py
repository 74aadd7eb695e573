"""A cluster and an online store in one recovery point: backed up, lost, restored held, released, drilled."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyrage
import pytest
import redis
from tests.test_docs import code_blocks

import warm
from drkeeper.errors import ToolMissing
from drkeeper.sandbox import start_sandbox
from drkeeper.sandbox.kubernetes import start

NAMESPACE = "shop"
NAMED_BY_POLICY = "\nscenarios: {namespace-deleted: {namespaces: [shop]}}"
NAMED = {"metadata": {"name": "one"}}
SCRATCH = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "drkeeper-scratch"}}


def start_or_skip(folder):
    try:
        return start(folder, controllers=True)
    except ToolMissing as error:
        pytest.skip(f"no control plane: {error}; {error.hint}")


def manifests(replicas=3):
    """A small application: what it is made of refers to one another."""
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "web:1",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "password"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "serviceAccountName": "web"}}
    return [
        ("/api/v1/namespaces", "v1", "Namespace", NAMESPACE, {}),
        ("/api/v1/namespaces/shop/serviceaccounts", "v1", "ServiceAccount", "web", {}),
        ("/api/v1/namespaces/shop/configmaps", "v1", "ConfigMap", "settings", {"data": {"colour": "blue"}}),
        ("/api/v1/namespaces/shop/secrets", "v1", "Secret", "password", {"stringData": {"key": "very secret value"}}),
        (
            "/apis/apps/v1/namespaces/shop/deployments",
            "apps/v1",
            "Deployment",
            "web",
            {"spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}},
        ),
    ]


class Site:
    """A control plane, a Valkey, a bare repository, a vault, and the command line."""

    def __init__(self, folder, plane, valkey):
        self.folder, self.plane, self.valkey = folder, plane, valkey
        identity = pyrage.x25519.Identity.generate()
        self.recipient = str(identity.to_public())
        self.environment = {
            "AGE_IDENTITY": str(identity),
            "SECRETS_KEY": "0123456789abcdef" * 4,
            "REDIS_PASSWORD": str(valkey.options["password"]),
        }
        self.repository = folder / "manifests.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.repository], check=True)
        self.policy_file = folder / "drkeeper.yaml"
        self.write_policy()

    def write_policy(self, *, kubeconfig=None, more=""):
        self.policy_file.write_text(f"""\
version: 1
name: site
systems:
  cluster:
    kind: kubernetes
    kubeconfig: {kubeconfig or self.plane.kubeconfig}
    secrets:
      recipients: [{self.recipient}]
      key: ${{env:SECRETS_KEY}}
      identity: ${{env:AGE_IDENTITY}}
    git: {{url: {self.repository}}}
    scratch: {self.folder}
  online-store:
    kind: redis
    host: 127.0.0.1
    port: {self.valkey.options["port"]}
    password: ${{env:REDIS_PASSWORD}}
    scratch: {self.folder}
applications:
  shop: {{order: [cluster, online-store]}}
vault:
  lease: 3s
  regions:
    here: {{url: {self.folder}/vault}}
  encryption:
    recipients: [{self.recipient}]
    identity: ${{env:AGE_IDENTITY}}
objectives: {{rto: 1h, rpo: 24h}}
{more or f"sandbox: {{folder: {self.folder}/sandbox}}"}
""")

    def start(self, *words, environment=None, **more):
        command = [sys.executable, "-m", "drkeeper", "--policy", str(self.policy_file), *words]
        known = {**os.environ, **self.environment, **(environment or {})}
        return subprocess.Popen(command, env=known, stdin=subprocess.DEVNULL, text=True, **more)

    def run(self, *words, code=0, environment=None):
        known = {**os.environ, **self.environment, **(environment or {})}
        done = warm.run(("--policy", self.policy_file, *words), env=known, timeout=240)
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *words, code=4):
        """What is said of it."""
        known = {**os.environ, **self.environment}
        done = warm.run(("--policy", self.policy_file, *words), env=known, timeout=240)
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def json(self, *words, code=0, environment=None):
        return json.loads(self.run(*words, "-o", "json", code=code, environment=environment))

    def fill(self, plane=None):
        for path, version, kind, name, content in manifests():
            body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}
            (plane or self.plane).request("POST", path, body)

    def define(self, kind):
        """A kind of objects of our own; where its definition is served."""
        singular, definitions = kind.lower(), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        schema = {"openAPIV3Schema": {"type": "object"}}
        spec = {
            "group": "shop.test",
            "scope": "Namespaced",
            "names": {"plural": f"{singular}s", "singular": singular, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        }
        name = f"{singular}s.shop.test"
        self.plane.request("POST", definitions, {"metadata": {"name": name}, "spec": spec})
        return f"{definitions}/{name}"

    def served(self, path):
        try:
            return self.plane.request("GET", path)
        except Exception:  # noqa: BLE001 - not there
            return None

    def until(self, act):
        """Again and again, until it does not fail, and says yes."""
        deadline = time.monotonic() + 30
        while True:
            with suppress(Exception):
                if act():
                    return
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def cache(self):
        return redis.Redis(port=self.valkey.options["port"], password=self.valkey.options["password"])

    def git(self, *words):
        done = subprocess.run(
            ["git", "-C", self.repository, *words], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def deployment(self, plane):
        return plane.request("GET", "/apis/apps/v1/namespaces/shop/deployments/web")


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """The protected one, filled; and a function for more of them."""
    started = []

    def begin():
        started.append(start_or_skip(tmp_path_factory.mktemp("plane")))
        return started[-1]

    yield begin
    for plane in started:
        plane.kill()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    server = start_sandbox("redis", tmp_path_factory.mktemp("valkey") / "server")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def production(planes):
    return planes()


@pytest.fixture(scope="module")
def spare(planes):
    return planes()


@pytest.fixture
def fresh(spare):
    """Another control plane, with nothing of the application in it."""
    yield spare
    delete_namespace(spare)


@pytest.fixture
def site(tmp_path, production, valkey):
    site = Site(tmp_path, production, valkey)
    if not any(each["metadata"]["name"] == NAMESPACE for each in namespaces(production)):
        site.fill()
    site.cache().flushall()
    site.cache().hset("customer:1", mapping={"spent": 3})
    site.run("init")
    return site


def namespaces(plane):
    return plane.request("GET", "/api/v1/namespaces")["items"]


def cluster_record(site):
    return next(each for each in site.json("points", "show", "latest")["systems"] if each["name"] == "cluster")


def test_a_second_backup_of_an_unchanged_cluster_stores_nothing_and_commits_nothing(site):
    site.run("backup")
    assert "namespaces/shop/deployment/web.yaml" in site.git("ls-tree", "-r", "--name-only", "main").split()
    commits = site.git("rev-list", "--count", "main")
    site.run("backup")
    record = cluster_record(site)
    assert {stream["stored_bytes"] for stream in record["streams"]} == {0}
    assert site.git("rev-list", "--count", "main") == commits


def test_no_secret_is_readable_in_git_or_in_what_is_printed(site):
    out = site.run("backup", "-o", "json")
    shown = site.run("points", "show", "latest", "-o", "json")
    blob = site.git("show", "main:namespaces/shop/secret/password.yaml")
    for text in (out, shown, blob):
        assert "very secret value" not in text
        assert "dmVyeSBzZWNyZXQgdmFsdWU" not in text
    assert "ENC[AES256_GCM" in blob


def test_a_lost_cluster_comes_back_held_and_is_released_when_the_data_are_back(site, fresh):
    site.run("beat")
    site.run("backup")
    site.write_policy(kubeconfig=fresh.kubeconfig)
    site.cache().flushall()
    done = site.json("restore", "--yes")
    names = [step["name"] for step in done["steps"]]
    assert names.index("switch cluster") < names.index("switch online-store") < names.index("release cluster")
    assert {check["verdict"] for check in done["checks"]} <= {"passed", "not checked"}
    web = site.deployment(fresh)
    assert web["spec"]["replicas"] == 3
    assert "drkeeper.io/held" not in web["metadata"].get("annotations", {})
    former = {row["path"]: row for row in site.json("ids")}
    assert former["namespaces/shop/deployment/web.yaml"]["present"] == web["metadata"]["uid"]
    assert former["namespaces/shop/deployment/web.yaml"]["former"] == site.deployment(site.plane)["metadata"]["uid"]


def test_what_is_kept_held_stays_at_zero_until_it_is_released(site, fresh):
    site.run("backup")
    site.write_policy(kubeconfig=fresh.kubeconfig)
    site.run("restore", "--yes", "--system", "cluster", "--keep-held")
    assert site.deployment(fresh)["spec"]["replicas"] == 0
    site.run("release", "--system", "cluster", "--yes")
    assert site.deployment(fresh)["spec"]["replicas"] == 3


def test_a_kill_between_hold_and_release_is_resumed(site, fresh):
    site.run("backup")
    site.write_policy(kubeconfig=fresh.kubeconfig)
    # The other system cannot be switched, so the restore ends when the cluster is up and held.
    site.cache().flushall()
    process = site.start("restore", "--yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not held(site, fresh):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert site.deployment(fresh)["spec"]["replicas"] == 0, "the kill came too late to prove anything"
    time.sleep(3.5)  # the dead process's lease
    done = site.json("restore", "--resume")
    assert "release cluster" in [step["name"] for step in done["steps"]]
    assert site.deployment(fresh)["spec"]["replicas"] == 3
    assert site.cache().hgetall("customer:1") == {b"spent": b"3"}


def held(site, plane):
    try:
        return site.deployment(plane)["spec"]["replicas"] == 0
    except Exception:  # noqa: BLE001 - not there yet
        return False


OTHER = "/api/v1/namespaces/team-b/configmaps/other"


@pytest.fixture
def neighbour(site):
    """Another namespace with an object, which is changed after a backup."""
    plane = site.plane
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "team-b"}})
    plane.request("POST", Path(OTHER).parent.as_posix(), {"metadata": {"name": "other"}, "data": {"a": "b", "c": "d"}})

    def change():
        # What nobody owns any more, an apply would bring back.
        plane.request("PUT", OTHER, {"metadata": {"name": "other"}, "data": {"a": "b"}})
        # What somebody else holds: a release that came by here would say that it cannot read this.
        deployment = manifests()[-1][-1]
        held = {"metadata": {"name": "held", "annotations": {"drkeeper.io/held": "?"}}, **deployment}
        plane.request("POST", "/apis/apps/v1/namespaces/team-b/deployments", held)
        return seen(plane)

    yield change
    delete_namespace(plane, "team-b")


def seen(plane):
    """The other namespace: versions, and of what its controller writes to, only what it does not write."""
    versions = [
        plane.request("GET", each)["metadata"]["resourceVersion"] for each in (OTHER, "/api/v1/namespaces/team-b")
    ]
    held = plane.request("GET", "/apis/apps/v1/namespaces/team-b/deployments/held")["metadata"]
    return [*versions, held["generation"], held["annotations"]["drkeeper.io/held"]]


def test_a_deleted_namespace_is_put_back_and_what_is_left_stays_as_it_is(site, neighbour):
    site.run("backup")
    present = neighbour()
    words = site.refused("restore", "--scenario", "namespace-deleted", "--yes")
    assert "every namespace of the recovery point is there" in words
    assert "--namespace NAME" in words
    delete_namespace(site.plane)
    site.cache().hset("customer:2", mapping={"spent": 1})
    assert "team-b" not in site.run("plan", "--scenario", "namespace-deleted", "--diff")
    saved = site.folder / "plan.json"
    site.run("plan", "--scenario", "namespace-deleted", "--out", saved)
    assert json.loads(saved.read_text())["only"] == [NAMESPACE]
    done = site.json("restore", "--plan", saved, "--yes")
    assert [step["verb"] for step in done["steps"]] == ["load", "switch", "release", "verify"]
    assert "failed" not in {check["verdict"] for check in done["checks"]}
    assert site.deployment(site.plane)["spec"]["replicas"] == 3
    assert site.cache().exists("customer:2"), "only the cluster was restored"
    assert seen(site.plane) == present


def test_a_named_namespace_is_set_back_and_a_resume_leaves_the_others_as_they_are(site, neighbour):
    settings = "/api/v1/namespaces/shop/configmaps/settings"
    site.run("backup")
    site.plane.request("DELETE", settings)
    wrong = '{around: "release:cluster", before: {command: ["false"]}}'
    site.write_policy(more=f"sandbox: {{folder: {site.folder}/sandbox}}\nhooks: [{wrong}]{NAMED_BY_POLICY}")
    present = neighbour()
    saved = site.folder / "plan.json"
    site.run("plan", "--scenario", "namespace-deleted", "--namespace", "team-b", "--out", saved)
    assert json.loads(saved.read_text())["only"] == ["team-b"], "who asks knows better than the policy"
    assert "--only team-b/" in site.refused("plan", "--namespace", "team-b", code=2)
    site.run("restore", "--scenario", "namespace-deleted", "--yes", code=4)
    assert site.deployment(site.plane)["spec"]["replicas"] == 0, "it failed before anything was held"
    site.write_policy()
    done = site.json("restore", "--resume")
    assert [step["verb"] for step in done["steps"]] == ["undo", "load", "switch", "release", "verify"]
    assert site.deployment(site.plane)["spec"]["replicas"] == 3
    assert site.plane.request("GET", settings)["data"] == {"colour": "blue"}
    assert seen(site.plane) == present


def test_a_part_is_restored_by_its_name_and_refused_where_its_definition_is_gone(site, neighbour):
    definition = site.define("Gadget")
    path = "/apis/shop.test/v1/namespaces/shop/gadgets"
    site.until(lambda: site.plane.request("POST", path, {"apiVersion": "shop.test/v1", "kind": "Gadget", **NAMED}))
    site.run("backup")
    present = neighbour()
    site.plane.request("DELETE", f"{path}/one")
    site.run("restore", "--system", "cluster", "--only", "shop/", "--overwrite", "--yes")
    assert site.plane.request("GET", f"{path}/one")
    assert "nothing of it" in site.refused("plan", "--system", "cluster", "--only", "nowhere/", "--overwrite")
    assert "kubeconfig" in site.refused("plan", "--system", "cluster", "--into", "s3://else", code=2)
    delete_namespace(site.plane)
    site.plane.request("DELETE", definition)
    site.until(lambda: not site.served(definition))
    words = site.refused("restore", "--scenario", "namespace-deleted", "--yes")
    assert "gadget.shop.test" in words
    assert "drkeeper restore --system cluster" in words
    assert seen(site.plane) == present
    site.plane.request("PUT", OTHER, {"metadata": {"name": "other", "finalizers": ["shop.test/wait"]}})
    site.plane.request("DELETE", "/api/v1/namespaces/team-b")
    words = site.refused("plan", "--scenario", "namespace-deleted", "--namespace", "team-b")
    assert "being deleted: team-b" in words
    assert "wait until they are gone" in words
    site.plane.request("PUT", OTHER, {"metadata": {"name": "other"}})


def delete_namespace(plane, name=NAMESPACE):
    if any(each["metadata"]["name"] == name for each in namespaces(plane)):
        plane.request("DELETE", f"/api/v1/namespaces/{name}")
    deadline = time.monotonic() + 60
    while any(each["metadata"]["name"] == name for each in namespaces(plane)):
        assert time.monotonic() < deadline, "the namespace is not gone"
        time.sleep(0.1)


def test_a_deleted_namespace_is_put_back_by_the_commands_of_its_runbook(site):
    site.run("backup")
    page = site.folder / "page.md"
    page.write_text(site.run("runbook", "show", "namespace-deleted"))
    delete_namespace(site.plane)
    for line in "".join(code_blocks(page, "sh")).splitlines():
        _, *words = shlex.split(line.partition(" || ")[0], comments=True)
        site.run(*words)
    assert site.deployment(site.plane)["spec"]["replicas"] == 3


def test_a_remote_that_is_away_costs_no_point_and_gets_its_commit_later(site):
    site.run("backup")
    hidden = site.repository.rename(site.folder / "hidden.git")
    path = "/api/v1/namespaces/shop/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "late-"}, "data": {"a": "b"}}
    name = site.plane.request("POST", path, body)["metadata"]["name"]
    site.run("backup")
    record = cluster_record(site)
    assert record["status"] == "complete"
    assert record["facts"]["info"]["git.pushed"] is False
    assert any("git" in finding["subject"] for finding in record["findings"])
    hidden.rename(site.repository)
    delivered = site.json("replicate")["delivered"]
    assert [each["error"] for each in delivered] == [""]
    assert f"namespaces/shop/configmap/{name}.yaml" in site.git("ls-tree", "-r", "--name-only", "main").split()
    assert site.json("replicate")["delivered"] == []
    site.plane.request("DELETE", f"{path}/{name}")


# --- drills ------------------------------------------------------------------------------------------------


def drill(site, *words, environment=None, code=0):
    reports = site.folder / "reports"
    site.run("drill", "run", *words, "--report-dir", str(reports), environment=environment, code=code)
    return json.loads(max(reports.glob("*.json"), key=lambda file: file.stat().st_mtime).read_text())


def without_control_plane():
    return {"KUBEBUILDER_ASSETS": "", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


def system(record, name):
    return next(each for each in record["systems"] if each["name"] == name)


def version_of(plane):
    """Moves with every write to the cluster."""
    return plane.request("GET", "/api/v1/namespaces/shop/configmaps")["metadata"]["resourceVersion"]


def test_a_deleted_namespace_comes_back_in_a_control_plane_of_its_own(site):
    site.run("beat")
    site.run("backup")
    record = drill(site, "--scenario", "namespace-deleted")
    assert record["error"] == ""
    assert [each["name"] for each in record["systems"]] == ["cluster"]
    assert {check["verdict"] for check in record["checks"]} <= {"passed", "not checked"}
    assert any(check["subject"].startswith("cluster.") for check in record["checks"])
    assert 0 < system(record, "cluster")["rpo_seconds"] < 600
    assert system(record, "cluster")["rto_seconds"] > 0
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert not any("cluster:" in line for line in record["not_tested"])


def test_without_a_control_plane_a_drill_asks_the_server_and_claims_nothing(site):
    site.run("beat")
    site.run("backup")
    before = site.deployment(site.plane)["metadata"]["resourceVersion"]
    record = drill(site, environment=without_control_plane(), code=6)
    assert any("dry run of the live API server" in line for line in record["not_tested"])
    cluster = system(record, "cluster")
    assert (cluster["rto_seconds"], cluster["rpo_seconds"]) == (None, None)
    facts = [check for check in record["checks"] if check["subject"].startswith("cluster.")]
    assert "passed" not in {check["verdict"] for check in facts if ".count." in check["subject"]}
    assert site.deployment(site.plane)["metadata"]["resourceVersion"] == before
    assert site.json("points")[-1]["proof"] is None


def test_a_drill_fills_and_empties_the_scratch_cluster_of_the_policy(site, fresh):
    site.run("beat")
    site.run("backup")
    more = f"sandbox: {{folder: {site.folder}/sandbox, cluster: {{kubeconfig: {fresh.kubeconfig}}}}}"
    site.write_policy(more=more)
    refused = drill(site, environment=without_control_plane(), code=1)
    assert "drkeeper-scratch" in json.dumps(refused)
    fresh.request("POST", "/api/v1/namespaces/default/configmaps", SCRATCH)
    record = drill(site, environment=without_control_plane())
    assert record["error"] == ""
    assert any("scratch cluster" in line for line in record["not_tested"])
    assert system(record, "cluster")["rto_seconds"] > 0
    assert {check["verdict"] for check in record["clean_up"]} == {"passed"}
    assert NAMESPACE not in [
        each["metadata"]["name"] for each in namespaces(fresh) if not each["metadata"].get("deletionTimestamp")
    ]
