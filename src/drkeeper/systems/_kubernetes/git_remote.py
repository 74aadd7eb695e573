"""Talking to the remote repository: the tip without its files, and a push that never forces.

The only module that meets dulwich's clients and their errors. Nothing is kept between two exchanges: whoever pushes
says which tip it built upon, and learns whether the branch has moved on since.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dulwich.client import (
    FetchPackResult,
    GitClient,
    HTTPProxyUnauthorized,
    HTTPUnauthorized,
    Urllib3HttpGitClient,
    default_urllib3_manager,
)
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import Commit
from dulwich.refs import check_ref_format
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from drkeeper import clock
from drkeeper.errors import DrkeeperError, PolicyInvalid, SystemUnreachable
from drkeeper.systems._kubernetes.git_address import Address, parse
from drkeeper.systems._kubernetes.git_process import WHOLE, ProcessClient
from drkeeper.systems._kubernetes.options import GitOptions
from drkeeper.systems._kubernetes.pack import COMMIT, TREE, Objects, PackBroken, read_pack

# What a fetch of the tip may bring. Trees of 100,000 files are some 6 MiB; a server that offers no filter sends the
# files too.
FETCH_LIMIT_BYTES = 64 << 20
_SAID_BYTES = 2048
_PROGRESS = re.compile(r"^[A-Z][a-z]+ objects: +\d+")


class PushRefused(DrkeeperError):
    """The remote said no: a hook, a protected branch, a quota. Nothing was changed there."""

    default_hint = (
        "let this account push to the branch (protected branch, hooks), or name another git.branch; "
        "the commit is kept in the vault and pushed later"
    )


class MovedOn(Exception):
    """Somebody pushed to the branch since we read it."""


@dataclass(frozen=True)
class Tip:
    """The branch's newest commit, its trees, and no files."""

    commit: bytes
    tree: bytes
    trees: dict[bytes, bytes]
    committed_at: datetime


@dataclass
class _Received:
    """A pack on its way in, within bounds."""

    ends: float
    data: bytearray = field(default_factory=bytearray)

    def take(self, block: bytes) -> int:
        if clock.monotonic_seconds() > self.ends:
            raise TimeoutError("the remote took too long altogether")
        self.data += block
        if len(self.data) > FETCH_LIMIT_BYTES:
            raise _TooLarge
        return len(block)


class _TooLarge(Exception):
    pass


class _HttpsClient(Urllib3HttpGitClient):  # type: ignore[misc]  # dulwich is not typed for us
    def close(self) -> None:
        """End the connections too."""
        self.pool_manager.clear()
        super().close()

    @staticmethod
    def _warn_filter_objects() -> None:
        """Some servers offer no filter; then the files come along, and are passed over."""


