"""A proxy at the edge of a server that strikes when it is told to, and counts how often it did."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
FULL = b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its limit.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
LACKING = b"<Error><Code>NotImplemented</Code><Message>A header you provided implies it.</Message></Error>"
ANSWERS = {
    "lacking": (501, LACKING),
    "slow": (503, SLOW_DOWN),
    "expired": (403, EXPIRED),
    "full": (507, FULL),
    "error": (500, INTERNAL),
}
WRONG = '"00000000000000000000000000000000"'


@dataclass
class Rule:
    """What happens to requests of one method whose target holds a text.

    Attributes:
        times: How often; after that, requests pass.
        skip: So many pass first.
    """

    method: str
    target: str
    action: str
    times: int = 1
    skip: int = 0
    before: object = None
    hits: int = 0


@dataclass
class Faulty:
    endpoint: str
    rules: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rule(self, method, target, action, **more):
        rule = Rule(method, target, action, **more)
        self.rules.append(rule)
        return rule

    def count(self, method, target=""):
        return sum(method == seen_method and target in path for seen_method, path in self.seen)

    @contextmanager
    def at_work(self):
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def strikes(self, method, path):
        with self._lock:
            self.seen.append((method, path))
            for rule in self.rules:
                if rule.method != method or rule.target not in path or rule.hits >= rule.times:
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.hits += 1
                return rule
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Faulty
    behind: str

    def handle_any(self):
        with self.proxy.at_work():
            self.handle_one()

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.proxy.strikes(self.command, self.path)
        action = rule.action if rule else "pass"
        if rule and rule.before:
            rule.before()
        if action in ANSWERS:
            status, text = ANSWERS[action]
            self.answer(status, {"Retry-After": "0"}, text)
        elif action == "hang up":
            self.hang_up()
        else:
            self.pass_on(body, action)

    def pass_on(self, body, action):
        status, headers, data = self.forwarded(body)
        if action == "wrong etag":
            headers = {**{name: value for name, value in headers.items() if name.lower() != "etag"}, "ETag": WRONG}
        elif action == "forget parts" and "Content-Range" in headers:
            headers = {**headers, "Content-Length": headers["Content-Range"].rpartition("/")[2]}
        elif action == "kms":  # as where the endpoint encrypts with a key of KMS: the ETag is no digest
            headers = {**{name: value for name, value in headers.items() if name.lower() != "etag"}, "ETag": WRONG}
            headers["x-amz-server-side-encryption"] = "aws:kms"
        elif action == "damage":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if action == "lose the answer":
            self.hang_up()
        else:
            self.answer(status, headers, data, cut=action == "cut")

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def forwarded(self, body):
        connection = http.client.HTTPConnection(self.behind, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
        connection.close()
        return answer.status, headers, data

    def answer(self, status, headers, data, *, cut=False):
        self.send_response_only(status)
        length = headers.get("Content-Length", str(len(data))) if self.command == "HEAD" else str(len(data))
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
            self.close_connection = self.close_connection or cut

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_):
        pass


@contextmanager
def faulty(endpoint, *, tls=None):
    """A proxy in front of the endpoint; requests are signed for it, and pass as they are.

    Args:
        tls: An ssl.SSLContext with a certificate for localhost, where the proxy is to speak TLS.
    """
    proxy = Faulty("")
    handler = type("Here", (Handler,), {"proxy": proxy, "behind": urlsplit(endpoint).netloc})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    proxy.endpoint = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
