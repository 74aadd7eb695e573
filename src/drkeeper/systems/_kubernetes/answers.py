"""What an API server answers when it says no, and what that means for a person."""

from dataclasses import dataclass
from typing import Any

import orjson

from drkeeper.errors import CaptureFailed, DrkeeperError, Refused, SystemUnreachable

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, TOO_MANY = 401, 403, 404, 409, 410, 429
UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Cause:
    """One detail of a refusal: which field, and why."""

    field: str
    reason: str
    message: str


class ApiError(DrkeeperError):
    """The API server's answer was not a success. One that nobody expected is shown to a user as it is.

    Attributes:
        status: The HTTP status.
        reason: The API's own word (`Conflict`, `Forbidden`, `Expired`), or "".
        message: For people.
        causes: Details, where the server gave any (conflicts of server-side apply, schema violations).
        continue_token: With `Expired`: where an inconsistent list may go on.
        retry_after_seconds: What the server asked for, or 0.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        causes: tuple[Cause, ...] = (),
        *,
        continue_token: str = "",
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.continue_token = continue_token
        self.retry_after_seconds = retry_after_seconds


def refusal(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Read a `Status` object, or whatever else stands in the body (proxies answer with pages of their own)."""
    wait = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        text = body[:300].decode(errors="replace").strip()
        return ApiError(status, "", f"HTTP {status}: {text}", retry_after_seconds=wait)
    details = answer.get("details") or {}
    causes = tuple(
        Cause(str(cause.get("field", "")), str(cause.get("reason", "")), str(cause.get("message", "")))
        for cause in details.get("causes") or ()
    )
    token = str((answer.get("metadata") or {}).get("continue", ""))
    message = str(answer.get("message") or f"HTTP {status}")
    return ApiError(
        status, str(answer.get("reason", "")), message, causes, continue_token=token, retry_after_seconds=wait
    )


def translated(error: ApiError) -> DrkeeperError:
    """The same, as an error of ours, with what to do about it."""
    if error.status == UNAUTHORIZED:
        return SystemUnreachable(
            f"the API server does not know who we are: {error.message}",
            hint="renew the token or certificate of the kubeconfig, or the Pod's ServiceAccount",
        )
    if error.status == FORBIDDEN:
        return Refused(
            f"the API server forbids it: {error.message}", hint="`drkeeper check` names each rule that is missing"
        )
    if error.status == TOO_MANY or error.status in UNAVAILABLE:
        return SystemUnreachable(f"the API server is too busy, or not ready: {error.message}")
    return CaptureFailed(f"the API server answered {error.status} {error.reason}: {error.message}".replace("  ", " "))
