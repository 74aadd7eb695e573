"""Tells those whom a policy names how work ended. Whether anybody could be told changes nothing about the work.

Three forms: `json` (everything), `slack` (a text; Mattermost and Rocket.Chat take it too) and `ping`, by which a
service such as healthchecks notices that nothing came: it is told of the start too, so that it can tell how long the
work took (https://healthchecks.io/docs/http_api/: `/start` and `/fail` behind the address).
"""

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from drkeeper import __version__, clock
from drkeeper._policy.recovery_sections import NotifyOn, NotifyPolicy
from drkeeper.errors import BackupPartial, DrkeeperError, Interrupted, VerificationFailed
from drkeeper.facts import Check, broken
from drkeeper.hooks import Hook, HookFailed, call
from drkeeper.log import get_logger
from drkeeper.objectives import exit_code_of, outcome_of
from drkeeper.policy import Policy
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import DrillRecord
from drkeeper.throttle import stopped_by

Outcome = Literal["started", "ok", "partial", "failed", "interrupted"]
Detail = Mapping[str, object]
HIDDEN = "***"
MARKS: dict[Outcome, str] = {
    "started": "began",
    "ok": "went well",
    "partial": "is incomplete",
    "failed": "FAILED",
    "interrupted": "was interrupted",
}


@dataclass
class Told:
    """What work says of itself while it is done; told when it ends.

    Attributes:
        detail: Plain figures and names, no secret.
        outcome: How it ended, where it raises nothing.
        error: What was wrong although it came to its end.
    """

    detail: dict[str, object] = field(default_factory=dict)
    outcome: Outcome = "ok"
    error: str = ""
    exit_code: int = 0

    def fell_short(self, why: str, exit_code: int) -> None:
        """It came to its end, and that was not what it should be: an objective was missed, a system left out."""
        self.outcome = "partial" if exit_code == BackupPartial.exit_code else "failed"
        self.error, self.exit_code = why, exit_code


@contextmanager
def telling(policy: Policy, work: NotifyOn) -> Iterator[Told]:
    """Tell of the work in the block: that it begins (to those of form `ping`), and how it ended. Errors pass through.

    A block that raises BackupPartial is told as partial, one that raises Interrupted as interrupted.
    """
    tell(policy, work, "started")
    told, started = Told(), clock.monotonic_seconds()

    def ended(outcome: Outcome, why: str = "", exit_code: int = 0) -> None:
        took = {"elapsed_seconds": round(clock.monotonic_seconds() - started, 3), "exit_code": exit_code}
        tell(policy, work, outcome, {**told.detail, **took, **({"error": why} if why else {})})

    try:
        yield told
    except Interrupted as error:
        ended("interrupted", str(error), error.exit_code)
        raise
    except DrkeeperError as error:
        ended("partial" if isinstance(error, BackupPartial) else "failed", str(error), error.exit_code)
        raise
    except BaseException as error:
        ended("failed", type(error).__name__, 1)
        raise
    ended(told.outcome, told.error, told.exit_code)


def tell(policy: Policy, work: NotifyOn, outcome: Outcome, detail: Detail | None = None) -> int:
    """Tell everybody whom the policy names for this work; how many could be told.

    Nothing is raised: who cannot be told is logged, by host and with no secret.

    Args:
        policy: Whose `notify`.
        work: What was done.
        outcome: "started" goes to those of form `ping` alone.
        detail: What it was about, and what came of it. Values of the policy that are secret are taken out.
    """
    listeners = [each for each in policy.notify if _wants(each, work, outcome)]
    message = _without_secrets(message_of(policy.name, work, outcome, detail or {}), policy) if listeners else {}
    return sum(_told(each, outcome, message) for each in listeners)


def tell_point(told: Told, point: RecoveryPoint, lacking: Mapping[str, str]) -> None:
    """What those who are told of a backup get to know of it."""
    short = [system.name for system in point.systems if system.status != "complete"]
    told.detail.update(point=point.point_id, as_of=f"{point.as_of:%Y-%m-%dT%H:%M:%SZ}", size_bytes=point.size_bytes)
    if short:
        told.detail["incomplete"] = ", ".join(short)
    if lacking:
        told.detail["lacking"] = ", ".join(lacking)


