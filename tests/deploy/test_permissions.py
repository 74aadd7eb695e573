"""The generated rules: enough for a backup under a token of the ServiceAccount, and not one of them too many."""

import pytest
import yaml
from pydantic import SecretStr
from tests.kubernetes_system.cluster import Http, await_established, kubectl

from drkeeper import clock
from drkeeper.cli.root import run
from drkeeper.errors import SystemUnreachable
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.options import Options, SecretsOptions
from drkeeper.systems._kubernetes.permissions import (
    HEARTBEAT,
    Access,
    Rule,
    questions,
    rules_for_backup,
    rules_for_beat,
    rules_for_restore,
    written,
)
from drkeeper.systems._kubernetes.reviews import allowed
from drkeeper.systems.kubernetes import open_system

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/drkeeper-drkeeper"
SECRETS = SecretsOptions(
    recipients=("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",), key=SecretStr("k" * 64)
)
POLICY = """\
version: 1
name: cluster
systems:
  cluster:
    kind: kubernetes
    secrets:
      recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
      key: ${file:/run/secrets/sops-key}
    %s
vault: {regions: {here: {url: /vault}}}
"""
OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: team-a}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-b}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: notebooks.kubeflow.org}
spec:
  group: kubeflow.org
  names: {kind: Notebook, plural: notebooks, singular: notebook}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
MORE_OBJECTS = """\
apiVersion: kubeflow.org/v1
kind: Notebook
metadata: {name: mine, namespace: team-a}
spec: {image: jupyter}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: team-a}
data: {batch: "64"}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: team-b}
stringData: {token: hidden}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: team-b}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {containers: [{name: server, image: server}]}
"""


@pytest.fixture(scope="module")
def filled(plane):
    """A control plane with objects in built-in and custom kinds, and a namespace for us."""
    kubectl(plane, "apply", "-f", "-", stdin=OBJECTS)
    with Http(plane) as http:
        await_established(http)
    kubectl(plane, "apply", "-f", "-", stdin=MORE_OBJECTS)
    kubectl(plane, "create", "namespace", "drkeeper")
    return plane


@pytest.fixture
def installed(filled, deploy, tmp_path, monkeypatch):
    """`installed(words_of_the_policy, **options)`: rules applied as the README has it, and options with a token."""
    monkeypatch.setenv("KUBECONFIG", str(filled.kubeconfig))

    def install(words="", **more):
        file = tmp_path / "drkeeper.yaml"
        file.write_text(POLICY % words)
        kubectl(filled, "delete", "clusterrole,clusterrolebinding", "drkeeper-drkeeper", "--ignore-not-found")
        kubectl(
            filled, "delete", "role,rolebinding", "--all-namespaces", "--field-selector=metadata.name=drkeeper-drkeeper"
        )
        text = deploy(file, "rbac")
        kubectl(filled, "apply", "-f", "-", stdin=text)
        token = filled.kubeconfig_of_account("drkeeper", "drkeeper")
        options = Options(kubeconfig=token, secrets=SECRETS, **more)
        await_answer(options, Access("team-a", "", "configmaps", "list"), expected=True)
        return options, list(yaml.safe_load_all(text))

    return install


def await_answer(options, access, *, expected):
    """The API server learns of changed roles a moment later."""
    deadline = clock.monotonic_seconds() + 20
    with Cluster.open(options) as cluster:
        while allowed(cluster, access) != expected:
            assert clock.monotonic_seconds() < deadline, f"{access} did not become {expected}"
            clock.sleep(0.05)


def capture(options):
    """Findings that make a backup partial, and how many documents came."""
    with open_system("cluster", options).freeze() as frozen:
        text = b"".join(
            block for stream in frozen.streams() if stream.name == "manifests.yaml" for block in stream.chunks
        )
        facts = frozen.facts()
        errors = [check for check in frozen.findings if check.verdict == "failed" and check.severity == "error"]
        return errors, text, facts


def failures(options):
    return [check for check in open_system("cluster", options).probe() if check.verdict == "failed"]


def beat(options):
    open_system("cluster", options).beat(Heartbeat(at=clock.now(), sequence=1))


def test_a_backup_and_a_heartbeat_work_under_the_generated_rules(installed):
    options, _ = installed()
    beat(options)
    errors, text, facts = capture(options)
    assert errors == []
    assert facts.unread == {}
    for name in ("mine", "settings", "token", "server", "notebooks.kubeflow.org"):
        assert f"/{name}.yaml\n".encode() in text
    assert b"hidden" not in text
    assert open_system("cluster", options).newest_beat() is not None
    assert [check for check in failures(options) if check.subject.startswith("may_")] == []


