"""Probe of a live cluster: reachable, our clock and its, every permission, the git remote, the keys of Secrets.

Changes nothing: what we may do is asked (SelfSubjectAccessReview), never tried.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pyrage
from pyrage import x25519
from urllib3.exceptions import HTTPError

from drkeeper import clock
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.systems._kubernetes import ailments, deprecations, reviews
from drkeeper.systems._kubernetes.api import ApiError, Cluster, translated
from drkeeper.systems._kubernetes.connection import Connection
from drkeeper.systems._kubernetes.git_remote import Remote
from drkeeper.systems._kubernetes.kinds import matches, selected
from drkeeper.systems._kubernetes.options import GitOptions, Options, SecretsOptions
from drkeeper.systems._kubernetes.permissions import questions, rules_for_backup, rules_for_beat

REACHABLE = "reachable"
SKEW_WARNING_SECONDS, SKEW_ERROR_SECONDS = 5.0, 60.0
KEY_CHARACTERS_MIN = 32
IN_CLUSTER_NAME = "kubernetes.default.svc"
_SUCCESS = 300


def probe(options: Options) -> Iterator[Check]:
    """What a backup and a heartbeat of this cluster need."""
    yield from _cluster(options)
    if options.git is not None:
        yield _git(options.git)
    if options.secrets is not None:
        yield from _keys(options.secrets)


def _means_secrets(options: Options) -> bool:
    return matches("secrets", options.kinds) and not matches("secrets", options.exclude_kinds)


def _no_secrets() -> Check:
    """Whoever has not said that Secrets are to be left out should know that they are."""
    return Check(
        subject="secrets",
        verdict="failed",
        severity="warning",
        detail="Secrets are not captured: the policy does not say how to encrypt them",
        remedy="set secrets.recipients and secrets.key, or leave them out on purpose with exclude_kinds: [secrets]",
    )


def _cluster(options: Options) -> Iterator[Check]:
    try:
        with Cluster.open(options) as cluster, closing(Connection(options)) as connection:
            server = list(_server(connection))
            yield from server
            if any(check.subject == REACHABLE and check.verdict == "failed" for check in server):
                return
            kinds = cluster.kinds()
            yield from _broken(cluster.broken_groups)
            if options.secrets is None and _means_secrets(options):
                yield _no_secrets()
            needed = questions(rules_for_backup(options, kinds))
            marks = questions(rules_for_beat(options))
            yield from reviews.checks(
                cluster, [(each, "error") for each in needed], [(each, "warning") for each in marks]
            )
            answers = deprecations.ask(connection, selected(kinds, options), options.namespaces)
            yield from deprecations.findings(answers)
            yield from ailments.probe(cluster, options)
    except ApiError as error:
        yield _unreachable(translated(error))
    except DrkeeperError as error:
        yield _unreachable(error)


def _unreachable(error: DrkeeperError) -> Check:
    return Check(subject=REACHABLE, verdict="failed", detail=str(error), remedy=error.hint)


# --- the server -------------------------------------------------------------------------------------------------


def _server(connection: Connection) -> Iterator[Check]:
    """Its address in full, its version, and its clock.

    The name is resolved first: a short name that a search domain completes leads somewhere else in another Pod.
    """
    yield from _named(urlsplit(connection.host).hostname or "")
    before = clock.now()
    try:
        response = connection.open("GET", "/version", None, {})
        body = response.read()
        response.release_conn()
    except HTTPError as error:
        cause = getattr(error, "reason", None) or error
        yield Check(
            subject=REACHABLE,
            verdict="failed",
            detail=f"the API server at {connection.host} does not answer: {cause}",
            remedy="check the address in the kubeconfig, the network and the firewall",
        )
        return
    version = _version(body) if response.status < _SUCCESS else ""
    if not version:
        detail = f"{connection.host} answers {response.status} and no version on /version"
        yield Check(subject=REACHABLE, verdict="failed", detail=detail, remedy="check the user of the kubeconfig")
        return
    yield Check(subject=REACHABLE, verdict="passed", detail=f"{connection.host}, Kubernetes {version}")
    date = response.headers.get("Date")
    if date:
        yield skew(parsedate_to_datetime(date), before, clock.now())


def _version(body: bytes) -> str:
    """Nothing where another server answered: a proxy, a login page."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(answer.get("gitVersion", "")) if isinstance(answer, dict) else ""