def tell_drill(told: Told, record: DrillRecord) -> None:
    """What those who are told of a drill get to know of it; a drill that did not end well is a failure."""
    outcome, figures = outcome_of(record), {"rto_seconds": record.rto_seconds, "rpo_seconds": record.rpo_seconds}
    told.detail.update(drill=record.drill_id, scenario=record.scenario_name or "everything-lost", result=outcome)
    told.detail.update({name: value for name, value in figures.items() if value is not None})
    if outcome != "recovered":
        told.fell_short(f"{outcome}{f': {record.error}' if record.error else ''}", exit_code_of(record))


def tell_restore(told: Told, systems: Iterable[str], statements: Sequence[Check]) -> None:
    """What those who are told of a restore get to know of it; statements that do not hold are a failure."""
    wrong = broken(statements)
    passed = sum(check.verdict == "passed" for check in statements)
    told.detail.update(systems=", ".join(systems), statements=f"{passed} of {len(statements)} hold")
    if wrong:
        told.fell_short(f"{len(wrong)} statements do not hold, {wrong[0].subject} first", VerificationFailed.exit_code)


def message_of(policy: str, work: NotifyOn, outcome: Outcome, detail: Detail) -> dict[str, object]:
    """The whole message, as those of form `json` get it."""
    return {
        "format": 1,
        "policy": policy,
        "work": work,
        "outcome": outcome,
        "at": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "host": socket.gethostname(),
        "drkeeper": __version__,
        "text": text_of(policy, work, outcome, detail),
        "detail": dict(detail),
    }


def text_of(policy: str, work: NotifyOn, outcome: Outcome, detail: Detail) -> str:
    """The message for people: what went wrong first, then what else is known."""
    said = [f"{key.replace('_', ' ')}: {value}" for key, value in detail.items() if key != "error"]
    error = f": {detail['error']}" if detail.get("error") else ""
    return f"drkeeper: {work} of {policy} {MARKS[outcome]}{error}" + (f" ({', '.join(said)})" if said else "")


def _wants(listener: NotifyPolicy, work: NotifyOn, outcome: Outcome) -> bool:
    if listener.on and work not in listener.on:
        return False
    if listener.form == "ping":
        return True  # who waits for pings must hear of successes, or it takes silence for a failure
    return outcome != "started" and not (listener.only_failures and outcome == "ok")


def _slack(text: object) -> dict[str, str]:
    """What their formats would take for markup, an `<!channel>` in an error, is escaped as they ask for."""
    return {"text": str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _told(listener: NotifyPolicy, outcome: Outcome, message: Mapping[str, object]) -> bool:
    url, host = listener.url.get_secret_value(), "an address that is none"
    try:
        host = urlsplit(url).hostname or host
        hook = Hook(url=_place(url, listener, outcome), timeout=listener.timeout, allow_http=listener.allow_http)
        with stopped_by(threading.Event()):  # that the work was told to stop is what we want to tell
            call(hook, _slack(message["text"]) if listener.form == "slack" else message)
    except Exception as error:  # noqa: BLE001 - nothing about an address may fail the work that is told of
        why = str(error) if isinstance(error, HookFailed) else type(error).__name__
        get_logger().warning("nobody was told", host=host, form=listener.form, error=why)
        return False
    return True


def _place(url: str, listener: NotifyPolicy, outcome: Outcome) -> str:
    if listener.form != "ping" or outcome == "ok":
        return url
    parts = urlsplit(url)
    ending = "/start" if outcome == "started" else "/fail"
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending))


def _without_secrets(message: dict[str, object], policy: Policy) -> dict[str, object]:
    secrets = [each for each in policy.secret_values() if each]

    def clean(value: object) -> object:
        match value:
            case str():
                for secret in secrets:
                    value = value.replace(secret, HIDDEN)
                return value
            case Mapping():
                return {str(key): clean(each) for key, each in value.items()}
            case list() | tuple():
                return [clean(each) for each in value]
            case int() | float() | bool() | None:
                return value
            case _:
                return clean(str(value))

    return {key: clean(value) for key, value in message.items()}
