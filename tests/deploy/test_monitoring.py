"""Alerts and dashboard, checked by the real promtool and a real Prometheus: each alert fires when it must, not before."""

import itertools
import json
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import click
import pytest
import yaml
from tests.deploy.conftest import ROOT
from tests.deploy.rendered import named, of_kind, pod_templates
from tests.deploy.test_chart import validate

import alerting_examples
import report_examples
from bucket_examples import bucket_state
from drkeeper import audit, catalog, clock
from drkeeper.cli.root import SUMMARIES, root
from drkeeper.exporter import exposition, look, observer, serving
from drkeeper.gauges import GAUGES, PREFIX
from drkeeper.lease import hold
from drkeeper.policy import load_policy
from drkeeper.recovery_point import SystemRecord
from drkeeper.replication.proof_records import keep_proof
from drkeeper.replication.records import keep_record
from drkeeper.wiring import create_vault
from vault_examples import HeldLease, write_point

FILES = ROOT / "deploy/chart/files"
RULES = FILES / "drkeeper.rules.yaml"
DASHBOARD = FILES / "drkeeper.dashboard.json"
NAMES = {PREFIX + name for name in GAUGES}


@pytest.fixture(scope="module")
def groups():
    return yaml.safe_load(RULES.read_text())["groups"]


@pytest.fixture(scope="module")
def alerts(groups):
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.fixture(scope="module")
def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def gauges_in(text):
    """Names of gauges; those of recording rules have colons."""
    return {name for name in re.findall(r"[a-z_:]+", text) if name.startswith(PREFIX)}


def promtool(*words, said=None):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        ["promtool", *map(str, words)], input=said, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the rules ---


def test_promtool_finds_nothing_wrong_with_the_rules():
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_each_alert_fires_when_it_must_and_not_before(tmp_path, groups):
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1h",
        "group_eval_order": [group["name"] for group in groups],
        "tests": list(alerting_examples.unit_tests()),
    }
    (tmp_path / "tests.yaml").write_text(json.dumps(tests))
    promtool("test", "rules", tmp_path / "tests.yaml")


def test_each_warning_of_the_platform_fires_when_it_must_and_not_before(tmp_path, groups):
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "group_eval_order": [group["name"] for group in groups],
        "tests": list(alerting_examples.platform_tests()),
    }
    (tmp_path / "tests.yaml").write_text(json.dumps(tests))
    promtool("test", "rules", tmp_path / "tests.yaml")


def test_no_alert_is_left_untested(alerts):
    tested = [*alerting_examples.UNHEALTHY, *alerting_examples.PLATFORM]
    assert [alert["alert"] for alert in alerts] == tested


def test_promtool_would_notice_an_alert_that_does_not_fire(tmp_path, groups):
    """Otherwise the tests above could pass for the wrong reason."""
    broken = RULES.read_text().replace("drkeeper_disproven_points) > 0", "drkeeper_disproven_points) > 100")
    (tmp_path / "rules.yaml").write_text(broken)
    test = next(alerting_examples.unit_tests(["DrkeeperVerificationFailed"]))
    (tmp_path / "tests.yaml").write_text(
        json.dumps(
            {
                "rule_files": ["rules.yaml"],
                "evaluation_interval": "1h",
                "group_eval_order": [group["name"] for group in groups],
                "tests": [test],
            }
        )
    )
    with pytest.raises(AssertionError, match="DrkeeperVerificationFailed"):
        promtool("test", "rules", tmp_path / "tests.yaml")


def test_rules_and_dashboard_name_gauges_that_there_are(panels):
    assert gauges_in(RULES.read_text()) - {"drkeeper_"} <= NAMES
    shown = set().union(*(gauges_in(target["expr"]) for panel in panels for target in panel.get("targets", [])))
    assert shown <= NAMES
    hidden = {"system_info", "vault_up", "system_as_of_timestamp_seconds", "newest_point_as_of_timestamp_seconds"}
    hidden |= {
        "newest_point_created_timestamp_seconds",
        "newest_point_partial",
        "newest_point_regions",
        "newest_point_proven",
    }
    hidden |= {"drill_objective_kept", "lease_held", "drill_ended_timestamp_seconds"}
    assert {name.removeprefix(PREFIX) for name in NAMES - shown} <= hidden, "a gauge that nobody sees"


def test_series_of_the_tests_are_those_that_are_exposed():
    assert set().union(*map(gauges_in, alerting_examples.HEALTHY)) <= NAMES


