"""A throw-away Kubernetes control plane: etcd, kube-apiserver and, where at hand, kube-controller-manager; no nodes.

The programs are looked for as envtest does it: in $KUBEBUILDER_ASSETS, on the PATH, in /usr/local/kubebuilder/bin.
No kubelet means that nothing restored here ever runs. What could reach out all the same is left off: webhooks are
not called unless asked for, Services get addresses of a range that is never routed (RFC 2544) and are only reached by
endpoints of Pods, of which none runs, and the controllers that work on volumes are off, because the one for
`hostPath` deletes folders of this machine.
"""

import json
import re
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import SystemUnreachable, ToolMissing
from drkeeper.sandbox import _kubernetes_programs as programs
from drkeeper.sandbox._files import Guard, end, free_port, guarded, kill_tree

if TYPE_CHECKING:
    from drkeeper.sandbox._credentials import Authority

START_SECONDS = 180.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
_START_TRIES = 5
_REQUEST_SECONDS = 30


@dataclass
class ControlPlane:
    """A running throw-away control plane.

    Attributes:
        options: What a policy would say to reach it. What this server's version does not serve is skipped, each
            named, and nothing is held back, because nothing runs here.
        port: Of the API server, on 127.0.0.1.
        kubeconfig: Of a user who may do everything.
    """

    kind: str
    folder: Path
    options: dict[str, object]
    port: int
    kubeconfig: Path
    version: tuple[int, int]
    _commands: Mapping[str, Sequence[str]]
    _authority: "Authority"
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _guards: dict[str, Guard] = field(default_factory=dict)

    @property
    def process_id(self) -> int:
        """Of the API server."""
        return self._processes["kube-apiserver"].pid

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of all servers."""
        return tuple(process.pid for process in self._processes.values())

    @property
    def has_controllers(self) -> bool:
        """Whether kube-controller-manager runs."""
        return "kube-controller-manager" in self._commands

    def stop(self) -> None:
        """End all servers in order, wait for their exit, and leave the folder; stopping twice is fine."""
        for process in reversed(self._processes.values()):
            end(process, STOP_SECONDS)
        self.leave()

    def kill(self) -> None:
        """Kill -9 of all servers; the folder stays as it is."""
        for process in reversed(self._processes.values()):
            kill_tree(process)
        self.leave()

    def leave(self) -> None:
        """Let those that run outlive this process."""
        for guard in self._guards.values():
            guard.let_go()

    def stop_api_server(self, *, by_force: bool = False) -> None:
        """End the API server alone; etcd and the controllers go on."""
        process, guard = self._processes["kube-apiserver"], self._guards["kube-apiserver"]
        if by_force:
            kill_tree(process)
        else:
            end(process, STOP_SECONDS)
        guard.let_go()

    def start_api_server(self) -> None:
        """Start the API server again, on the same port and data, and wait until it is ready."""
        self._launch("kube-apiserver")
        self._await("/readyz")

    def restart_api_server(self, *, by_force: bool = True) -> None:
        """What its clients see when it crashes and is started again."""
        self.stop_api_server(by_force=by_force)
        self.start_api_server()

    def add_user(self, name: str, *, groups: Sequence[str] = ()) -> Path:
        """A user with no rights but those that RBAC gives; the path of the kubeconfig (0600)."""
        pair = self._authority.issue(f"user-{_file_name(name)}", common_name=name, groups=groups)
        return self._kubeconfig(f"user-{_file_name(name)}", pair.embedded())

    def token(self, namespace: str, account: str, *, seconds: int = 3600) -> str:
        """A token of an existing ServiceAccount, by the API (TokenRequest)."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.request("POST", path, body)["status"]["token"])

    def add_token(self, token: str, *, name: str) -> Path:
        """The path of a kubeconfig (0600) that authenticates with a bearer token."""
        return self._kubeconfig(f"token-{_file_name(name)}", {"token": token})

    def kubeconfig_of_account(self, namespace: str, account: str) -> Path:
        """The path of a kubeconfig (0600) with a token of an existing ServiceAccount."""
        return self.add_token(self.token(namespace, account), name=f"{namespace}-{account}")

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API server as administrator; JSON both ways.

        Raises:
            SystemUnreachable: No answer, or one that is not 2xx; the message carries it.
        """
        try:
            status, answer = self._exchange(method, path, body)
        except (OSError, HTTPException) as error:
            raise SystemUnreachable(f"the sandbox's API server does not answer: {error}") from error
        if status >= 300:  # noqa: PLR2004
            raise SystemUnreachable(f"{method} {path}: {status} {answer.decode(errors='replace')[:400]}")
        return json.loads(answer)

    # --- start ------------------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=_REQUEST_SECONDS, context=self._tls())
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._authority.pair.certificate))
        context.load_cert_chain(self._authority.folder / "admin.crt", self._authority.folder / "admin.key")
        return context

    def _launch(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            self._processes[name] = subprocess.Popen(
                self._commands[name],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._guards[name] = guarded(self._processes[name])

    def came_up(self) -> bool:
        """Start all servers and wait until they are ready; False where another process took a port meanwhile."""
        self._kubeconfig_of("controllers")
        self.options["kubeconfig"] = str(self._kubeconfig_of("admin"))
        try:
            self._launch("etcd")
            self._launch("kube-apiserver")
            self._await("/readyz", "/api/v1/namespaces/default")
            if self.has_controllers:  # not before: it gives up after ten seconds without an API server
                self._launch("kube-controller-manager")
                self._await("/api/v1/namespaces/default/serviceaccounts/default")
        except BaseException as error:
            self.kill()
            taken = any("address already in use" in _log_end(self.folder, name, 4000) for name in self._processes)
            if taken and isinstance(error, SystemUnreachable):
                return False
            raise
        return True

    def _await(self, *paths: str) -> None:
        """Wait until the API server has something to say at each of these paths."""
        deadline = monotonic_seconds() + START_SECONDS
        awaited = list(paths)
        while awaited and monotonic_seconds() < deadline and not self._dead():
            if self._answers(awaited[0]):
                del awaited[0]
            else:
                sleep(POLL_SECONDS)
        if awaited:
            name = next(iter(self._dead()), "kube-apiserver")
            raise SystemUnreachable(f"the sandbox's {name} did not come up: {_log_end(self.folder, name)}")

    def _answers(self, path: str) -> bool:
        try:
            return self._exchange("GET", path)[0] == 200  # noqa: PLR2004
        except (OSError, HTTPException):
            return False

    def _dead(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def _kubeconfig_of(self, name: str) -> Path:
        return self._kubeconfig(name, self._authority.issue(name, common_name=name).embedded())

    def _kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        from drkeeper.sandbox._credentials import write_kubeconfig

        file = self.folder / f"{name}.kubeconfig"
        server = f"https://127.0.0.1:{self.port}"
        return write_kubeconfig(file, server=server, authority=self._authority, user=user)


def available() -> bool:
    """Whether the programs are on this machine; starts none of them."""
    return programs.are_here()


def start(
    folder: Path,
    *,
    controllers: bool | None = None,
    webhooks: bool = False,
    port: int | None = None,
    flags: Sequence[str] = (),
) -> ControlPlane:
    """Start a control plane on a new folder, or again, with its objects and users, on one that an earlier one left.

    Args:
        folder: Holds everything that the servers write; made where it is missing.
        controllers: Whether kube-controller-manager runs; by default where it is at hand.
        webhooks: Whether admission webhooks are called. In a drill they would reach out into production.
        port: Of the API server, by default a free one.
        flags: More flags of kube-apiserver.

    Raises:
        ToolMissing: The programs are not installed, or `cryptography` is not.
        SystemUnreachable: A server did not come up; the message carries the end of its log.
    """
    found = programs.find(controllers=controllers)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _authority(folder)
    for _ in range(_START_TRIES):
        ports = programs.Ports(api_server=port or free_port(), etcd=free_port(), etcd_peer=free_port())
        plane = ControlPlane(
            kind="kubernetes",
            folder=folder,
            options={"missing_kinds": "skip", "hold": False},
            port=ports.api_server,
            kubeconfig=folder / "admin.kubeconfig",
            version=found.version,
            _commands=programs.commands(found, folder, ports, webhooks=webhooks, flags=flags),
            _authority=authority,
        )
        if plane.came_up():
            return plane
    raise SystemUnreachable("the sandbox's control plane found no free port")


def _authority(folder: Path) -> "Authority":
    """The authority of a folder, and the pairs that its servers and its administrator need."""
    try:
        from drkeeper.sandbox._credentials import Authority, write_key
    except ModuleNotFoundError as error:
        raise ToolMissing(
            "the Kubernetes sandbox needs `cryptography`", hint="install it with `pip install 'drkeeper[kubernetes]'`"
        ) from error
    authority = Authority(folder / "credentials")
    authority.issue("etcd", common_name="etcd", hosts=("127.0.0.1", "localhost"))
    authority.issue("api-server", common_name="kube-apiserver", hosts=programs.SERVER_HOSTS)
    authority.issue("admin", common_name="admin", groups=("system:masters",))
    authority.issue("controllers", common_name="system:kube-controller-manager", groups=("system:masters",))
    accounts = authority.folder / "accounts.key"
    if not accounts.exists():
        write_key(accounts)
    return authority


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)


def _log_end(folder: Path, name: str, characters: int = 600) -> str:
    return (folder / f"{name}.log").read_text(errors="replace").strip()[-characters:]
