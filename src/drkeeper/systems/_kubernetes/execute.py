"""Run a program in a container, through the API server, as `kubectl exec` does; without a standard input.

There is none because it could not be closed: subprotocol v4, the newest that older servers speak, has no word for it,
so a program that reads to the end would wait for ever.
"""

from collections.abc import Sequence
from contextlib import closing
from threading import Event
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import websocket

from drkeeper import clock
from drkeeper.errors import DrkeeperError, Interrupted, SystemUnreachable
from drkeeper.systems._kubernetes.api import ApiError, Cluster, translated
from drkeeper.systems._kubernetes.connection import CONNECT_SECONDS, Connection
from drkeeper.systems._kubernetes.options import Options

PROTOCOL = "v4.channel.k8s.io"
STDOUT, STDERR, OUTCOME = 1, 2, 3
POLL_SECONDS = 0.2
SAID_BYTES = 2000
_FORBIDDEN = 403
PERMIT = '{apiGroups: [""], resources: [pods/exec], verbs: [create, get]}'


class PodMissing(DrkeeperError):
    """No Pod of that name or selector runs."""


class TimeOver(DrkeeperError):
    """The program did not end in time; whether it goes on in its container is not known."""


def execute(
    options: Options,
    argv: Sequence[str],
    *,
    namespace: str,
    pod: str,
    selector: str,
    container: str,
    timeout_seconds: float,
    stop: Event,
) -> tuple[int, str]:
    """Run a program to its end; gives its exit code, and the end of what it wrote to stderr.

    Args:
        options: Of the cluster.
        argv: The program and its arguments, no shell.
        namespace: Of the Pod.
        pod: Its name; "" for the first running one of the selector.
        selector: Of labels, `app=trainer`.
        container: Of the Pod; "" where it has one.
        timeout_seconds: Of all that.
        stop: Once it is set, nobody waits any more.

    Raises:
        PodMissing, TimeOver, Interrupted: As they say.
        SystemUnreachable, DrkeeperError: The API server does not answer, or refuses.
    """
    deadline = clock.monotonic_seconds() + timeout_seconds
    with Cluster.open(options) as cluster:
        name = pod or _running(cluster, namespace, selector)
    asked = [("command", each) for each in argv]
    asked += [("stdout", "true"), ("stderr", "true"), *([("container", container)] if container else [])]
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}/exec?{urlencode(asked)}"
    stream = _connected(options, path, min(CONNECT_SECONDS, timeout_seconds))
    try:
        return _outcome(stream, deadline, stop, f"{namespace}/{name}")
    finally:
        stream.shutdown()  # `close` would wait for the far side, which may hang


def _running(cluster: Cluster, namespace: str, selector: str) -> str:
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
    try:
        found = cluster.get(path, labelSelector=selector)["items"]
    except ApiError as error:
        raise translated(error) from error
    names = sorted(each["metadata"]["name"] for each in found if each.get("status", {}).get("phase") == "Running")
    if not names:
        raise PodMissing(f"no Pod {selector} runs in namespace {namespace}", hint="look with `kubectl get pods -l`")
    return str(names[0])


def _connected(options: Options, path: str, timeout_seconds: float) -> websocket.WebSocket:
    with closing(Connection(options)) as connection:
        url, proof, secured = connection.socket(path)
    try:
        return websocket.create_connection(
            url,
            timeout=timeout_seconds,
            header=[f"{name}: {value}" for name, value in proof.items()],
            subprotocols=[PROTOCOL],
            sslopt=secured,
        )
    except websocket.WebSocketBadStatusException as error:
        raise _refused(error) from error
    except (websocket.WebSocketException, OSError) as error:
        raise SystemUnreachable(f"the API server does not begin the program: {error}") from error


def _refused(error: websocket.WebSocketBadStatusException) -> DrkeeperError:
    said = _message(getattr(error, "resp_body", b"") or b"")
    if error.status_code == _FORBIDDEN:
        return DrkeeperError(f"we may not run programs in Pods: {said}", hint=f"add the rule {PERMIT} to a Role there")
    return DrkeeperError(f"the program could not be begun: HTTP {error.status_code} {said}".rstrip())


def _message(body: bytes) -> str:
    try:
        return str(orjson.loads(body).get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return body[:200].decode(errors="replace").strip()


def _outcome(stream: websocket.WebSocket, deadline: float, stop: Event, where: str) -> tuple[int, str]:
    said = b""
    stream.settimeout(POLL_SECONDS)
    while True:
        if stop.is_set():
            raise Interrupted("interrupted")
        if clock.monotonic_seconds() > deadline:
            raise TimeOver(f"the program in {where} did not end in time")
        try:
            data = stream.recv()
        except websocket.WebSocketTimeoutException:
            continue
        except (websocket.WebSocketException, OSError) as error:
            raise SystemUnreachable(f"the connection to the program in {where} was lost: {error}") from error
        block = data.encode() if isinstance(data, str) else bytes(data)
        if not block:
            raise SystemUnreachable(f"the connection to the program in {where} was closed before it ended")
        if block[0] == STDERR:
            said = (said + block[1:])[-SAID_BYTES:]
        elif block[0] == OUTCOME:
            return _exit_code(orjson.loads(block[1:])), said.decode(errors="replace").strip()


def _exit_code(status: dict[str, Any]) -> int:
    """Of the `Status` that ends the stream.

    Raises:
        DrkeeperError: The program never ran.
    """
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise DrkeeperError(f"the program could not be run: {status.get('message', 'no reason was given')}")
