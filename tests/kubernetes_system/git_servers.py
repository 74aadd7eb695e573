"""Real git at the other end: in a folder, over https through `git http-backend`, and behind a program called `ssh`."""

import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import textwrap
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drkeeper.systems._kubernetes.git_commit import Exported, GitExport, open_export
from drkeeper.systems._kubernetes.options import GitOptions

AS_OF = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
FILES = {
    "cluster/namespace/shop.yaml": b"kind: Namespace\n",
    "namespaces/shop/configmap/a.yaml": b"kind: ConfigMap\ndata:\n  a: '1'\n",
    "namespaces/shop/configmap/b.yaml": b"kind: ConfigMap\ndata:\n  b: '1'\n",
    "namespaces/shop/trial.kubeflow.org/t%3A1.yaml": b"kind: Trial\n",
}


def git(*argv: str, cwd: Path, stdin: bytes | None = None, check: bool = True) -> str:
    """Run git as a person would; returns what it said."""
    someone = {f"GIT_{who}_{what}": "someone@else" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **someone, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *argv], cwd=cwd, env=env, input=stdin, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(argv)}: {done.stderr.decode()}")
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).decode().strip()


@dataclass
class Repository:
    """A bare repository, and what people do in it."""

    path: Path

    @property
    def url(self) -> str:
        return str(self.path)

    def git(self, *argv: str, stdin: bytes | None = None) -> str:
        return git(*argv, cwd=self.path, stdin=stdin)

    def head(self, branch: str = "main") -> str:
        return self.git("rev-parse", branch)

    def files(self, branch: str = "main") -> dict[str, bytes]:
        names = self.git("ls-tree", "-r", "--name-only", "-z", branch).split("\0")
        return {name: self.read(name, branch) for name in names if name}

    def read(self, name: str, branch: str = "main") -> bytes:
        return subprocess.run(
            ["git", "show", f"{branch}:{name}"], cwd=self.path, capture_output=True, check=True
        ).stdout

    def commits(self, branch: str = "main") -> int:
        return int(self.git("rev-list", "--count", branch))

    def checked(self) -> None:
        """Nothing is missing or malformed."""
        assert "error" not in self.git("fsck", "--strict", "--no-dangling")

    def somebody_pushes(
        self, name: str, content: str = "by a person\n", branch: str = "main", mode: str = "100644"
    ) -> str:
        """A commit by somebody else, made with git's own programs."""
        has = bool(git("rev-parse", "-q", "--verify", branch, cwd=self.path, check=False))
        blob = self.git("hash-object", "-w", "--stdin", stdin=content.encode())
        env = {**os.environ, "GIT_INDEX_FILE": str(self.path / "index-of-somebody")}
        (self.path / "index-of-somebody").unlink(missing_ok=True)
        if has:
            subprocess.run(["git", "read-tree", branch], cwd=self.path, env=env, check=True)
        argv = ["git", "update-index", "--add", "--cacheinfo", f"{mode},{blob},{name}"]
        subprocess.run(argv, cwd=self.path, env=env, check=True)
        tree = subprocess.run(["git", "write-tree"], cwd=self.path, env=env, check=True, capture_output=True).stdout
        parents = ["-p", branch] if has else []
        commit = self.git("commit-tree", tree.decode().strip(), *parents, "-m", f"{name} by a person")
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def hook(self, name: str, script: str) -> None:
        path = self.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}")
        path.chmod(0o755)


def bare(folder: Path, name: str = "r.git") -> Repository:
    git("init", "-q", "--bare", "-b", "main", str(folder / name), cwd=folder)
    return Repository(folder / name)


def fill(export: GitExport, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        export.add(path, content)


def export(options: GitOptions, files: dict[str, bytes], hours: int = 0, **more) -> Exported:
    """One whole export."""
    with open_export(options, **more) as going:
        fill(going, files)
        return going.finish(as_of=AS_OF + hours * HOUR, note="cluster test")


def wait_for_tip(going: GitExport) -> None:
    """Until the background has read the tip, so that what a test does next comes after that."""
    going._fetch.join(30)
    assert not going._fetch.is_alive()


# --- https ----------------------------------------------------------------------------------------------


@dataclass
class HttpsServer:
    url: str
    ca: Path
    requests: list[str] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git of the tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - HOUR, now + HOUR)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_pem.write_bytes(key.private_bytes(*plain))
    return pem, key_pem


@contextmanager
def https_server(folder: Path, token: str) -> Iterator[HttpsServer]:
    """Repositories of a folder over https, for user `git` with the token."""
    ca, key = certificate(folder)
    served = HttpsServer("", ca)
    expected = "Basic " + b64encode(f"git:{token}".encode()).decode()
    here = {"folder": folder, "expected": expected, "served": served}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Handler,), here))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served.url = f"https://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    folder: Path
    expected: str
    served: HttpsServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = bytearray()
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            self.serve(bytes(body))
        else:
            self.serve(self.rfile.read(int(self.headers["Content-Length"])))

    def serve(self, body: bytes) -> None:
        self.served.requests.append(f"{self.command} {self.path}")
        self.served.protocols.append(self.headers.get("Git-Protocol", ""))
        if self.headers.get("Authorization") != self.expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.answer(b"")
            return
        head, _, answer = self.backend(body).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.answer(answer)

    def backend(self, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "git",
        }
        return subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True).stdout

    def answer(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


# --- ssh ------------------------------------------------------------------------------------------------


def ssh_program(folder: Path, script: str = 'exec sh -c "$last"') -> Path:
    """A folder with a program `ssh`, which notes its arguments and runs the command here; put it first on the PATH."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    ssh = programs / "ssh"
    # GIT_PROTOCOL reaches a server by `SetEnv` only, as with a real one.
    ssh.write_text(
        "#!/bin/sh\n"
        f'for last; do printf "%s\\n" "$last" >> {folder}/argv; done\n'
        f"echo -- >> {folder}/argv\n"
        f"echo $$ > {folder}/pid\n"
        "unset GIT_PROTOCOL\n"
        'case "$*" in *"SetEnv GIT_PROTOCOL=version=2"*) export GIT_PROTOCOL=version=2;; esac\n'
        f"{script}\n"
    )
    ssh.chmod(0o755)
    return programs
