"""The chart: what it renders is valid, needs no rights that it can do without, and says what the policy says."""

import json

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.deploy.conftest import CHART, ROOT
from tests.deploy.rendered import named, of_kind, pod_templates

from drkeeper.clock import monotonic_seconds, sleep

VERSIONS = ("1.33", kubernetes_validate.latest_version())
JOBS = ("backup", "beat", "drill", "prune", "replicate", "verify")

POLICY = """\
# A comment, and "quotes", {braces} and: colons are kept.
version: 1
name: ml-platform
systems:
  mlflow-db:
    kind: postgres
    host: mlflow-db.mlops.svc
    user: drkeeper
    password: ${file:/run/secrets/mlflow-db-password}
    tls: {mode: verify-full, ca: ca.pem, cert: /etc/drkeeper/tls/client.crt, key: /etc/drkeeper/tls/client.key}
    scratch: /scratch
  feast-registry: {kind: postgres, host: 10.20.30.40, port: 5433, user: drkeeper}
  online-store:
    kind: redis
    host: online-store-0.online-store.mlops.svc.cluster.local
    password: ${env:ONLINE_STORE_PASSWORD}
    replica: {host: replica.example, port: 6380}
    listen_port: 7379
  cluster:
    kind: kubernetes
    secrets:
      recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
      key: ${file:/run/secrets/sops-key}
    git: {url: "ssh://git@git.example:2222/ops/cluster.git", ssh_key: /run/secrets/git-ssh-key}
vault:
  regions:
    primary:
      url: s3://recovery/drkeeper
      endpoint: https://minio.storage.svc:9000
      access_key: ${env:VAULT_ACCESS_KEY}
      secret_key: ${file:/run/secrets/vault-secret-key}
      region: ${env:VAULT_REGION:-eu-central}
    far: {url: /vault}
  encryption: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}
schedules: {backup: "*/15 * * * *", verify: "30 4 * * *", prune: "0 3 * * 0", beat: "* * * * *", drill: "0 5 1 */3 *"}
"""
KINDS = [
    ("", "v1", "ConfigMap", "configmaps", True),
    ("", "v1", "Secret", "secrets", True),
    ("", "v1", "Namespace", "namespaces", False),
    ("apps", "v1", "Deployment", "deployments", True),
    ("kubeflow.org", "v1", "Notebook", "notebooks", True),
]


@pytest.fixture
def policy_file(tmp_path):
    file = tmp_path / "drkeeper.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def kinds_file(tmp_path):
    """As `drkeeper deploy kinds` saves it."""
    keys = ("group", "version", "kind", "plural", "namespaced")
    entries = [{**dict(zip(keys, kind, strict=True)), "verbs": ["create", "get", "list"]} for kind in KINDS]
    file = tmp_path / "kinds.json"
    file.write_text(json.dumps(entries))
    return file


@pytest.fixture
def values(deploy, policy_file, kinds_file):
    return yaml.safe_load(deploy(policy_file, "values", "--kinds", kinds_file))


def validate(objects):
    for version in VERSIONS:
        for each in objects:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                # Kinds of the Prometheus operator, which are not Kubernetes' own.
                assert each["apiVersion"].startswith("monitoring.coreos.com/"), each["kind"]


def variants(values):
    every = {name: {"enabled": True} for name in JOBS}
    yield values
    yield values | {"daemon": {"enabled": True}}
    yield values | {"restore": {"enabled": True}, "init": {"enabled": True}, "jobs": values["jobs"] | every}
    yield {"policy": POLICY}
    yield {"existingConfigMap": "mine", "networkPolicy": {"enabled": False}, "rbac": {"create": False}}
    yield values | {
        "fullnameOverride": "dr",
        "image": {"repository": "mirror/drkeeper", "tag": "1.2.3"},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"name": "mine", "create": False},
        "podLabels": {"team": "ml"},
        "podAnnotations": {"note": "here"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "important",
        "extraEnv": [{"name": "AWS_REGION", "value": "eu"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "networkPolicy": values["networkPolicy"]
        | {
            "apiServer": {"cidrs": ["10.0.0.1/32"]},
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]}],
            "extraIngress": [{"from": [{"podSelector": {}}]}],
        },
    }


# --- valid ------------------------------------------------------------------------------------------------------


