"""Those who are told: a program that writes down what it gets, and an HTTP server."""

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAM = """\
import json, os, sys
from pathlib import Path
folder = Path(sys.argv[1])
message = json.load(sys.stdin)
told = {"message": message, "argv": sys.argv, "environment": dict(os.environ)}
with (folder / "told").open("a") as file:
    file.write(json.dumps(told) + "\\n")
fails = folder / f"fails-{message.get('phase')}"
if fails.exists():
    print(fails.read_text(), file=sys.stderr)
    sys.exit(7)
"""


class Program:
    """A command that can be told to fail in a phase."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "notify.py").write_text(PROGRAM)

    @property
    def hook(self):
        return {"command": [sys.executable, str(self.folder / "notify.py"), str(self.folder)], "timeout": "20s"}

    def told(self):
        file = self.folder / "told"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def phases(self):
        return [each["message"]["phase"] for each in self.told()]

    def fail(self, phase, saying="no"):
        (self.folder / f"fails-{phase}").write_text(saying)

    def work_again(self):
        for file in self.folder.glob("fails-*"):
            file.unlink()


@contextmanager
def http_listener(status=200, **headers):
    """A server, and what it was sent: path, headers, message."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
