"""A node whose programs really run, on this machine: the far side of `kubectl exec`, behind a real API server.

Speaks what a kubelet does: a web socket with subprotocol v4.channel.k8s.io, one byte of channel before each block.
"""

import base64
import hashlib
import json
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NODE = "node-of-tests"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STDOUT, STDERR, OUTCOME = 1, 2, 3


class _Kubelet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = None

    def do_GET(self):
        target = urlsplit(self.path)
        asked = parse_qs(target.query)
        self.seen.append((target.path, asked))
        key = (self.headers["Sec-WebSocket-Key"] + MAGIC).encode()
        accept = base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest()).decode()
        self.send_response(101)
        for name, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
            ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        done = subprocess.run(asked["command"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        self._send(STDOUT, done.stdout)
        self._send(STDERR, done.stderr)
        self._send(OUTCOME, json.dumps(_status(done.returncode)).encode())

    def _send(self, channel, data):
        body = bytes([channel]) + data
        length = bytes([len(body)]) if len(body) < 126 else bytes([126]) + len(body).to_bytes(2, "big")
        self.wfile.write(b"\x82" + length + body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


def _status(code):
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    details = {"causes": causes}
    return {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": "x", "details": details}


@contextmanager
def running_kubelet(plane):
    """The node of that control plane; gives what it was asked: path and query."""
    seen = []
    handler = type("Kubelet", (_Kubelet,), {"seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    credentials = plane.folder / "credentials"
    tls.load_cert_chain(credentials / "admin.crt", credentials / "admin.key")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    plane.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_port}},
    }
    plane.request("PUT", f"/api/v1/nodes/{NODE}/status", {"metadata": {"name": NODE}, "status": status})
    try:
        yield seen
    finally:
        plane.request("DELETE", f"/api/v1/nodes/{NODE}")
        server.shutdown()
        server.server_close()


def add_pod(plane, namespace, name, *, labels, phase="Running"):
    """A Pod on that node, of one container."""
    spec = {
        "nodeName": NODE,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "x"}],
        "tolerations": [{"operator": "Exists"}],
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = plane.request("POST", path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    plane.request(
        "PUT",
        f"{path}/{name}/status",
        {**pod, "metadata": {"name": name, "labels": labels}, "status": {"phase": phase}},
    )
