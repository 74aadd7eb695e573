"""Who changed what, and when: a chain of small records in the vault in which nothing can be edited or cut out unseen.

`audit/<number>-<region>.json`: each link holds the digest of the one before it. A command writes one as it begins, and
one as it ends; a command that was killed has no second one. Heartbeats are not noted: they are the data's own record.

A number is taken by a conditional create in the first region that answers. When regions cannot see one another, the
log goes on in each of them; the first link that sees all names the newest of each, and it is one log again. See
docs/adr/0151-the-audit-log-is-a-chain-that-can-be-split-and-joined.md.
"""

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Literal

from drkeeper import clock
from drkeeper._audit import look
from drkeeper._audit.append import append, digest_at, newest_of, places_of, read_link
from drkeeper._audit.chain import check_chain
from drkeeper._audit.link import Detail, Link
from drkeeper.errors import DrkeeperError, Interrupted, Refused
from drkeeper.facts import Check
from drkeeper.log import get_logger
from drkeeper.vault.layout import AUDIT
from drkeeper.vault.vault import Vault

__all__ = [
    "AUDIT",
    "Detail",
    "Ending",
    "Link",
    "actor",
    "head",
    "links",
    "recorded",
    "recorded_if_known",
    "recorded_or_refused",
    "runs",
    "trigger",
    "triggered_by",
    "verify_chain",
]

READ_THREADS = 8
READ_AT_ONCE = 128
_Became = tuple[Literal["ok", "failed", "interrupted"], int, str]


@dataclass
class Ending:
    """What a command says of itself for its last link.

    Attributes:
        exit_code: Where it ends otherwise than well without raising anything.
    """

    detail: dict[str, Detail] = field(default_factory=dict)
    exit_code: int = 0


_trigger: ContextVar[str] = ContextVar("drkeeper_trigger", default="")


@contextmanager
def triggered_by(who: Literal["manual", "schedule"]) -> Iterator[None]:
    """What is recorded within, in this thread, was begun in this way."""
    former = _trigger.set(who)
    try:
        yield
    finally:
        _trigger.reset(former)


def trigger() -> Literal["manual", "schedule"]:
    """Who began what runs: as `triggered_by` says; else as $DRKEEPER_TRIGGER does (a CronJob's), else by hand."""
    known = _trigger.get() or os.environ.get("DRKEEPER_TRIGGER")
    return "schedule" if known == "schedule" else "manual"


