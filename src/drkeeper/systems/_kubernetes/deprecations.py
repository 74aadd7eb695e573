"""Which of the captured objects a newer Kubernetes will not take any more.

A manifest is held in the version that its server prefers. Where that version is on its way out, a restore into a newer
cluster fails, on the day when a newer one is all there is. Two sources: the server's own word (a `Warning: 299` header
on each answer, since 1.19), and a table of what was removed since.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson
from urllib3.exceptions import HTTPError

from drkeeper.facts import Check
from drkeeper.systems._kubernetes.connection import Connection
from drkeeper.systems._kubernetes.kinds import ResourceKind

# From the "Deprecated API Migration Guide" of the Kubernetes documentation: group/version, kinds ("*": all of it), the
# release that serves it no more, and what takes its place.
_REMOVED: tuple[tuple[str, str, str, str], ...] = (
    ("extensions/v1beta1", "*", "1.22", "networking.k8s.io/v1, apps/v1"),
    ("networking.k8s.io/v1beta1", "Ingress IngressClass", "1.22", "networking.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "*", "1.22", "apiextensions.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "*WebhookConfiguration", "1.22", "admissionregistration.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "*", "1.22", "apiregistration.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "*", "1.22", "coordination.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "*", "1.22", "rbac.authorization.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "*", "1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIDriver CSINode StorageClass VolumeAttachment", "1.22", "storage.k8s.io/v1"),
    ("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
    ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy", "1.25", "nothing: Pod Security Admission does its work"),
    ("autoscaling/v2beta1", "*", "1.25", "autoscaling/v2"),
    ("node.k8s.io/v1beta1", "*", "1.25", "node.k8s.io/v1"),
    ("discovery.k8s.io/v1beta1", "*", "1.25", "discovery.k8s.io/v1"),
    ("autoscaling/v2beta2", "*", "1.26", "autoscaling/v2"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "*", "1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "storage.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "*", "1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "*", "1.32", "flowcontrol.apiserver.k8s.io/v1"),
)
# `299 - "some text"`, the text with \" and \\ escaped (RFC 7234, 5.5).
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_ASKED_AT_ONCE = 4


@dataclass(frozen=True)
class Answer:
    """What the server says on being asked for one object of a kind."""

    kind: ResourceKind
    held: bool
    warnings: tuple[str, ...]


def removed_in(kind: ResourceKind) -> tuple[str, str] | None:
    """The release that does not serve the kind in this version any more, and what takes its place. Pure."""
    for api_version, kinds, release, instead in _REMOVED:
        if kind.api_version == api_version and any(_is(kind.kind, word) for word in kinds.split()):
            return release, instead
    return None


def findings(answers: Iterable[Answer]) -> Iterator[Check]:
    """A finding for each kind of which there are objects and whose version does not last. Pure."""
    for answer in answers:
        removed = removed_in(answer.kind)
        if not answer.held or not (answer.warnings or removed):
            continue
        words = list(answer.warnings)
        instead = "the version that the warning names"
        if removed is not None:
            release, instead = removed
            words.append(f"Kubernetes {release} and later do not serve it")
        yield Check(
            subject=f"api.{answer.kind.label}",
            verdict="failed",
            severity="warning",
            detail=f"held as {answer.kind.api_version}: {'; '.join(words)}",
            remedy=f"move these objects to {instead} before you restore into a newer cluster, "
            "or keep a server that serves both",
        )


def ask(connection: Connection, kinds: Iterable[ResourceKind], namespaces: tuple[str, ...] | None) -> list[Answer]:
    """Ask for one object of each kind. Kinds that we may not list, or that do not answer, say nothing."""

    def one(kind: ResourceKind) -> Answer | None:
        held, warnings = False, dict[str, None]()
        for namespace in namespaces if kind.namespaced and namespaces is not None else (None,):
            try:
                response = connection.open("GET", f"{kind.path(namespace)}?limit=1", None, {})
                body = response.read()
                response.release_conn()
            except HTTPError:
                return None
            if response.status >= 300:  # noqa: PLR2004 - no success
                return None
            warnings |= dict.fromkeys(_warnings(response.headers.getlist("Warning")))
            held = held or bool(orjson.loads(body).get("items"))
        return Answer(kind, held, tuple(warnings))

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return [answer for answer in pool.map(one, kinds) if answer is not None]


def _warnings(headers: Iterable[str]) -> Iterator[str]:
    for header in headers:
        for text in _WARNING.findall(header):
            yield re.sub(r"\\(.)", r"\1", text)


def _is(kind: str, word: str) -> bool:
    return kind.endswith(word.removeprefix("*")) if word.startswith("*") else kind == word
