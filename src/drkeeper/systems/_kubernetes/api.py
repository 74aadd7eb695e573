"""The API server, as bytes and plain dictionaries: requests, tries, pages, discovery.

Every request that may be repeated is repeated while a server that answered before is away for a moment (it restarts,
it sheds load); a server that never answered is not waited for.
"""

from collections.abc import Iterator, Mapping
from threading import Event
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import orjson
from urllib3.exceptions import HTTPError

from drkeeper import clock
from drkeeper.errors import SystemUnreachable
from drkeeper.systems._kubernetes import discovery, paging
from drkeeper.systems._kubernetes.answers import (
    TOO_MANY,
    UNAVAILABLE,
    ApiError,
    Cause,
    refusal,
    translated,
)
from drkeeper.systems._kubernetes.connection import Connection
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.paging import Page

__all__ = ["ApiError", "Cause", "Cluster", "Page", "translated"]

APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
# A server that restarts is back within half a minute; one that sheds load asks for a second or so at a time.
PATIENCE_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0
_REPEATABLE = frozenset({"GET", "PATCH", "PUT", "DELETE"})


class TooLarge(Exception):
    """An answer was larger than its reader can take; it was dropped half-way."""


class Cluster:
    """One API server. Safe to use from several threads; closed by its context manager.

    Attributes:
        broken_groups: API groups whose discovery failed (an aggregated API whose server is away), and why. Filled by
            `kinds`.
    """

    def __init__(self, options: Options, connection: Connection) -> None:
        self.options = options
        self.broken_groups: dict[str, str] = {}
        self.tries_repeated = 0
        self._connection = connection
        self._answered = False
        self._kinds: tuple[ResourceKind, ...] | None = None

    @classmethod
    def open(cls, options: Options) -> Self:
        """Read the kubeconfig, or the Pod's own account; a connection is made by the first request.

        Raises:
            SystemUnreachable: There is no configuration that can be used.
        """
        return cls(options, Connection(options))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    @property
    def host(self) -> str:
        """Where the server is, for people."""
        return self._connection.host

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | dict[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        most_bytes: int | None = None,
        stop: Event | None = None,
    ) -> bytes:
        """Send a request until it is answered, and give out the answer's bytes.

        Args:
            method: `GET`, `PATCH`, `PUT` and `DELETE` are repeated when a connection breaks; `POST` is not.
            path: From the root, with names escaped.
            body: A dictionary is sent as JSON.
            params: Of the query.
            content_type: Of the body.
            most_bytes: Drop an answer that is larger.
            stop: Once it is set, nobody waits for the answer any more, and nothing is repeated.

        Raises:
            ApiError: The server said no.
            SystemUnreachable: It does not answer, or stayed away for too long.
            TooLarge: The answer is larger than `most_bytes`.
        """
        target = f"{path}?{urlencode(params)}" if params else path
        payload = orjson.dumps(body) if isinstance(body, dict) else body
        headers = {"Content-Type": content_type} if payload is not None else {}
        patience = _Patience(stop or Event())
        while True:
            try:
                return self._once(method, target, payload, headers, most_bytes)
            except HTTPError as error:
                patience.wait_or_raise(self._gone(error), possible=self._answered and method in _REPEATABLE)
            except ApiError as error:
                again = error.status == TOO_MANY or (error.status in UNAVAILABLE and method in _REPEATABLE)
                patience.wait_or_raise(error, possible=again, asked_seconds=error.retry_after_seconds)
            self.tries_repeated += 1

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """One object, decoded."""
        return _decoded(self.request("GET", path, params=params))

    def pages(self, path: str, *, params: Mapping[str, str] | None = None) -> Iterator[Page]:
        """A whole list, page by page, each decoded once; objects carry their apiVersion and kind.

        No object comes twice, whatever happens to the list on its way.
        """
        for raw in paging.raw_pages(self, path, params or {}):
            yield paging.decoded(raw)

    def apply(
        self,
        path: str,
        body: dict[str, Any],
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str = "drkeeper",
    ) -> dict[str, Any]:
        """Server-side apply: create the object, or make the fields that `body` names ours.

        Raises:
            ApiError: Status 409 where another manager owns a field; `causes` name each.
        """
        params = {"fieldManager": manager, "force": "true" if force else "false", **_dry(dry_run)}
        return _decoded(self.request("PATCH", path, body=body, params=params, content_type=APPLY))

    def merge_patch(self, path: str, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Change some fields of an object; None removes one."""
        return _decoded(self.request("PATCH", path, body=body, params=_dry(dry_run), content_type=MERGE_PATCH))

    def create(self, path: str, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create an object; `path` is that of its list."""
        return _decoded(self.request("POST", path, body=body, params=_dry(dry_run)))

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004 - Not Found
                raise

    def version(self) -> str:
        """The server's version, `v1.20.2`."""
        return str(self.get("/version").get("gitVersion", ""))

    def kinds(self) -> tuple[ResourceKind, ...]:
        """All kinds that the server serves, each in its preferred version; asked once, see `forget_kinds`."""
        if self._kinds is None:
            self._kinds, self.broken_groups = discovery.read_kinds(self)
        return self._kinds

    def forget_kinds(self) -> None:
        """Ask anew next time: after CRDs were made."""
        self._kinds = None

    def _once(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], most_bytes: int | None
    ) -> bytes:
        response = self._connection.open(method, target, body, headers)
        try:
            if response.status < 300 and most_bytes is not None:  # noqa: PLR2004 - success
                data = response.read(most_bytes + 1)
                if len(data) > most_bytes:
                    response.close()
                    raise TooLarge
            else:
                data = response.read()
        finally:
            response.release_conn()
        self._answered = True
        if response.status >= 300:  # noqa: PLR2004 - no success
            raise refusal(response.status, data, response.headers.get("Retry-After"))
        return data

    def _gone(self, error: HTTPError) -> SystemUnreachable:
        cause = getattr(error, "reason", None) or error
        return SystemUnreachable(f"the API server at {self.host} does not answer: {cause}")


class _Patience:
    """How long a request is repeated."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._until = clock.monotonic_seconds() + PATIENCE_SECONDS
        self._wait = _FIRST_WAIT_SECONDS

    def wait_or_raise(self, error: ApiError | SystemUnreachable, *, possible: bool, asked_seconds: float = 0.0) -> None:
        wait = max(self._wait, asked_seconds)
        if not possible or clock.monotonic_seconds() + wait > self._until:
            raise error
        if self._stop.wait(wait):
            raise error
        self._wait = min(self._wait * 2, _LONGEST_WAIT_SECONDS)


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _decoded(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(data)
    return answer