def actor() -> str:
    """Who runs this: $DRKEEPER_ACTOR where a job says for whom it works, else user@host."""
    named = os.environ.get("DRKEEPER_ACTOR")
    if named:
        return named
    user = str(os.getuid())
    with suppress(KeyError, OSError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


@contextmanager
def recorded(vault: Vault, policy: str, command: str, **detail: Detail) -> Iterator[Ending]:
    """Note that a command begins, and how it ended.

    A link that cannot be written is logged, and the end says what became of the beginning; the command goes on: a
    restore is worth more than its note.

    Args:
        vault: Where to.
        policy: The policy's name.
        command: In the words of the command line.
        **detail: What it is about; no secret.
    """
    began = _beginning(policy, command, detail)
    written, lost = _write(vault, began)
    noted: dict[str, Detail] = {"lost": f"the beginning was not noted: {lost}"} if lost else {}
    with _ended(vault, began, written, noted) as ending:
        yield ending


@contextmanager
def recorded_or_refused(vault: Vault, policy: str, command: str, **detail: Detail) -> Iterator[Ending]:
    """The same for what removes something: it is refused where its beginning cannot be noted.

    Raises:
        Refused: That is so; nothing was changed.
    """
    began = _beginning(policy, command, detail)
    written, lost = _write(vault, began)
    if lost:
        raise Refused(f"{command} removes something, and this cannot be noted in the audit log: {lost}")
    with _ended(vault, began, written, {}) as ending:
        yield ending


@contextmanager
def _ended(vault: Vault, began: Link, written: Link | None, noted: dict[str, Detail]) -> Iterator[Ending]:
    ending = Ending()
    became: _Became = ("ok", 0, "")
    try:
        yield ending
        if ending.exit_code:
            became = ("failed", ending.exit_code, "")
    except BaseException as error:
        became = _what_became(error)
        raise
    finally:
        ending.detail.update(noted)
        _write(vault, _end(began, became, ending), after=written)


@contextmanager
def recorded_if_known(open_vault: Callable[[], Vault], policy: str, command: str, **detail: Detail) -> Iterator[Ending]:
    """The same for what goes on where the vault is away: then it is logged that nothing is noted."""
    try:
        vault = open_vault()
    except DrkeeperError as error:
        get_logger().error("audit link lost", command=command, error=str(error))
        yield Ending()
        return
    with recorded(vault, policy, command, **detail) as ending:
        yield ending


def _beginning(policy: str, command: str, detail: dict[str, Detail]) -> Link:
    return Link(
        number=0,
        region="",
        previous="",
        at=clock.now(),
        run=token_hex(4),
        event="began",
        policy=policy,
        actor=actor(),
        command=command,
        detail={"trigger": trigger(), **detail},
    )


def _end(began: Link, became: "_Became", ending: Ending) -> Link:
    outcome, exit_code, error = became
    update = {"at": clock.now(), "event": "ended", "outcome": outcome, "exit_code": exit_code, "error": error}
    return began.model_copy(update={**update, "detail": {**began.detail, **ending.detail}})


def _what_became(error: BaseException) -> "_Became":
    if isinstance(error, GeneratorExit):
        return "ok", 0, ""  # whoever looked on has seen enough
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return "interrupted", Interrupted.exit_code, str(error)
    if isinstance(error, DrkeeperError):
        return "failed", error.exit_code, str(error)
    return "failed", 1, type(error).__name__  # its words may hold anything


def _write(vault: Vault, link: Link, *, after: Link | None = None) -> tuple[Link | None, str]:
    """Add a link: it as it was written, or None and why that was not possible."""
    try:
        return append(vault, link, after=after), ""
    except (DrkeeperError, OSError) as error:
        get_logger().error("audit link lost", command=link.command, at_its=link.event, run=link.run, error=str(error))
        return None, str(error)


def head(vault: Vault) -> str:
    """Number and digest of the newest link, for whoever keeps them elsewhere; "" where there is none."""
    newest = newest_of(vault)
    return f"{max(newest.values()).number} {digest_at(vault, max(newest.values()))}" if newest else ""


def links(vault: Vault, since: datetime | None = None) -> list[Link]:
    """All links that can be read, oldest first; `verify_chain` tells of the others.

    Args:
        vault: Whose.
        since: Read back from the newest until so many in a row are older that no clock has jumped that often.
    """
    places = places_of(vault)
    found: list[Link] = []
    with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="audit-read") as pool:
        while places:
            places, part = places[:-READ_AT_ONCE], places[-READ_AT_ONCE:]
            read = [link for link in pool.map(lambda place: read_link(vault, place), part) if link is not None]
            found = [*read, *found]
            if since is not None and read and all(link.at < since for link in read):
                break
    return [link for link in found if since is None or link.at >= since]


def verify_chain(vault: Vault, anchors: Mapping[str, str] | None = None) -> list[Check]:
    """Whether every link is there, in each region, as it was written.

    Args:
        vault: Whose log.
        anchors: Words -> what `head` gave at some time, kept somewhere else; besides what drills of this vault hold.
    """
    written_down = {**look.anchors(vault), **(anchors or {})}  # first: a drill that ends meanwhile has seen more
    held, away = look.held(vault)
    unasked = [
        Check(subject=f"audit.{region}", verdict="not checked", detail=f"region {region} is away: {why}")
        for region, why in away.items()
    ]
    return [*unasked, *check_chain(held, written_down)]


def runs(chain: Sequence[Link]) -> dict[str, list[Link]]:
    """The links of each command, by its run, in the order in which they began."""
    found: dict[str, list[Link]] = {}
    for link in chain:
        found.setdefault(link.run, []).append(link)
    return found
