"""README, "In a cluster": run word for word against the control plane; `helm` is Helm's own code behind a small program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.deploy.conftest import ROOT
from tests.kubernetes_system.cluster import kubectl

from test_docs import code_blocks

HELM = f"""\
#!{sys.executable}
import argparse

import helm_python as helm
import yaml

parser = argparse.ArgumentParser()
parser.add_argument("action", choices=["install", "upgrade"])
parser.add_argument("name")
parser.add_argument("chart")
parser.add_argument("-n", "--namespace", required=True)
parser.add_argument("-f", "--values", required=True)
parser.add_argument("--set", action="append", default=[])
given = parser.parse_args()
values = yaml.safe_load(open(given.values))
for each in given.set:
    for key, value in helm.parse_set_string(each).items():
        values[key] = values.get(key, {{}}) | value
with helm.Chart.load(given.chart) as chart, helm.Config(namespace=given.namespace) as config:
    release = getattr(config, given.action)(chart, given.name, values, namespace=given.namespace)
    print(release["status"])
"""
OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: research}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: research}
data: {batch: "64"}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: research}
stringData: {token: hidden}
"""


@pytest.fixture
def shell(plane, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "helm").write_text(HELM)
    (programs / "helm").chmod(0o755)
    work = tmp_path / "project"
    work.mkdir()
    (work / "deploy").symlink_to(ROOT / "deploy")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(plane.kubeconfig),
        "VAULT_URL": str(tmp_path / "vault"),
    }

    def run(script):
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    run.work = work
    return run


@pytest.mark.slow
def test_in_a_cluster_works_as_it_stands(shell, plane):
    install, restore = [block for block in code_blocks(ROOT / "README.md", "sh") if "cluster" in block]
    kubectl(plane, "apply", "-f", "-", stdin=OBJECTS)

    done = shell(install)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deployed" in done.stdout
    assert "deployment.apps/drkeeper" in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "yes"
    values = yaml.safe_load((shell.work / "values.yaml").read_text())
    assert {"path": "/etc/drkeeper/sops-key", "secret": "drkeeper", "key": "sops-key"} in values["secretFiles"]

    # The daemon's Pod does not run here; what it does is done in its place, under its account.
    account = plane.kubeconfig_of_account("drkeeper", "drkeeper")
    done = shell(f"KUBECONFIG={account} drkeeper backup && KUBECONFIG={account} drkeeper beat")
    assert done.returncode == 0, done.stdout + done.stderr

    kubectl(plane, "delete", "namespace", "research")
    done = shell(restore)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kubectl(plane, "-n", "research", "get", "configmap", "settings", "-o", "jsonpath={.data.batch}") == "64"
    encoded = kubectl(plane, "-n", "research", "get", "secret", "token", "-o", "jsonpath={.data.token}")
    assert encoded == "aGlkZGVu"


@pytest.mark.slow
def test_rules_without_helm_are_applied_by_kubectl(shell, plane):
    (shell.work / "drkeeper.yaml").write_text(
        "version: 1\nname: n\nsystems: {cluster: {kind: kubernetes}}\nvault: {regions: {here: {url: /vault}}}\n"
    )
    kubectl(plane, "create", "namespace", "plain")
    assert "`drkeeper deploy rbac | kubectl apply -f -`" in (ROOT / "README.md").read_text()
    done = shell("drkeeper deploy rbac --namespace plain | kubectl apply -f -")
    assert done.returncode == 0, done.stderr
    answer = kubectl(plane, "auth", "can-i", "list", "deployments.apps", "--as=system:serviceaccount:plain:drkeeper")
    assert answer.strip() == "yes"
