"""Measure the capture of a cluster beside bare lists and kubectl. `python bench/cluster.py [--quick]`; some minutes.

A real API server, from $KUBEBUILDER_ASSETS, with 10,000 objects in 50 kinds. Candidates take turns; figures are
medians. Results go to `results-kubernetes.json` and, as a table, into `README.md`.

Not called `kubernetes.py`: the programs here are imported by their names, and that name is a library's.
"""

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from cluster_objects import AMOUNTS, Amount, labels
from cluster_table import write_tables
from machine import processor_and_system
from measure import Results, Usage, timed, tree_bytes
from programs import Keeper

from drkeeper.errors import ToolMissing
from drkeeper.sandbox import kubernetes
from drkeeper.sandbox.kubernetes import ControlPlane

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects, one round; README.md stays as it is")
    parser.add_argument("--rounds", type=int, default=3, help="how often each candidate has its turn")
    arguments = parser.parse_args()
    amount, rounds = ("quick", 1) if arguments.quick else ("full", arguments.rounds)
    HERE.joinpath("data").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="cluster-", dir=HERE / "data"))
    try:
        try:
            server = kubernetes.start(work / "server", controllers=False)
        except ToolMissing as error:
            print(f"the cluster is left out: {error}")
            return
        try:
            report = measure_all(server, work, amount, rounds)
        finally:
            server.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if arguments.quick:
        print(json.dumps(report, indent=1))
        return
    (HERE / "results-kubernetes.json").write_text(json.dumps(report, indent=1) + "\n")
    write_tables(HERE / "README.md", report)


def measure_all(server: ControlPlane, work: Path, name: str, rounds: int) -> dict[str, Any]:
    amount = AMOUNTS[name]
    platform = Platform(server, work, amount)
    print(f"making {amount.total:,} objects in {amount.kinds} kinds", flush=True)
    made = timed([sys.executable, str(HERE / "cluster_objects.py"), str(platform.given), name], env={})
    print(f"  {made.wall_seconds:.0f} s", flush=True)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        platform.round()
    return {
        "machine": {
            **processor_and_system(),
            "API server": ".".join(map(str, server.version)),
            "kubectl": _kubectl_version(),
        },
        "size": {"objects": amount.total, "kinds": amount.kinds, "rounds": rounds},
        "medians": platform.results.medians(),
        "inside": {name: _medians(runs) for name, runs in platform.inside.items()},
        "second": platform.second,
        "runs": platform.results.raw(),
        "inside_runs": platform.inside,
    }


class Platform:
    """One cluster, a vault in a folder, a git remote in another, and the candidates."""

    def __init__(self, server: ControlPlane, work: Path, amount: Amount) -> None:
        import pyrage

        self.results = Results()
        self.inside: dict[str, list[dict[str, float]]] = {}
        self.second: list[dict[str, int]] = []
        self._kinds = labels(amount)
        self._kubeconfig = server.kubeconfig
        self._work = work
        self._key = secrets.token_hex(32)
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        self.options: dict[str, Any] = {
            "kubeconfig": str(server.kubeconfig),
            "kinds": self._kinds,
            "secrets": {"recipients": [recipient], "key": self._key},
        }
        self.given = work / "options.json"
        self.given.touch(mode=0o600)
        self.given.write_text(json.dumps(self.options))
        self._keeper = self._policy()

    def round(self) -> None:
        add = self.results.add
        add("bare lists", self._worker("lists"))
        add("drkeeper capture to nowhere", self._worker("capture"))
        words = ["kubectl", "--kubeconfig", str(self._kubeconfig), "get", ",".join(self._kinds), "--all-namespaces"]
        out = self._work / "kubectl.yaml"
        usage = timed(["bash", "-c", 'exec "$@" > "$0"', str(out), *words, "-o", "yaml"], env={})
        add("kubectl get -o yaml", replace(usage, stored_bytes=out.stat().st_size))
        out.unlink()
        shutil.rmtree(self._remote, ignore_errors=True)
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self._remote)], check=True)
        self._keeper.forget_all()
        add("drkeeper backup, first", self._keeper.run("backup"))
        before = self._state()
        add("drkeeper backup, nothing changed", self._keeper.run("backup"))
        after = self._state()
        self.second.append({name: after[name] - before[name] for name in before})

    @property
    def _remote(self) -> Path:
        return self._work / "remote.git"

    def _state(self) -> dict[str, int]:
        commits = subprocess.run(
            ["git", "-C", str(self._remote), "rev-list", "--count", "--all"], capture_output=True, text=True, check=True
        )
        frames = self._keeper.folder / "vault/frames"
        return {
            "new frames": sum(1 for path in frames.rglob("*") if path.is_file()),
            "new commits": int(commits.stdout),
            "points": len(list((self._keeper.folder / "vault/points").glob("*.json"))),
            "added bytes": tree_bytes(self._keeper.folder / "vault"),
        }

    def _worker(self, candidate: str) -> Usage:
        result = self._work / "result.json"
        usage = timed(
            [sys.executable, str(HERE / "cluster_worker.py"), candidate, str(self.given), str(result)], env={}
        )
        self.inside.setdefault(candidate, []).append(json.loads(result.read_text()))
        return usage

    def _policy(self) -> Keeper:
        folder = self._work / "keeper"
        folder.mkdir()
        cluster = self.options | {
            "kind": "kubernetes",
            "secrets": self.options["secrets"] | {"key": "${env:BENCH_SECRETS_KEY}"},
            "git": {"url": str(self._remote)},
        }
        policy = folder / "drkeeper.yaml"
        vault = {"regions": {"here": {"url": str(folder / "vault")}}}
        policy.write_text(json.dumps({"version": 1, "name": "bench", "systems": {"cluster": cluster}, "vault": vault}))
        return Keeper(folder, policy, {"BENCH_SECRETS_KEY": self._key})


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _kubectl_version() -> str:
    said = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    return str(json.loads(said.stdout)["clientVersion"]["gitVersion"])


if __name__ == "__main__":
    main()