def test_the_linter_finds_nothing(values):
    report = helm.lint(CHART, values, strict=True, kube_version="v1.33.0")
    assert report["errors"] == []
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


def test_whatever_the_values_say_what_is_rendered_is_valid(values, render):
    for variant in variants(values):
        objects = render(variant)
        assert objects
        validate(objects)


def test_the_policies_that_are_shipped_can_be_deployed(deploy, kinds_file, render):
    for file in (ROOT / "policies/minimal.yaml", ROOT / "policies/production.yaml"):
        objects = render(yaml.safe_load(deploy(file, "values", "--kinds", kinds_file)))
        validate(objects)
        assert named(objects, "ConfigMap", "drkeeper-policy")["data"]["drkeeper.yaml"] == file.read_text()


def test_without_a_policy_it_says_how_to_make_the_values(render):
    with pytest.raises(helm.HelmRenderError, match=r"drkeeper deploy values > values\.yaml"):
        render({})


def test_values_with_a_misspelt_key_or_a_wildcard_are_refused(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        for wrong in (
            {"jobs": {"bakcup": {"enabled": True}}},
            {"resource": {}},
            {"jobs": {"backup": {"schedule": "hourly"}}},
            {"rbac": {"clusterRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}]}},
            {"secretFiles": [{"path": "relative", "secret": "s", "key": "k"}]},
            {"networkPolicy": {"egress": [{"name": "nowhere"}]}},
        ):
            with pytest.raises(helm.HelmValuesError):
                chart.validate_schema(wrong)


def test_the_schema_knows_every_default():
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(defaults, schema)
    assert set(schema["properties"]) - set(defaults) <= {"global", "monitoring"}


def test_names_fit_however_long_the_release_is_called(values, render):
    objects = render(values | {"restore": {"enabled": True}}, name="a-release-with-a-name-that-is-as-long-as-helm-lets")
    validate(objects)
    assert max(len(each["metadata"]["name"]) for each in of_kind(objects, "CronJob")) <= 52


# --- no more rights than needed ---------------------------------------------------------------------------------


def test_no_pod_runs_with_more_than_it_needs(values, render):
    for variant in variants(values):
        for component, template in pod_templates(render(variant)).items():
            spec = template["spec"]
            (container,) = spec["containers"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
            assert {"requests", "limits"} <= set(container["resources"]), component
            assert all("hostPath" not in volume for volume in spec["volumes"])


def test_what_can_be_written_to_is_bounded_and_the_rest_is_not_writable(values, render):
    for template in pod_templates(render(values)).values():
        (container,) = template["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"]
            elif "persistentVolumeClaim" not in volume:
                assert mount["readOnly"] is True
        assert {"name": "TMPDIR", "value": "/tmp"} in container["env"]


def test_a_token_is_given_only_to_who_speaks_with_the_api_server(values, render):
    every = {"jobs": values["jobs"] | {"replicate": {"enabled": True}}, "restore": {"enabled": True}}
    templates = pod_templates(render(values | every))
    given = {name for name, each in templates.items() if each["spec"]["automountServiceAccountToken"]}
    assert given == {"backup", "beat", "drill", "restore"}
    assert templates["restore"]["spec"]["serviceAccountName"] == "drkeeper-restore"
    assert {each["automountServiceAccountToken"] for each in of_kind(render(values), "ServiceAccount")} == {False}
    without = pod_templates(render(values | {"kubernetes": {"enabled": False}}))
    assert not any(each["spec"]["automountServiceAccountToken"] for each in without.values())


def test_the_account_for_restores_is_not_there_by_default(values, deploy, policy_file, kinds_file, render):
    objects = render(values)
    assert {each["metadata"]["name"] for each in of_kind(objects, "ServiceAccount")} == {"drkeeper"}
    (role,) = of_kind(objects, "ClusterRole")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list"}
    wide = yaml.safe_load(deploy(policy_file, "values", "--kinds", kinds_file, "--restore"))
    role = named(render(wide), "ClusterRole", "drkeeper-drkeeper-restore")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"create", "get", "list", "patch"}


def test_the_chart_and_the_plain_manifests_grant_the_same(values, deploy, policy_file, kinds_file, render):
    plain = list(yaml.safe_load_all(deploy(policy_file, "rbac", "--kinds", kinds_file)))
    chart = [each for each in render(values) if "rbac" in each["apiVersion"] or each["kind"] == "ServiceAccount"]
    for each in chart:
        each["metadata"].pop("labels")
    assert sorted(plain, key=_name) == sorted(chart, key=_name)


def _name(manifest):
    return manifest["kind"], manifest["metadata"]["name"], manifest["metadata"].get("namespace", "")


# --- what the policy says ---------------------------------------------------------------------------------------


def test_schedules_are_the_policys(values, render):
    schedules = {each["metadata"]["name"]: each["spec"]["schedule"] for each in of_kind(render(values), "CronJob")}
    assert schedules == {
        "drkeeper-backup": "*/15 * * * *",
        "drkeeper-verify": "30 4 * * *",
        "drkeeper-prune": "0 3 * * sun",
        "drkeeper-beat": "* * * * *",
        "drkeeper-drill": "0 5 1 */3 *",
    }


def test_jobs_do_not_pile_up(values, render):
    for each in of_kind(render(values), "CronJob"):
        spec, job = each["spec"], each["spec"]["jobTemplate"]["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["timeZone"] == "Etc/UTC"
        assert spec["startingDeadlineSeconds"] >= 10
        assert job["activeDeadlineSeconds"] > 0
        assert {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= set(spec)
        (rule,) = job["podFailurePolicy"]["rules"]
        assert {2, 4, 12} <= set(rule["onExitCodes"]["values"])
        assert not {1, 10, 11} & set(rule["onExitCodes"]["values"])  # these may pass


def test_the_audit_log_can_tell_what_ran_by_itself(values, render):
    for each in of_kind(render(values), "CronJob"):
        (container,) = each["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        known = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert (known["DRKEEPER_TRIGGER"], known["DRKEEPER_ACTOR"].split("/")[0]) == ("schedule", "drkeeper")


def test_the_daemon_takes_the_place_of_the_jobs(values, render):
    objects = render(values | {"daemon": {"enabled": True}})
    assert not of_kind(objects, "CronJob")
    (deployment,) = of_kind(objects, "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--policy", "/etc/drkeeper/drkeeper.yaml", "run"]


def test_a_restore_waits_to_be_started_by_hand(values, render):
    (restore,) = [
        each
        for each in of_kind(render(values | {"restore": {"enabled": True}}), "CronJob")
        if each["metadata"]["name"] == "drkeeper-restore"
    ]
    assert restore["spec"]["suspend"] is True


def test_what_references_and_paths_name_is_a_key_of_the_secret(values, render):
    template = pod_templates(render(values))["backup"]
    (container,) = template["spec"]["containers"]
    secrets = {
        mount["mountPath"]: mount["subPath"]
        for mount in container["volumeMounts"]
        if mount["name"].startswith("secret-")
    }
    assert secrets == {
        "/etc/drkeeper/ca.pem": "ca.pem",
        "/etc/drkeeper/tls/client.crt": "client.crt",
        "/etc/drkeeper/tls/client.key": "client.key",
        "/run/secrets/git-ssh-key": "git-ssh-key",
        "/run/secrets/mlflow-db-password": "mlflow-db-password",
        "/run/secrets/sops-key": "sops-key",
        "/run/secrets/vault-secret-key": "vault-secret-key",
    }
    references = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry
    }
    assert references == {
        "ONLINE_STORE_PASSWORD": {"name": "drkeeper", "key": "ONLINE_STORE_PASSWORD"},
        "VAULT_ACCESS_KEY": {"name": "drkeeper", "key": "VAULT_ACCESS_KEY"},
        "VAULT_REGION": {"name": "drkeeper", "key": "VAULT_REGION", "optional": True},
    }
    folders = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert volumes[folders["/vault"]]["persistentVolumeClaim"] == {"claimName": "drkeeper-far"}
    assert "emptyDir" in volumes[folders["/scratch"]]


def test_no_value_of_a_secret_gets_into_the_values(deploy, policy_file, kinds_file, monkeypatch):
    monkeypatch.setenv("ONLINE_STORE_PASSWORD", "hunter2-hunter2")
    text = deploy(policy_file, "values", "--kinds", kinds_file)
    assert "hunter2" not in text
    assert yaml.safe_load(text)["policy"] == POLICY


def test_the_same_policy_gives_the_same_bytes(deploy, policy_file, kinds_file):
    once, again = (deploy(policy_file, "values", "--kinds", kinds_file) for _ in range(2))
    assert once == again


def test_an_address_that_is_a_reference_must_be_known(policy_file, kinds_file, monkeypatch, capsys):
    from drkeeper.cli.root import run

    policy_file.write_text(POLICY.replace("host: mlflow-db.mlops.svc", "host: ${env:MLFLOW_DB_HOST}"))
    arguments = ["--policy", str(policy_file), "deploy", "values", "--kinds", str(kinds_file)]
    assert run(arguments) == 2
    assert "mlflow-db: its address is a reference that has no value here" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_DB_HOST", "mlflow-db.mlops.svc")
    assert run(arguments) == 0


def test_an_encrypted_vault_without_its_identity_is_verified_as_far_as_that_goes(values, render, deploy, tmp_path):
    args = pod_templates(render(values))["verify"]["spec"]["containers"][0]["args"]
    assert args[2:] == ["verify", "--all"]
    open_policy = tmp_path / "open.yaml"
    open_policy.write_text(
        "version: 1\nname: n\nsystems: {r: {kind: redis, host: r}}\nvault: {regions: {a: {url: /v}}}\n"
    )
    made = yaml.safe_load(deploy(open_policy, "values"))
    assert made["jobs"]["verify"]["args"] == ["verify", "--all", "--level", "intact", "--sample", "5%"]


def test_relative_paths_start_where_the_policy_lies(values, render):
    for template in pod_templates(render(values)).values():
        assert template["spec"]["containers"][0]["workingDir"] == "/etc/drkeeper"


def test_a_scratch_cluster_is_reached_and_its_kubeconfig_mounted(deploy, tmp_path):
    file = tmp_path / "drkeeper.yaml"
    file.write_text(
        "version: 1\nname: n\nsystems: {r: {kind: redis, host: 10.0.0.1}}\nvault: {regions: {a: {url: /v}}}\n"
        "sandbox: {cluster: {kubeconfig: /run/secrets/scratch-kubeconfig}}\n"
    )
    made = yaml.safe_load(deploy(file, "values"))
    assert {"name": "sandbox, cluster", "ports": [6443]} in made["networkPolicy"]["egress"]
    assert made["secretFiles"] == [
        {"path": "/run/secrets/scratch-kubeconfig", "secret": "drkeeper", "key": "scratch-kubeconfig"}
    ]
    assert made["kubernetes"] == {"enabled": False}


# --- network ----------------------------------------------------------------------------------------------------


def test_pods_reach_what_the_policy_names_and_nothing_else(values, render):
    policy = named(render(values), "NetworkPolicy", "drkeeper")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    reached = {
        (json.dumps(rule.get("to", [])), port["port"])
        for rule in policy["spec"]["egress"]
        for port in rule.get("ports", [])
    }
    mlops = json.dumps([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlops"}}}])
    storage = json.dumps([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}])
    address = json.dumps([{"ipBlock": {"cidr": "10.20.30.40/32"}}])
    anywhere = json.dumps([])
    assert reached == {
        (anywhere, 53),
        (anywhere, 443),  # the API server, which is no Pod
        (anywhere, 6443),
        (mlops, 5432),
        (address, 5433),
        (mlops, 6379),
        (anywhere, 6380),  # replica.example: a name outside of the cluster
        (anywhere, 2222),
        (storage, 9000),
    }


def test_a_redis_that_is_restored_may_connect_back_to_that_pod_alone(values, render):
    policy = named(render(values), "NetworkPolicy", "drkeeper-restore")
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "restore"
    (rule,) = policy["spec"]["ingress"]
    assert rule == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlops"}}}],
        "ports": [{"protocol": "TCP", "port": 7379}],
    }
    template = pod_templates(render(values | {"restore": {"enabled": True}}))["restore"]
    labels = template["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_person_is_told_what_would_keep_a_restore_from_working(deploy, policy_file, kinds_file):
    deploy(policy_file, "values", "--kinds", kinds_file)
    assert "drills need vault.encryption.identity" in deploy.notes
    assert "drills need a place for the cluster's objects" in deploy.notes
    assert "online-store" not in deploy.notes
    policy_file.write_text(
        POLICY.replace("online-store-0.online-store.mlops.svc.cluster.local", "online-store.mlops.svc").replace(
            "    listen_port: 7379\n", ""
        )
    )
    deploy(policy_file, "values", "--kinds", kinds_file)
    assert "turned away: let `host` name the Pod" in deploy.notes
    assert "set `listen_port`" in deploy.notes


# --- the real API server ----------------------------------------------------------------------------------------


def test_the_api_server_takes_what_its_version_serves(values, render, plane):
    """The server here may be older than batch/v1 CronJobs: those are checked by schema only, and counted."""
    served = {
        "v1",
        *(
            version["groupVersion"]
            for group in plane.request("GET", "/apis")["groups"]
            for version in group["versions"]
        ),
    }
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "drkeeper"}})
    asked, passed_over = 0, set()
    for each in render(values | {"daemon": {"enabled": True}}) + render(values | {"restore": {"enabled": True}}):
        version, kind = each["apiVersion"], each["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resources = plane.request("GET", root)["resources"] if version in served else []
        found = [entry for entry in resources if entry["kind"] == kind and "/" not in entry["name"]]
        if not found:
            passed_over.add((version, kind))
            continue
        place = f"/namespaces/{each['metadata']['namespace']}" if found[0]["namespaced"] else ""
        answer = plane.request("POST", f"{root}{place}/{found[0]['name']}?dryRun=All", each)
        assert answer["metadata"]["name"] == each["metadata"]["name"]
        asked += 1
    assert asked >= 10
    assert passed_over <= {
        ("batch/v1", "CronJob"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
        ("monitoring.coreos.com/v1", "PrometheusRule"),
        ("monitoring.coreos.com/v1", "PodMonitor"),
    }


def test_helm_installs_upgrades_and_removes_it_for_real(values, plane):
    """As a daemon, which every server takes; without a kubelet its Pod waits for ever."""
    daemon = values | {"daemon": {"enabled": True}}
    with (
        helm.Chart.load(CHART) as chart,
        helm.Config(kubeconfig_path=plane.kubeconfig, namespace="installed") as config,
    ):
        release = config.install(chart, "drkeeper", daemon, namespace="installed", create_namespace=True)
        assert release["status"] == "deployed"
        assert _pod(plane)["spec"]["securityContext"]["runAsUser"] == 65532
        config.upgrade(chart, "drkeeper", daemon | {"podLabels": {"team": "ml"}}, namespace="installed")
        deployments = plane.request("GET", "/apis/apps/v1/namespaces/installed/deployments")["items"]
        assert deployments[0]["spec"]["template"]["metadata"]["labels"]["team"] == "ml"
        config.uninstall("drkeeper")
    left = plane.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")["items"]
    assert not [each for each in left if each["metadata"]["name"].startswith("installed-")]


def _pod(plane):
    deadline = monotonic_seconds() + 60
    while monotonic_seconds() < deadline:
        pods = plane.request("GET", "/api/v1/namespaces/installed/pods")["items"]
        if pods:
            return pods[0]
        sleep(0.2)
    raise AssertionError("the Deployment made no Pod")


def test_a_server_that_is_too_old_for_its_jobs_is_told(values, plane):
    if plane.version >= (1, 27):
        pytest.skip("this control plane is new enough")
    with (
        helm.Chart.load(CHART) as chart,
        helm.Config(kubeconfig_path=plane.kubeconfig, namespace="drkeeper") as config,
        pytest.raises(helm.HelmError, match=r"set daemon\.enabled=true instead"),
    ):
        config.install(chart, "old", values, namespace="drkeeper", dry_run="server")


def test_a_bucket_and_its_replica_are_reached(deploy, tmp_path):
    file = tmp_path / "drkeeper.yaml"
    file.write_text(
        "version: 1\nname: n\nsystems:\n  models:\n    kind: objects\n    url: s3://models\n"
        "    endpoint: http://minio.storage.svc:9000\n    allow_http: true\n    replica: {url: s3://models-west}\n"
        "vault: {regions: {a: {url: /v}}}\n"
    )
    made = yaml.safe_load(deploy(file, "values"))
    egress = made["networkPolicy"]["egress"]
    assert {"name": "models", "namespace": "storage", "ports": [9000]} in egress
    assert {"name": "models, replica", "ports": [443]} in egress
