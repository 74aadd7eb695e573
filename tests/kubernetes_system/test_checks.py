"""`drkeeper check` for a cluster: what it needs is asked for, and each failure comes with what to do."""

import subprocess
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import yaml
from pydantic import SecretStr
from pyrage import x25519
from tests.kubernetes_system.cluster import Http, await_established, kubectl

from drkeeper.sandbox._files import free_port
from drkeeper.systems._kubernetes.checks import probe, skew
from drkeeper.systems._kubernetes.deprecations import Answer, findings, removed_in
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import GitOptions, Options, SecretsOptions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def by_subject(options):
    return {check.subject: check for check in probe(options)}


# --- the server -------------------------------------------------------------------------------------------------


def test_a_cluster_that_answers_is_told_with_its_address_version_and_clock(control_plane):
    checks = by_subject(Options(kubeconfig=control_plane.kubeconfig))
    assert f"https://127.0.0.1:{control_plane.port}, Kubernetes v1." in checks["reachable"].detail
    assert checks["clock"].verdict == "passed"
    assert checks["permissions"].verdict == "passed"
    assert "all allowed" in checks["permissions"].detail


def test_a_name_is_resolved_and_shown_in_full(control_plane, tmp_path):
    named = tmp_path / "kubeconfig"
    named.write_text(control_plane.kubeconfig.read_text().replace("127.0.0.1", "localhost"))
    checks = by_subject(Options(kubeconfig=named))
    assert checks["reachable"].verdict == "passed"
    assert "127.0.0.1" in checks["dns"].detail


def test_a_name_that_nobody_knows_is_a_failure_of_names_first(control_plane, tmp_path):
    named = tmp_path / "kubeconfig"
    named.write_text(control_plane.kubeconfig.read_text().replace("127.0.0.1", "no-such-host.invalid"))
    checks = by_subject(Options(kubeconfig=named, timeout_seconds=2))
    assert checks["dns"].verdict == "failed"
    assert "no-such-host.invalid" in checks["dns"].detail
    assert checks["reachable"].verdict == "failed"


