"""Programs of a control plane: where they lie, and how each is called, whichever version they are of."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drkeeper.errors import ToolMissing

ENVTEST_FOLDER = Path("/usr/local/kubebuilder/bin")
HINT = (
    "put etcd, kube-apiserver and kube-controller-manager into a folder (`setup-envtest use` fetches the first two) "
    "and name it in KUBEBUILDER_ASSETS"
)
# A range for measuring networks (RFC 2544), which nobody routes: a restored Service meets no server of that address.
SERVICE_RANGE = "198.18.0.0/16"
SERVER_HOSTS = (
    "127.0.0.1",
    "localhost",
    "198.18.0.1",  # the first of the range is the API server itself
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
ISSUER = "https://kubernetes.default.svc.cluster.local"
# By the names that they had before 1.28, and since. A name that a version does not know would stop it from starting.
_CONTROLLERS_OFF = (
    ("persistentvolume-binder", "persistentvolume-binder-controller"),  # it deletes what volumes hold, on this machine
    ("persistentvolume-expander", "persistentvolume-expander-controller"),
    ("attachdetach", "persistentvolume-attach-detach-controller"),
    ("service", "service-lb-controller"),  # these four speak to a cloud
    ("route", "node-route-controller"),
    ("cloud-node-lifecycle", "cloud-node-lifecycle-controller"),
    ("nodeipam", "node-ipam-controller"),
)
_WEBHOOKS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
# Ports without authentication went in 1.24, and the flags that turn them off with them.
_WITHOUT_INSECURE_PORTS = (1, 24)
_ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Programs:
    """What was found."""

    etcd: Path
    api_server: Path
    controller_manager: Path | None
    version: tuple[int, int]
    controllers_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ports:
    """All on 127.0.0.1."""

    api_server: int
    etcd: int
    etcd_peer: int


def find(*, controllers: bool | None) -> Programs:
    """Look for the programs.

    Args:
        controllers: Whether kube-controller-manager must be there (True), is not wanted (False), or may be missing.

    Raises:
        ToolMissing: One that must be there is not.
    """
    etcd, api_server = _find("etcd"), _find("kube-apiserver")
    controller_manager = None if controllers is False else _find("kube-controller-manager")
    missing = [name for name, path in (("etcd", etcd), ("kube-apiserver", api_server)) if path is None]
    if controllers and controller_manager is None:
        missing.append("kube-controller-manager")
    if etcd is None or api_server is None or missing:
        raise ToolMissing(f"no control plane for the Kubernetes sandbox: {', '.join(missing)} not found", hint=HINT)
    version = re.search(r"v(\d+)\.(\d+)", _told(api_server, "--version"))
    if version is None:
        raise ToolMissing(f"{api_server} tells no version", hint=HINT)
    off = controllers_off(_told(controller_manager, "--help")) if controller_manager else ()
    return Programs(etcd, api_server, controller_manager, (int(version[1]), int(version[2])), off)


def are_here() -> bool:
    """Whether those that must be there are."""
    return None not in (_find("etcd"), _find("kube-apiserver"))


def controllers_off(usage: str) -> tuple[str, ...]:
    """Which controllers are turned off, by the names that this version of kube-controller-manager gives them."""
    _, _, listed = usage.partition("All controllers:")
    known = set(re.findall(r"[a-z][a-z-]+", listed.partition("Disabled-by-default")[0]))
    return tuple(name for names in _CONTROLLERS_OFF for name in names if name in known)


def commands(
    found: Programs, folder: Path, ports: Ports, *, webhooks: bool, flags: Sequence[str]
) -> dict[str, list[str]]:
    """Command lines by program, in the order of their start. Secrets stand in files; none is in a command line.

    Args:
        found: The programs.
        folder: Of the control plane, absolute, with the files of `_credentials`.
        ports: For this run.
        webhooks: Whether admission webhooks are called.
        flags: More flags of the API server.
    """
    called = {
        "etcd": _etcd(found, folder, ports),
        "kube-apiserver": [*_api_server(found, folder, ports, webhooks=webhooks), *flags],
    }
    if found.controller_manager is not None:
        called["kube-controller-manager"] = _controller_manager(found, found.controller_manager, folder)
    return called


def _find(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    places = [Path(assets) / name] if assets else []
    if on_path := shutil.which(name):
        places.append(Path(on_path))
    places.append(ENVTEST_FOLDER / name)
    return next((place.absolute() for place in places if os.access(place, os.X_OK)), None)


def _told(program: Path, flag: str) -> str:
    command = [str(program), flag]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolMissing(f"{program} does not run: {error}", hint=HINT) from error


def _etcd(found: Programs, folder: Path, ports: Ports) -> list[str]:
    """Nobody but the API server gets in, for etcd holds every Secret in the clear."""
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    credentials = folder / "credentials"
    command = [
        str(found.etcd),
        "--name=sandbox",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        "--unsafe-no-fsync",  # nothing here outlives the machine
        "--client-cert-auth",
        "--peer-client-cert-auth",
    ]
    for prefix in ("", "peer-"):
        command += [
            f"--{prefix}trusted-ca-file={credentials / 'authority.crt'}",
            f"--{prefix}cert-file={credentials / 'etcd.crt'}",
            f"--{prefix}key-file={credentials / 'etcd.key'}",
        ]
    return command


def _api_server(found: Programs, folder: Path, ports: Ports, *, webhooks: bool) -> list[str]:
    credentials = folder / "credentials"
    off = [] if webhooks else list(_WEBHOOKS)
    if found.controller_manager is None:
        off.append("ServiceAccount")  # nobody makes the accounts that it asks for
    command = [
        str(found.api_server),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={ports.api_server}",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={credentials / 'authority.crt'}",
        f"--etcd-certfile={credentials / 'etcd.crt'}",
        f"--etcd-keyfile={credentials / 'etcd.key'}",
        f"--client-ca-file={credentials / 'authority.crt'}",
        f"--tls-cert-file={credentials / 'api-server.crt'}",
        f"--tls-private-key-file={credentials / 'api-server.key'}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={credentials / 'accounts.key'}",
        f"--service-account-signing-key-file={credentials / 'accounts.key'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",
        "--enable-aggregator-routing=true",  # to endpoints of Pods, of which none runs, never to an address
        "--profiling=false",
    ]
    if off:
        command.append(f"--disable-admission-plugins={','.join(off)}")
    if found.version < _WITHOUT_INSECURE_PORTS:
        command.append("--insecure-port=0")
    return command


def _controller_manager(found: Programs, program: Path, folder: Path) -> list[str]:
    credentials = folder / "credentials"
    command = [
        str(program),
        f"--kubeconfig={folder / 'controllers.kubeconfig'}",
        f"--root-ca-file={credentials / 'authority.crt'}",
        f"--service-account-private-key-file={credentials / 'accounts.key'}",
        f"--controllers=*,{','.join(f'-{name}' for name in found.controllers_off)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
    if found.version < _WITHOUT_INSECURE_PORTS:
        command.append("--port=0")
    return command
