"""Which kinds a server serves, each in the version that it prefers.

Asked group by group (`/apis/<group>/<version>`), which every version of Kubernetes answers; a group that fails (an
aggregated API whose server is away) is remembered and does not stop the others.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from drkeeper.errors import SystemUnreachable
from drkeeper.systems._kubernetes.answers import FORBIDDEN, UNAUTHORIZED, ApiError, translated
from drkeeper.systems._kubernetes.kinds import ResourceKind

if TYPE_CHECKING:
    from drkeeper.systems._kubernetes.api import Cluster

_ASKED_AT_ONCE = 4


def read_kinds(cluster: "Cluster") -> tuple[tuple[ResourceKind, ...], dict[str, str]]:
    """All kinds, and the groups that could not be asked with the reason.

    A group serves some kinds only in a version that it does not prefer (CronJobs in `batch/v1beta1` once): each kind
    is taken from the first version, preferred one first, that has it.
    """
    try:
        core = cluster.get("/api/v1")
        groups = cluster.get("/apis")["groups"]
    except ApiError as error:
        if error.status in (UNAUTHORIZED, FORBIDDEN):
            raise SystemUnreachable(f"the API server does not let us look: {error.message}") from error
        raise translated(error) from error
    versions = [(group["name"], version) for group in groups for version in _versions(group)]
    broken: dict[str, str] = {}

    def ask(group_version: tuple[str, str]) -> tuple[str, str, list[dict[str, Any]]]:
        group, version = group_version
        try:
            return group, version, cluster.get(f"/apis/{group}/{version}").get("resources") or []
        except (ApiError, SystemUnreachable) as error:
            broken[group] = str(error)
            return group, version, []

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        asked = [("", "v1", core["resources"]), *pool.map(ask, versions)]
    return tuple(_first_of_each(kind for answer in asked for kind in _kinds(*answer))), dict(sorted(broken.items()))


def _versions(group: dict[str, Any]) -> list[str]:
    """The preferred one first."""
    preferred = group["preferredVersion"]["version"]
    others = [entry["version"] for entry in group["versions"] if entry["version"] != preferred]
    return [preferred, *others]


def _kinds(group: str, version: str, resources: Iterable[dict[str, Any]]) -> Iterator[ResourceKind]:
    for resource in resources:
        if "/" in resource["name"]:  # a sub-resource (`pods/log`)
            continue
        yield ResourceKind(
            group=resource.get("group") or group,
            version=resource.get("version") or version,
            kind=resource["kind"],
            plural=resource["name"],
            namespaced=bool(resource["namespaced"]),
            verbs=frozenset(resource.get("verbs") or ()),
        )


def _first_of_each(kinds: Iterable[ResourceKind]) -> Iterator[ResourceKind]:
    seen: set[tuple[str, str]] = set()
    for kind in kinds:
        if (kind.group, kind.plural) not in seen:
            seen.add((kind.group, kind.plural))
            yield kind