def test_each_alert_says_what_is_the_case_and_what_to_do(alerts):
    for alert in alerts:
        says = alert["annotations"]
        assert set(says) == {"summary", "description", "action"}, alert["alert"]
        assert re.search(r"`drkeeper [a-z]+", says["action"]), alert["alert"]
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}


def commands(texts) -> Iterator[list[str]]:
    for text in texts:
        for command in re.findall(r"`drkeeper ([^`]+)`", text):
            yield command.replace('"', "").split()


def test_what_alerts_tell_to_do_are_commands_that_there_are(alerts):
    found = list(commands(text for alert in alerts for text in alert["annotations"].values()))
    assert len(found) > 20
    for words in found:
        assert words[0] in SUMMARIES, words
        command = root().get_command(click.Context(root()), words[0])
        if isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
            command = command.commands[words[1]]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, words


def test_what_is_generated_is_up_to_date(monkeypatch):
    folder = ROOT / "deploy/monitoring"
    monkeypatch.syspath_prepend(str(folder))
    assert runpy.run_path(str(folder / "dashboard.py"))["text"]() == DASHBOARD.read_text(), "run `make docs`"
    assert runpy.run_path(str(folder / "alerts_page.py"))["text"]() == (ROOT / "docs/alerts.md").read_text(), (
        "run `make docs`"
    )


# --- the dashboard ---


def test_panels_have_ids_of_their_own_and_do_not_overlap(panels):
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_panel_says_what_it_shows(panels):
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(references)) == len(references)


# --- a whole platform, a real Prometheus ---

POLICY = """\
version: 1
name: shop
systems:
  mlflow-db: {{kind: redis, host: 127.0.0.1, port: 1}}
  feast-online: {{kind: redis, host: 127.0.0.1, port: 1}}
  artifacts: {{kind: objects, url: s3://models, replica: {{url: s3://models-far, region: eu-west-1}}}}
vault:
  regions:
    near: {{url: {folder}/near}}
    far: {{url: {folder}/far}}
  capacity: 1GB
objectives: {{rto: 10m, rpo: 15m}}
schedules: {{backup: "0 * * * *"}}
"""


@pytest.fixture
def policy(tmp_path):
    """Of a vault in which every gauge has something to say."""
    (tmp_path / "drkeeper.yaml").write_text(POLICY.format(folder=tmp_path))
    policy = load_policy(tmp_path / "drkeeper.yaml", {})
    vault = create_vault(policy)
    now = clock.now()
    template = write_point(vault, {"dump": b"x" * 1000}, policy="shop", created_at=now - timedelta(hours=9))
    for number in range(3):
        at = now - timedelta(hours=number)
        systems = tuple(
            SystemRecord(
                name=name,
                kind=kind,
                status="complete",
                as_of=at,
                streams=template.systems[0].streams,
                capture_seconds=2,
            )
            for name, kind in (("mlflow-db", "postgres"), ("feast-online", "redis"), ("artifacts", "objects"))
        )
        with vault.writing(HeldLease()) as writer:
            point = writer.commit(
                template.model_copy(update={"point_id": f"{number}" * 12, "created_at": at, "systems": systems})
            )
        catalog.record_proof(
            vault,
            catalog.Proof(
                point_id=point.point_id, level="usable", verdict="passed", at=at, verdicts={"near": "passed"}
            ),
        )
    record = report_examples.good(policy="shop", started_at=now - timedelta(days=1), ended_at=now - timedelta(days=1))
    vault.create_record("drills/20260301T000000Z-1.json", record)
    failed = report_examples.failed_restore().model_copy(
        update={"policy": "shop", "scenario_name": "region-lost", "ended_at": now - timedelta(days=2)}
    )
    vault.create_record("drills/20260201T000000Z-2.json", failed)
    for number in range(3):
        with audit.recorded(vault, "shop", "backup", point=f"{number}" * 12):
            pass
    bucket = bucket_state(now - timedelta(minutes=5), all_since=now - timedelta(days=30))
    keep_record(vault, bucket.newest)
    for proof in bucket.proofs:
        keep_proof(vault, proof)
    with hold(vault.primary, ttl_seconds=600):
        yield policy


