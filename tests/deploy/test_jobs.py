"""The command lines of the rendered CronJobs, run as a kubelet would run them, against real servers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml
from pyrage import x25519
from tests.deploy.rendered import POLICY, Kubelet, named, of_kind, pod_templates
from tests.kubernetes_system.cluster import kubectl

from drkeeper.cli.root import run
from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.sandbox import start_sandbox

ASSETS = "KUBEBUILDER_ASSETS"
EVERY = ("backup", "replicate", "verify", "prune", "beat", "drill")

POLICY_TEXT = """\
version: 1
name: platform
systems:
  mlflow-db:
    kind: postgres
    host: 127.0.0.1
    port: {postgres_port}
    user: {postgres_user}
    password: ${{file:{root}/run/secrets/mlflow-db-password}}
    databases: [mlflow]
  online-store:
    kind: redis
    host: 127.0.0.1
    port: {redis_port}
    password: ${{env:ONLINE_STORE_PASSWORD}}
  cluster:
    kind: kubernetes
    namespaces: [team-a]
    heartbeat_namespace: team-a
    secrets:
      recipients: [{recipient}]
      key: ${{file:{root}/run/secrets/sops-key}}
      identity: ${{file:{root}/run/secrets/age-identity}}
vault:
  regions:
    here: {{url: {root}/vault/here}}
    there: {{url: {root}/vault/there}}