def _named(host: str) -> Iterator[Check]:
    name = host
    if _is_address(host):
        if host != os.environ.get("KUBERNETES_SERVICE_HOST"):
            return
        name = IN_CLUSTER_NAME
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except OSError as error:
        yield Check(
            subject="dns",
            verdict="failed",
            severity="warning",
            detail=f"the name {name} cannot be resolved: {error.strerror or error}",
            remedy="check the Pod's DNS and that the network policy lets port 53 through",
        )
        return
    canonical = next((each[3] for each in found if each[3]), name)
    addresses = ", ".join(sorted({str(each[4][0]) for each in found}))
    yield Check(subject="dns", verdict="passed", detail=f"{canonical} is {addresses}")


def skew(server: datetime, before: datetime, after: datetime) -> Check:
    """Whether two clocks agree, as far as can be said. Pure.

    Args:
        server: What its clock showed, cut to a whole second.
        before: Ours, when we asked.
        after: Ours, when the answer was there.
    """
    ahead = (server - after).total_seconds()
    behind = (before - server).total_seconds() - 1.0
    seconds = max(0.0, ahead, behind)
    apart = seconds > SKEW_WARNING_SECONDS
    words = f"the API server's clock is {seconds:.0f} seconds {'ahead of' if ahead > behind else 'behind'} ours"
    return Check(
        subject="clock",
        verdict="failed" if apart else "passed",
        severity="error" if seconds > SKEW_ERROR_SECONDS else "warning",
        detail=words if apart else "the API server's clock agrees with ours",
        remedy="let both machines follow NTP: what is lost in a disaster is told by these clocks" if apart else "",
    )


def _broken(groups: dict[str, str]) -> Iterator[Check]:
    for group, reason in groups.items():
        yield Check(
            subject=f"api_group.{group}",
            verdict="failed",
            severity="warning",
            detail=f"it does not answer, and what it serves is not captured: {reason}",
            remedy=f"see `kubectl get apiservices | grep {group}`; mend or remove the one that is not Available",
        )


# --- git and keys -----------------------------------------------------------------------------------------------


def _git(options: GitOptions) -> Check:
    """Read only: whether the remote lets us push shows with the first push, but for a folder."""
    try:
        remote = Remote(options)
        tip = remote.tip()
    except DrkeeperError as error:
        return Check(subject="git", verdict="failed", severity="warning", detail=str(error), remedy=error.hint)
    folder = Path(options.url.removeprefix("file://"))
    if folder.is_absolute() and not _writable(folder):
        detail, remedy = f"{remote.shown} cannot be written to", f"let this user write below {folder}"
        return Check(subject="git", verdict="failed", severity="warning", detail=detail, remedy=remedy)
    state = f"at {tip.commit.decode()[:12]}" if tip is not None else "the branch will be made by the first commit"
    return Check(subject="git", verdict="passed", detail=f"{remote.shown}: {state}")


def _writable(folder: Path) -> bool:
    inner = folder / ".git" if (folder / ".git").is_dir() else folder
    return all(os.access(each, os.W_OK) for each in (inner / "objects", inner / "refs"))


def _keys(secrets: SecretsOptions) -> Iterator[Check]:
    wrong = [text for text in secrets.recipients if not _is_recipient(text)]
    yield Check(
        subject="secrets.recipients",
        verdict="failed" if wrong else "passed",
        # Not what was found: a secret key may have been put in the wrong place.
        detail=f"{len(wrong)} of {len(secrets.recipients)} are no age public keys"
        if wrong
        else f"{len(secrets.recipients)} can read the Secrets",
        remedy="take what `age-keygen -y` prints: age1…" if wrong else "",
    )
    length = len(secrets.key.get_secret_value())
    short = length < KEY_CHARACTERS_MIN
    yield Check(
        subject="secrets.key",
        verdict="failed" if short else "passed",
        detail=f"{length} characters" + (f", {KEY_CHARACTERS_MIN} are needed" if short else ""),
        remedy="make one with `openssl rand -hex 32`, and keep it" if short else "",
    )
    if secrets.identity is not None:
        yield _identity(secrets.identity.get_secret_value(), secrets.recipients)


def _identity(text: str, recipients: Iterable[str]) -> Check:
    ours = set()
    for line in text.split():
        if line.startswith("AGE-SECRET-KEY-"):
            try:
                ours.add(str(x25519.Identity.from_str(line).to_public()))
            except pyrage.IdentityError:
                continue
    if ours & set(recipients):
        return Check(subject="secrets.identity", verdict="passed", detail="it is one of the recipients'")
    return Check(
        subject="secrets.identity",
        verdict="failed",
        detail="it is no age identity, or none of the recipients'",
        remedy="give the identity (AGE-SECRET-KEY-1…) of one of the recipients; Secrets cannot be restored with this",
    )


def _is_recipient(text: str) -> bool:
    try:
        x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        return False
    return True


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
