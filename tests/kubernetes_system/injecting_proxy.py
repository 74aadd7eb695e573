"""An HTTP proxy in front of a control plane, which gives an answer of its own now and then, and counts how often."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import orjson
import urllib3
import yaml

from drkeeper.sandbox.kubernetes import ControlPlane


@dataclass
class Injected:
    """An answer that is given instead of the server's, or a connection that breaks in the middle of the server's."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False


def status(code: int, reason: str, *, retry_after: int | None = None, **metadata: str) -> Injected:
    """A refusal as the API server words it."""
    told = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "reason": reason}
    body = orjson.dumps({**told, "message": f"injected {reason}", "code": code})
    return Injected(code, body, (("Retry-After", str(retry_after)),) if retry_after is not None else ())


class InjectingProxy:
    """`choose(path, number)` says what is given instead of the answer to the number-th request of that path, or None."""

    def __init__(self, plane: ControlPlane, folder: Path, choose: Callable[[str, int], Injected | None]) -> None:
        self._choose = choose
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self.struck = 0
        credentials = plane.folder / "credentials"
        self._pool = urllib3.PoolManager(
            cert_file=str(credentials / "admin.crt"),
            key_file=str(credentials / "admin.key"),
            ca_certs=str(credentials / "authority.crt"),
        )
        self._target = f"https://127.0.0.1:{plane.port}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.kubeconfig = folder / "proxied.kubeconfig"
        server = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [server], "contexts": [context]}
        self.kubeconfig.write_text(
            yaml.safe_dump({**config, "current-context": "x", "users": [{"name": "u", "user": {"token": "t"}}]})
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    def answer(self, method: str, path: str) -> tuple[int, bytes, list[tuple[str, str]], bool]:
        with self._lock:
            plain = path.partition("?")[0]
            self._requests[plain] += 1
            injected = self._choose(path, self._requests[plain])
            self.struck += injected is not None
        if injected is not None and not injected.cut:
            return injected.status, injected.body, list(injected.headers), False
        response = self._pool.request(method, self._target + path, headers={"Accept": "application/json"})
        return response.status, response.data, [], injected is not None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                code, body, headers, cut = proxy.answer("GET", self.path)
                self.send_response(code)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
                if cut:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