def test_promtool_finds_nothing_wrong_with_what_is_exposed(policy):
    text = look(observer(policy))
    assert gauges_in("\n".join(re.findall(r"^drkeeper_\S+?(?=[{ ])", text, re.MULTILINE))) == NAMES
    said = promtool("check", "metrics", said=text)
    assert said == ""
    assert exposition([]) == ""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Prometheus:
    """A real one, on a free port, that scrapes one exporter each second and evaluates our rules."""

    def __init__(self, folder, target):
        if shutil.which("prometheus") is None:
            pytest.skip("prometheus is not installed (Debian: prometheus)")
        self.port = free_port()
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "drkeeper", "static_configs": [{"targets": [f"{target[0]}:{target[1]}"]}]}],
        }
        (folder / "prometheus.yaml").write_text(json.dumps(configuration))
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stderr=self.log,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it starts
                raise
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expr):
        return self.ask("query", query=expr)["result"]

    def wait(self, expr):
        deadline = time.monotonic() + 60
        while True:
            try:
                if found := self.query(expr):
                    return found
            except OSError:
                assert self.process.poll() is None
            assert time.monotonic() < deadline, expr
            time.sleep(0.3)


def test_every_panel_shows_something_of_a_real_prometheus(policy, panels, tmp_path, alerts):
    with serving(observer(policy), ("127.0.0.1", 0), 1) as address, Prometheus(tmp_path, address) as prometheus:
        prometheus.wait('drkeeper:exposure:seconds{lost_region=""}')
        prometheus.wait("drkeeper:drill_age:seconds")
        for panel in panels:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$policy", ".*")
                assert prometheus.query(expr), (panel["title"], expr)
        evaluated = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in evaluated} <= {"ok", "unknown"}
        names = sorted(rule["name"] for rule in evaluated if rule["type"] == "alerting")
        assert names == sorted(alert["alert"] for alert in alerts)
        # Alerts that say "unless there is" may be pending until the recording rules were evaluated once. Then these are
        # left: the vault's far region has nothing, for nobody replicated, and a drill of its loss failed; the other
        # scenarios were never drilled.
        left = ["RegionLacksPoints", "ScenarioFailed", "ScenarioNeverDrilled", "ScenarioUnrecoverable"]
        left = [f"Drkeeper{each}" for each in left]
        prometheus.wait(f"count(count by (alertname) (ALERTS)) == {len(left)}")
        assert sorted({each["metric"]["alertname"] for each in prometheus.query("ALERTS")}) == left
        summary = prometheus.wait('ALERTS{alertname="DrkeeperRegionLacksPoints", alertstate="pending"}')
        assert summary[0]["metric"]["region"] == "far"


# --- in the chart ---

VALUES = {"policy": "version: 1\n", "monitoring": {"enabled": True}}


def monitoring(**more):
    return VALUES | {"monitoring": {"enabled": True, **more}}


def test_without_monitoring_nothing_of_it_is_rendered(render):
    objects = render({"policy": "version: 1\n"})
    assert not [each for each in objects if "monitoring" in each["apiVersion"] or "metrics" in each["metadata"]["name"]]