retention: {{keep_last: 2}}
schedules: {{backup: "0 2 * * *", replicate: "0 * * * *", verify: "0 4 * * *", prune: "0 3 * * sun", beat: "* * * * *", drill: "0 5 1 */3 *"}}
drills: {{scenarios: [everything-lost]}}
"""
OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: team-a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: team-a}
data: {batch: "64"}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: team-a}
stringData: {token: hidden}
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    postgres = start_sandbox("postgres", folder / "postgres")
    redis = start_sandbox("redis", folder / "redis")
    login = {name: postgres.options[name] for name in ("host", "port", "user", "password")}
    with psycopg.connect(dbname="postgres", autocommit=True, **login) as admin:
        admin.execute("CREATE DATABASE mlflow")
    with psycopg.connect(dbname="mlflow", autocommit=True, **login) as database:
        database.execute("CREATE TABLE runs AS SELECT n AS run FROM generate_series(1, 1000) n")
    yield postgres.options, redis.options
    postgres.stop()
    redis.stop()


@pytest.fixture(scope="module")
def release(servers, plane, render, tmp_path_factory):
    """The objects of a release, the Secret that its Pods mount, and a kubelet for them."""
    root = tmp_path_factory.mktemp("pod")
    identity = x25519.Identity.generate()
    postgres, redis = servers
    text = POLICY_TEXT.format(
        root=root,
        postgres_port=postgres["port"],
        postgres_user=postgres["user"],
        redis_port=redis["port"],
        recipient=identity.to_public(),
    )
    secret = {
        "kind": "Secret",
        "metadata": {"name": "drkeeper"},
        "stringData": {
            "mlflow-db-password": str(postgres["password"]),
            "sops-key": "k" * 64,
            "age-identity": str(identity),
            "ONLINE_STORE_PASSWORD": str(redis["password"]),
        },
    }
    kubectl(plane, "apply", "-f", "-", stdin=OBJECTS)
    kubectl(plane, "create", "namespace", "drkeeper")
    file = root / "policy-of-the-operator.yaml"
    file.write_text(text)
    values = yaml.safe_load(_deploy(plane, file, "values", "--restore"))
    # For drills of the cluster: as if the programs were mounted.
    mounted = [{"name": ASSETS, "value": os.environ[ASSETS]}] if ASSETS in os.environ else []
    objects = render(values | {"extraEnv": mounted, "init": {"enabled": True}})
    rights = [each for each in objects if "rbac" in each["apiVersion"] or each["kind"] == "ServiceAccount"]
    kubectl(plane, "apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
    # Stands for the token that the kubelet mounts.
    account = {"KUBECONFIG": str(plane.kubeconfig_of_account("drkeeper", "drkeeper"))}
    kubelet = Kubelet(root, [*objects, secret], account)
    (root / "vault").mkdir()
    return objects, kubelet


def _deploy(plane, file, *arguments):
    """In a process of its own, as an operator does: without the values of any secret."""
    command = [str(Path(sys.executable).parent / "drkeeper"), "--policy", str(file), "deploy", *arguments]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def initialised(release):
    """The vault is made once."""
    objects, kubelet = release
    done = kubelet.run(pod_templates(objects)["init"])
    assert done.returncode == 0, done.stderr
    return objects, kubelet


def test_each_job_is_rendered_with_the_policys_schedule(release):
    objects, _ = release
    schedules = {each["metadata"]["name"]: each["spec"]["schedule"] for each in of_kind(objects, "CronJob")}
    assert schedules["drkeeper-replicate"] == "0 * * * *"
    assert set(schedules) == {f"drkeeper-{name}" for name in (*EVERY, "restore")}


@pytest.mark.slow
def test_every_job_succeeds_one_after_the_other(initialised):
    """In an order in which each has something to do."""
    objects, kubelet = initialised
    templates = pod_templates(objects)
    for component in ("beat", "backup", "backup", "backup", "replicate", "verify", "prune", "drill"):
        done = kubelet.run(templates[component])
        assert done.returncode == 0, f"{component}: {done.stdout}\n{done.stderr}"
    for region in ("here", "there"):
        assert len(list((kubelet.folder / "vault" / region / "points").iterdir())) == 2  # what retention keeps
    assert list((kubelet.folder / "vault/here/drills").iterdir())


@pytest.mark.slow
def test_without_a_control_plane_or_a_scratch_cluster_a_drill_says_what_its_account_may_not_do(initialised):
    """The image has no control plane. The note of `deploy values` says so; rules for restores are not given away."""
    objects, kubelet = initialised
    assert kubelet.run(pod_templates(objects)["backup"]).returncode == 0
    template = json.loads(json.dumps(pod_templates(objects)["drill"]))
    (container,) = template["spec"]["containers"]
    container["env"] = [entry for entry in container["env"] if entry["name"] != ASSETS]
    kubelet.more |= {"PATH": "/usr/bin:/bin"}
    try:
        done = kubelet.run(template)
    finally:
        del kubelet.more["PATH"]
    assert done.returncode == 0, done.stderr
    assert "configmaps: get, patch is not allowed" in done.stdout
    assert "the server was only asked, and refused" in done.stdout


@pytest.mark.slow
def test_a_restore_refuses_where_data_are_live(initialised):
    objects, kubelet = initialised
    assert kubelet.run(pod_templates(objects)["backup"]).returncode == 0
    done = kubelet.run(pod_templates(objects)["restore"])
    assert done.returncode == 4, done.stdout + done.stderr


@pytest.mark.slow
def test_the_job_for_restores_brings_the_cluster_back_under_an_account_of_its_own(initialised, plane):
    objects, kubelet = initialised
    assert kubelet.run(pod_templates(objects)["backup"]).returncode == 0
    template = json.loads(json.dumps(pod_templates(objects)["restore"]))
    assert template["spec"]["serviceAccountName"] == "drkeeper-restore"
    template["spec"]["containers"][0]["args"] += ["--overwrite", "--system", "cluster"]
    as_backup, kubelet.more = (
        kubelet.more,
        {"KUBECONFIG": str(plane.kubeconfig_of_account("drkeeper", "drkeeper-restore"))},
    )
    kubectl(plane, "-n", "team-a", "delete", "configmap/settings", "secret/token")
    try:
        done = kubelet.run(template)
    finally:
        kubelet.more = as_backup
    assert done.returncode == 0, done.stdout + done.stderr
    assert kubectl(plane, "-n", "team-a", "get", "configmap", "settings", "-o", "jsonpath={.data.batch}") == "64"
    encoded = kubectl(plane, "-n", "team-a", "get", "secret", "token", "-o", "jsonpath={.data.token}")
    assert encoded == "aGlkZGVu"


@pytest.mark.slow
def test_without_one_rule_the_backup_job_ends_with_partial_and_the_log_names_the_rule(initialised, plane):
    objects, kubelet = initialised
    role = named(objects, "Role", "drkeeper-drkeeper")
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/roles/drkeeper-drkeeper"
    lacking = [rule for rule in role["rules"] if rule["apiGroups"] != ["batch"]]
    assert len(lacking) < len(role["rules"])
    plane.request("PUT", path, plane.request("GET", path) | {"rules": lacking})
    try:
        sleep(1)  # until the authorizer has heard of it
        done = kubelet.run(pod_templates(objects)["backup"])
    finally:
        plane.request("PUT", path, plane.request("GET", path) | {"rules": role["rules"]})
    assert done.returncode == 3, done.stdout + done.stderr
    assert "{apiGroups: [batch], resources: [jobs], verbs: [list]} in a Role of namespace team-a" in (
        done.stdout + done.stderr
    )


@pytest.mark.slow
def test_the_daemon_starts_and_ends_in_order_on_sigterm(initialised, render, plane):
    _, kubelet = initialised
    values = yaml.safe_load(_deploy(plane, kubelet.folder / "policy-of-the-operator.yaml", "values"))
    template = pod_templates(render(values | {"daemon": {"enabled": True}}))["daemon"]
    command, place = kubelet.prepared(template)
    with subprocess.Popen(command, **place, stderr=subprocess.PIPE, text=True) as daemon:
        deadline = monotonic_seconds() + 60
        lines = []
        while not any("job scheduled" in line and "drill" in line for line in lines):
            assert monotonic_seconds() < deadline, lines
            lines.append(daemon.stderr.readline())
        daemon.send_signal(signal.SIGTERM)
        rest = daemon.communicate(timeout=60)[1]
    assert daemon.returncode == 0, rest
    assert "scheduler stopped" in rest


def test_every_command_line_is_one_that_drkeeper_knows(release, capsys):
    """`--help` in place of running it: flags that were renamed are found even where servers are not."""
    objects, _ = release
    for component, template in pod_templates(objects).items():
        args = [word for word in template["spec"]["containers"][0]["args"] if word not in {"--policy", POLICY}]
        assert run([*args, "--help"]) == 0, component
        assert f"drkeeper {args[0]}" in capsys.readouterr().out