def test_in_a_pod_the_full_name_of_the_api_server_is_looked_up(control_plane, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    check = by_subject(Options(kubeconfig=control_plane.kubeconfig))["dns"]
    assert "kubernetes.default.svc" in check.detail
    assert "port 53" in check.remedy or check.verdict == "passed"


def test_a_server_that_is_not_there_is_one_failure_and_no_exception(tmp_path, control_plane):
    gone = tmp_path / "kubeconfig"
    gone.write_text(control_plane.kubeconfig.read_text().replace(str(control_plane.port), str(free_port())))
    checks = list(probe(Options(kubeconfig=gone, timeout_seconds=2)))
    assert [(check.subject, check.verdict) for check in checks] == [("reachable", "failed")]
    assert checks[0].remedy


def test_a_server_that_says_nothing_costs_no_more_than_the_timeout(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Silent) as server:  # accepts, and never answers: nobody serves it
        file = _kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
        (check,) = probe(Options(kubeconfig=file, timeout_seconds=1))
    assert check.verdict == "failed"
    assert "timed out" in check.detail


def test_something_else_at_that_address_is_no_api_server(tmp_path):
    with HTTPServer(("127.0.0.1", 0), LoginPage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        (check,) = probe(Options(kubeconfig=_kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")))
        server.shutdown()
    assert "no version on /version" in check.detail


def test_a_configuration_that_cannot_be_read_is_a_finding(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text("clusters: nothing")
    assert by_subject(Options(kubeconfig=file))["reachable"].verdict == "failed"


def test_an_unknown_user_is_told_so(control_plane, kubeconfig_for):
    checks = by_subject(Options(kubeconfig=kubeconfig_for(control_plane, token="nobody-knows-this")))
    assert checks["reachable"].verdict == "failed"
    assert "401" in checks["reachable"].detail or "does not know who we are" in checks["reachable"].detail


def test_an_aggregated_api_whose_server_is_away_is_named(empty_control_plane):
    plane = empty_control_plane(controllers=False)
    service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.away.example.com"},
        "spec": {
            "group": "away.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "away", "namespace": "default"},
        },
    }
    plane.request("POST", "/apis/apiregistration.k8s.io/v1/apiservices", service)
    check = by_subject(Options(kubeconfig=plane.kubeconfig))["api_group.away.example.com"]
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert "not captured" in check.detail


class Silent(BaseHTTPRequestHandler):
    pass


class LoginPage(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>who are you?</html>")

    def log_message(self, *_):
        pass


def _kubeconfig(folder, server):
    file = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


# --- clocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_seconds", "verdict", "severity"),
    [
        (0, "passed", "warning"),
        (-0.9, "passed", "warning"),
        (6, "failed", "warning"),
        (-8, "failed", "warning"),
        (90, "failed", "error"),
        (-90, "failed", "error"),
    ],
)
def test_clocks_that_differ_are_a_warning_and_far_apart_an_error(ahead_seconds, verdict, severity):
    check = skew(NOW + timedelta(seconds=ahead_seconds), NOW, NOW + timedelta(seconds=0.05))
    assert (check.verdict, check.severity) == (verdict, severity)
    if verdict == "failed":
        assert ("ahead of" if ahead_seconds > 0 else "behind") in check.detail


def test_a_slow_answer_is_no_skew():
    assert skew(NOW + timedelta(seconds=20), NOW, NOW + timedelta(seconds=30)).verdict == "passed"


# --- permissions ------------------------------------------------------------------------------------------------


def test_each_right_that_is_missing_comes_with_its_rule(control_plane, kubeconfig_for):
    user = kubeconfig_for(control_plane, user="checks-reader")
    checks = by_subject(Options(kubeconfig=user, kinds=("deployments.apps", "configmaps"), namespaces=("default",)))
    check = checks["may_list.deployments.apps.default"]
    assert check.severity == "error"
    assert "{apiGroups: [apps], resources: [deployments], verbs: [list]} in a Role of namespace default" in check.remedy
    beat = checks["may_patch.configmaps.default"]
    assert beat.severity == "warning"
    assert "resourceNames: [drkeeper-heartbeat]" in beat.remedy
    assert "may_list.secrets.default" not in checks


# --- versions that do not last ----------------------------------------------------------------------------------

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.checks.example.com}
spec:
  group: checks.example.com
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
    - name: v1alpha1
      served: true
      storage: true
      deprecated: true
      deprecationWarning: 'say "widgets" in v1 instead'
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


def test_what_the_server_itself_calls_deprecated_is_a_finding_once_there_are_objects(control_plane):
    kubectl(control_plane, "apply", "-f", "-", stdin=CRD)
    try:
        with Http(control_plane) as http:
            await_established(http)
        options = Options(kubeconfig=control_plane.kubeconfig, kinds=("widgets.checks.example.com",))
        assert "api.widgets.checks.example.com" not in by_subject(options)
        widget = {"apiVersion": "checks.example.com/v1alpha1", "kind": "Widget", "metadata": {"name": "one"}}
        control_plane.request("POST", "/apis/checks.example.com/v1alpha1/namespaces/default/widgets", widget)
        check = by_subject(options)["api.widgets.checks.example.com"]
        assert (check.verdict, check.severity) == ("failed", "warning")
        assert 'held as checks.example.com/v1alpha1: say "widgets" in v1 instead' in check.detail
    finally:
        kubectl(control_plane, "delete", "crd", "widgets.checks.example.com")


def kind_of(api_version, kind):
    group, _, version = api_version.rpartition("/")
    return ResourceKind(group, version, kind, kind.lower() + "s", True, frozenset({"list"}))


@pytest.mark.parametrize(
    ("api_version", "kind", "release"),
    [
        ("batch/v1beta1", "CronJob", "1.25"),
        ("policy/v1beta1", "PodSecurityPolicy", "1.25"),
        ("extensions/v1beta1", "Ingress", "1.22"),
        ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", "1.22"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26"),
    ],
)
def test_what_was_removed_is_known_by_release(api_version, kind, release):
    found = removed_in(kind_of(api_version, kind))
    assert found is not None
    assert found[0] == release


def test_what_lasts_is_no_finding():
    assert removed_in(kind_of("batch/v1", "CronJob")) is None
    assert removed_in(kind_of("storage.k8s.io/v1beta1", "Unknown")) is None


def test_a_kind_without_objects_is_no_finding():
    kind = kind_of("batch/v1beta1", "CronJob")
    assert list(findings([Answer(kind, held=False, warnings=("old",))])) == []
    (check,) = findings([Answer(kind, held=True, warnings=())])
    assert "Kubernetes 1.25 and later do not serve it" in check.detail


# --- git and keys -----------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository.git"
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    return folder


def git_check(control_plane, **git):
    options = Options(kubeconfig=control_plane.kubeconfig, kinds=("configmaps",), git=GitOptions(**git))
    return by_subject(options)["git"]


def test_a_repository_without_the_branch_is_fine(control_plane, repository):
    check = git_check(control_plane, url=str(repository))
    assert check.verdict == "passed"
    assert "the first commit" in check.detail
    assert not list((repository / "refs/heads").iterdir())


def test_a_repository_that_is_not_there_is_a_warning_with_a_remedy(control_plane, tmp_path):
    check = git_check(control_plane, url=str(tmp_path / "nowhere.git"))
    assert (check.verdict, check.severity) == ("failed", "warning")
    assert check.remedy


def secrets_checks(control_plane, **secrets):
    options = Options(
        kubeconfig=control_plane.kubeconfig, kinds=("configmaps",), secrets=SecretsOptions.model_construct(**secrets)
    )
    return by_subject(options)


def test_keys_that_fit_pass(control_plane):
    identity = x25519.Identity.generate()
    checks = secrets_checks(
        control_plane,
        recipients=(str(identity.to_public()),),
        key=SecretStr("k" * 32),
        identity=SecretStr(f"# created: today\n{identity}\n"),
    )
    passed = {subject for subject, check in checks.items() if check.verdict == "passed"}
    assert {"secrets.recipients", "secrets.key", "secrets.identity"} <= passed


def test_keys_that_do_not_fit_are_told_apart_and_never_shown(control_plane):
    other = str(x25519.Identity.generate())
    checks = secrets_checks(
        control_plane, recipients=(other, "age1nonsense"), key=SecretStr("short"), identity=SecretStr(other)
    )
    for subject in ("secrets.recipients", "secrets.key", "secrets.identity"):
        assert checks[subject].verdict == "failed"
        assert checks[subject].remedy
        assert other not in str(checks[subject])
    assert "2 of 2" in checks["secrets.recipients"].detail


@pytest.mark.parametrize(
    ("more", "told"), [({}, True), ({"exclude_kinds": ("secrets",)}, False), ({"kinds": ("configmaps",)}, False)]
)
def test_secrets_that_nobody_said_how_to_keep_are_told_of(control_plane, more, told):
    checks = by_subject(Options(kubeconfig=control_plane.kubeconfig, **more))
    assert ("secrets" in checks) is told
    if told:
        assert checks["secrets"].severity == "warning"
        assert "exclude_kinds: [secrets]" in checks["secrets"].remedy