def test_with_any_one_rule_removed_the_backup_is_partial_and_names_that_rule(installed, filled):
    options, _ = installed()
    whole = filled.request("GET", ROLE)
    assert len(whole["rules"]) >= 10
    for index, rule in enumerate(whole["rules"]):
        (group,), (verb,) = rule["apiGroups"], rule["verbs"]
        questioned = [Access(None, group, resource, verb) for resource in rule["resources"]]
        _put_rules(filled, [each for place, each in enumerate(whole["rules"]) if place != index])
        for access in questioned:
            await_answer(options, access, expected=False)
        errors, _, facts = capture(options)
        remedies = [check.remedy for check in errors]
        assert sorted(remedies) == sorted(f"add the rule {written(access.rule)}" for access in questioned)
        assert len(facts.unread) == len(questioned)
        missing = [check for check in failures(options) if check.subject.startswith("may_")]
        assert {check.remedy.split(";")[0] for check in missing} == set(remedies)
    _put_rules(filled, whole["rules"])
    await_answer(options, questioned[-1], expected=True)
    assert capture(options)[0] == []


def _put_rules(plane, rules):
    current = plane.request("GET", ROLE)
    plane.request("PUT", ROLE, current | {"rules": rules})


def test_without_a_rule_for_the_heartbeat_it_is_the_heartbeat_that_fails(installed, filled):
    options, manifests = installed()
    role = next(each for each in manifests if each["kind"] == "Role")
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/{role['metadata']['name']}"
    kubectl(filled, "-n", "default", "delete", "configmap", HEARTBEAT, "--ignore-not-found")
    for index, rule in enumerate(role["rules"]):
        left = [each for place, each in enumerate(role["rules"]) if place != index]
        filled.request("PUT", path, filled.request("GET", path) | {"rules": left})
        name = rule.get("resourceNames", [""])[0]
        for verb in rule["verbs"]:
            await_answer(options, Access("default", "", "configmaps", verb, name), expected=False)
        with pytest.raises(SystemUnreachable, match="the heartbeat cannot be written to namespace default"):
            beat(options)
        named = {check.remedy for check in failures(options) if check.subject.startswith("may_")}
        wanted = [Access("default", "", "configmaps", verb, name) for verb in rule["verbs"]]
        assert all(any(written(access.rule) in remedy for remedy in named) for access in wanted)
        assert len(named) == len(wanted)
        assert capture(options)[0] == []


def test_a_policy_that_names_namespaces_needs_roles_there_and_nothing_in_the_cluster(installed, filled):
    options, manifests = installed(
        "namespaces: [team-a, team-b]\n    cluster_scoped: false\n    heartbeat_namespace: team-a",
        namespaces=("team-a", "team-b"),
        cluster_scoped=False,
        heartbeat_namespace="team-a",
    )
    assert {each["kind"] for each in manifests} == {"ServiceAccount", "Role", "RoleBinding"}
    beat(options)
    errors, text, _ = capture(options)
    assert errors == []
    assert b"/mine.yaml" in text
    assert b"/token.yaml" in text
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/team-b/roles/drkeeper-drkeeper"
    role = filled.request("GET", path)
    filled.request("PUT", path, role | {"rules": [rule for rule in role["rules"] if rule["apiGroups"] != ["apps"]]})
    await_answer(options, Access("team-b", "apps", "deployments", "list"), expected=False)
    remedies = {check.remedy for check in capture(options)[0]}
    assert (
        "add the rule {apiGroups: [apps], resources: [deployments], verbs: [list]} in a Role of namespace team-b"
        in remedies
    )
    assert not any("team-a" in remedy for remedy in remedies)


