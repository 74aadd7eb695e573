"""A real admission webhook: an HTTPS server that says no to what carries a certain label."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from drkeeper.sandbox.kubernetes import ControlPlane


class Refusing(BaseHTTPRequestHandler):
    """Answers admission reviews."""

    asked: list[str]

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        type(self).asked.append(request["name"])
        response: dict[str, Any] = {"uid": request["uid"], "allowed": "bad" not in request["name"]}
        if not response["allowed"]:
            response["status"] = {"code": 403, "message": "names must be good"}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def refusing(plane: ControlPlane) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The clientConfig of a webhook that runs, and the names that it was asked about."""
    pair = plane._authority.issue("hook", common_name="hook", hosts=("127.0.0.1", "localhost"))
    handler = type("Handler", (Refusing,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    authority = base64.b64encode((plane.folder / "credentials" / "authority.crt").read_bytes()).decode()
    try:
        yield {"url": f"https://127.0.0.1:{server.server_address[1]}/", "caBundle": authority}, handler.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