class Remote:
    """A branch of a repository.

    Args:
        options: Where, which branch, with which credentials.

    Raises:
        PolicyInvalid: The URL or the branch cannot be used.
    """

    def __init__(self, options: GitOptions) -> None:
        self._options = options
        self._address = parse(options.url)
        self.ref = b"refs/heads/" + options.branch.encode()
        if not check_ref_format(self.ref):
            raise PolicyInvalid(f"git.branch {options.branch!r} cannot be the name of a branch")

    @property
    def shown(self) -> str:
        """For people, without credentials."""
        return f"{self._address.shown} ({self._options.branch})"

    def tip(self) -> Tip | None:
        """The newest commit and all its trees; None where the branch does not exist yet.

        Raises:
            SystemUnreachable: It does not answer, not in time, or refuses our credentials.
        """
        commit, data = self._fetch(depth=1)
        if commit is None:
            return None
        contents = dict[bytes, bytes]()
        trees = dict[bytes, bytes]()
        with self._telling():
            for kind, name, content in read_pack(data, frozenset({COMMIT, TREE})):
                (contents if kind == COMMIT else trees)[name] = content
        if commit not in contents:
            raise SystemUnreachable(f"git: {self.shown} did not send the commit that it names")
        newest = Commit.from_raw_string(COMMIT, contents[commit])
        return Tip(commit, newest.tree, trees, datetime.fromtimestamp(newest.commit_time, UTC))

    def commits_since(self, moment: datetime) -> Iterator[Commit]:
        """Commits of the branch that are not older, in no order. There must be one: git ends the exchange otherwise.

        Raises:
            SystemUnreachable: As for `tip`.
        """
        # git selects what is newer than the second it is given.
        commit, data = self._fetch(since=str(int(moment.timestamp()) - 1))
        with self._telling():
            for _, _, content in read_pack(data, frozenset({COMMIT})) if commit else ():
                yield Commit.from_raw_string(COMMIT, content)

    def push(self, expected: bytes | None, commit: bytes, objects: Objects) -> None:
        """Move the branch from the commit expected (None: create it) to ours.

        Raises:
            MovedOn: The branch is elsewhere.
            PushRefused: The remote did not take it, and says why.
            SystemUnreachable: It does not answer, or went away midway; it may have taken the commit.
        """
        said = bytearray()

        def moved(refs: dict[bytes, bytes]) -> dict[bytes, bytes]:
            if refs.get(self.ref) != expected:
                raise MovedOn
            return {self.ref: commit}

        with self._client() as (client, path), self._telling(said):
            result = client.send_pack(
                path,
                moved,
                lambda *_args, **_keywords: (len(objects), objects.records()),
                progress=lambda text: _keep(said, text),
            )
        problem = (result.ref_status or {}).get(self.ref)
        if problem:
            raise PushRefused(f"git: {self.shown} refused the commit: {_words(said, problem)}")

    # --- how ------------------------------------------------------------------------------------------------

    def _fetch(self, *, depth: int | None = None, since: str | None = None) -> tuple[bytes | None, bytearray]:
        received = _Received(clock.monotonic_seconds() + WHOLE * self._options.timeout_seconds)
        with self._client() as (client, path), self._telling():
            result: FetchPackResult = client.fetch_pack(
                path,
                lambda refs, depth=None: [refs[self.ref]] if self.ref in refs else [],  # noqa: ARG005
                ObjectStoreGraphWalker([], lambda _: []),
                received.take,
                depth=depth,
                ref_prefix=[self.ref],
                filter_spec=b"blob:none" if depth else b"tree:0",
                shallow_since=since,
            )
        if result.object_format not in (None, "sha1"):
            raise SystemUnreachable(
                f"git: {self.shown} names its objects by {result.object_format}",
                hint="export to a repository of the usual object format, `git init --object-format=sha1`",
            )
        commit = result.refs.get(self.ref)
        return (bytes(commit) if commit else None), received.data

    @contextmanager
    def _client(self) -> Iterator[tuple[GitClient, str]]:
        make: Callable[[Address], GitClient] = self._https if self._address.how == "https" else self._piped
        client = make(self._address)
        try:
            yield client, self._address.path
        finally:
            client.close()

    def _piped(self, address: Address) -> GitClient:
        return ProcessClient(address, self._options)

    def _https(self, address: Address) -> GitClient:
        host = f"[{address.host}]" if ":" in address.host else address.host
        base = f"https://{host}{f':{address.port}' if address.port else ''}"
        config = ConfigDict()
        if self._options.ca is not None:
            config.set((b"http",), b"sslCAInfo", str(self._options.ca).encode())
        token = self._options.token
        pool = default_urllib3_manager(config, base_url=base, timeout=self._options.timeout_seconds)
        # A read that timed out is not sent again; a redirect is followed (dulwich drops the token on another host).
        pool.connection_pool_kw["retries"] = Retry(total=3, connect=0, read=0, status=0, other=0)
        return _HttpsClient(
            base,
            pool_manager=pool,
            config=config,
            username=self._options.username if token else None,
            password=token.get_secret_value() if token else None,
            timeout=self._options.timeout_seconds,
            thin_packs=False,
        )

    @contextmanager
    def _telling(self, said: bytearray | None = None) -> Iterator[None]:
        """Translate what dulwich and the transports raise; no credential gets into a message."""
        said = bytearray() if said is None else said
        try:
            yield
        except (HTTPUnauthorized, HTTPProxyUnauthorized) as error:
            raise SystemUnreachable(
                f"git: {self.shown} refuses our credentials",
                hint="set git.username and git.token to an account that may push",
            ) from error
        except NotGitRepository as error:
            raise SystemUnreachable(
                f"git: there is no repository at {self.shown}, or our account may not see it",
                hint="create it (`git init --bare`), or check git.url and git.token",
            ) from error
        except SendPackError as error:
            raise PushRefused(f"git: {self.shown} could not take the objects: {_words(said, _plain(error))}") from error
        except _TooLarge as error:
            raise SystemUnreachable(
                f"git: the newest commit of {self.shown} is larger than {FETCH_LIMIT_BYTES >> 20} MiB, "
                "and the server sends files along",
                hint="set `uploadpack.allowFilter true` there, or give the manifests a repository of their own",
            ) from error
        except (GitProtocolError, HangupException, PackBroken, HTTPError, OSError) as error:
            text = self._scrubbed(_words(said, _plain(error)))
            raise SystemUnreachable(f"git: {self.shown} cannot be reached: {text}", hint=_HINT) from error
        except (ValueError, AssertionError, NotImplementedError, KeyError) as error:
            # dulwich's answers to bytes that are no git at all, or to a server of git's old "dumb" protocol.
            raise SystemUnreachable(f"git: {self.shown} does not speak git's smart protocol", hint=_HINT) from error

    def _scrubbed(self, text: str) -> str:
        token = self._options.token.get_secret_value() if self._options.token else ""
        return text.replace(token, "***") if token else text


_HINT = "check git.url, the network, git.ssh_key, git.known_hosts and git.ca; the commit is kept in the vault till then"


def _keep(said: bytearray, text: bytes) -> None:
    said += text
    del said[:-_SAID_BYTES]


def _words(said: bytearray, otherwise: str) -> str:
    """What the remote said, in one line, and the protocol's own reason."""
    lines = [line.strip() for line in bytes(said).decode(errors="replace").replace("\r", "\n").splitlines()]
    told = " / ".join(line for line in lines if line and not _PROGRESS.search(line))
    return f"{otherwise} ({told})" if told else otherwise


def _plain(error: BaseException) -> str:
    if isinstance(error, HangupException):
        lines = [line.decode(errors="replace").strip() for line in error.stderr_lines or []]
        return " / ".join(line for line in lines if line) or "it hung up"
    argument = error.args[0] if error.args else ""
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument or error)