def test_the_account_may_do_nothing_else(installed, filled):
    options, _ = installed("exclude_kinds: [secrets]")
    forbidden = [
        Access(None, "", "secrets", "list"),
        Access(None, "", "secrets", "get"),
        Access(None, "", "configmaps", "create"),
        Access("default", "", "configmaps", "patch", "another"),
        Access("default", "", "configmaps", "delete", HEARTBEAT),
        Access(None, "apps", "deployments", "patch"),
        Access(None, "rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ]
    with Cluster.open(options) as cluster:
        assert [access for access in forbidden if allowed(cluster, access)] == []


# --- the command ------------------------------------------------------------------------------------------------


def test_kinds_that_were_saved_give_the_same_rules(filled, deploy, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(filled.kubeconfig))
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY % "")
    kinds = tmp_path / "kinds.json"
    kinds.write_text(deploy(file, "kinds"))
    live = deploy(file, "rbac")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    assert deploy(file, "rbac", "--kinds", kinds) == live


def test_a_cluster_that_cannot_be_asked_is_told_with_the_way_round(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY % "")
    assert run(["--policy", str(file), "deploy", "rbac"]) == 1
    assert "--kinds FILE" in capsys.readouterr().err
    kinds = tmp_path / "kinds.json"
    kinds.write_text('{"not": "kinds"}')
    assert run(["--policy", str(file), "deploy", "rbac", "--kinds", str(kinds)]) == 2
    assert "these are no kinds" in capsys.readouterr().err


def test_rules_are_not_made_while_a_group_does_not_answer(filled, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", str(filled.kubeconfig))
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {"group": "away.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    service = {"insecureSkipTLSVerify": True, "service": {"name": "away", "namespace": "default"}}
    manifest = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec | service}
    filled.request("POST", path, manifest | {"metadata": {"name": "v1.away.example.com"}})
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY % "")
    try:
        assert run(["--policy", str(file), "deploy", "rbac"]) == 1
    finally:
        filled.request("DELETE", f"{path}/v1.away.example.com")
    printed = capsys.readouterr()
    assert "these API groups do not answer: away.example.com" in printed.err
    assert printed.out == ""


def test_a_cluster_that_is_reached_by_a_kubeconfig_is_asked_for_by_name(filled, deploy, tmp_path, capsys):
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY % f"kubeconfig: {filled.kubeconfig}")
    (account,) = yaml.safe_load_all(deploy(file, "rbac"))
    assert account["kind"] == "ServiceAccount"
    there = list(yaml.safe_load_all(deploy(file, "rbac", "--system", "cluster")))
    assert "ClusterRole" in {each["kind"] for each in there}
    assert run(["--policy", str(file), "deploy", "rbac", "--system", "other"]) == 2
    assert "it has cluster" in capsys.readouterr().err


# --- pure -------------------------------------------------------------------------------------------------------


@pytest.fixture
def kinds(filled):
    with Cluster.open(Options(kubeconfig=filled.kubeconfig)) as cluster:
        return cluster.kinds()


def test_rules_have_no_wildcard_and_one_verb(kinds):
    rules = rules_for_backup(Options(), kinds)
    assert {rule.verbs for rule in rules} == {("list",)}
    assert not any("*" in word for rule in rules for word in (rule.group, *rule.resources, *rule.verbs))


def test_secrets_are_listed_only_where_the_policy_says_how_to_encrypt_them(kinds):
    def listed(options):
        return {access.resource for access in questions(rules_for_backup(options, kinds)) if access.group == ""}

    assert "secrets" not in listed(Options())
    assert "secrets" in listed(Options(secrets=SECRETS))


def test_what_the_policy_leaves_out_needs_no_rule(kinds):
    rules = rules_for_backup(Options(kinds=("*.kubeflow.org", "configmaps"), exclude_kinds=("configmaps",)), kinds)
    assert rules == (Rule(None, "kubeflow.org", ("notebooks",), ("list",)),)


def test_the_heartbeat_is_one_config_map(kinds):
    create, change = rules_for_beat(Options(heartbeat_namespace="ops"))
    assert create.manifest() == {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}
    assert change.manifest()["resourceNames"] == ["drkeeper-heartbeat"]
    assert {create.namespace, change.namespace} == {"ops"}


def test_whoever_restores_roles_may_grant_what_he_does_not_hold(kinds):
    asked = set(questions(rules_for_restore(Options(), kinds)))
    assert Access(None, "rbac.authorization.k8s.io", "clusterroles", "escalate") in asked
    assert Access(None, "apps", "deployments", "escalate") not in asked
    assert {access.verb for access in asked} == {"bind", "create", "escalate", "get", "list", "patch"}


def test_a_restore_into_other_namespaces_needs_its_rules_there(kinds):
    options = Options(namespaces=("ml",), namespace_map={"ml": "ml-2"}, cluster_scoped=False)
    assert {rule.namespace for rule in rules_for_backup(options, kinds)} == {"ml"}
    assert {rule.namespace for rule in rules_for_restore(options, kinds)} == {"ml-2"}


def test_what_was_held_is_released_by_the_account_for_restores_whatever_the_policy_protects(
    filled, deploy, tmp_path, monkeypatch
):
    monkeypatch.setenv("KUBECONFIG", str(filled.kubeconfig))
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY % "kinds: [configmaps]")
    kubectl(filled, "apply", "-f", "-", stdin=deploy(file, "rbac", "--restore"))
    options = Options(kubeconfig=filled.kubeconfig_of_account("drkeeper", "drkeeper-restore"), kinds=("configmaps",))
    await_answer(options, Access(None, "", "configmaps", "patch"), expected=True)
    open_system("cluster", options).release()


def test_a_rule_is_written_as_it_is_pasted_into_a_role():
    rule = Rule("ml", "", ("configmaps",), ("get", "patch"), ("drkeeper-heartbeat",))
    text = written(rule)
    assert text.endswith(" in a Role of namespace ml")
    assert yaml.safe_load(text.partition("}")[0] + "}") == rule.manifest()