def test_what_is_rendered_is_valid_and_holds_the_rules_and_the_dashboard_as_they_are(render, groups):
    objects = render(VALUES)
    validate(objects)
    (rule,) = of_kind(objects, "PrometheusRule")
    rendered = json.loads(json.dumps(rule["spec"]["groups"]))
    for each in rendered:
        for one in each["rules"]:
            one.get("annotations", {}).pop("runbook_url", None)
    assert rendered == groups
    board = named(objects, "ConfigMap", "drkeeper-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["drkeeper.json"]) == json.loads(DASHBOARD.read_text())


def test_the_rendered_rules_are_rules_to_promtool(render, tmp_path):
    (rule,) = of_kind(render(VALUES), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    assert "SUCCESS" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_each_runbook_link_leads_to_its_part_of_the_page(render):
    (rule,) = of_kind(render(VALUES), "PrometheusRule")
    page = (ROOT / "docs/alerts.md").read_text()
    links = [
        one["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for one in group["rules"]
        if "alert" in one
    ]
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    assert {link.partition("docs/alerts.md#")[2] for link in links} == headings


def test_alerts_can_be_changed_and_switched_off(render):
    changed = monitoring(
        rules={
            "disabled": ["DrkeeperFindings"],
            "overrides": {
                "DrkeeperDrillOverdue": {"expr": "drkeeper:drill_age:seconds > 1", "labels": {"severity": "info"}}
            },
            "additionalLabels": {"team": "platform"},
        }
    )
    (rule,) = of_kind(render(changed), "PrometheusRule")
    rules = {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one}
    assert "DrkeeperFindings" not in rules
    overdue = rules["DrkeeperDrillOverdue"]
    assert overdue["expr"] == "drkeeper:drill_age:seconds > 1"
    assert overdue["labels"] == {"severity": "info", "team": "platform"}
    assert overdue["for"] == "1h"
    assert rules["DrkeeperNeverDrilled"]["labels"] == {"severity": "warning", "team": "platform"}


def test_the_platforms_own_warnings_can_be_left_out_as_a_group(render, groups):
    (rule,) = of_kind(render(monitoring(rules={"disabledGroups": ["drkeeper.platform"]})), "PrometheusRule")
    kept = [group["name"] for group in rule["spec"]["groups"]]
    assert kept == [group["name"] for group in groups if group["name"] != "drkeeper.platform"]


def test_an_alert_or_group_that_is_misspelt_is_refused(render):
    with pytest.raises(Exception, match="there is no alert DrkeeperDrilOverdue"):
        render(monitoring(rules={"disabled": ["DrkeeperDrilOverdue"]}))
    with pytest.raises(Exception, match=r"there is no group drkeeper\.platfrom"):
        render(monitoring(rules={"disabledGroups": ["drkeeper.platfrom"]}))


def test_the_service_monitor_finds_the_service_that_finds_the_exporter(render):
    objects = render(monitoring(exporter={"port": 9999}))
    (monitor,) = of_kind(objects, "ServiceMonitor")
    service = named(objects, "Service", "drkeeper-metrics")
    template = pod_templates(objects)["metrics"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9999, "protocol": "TCP"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert template["spec"]["automountServiceAccountToken"] is False
    (relabeling,) = monitor["spec"]["endpoints"][0]["relabelings"]
    assert relabeling == {"targetLabel": "job", "replacement": "drkeeper"}


def test_only_those_who_scrape_are_let_in(render):
    peers = [{"namespace": "monitoring", "podLabels": {"app.kubernetes.io/name": "prometheus"}}, {"cidr": "10.0.0.0/8"}]
    policy = named(render(monitoring(exporter={"scrapedFrom": peers})), "NetworkPolicy", "drkeeper-metrics")
    (rule,) = policy["spec"]["ingress"]
    assert len(rule["from"]) == 2
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]


def test_the_exporter_runs_by_its_rendered_command_line(render, policy, tmp_path):
    """Word for word, but for where the policy lies."""
    port = free_port()
    (container,) = pod_templates(render(monitoring(exporter={"port": port})))["metrics"]["spec"]["containers"]
    words = [
        str(tmp_path / "drkeeper.yaml") if word.startswith("/etc/drkeeper") else word for word in container["args"]
    ]
    process = subprocess.Popen([sys.executable, "-m", "drkeeper", *words], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    assert b"drkeeper_vault_up" in answer.read()
                break
            except OSError:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_exporter_gets_what_leads_to_the_vault_and_no_password_of_a_system(render, deploy, tmp_path):
    file = tmp_path / "drkeeper.yaml"
    file.write_text("""\
version: 1
name: n
systems:
  db: {kind: postgres, host: 10.0.0.1, user: u, password: "${file:/run/secrets/db-password}", scratch: /scratch}
  cache: {kind: redis, host: 10.0.0.2, password: "${env:CACHE_PASSWORD}"}
vault:
  regions:
    near: {url: "s3://b/p", access_key: "${env:VAULT_KEY}", secret_key: "${file:/run/secrets/vault-key}"}
    far: {url: /vault}
  encryption:
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    identity: ${file:/run/secrets/identity}
schedules: {backup: "0 2 * * *"}
""")
    made = yaml.safe_load(deploy(file, "values"))
    made["monitoring"]["enabled"] = True
    made["jobs"] |= {"push": {"enabled": True}, "report": {"enabled": True}}
    objects = render(made)
    validate(objects)
    templates = pod_templates(objects)

    def given(component):
        (container,) = templates[component]["spec"]["containers"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]} - {"/tmp", "/etc/drkeeper/drkeeper.yaml"}
        return mounted | {entry["name"] for entry in container["env"] if "valueFrom" in entry}

    assert given("metrics") == given("push") == {"/run/secrets/vault-key", "VAULT_KEY", "/vault"}
    more = {"/run/secrets/db-password", "/run/secrets/identity", "CACHE_PASSWORD", "/scratch"}
    assert given("backup") == given("metrics") | more
