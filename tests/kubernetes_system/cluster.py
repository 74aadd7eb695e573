"""Ways of filling and asking a control plane that share no code with what is tested: raw HTTP, and kubectl."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Self

import yaml

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.sandbox.kubernetes import ControlPlane

Manifest = dict[str, Any]
Listed = Callable[[str], list[Manifest]]

# What has to be there before other things are created, and what stops other things once it is there.
_FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "ServiceAccount")
_LAST = ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_CUSTOM = 100  # custom resources: after all that is built in, before what may hinder them


class Answer(Exception):
    """An answer of the API server that is not 2xx."""

    def __init__(self, status: int, body: Manifest) -> None:
        super().__init__(f"{status} {body.get('reason')}: {body.get('message')}")
        self.status = status
        self.body = body


class Http:
    """Raw requests over one kept connection for each thread; a context manager, which closes them."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        credentials = plane.folder / "credentials"
        self._tls = ssl.create_default_context(cafile=str(credentials / "authority.crt"))
        self._tls.load_cert_chain(credentials / "admin.crt", credentials / "admin.key")
        self._kept = threading.local()
        self._connections: list[HTTPSConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for connection in self._connections:
            connection.close()

    def __call__(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Any:
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            connection = HTTPSConnection("127.0.0.1", self.plane.port, timeout=60, context=self._tls)
            self._kept.connection = connection
            self._connections.append(connection)
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": content_type})
        response = connection.getresponse()
        content = response.read()
        if response.status >= 300:
            told = content.startswith(b"{")
            raise Answer(response.status, json.loads(content) if told else {"message": content.decode().strip()})
        return json.loads(content)


def kubectl(plane: ControlPlane | Path, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """The standard output of kubectl, with the administrator's kubeconfig or another one."""
    kubeconfig = plane if isinstance(plane, Path) else plane.kubeconfig
    command = ["kubectl", f"--kubeconfig={kubeconfig}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout if not done.returncode else done.stderr


def read_corpus(file: Path) -> list[Manifest]:
    """Every object of a file of many YAML documents."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(file.read_text(encoding="utf-8"), Loader=loader) if each]


def named(manifest: Manifest) -> str:
    """`Kind namespace/name` for messages."""
    metadata = manifest["metadata"]
    return f"{manifest['apiVersion']} {manifest['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


@dataclass
class Loaded:
    """What became of the objects that were applied."""

    accepted: list[Manifest] = field(default_factory=list)
    """Without the namespace where their kind has none."""
    rejected: dict[str, str] = field(default_factory=dict)
    """By `apiVersion Kind namespace/name`, with the server's reason."""


def apply(plane: ControlPlane, manifests: Iterable[Manifest]) -> Loaded:
    """Create objects in an order that works; what the server does not take is named with its reason."""
    loaded = Loaded()
    left = list(manifests)
    crds = [each for each in left if each["kind"] == "CustomResourceDefinition"]
    custom = {(each["spec"]["group"], each["spec"]["names"]["kind"]) for each in crds}
    with Http(plane) as http:
        for turn in sorted({_turn(each, custom) for each in left}):
            if turn == _CUSTOM:
                await_established(http)
            _create_all(http, [each for each in left if _turn(each, custom) == turn], loaded)
    return loaded


def _turn(manifest: Manifest, custom: set[tuple[str, str]]) -> int:
    if manifest["kind"] in _FIRST:
        return _FIRST.index(manifest["kind"])
    if manifest["kind"] in _LAST:
        return _CUSTOM + 1
    return _CUSTOM if (manifest["apiVersion"].partition("/")[0], manifest["kind"]) in custom else _CUSTOM - 1


def await_established(http: Http, *, seconds: float = 30) -> None:
    """Wait until every CRD of the server is Established, and the API discovers it."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    deadline = monotonic_seconds() + seconds
    while monotonic_seconds() < deadline:
        waiting = [crd["metadata"]["name"] for crd in http("GET", path)["items"] if not _established(crd)]
        if not waiting:
            return
        sleep(0.1)
    raise AssertionError(f"CRDs are not Established: {waiting}")


def _established(crd: Manifest) -> bool:
    conditions = crd.get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _create_all(http: Http, manifests: list[Manifest], loaded: Loaded) -> None:
    resources = _resources(http, {each["apiVersion"] for each in manifests})

    def create(manifest: Manifest) -> None:
        found = resources.get((manifest["apiVersion"], manifest["kind"]))
        if found is None:
            loaded.rejected[named(manifest)] = "the server does not serve this API"
            return
        plural, namespaced = found
        place = f"/namespaces/{manifest['metadata'].get('namespace', 'default')}" if namespaced else ""
        path = f"{_root(manifest['apiVersion'])}{place}/{plural}"
        try:
            http("POST", path, manifest)
        except Answer as answer:
            if answer.status == 409:  # the server or a controller was faster: default accounts, built-in namespaces
                http(
                    "PATCH",
                    f"{path}/{manifest['metadata']['name']}",
                    manifest,
                    content_type="application/merge-patch+json",
                )
            else:
                loaded.rejected[named(manifest)] = str(answer)
                return
        loaded.accepted.append(manifest if namespaced else _without_namespace(manifest))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, manifests))


def _without_namespace(manifest: Manifest) -> Manifest:
    """As the API server holds it: people write a namespace on things that have none."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "namespace"}
    return {**manifest, "metadata": metadata}


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _resources(http: Http, api_versions: set[str]) -> dict[tuple[str, str], tuple[str, bool]]:
    found: dict[tuple[str, str], tuple[str, bool]] = {}
    for api_version in api_versions:
        try:
            listed = http("GET", _root(api_version))["resources"]
        except Answer:
            continue
        for each in listed:
            if "/" not in each["name"]:
                found[api_version, each["kind"]] = (each["name"], each["namespaced"])
    return found
