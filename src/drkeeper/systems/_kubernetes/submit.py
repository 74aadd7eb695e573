"""One object put to the API server, and what of it the other managers of its fields did not let through."""

from dataclasses import dataclass

from drkeeper import clock
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.conflicts import OURS, Conflict, conflicts_of, unknown_fields, without
from drkeeper.systems._kubernetes.identities import Manifest, identity
from drkeeper.systems._kubernetes.kinds import ResourceKind

# Fields may turn up one after the other (a list's items first); more rounds than this, and something else is wrong.
_ROUNDS = 8
_TRANSIENT = ("etcdserver: leader changed", "etcdserver: request timed out", "etcdserver: no leader")
# A definition is Established a moment before every part of the server knows it.
_NOT_SERVED_YET = ("could not find the requested resource", "404 page not found")
_INEXPRESSIBLE = ("typed patch object", "duplicate entries")
_PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class Taken:
    """An object as the server took it, and the fields that were left with their owners, or left out."""

    live: Manifest
    left: tuple[Conflict, ...] = ()


def submit(
    cluster: Cluster, kind: ResourceKind, manifest: Manifest, *, force: bool = False, dry_run: bool = False
) -> Taken:
    """Apply an object; fields that another manager owns are left to it, unless `force`.

    Fields that the server does not know are left out: it is older, and drops them when they come by other ways.
    Fields that are ours from an earlier restore, or that keep a workload at rest, are taken over in any case: the one
    that another manager set is what the release gives back.

    Raises:
        ApiError: The server does not take it.
        SystemUnreachable: It does not answer.
    """
    target = identity(manifest)
    path = kind.path(target.namespace or None, target.name)
    body = manifest
    left: tuple[Conflict, ...] = ()
    for _ in range(_ROUNDS):
        try:
            return Taken(_patiently(cluster, path, body, force=force, dry_run=dry_run), left)
        except ApiError as error:
            found = conflicts_of(error) or unknown_fields(error)
            if not found:
                if not _inexpressible(error):
                    raise
                return Taken(_create(cluster, kind, body, error, dry_run=dry_run), left)
            holding = hold.holding_fields(body)
            theirs = tuple(each for each in found if each.manager != OURS and each.field not in holding)
            if theirs:
                reduced = without(body, [each.field for each in theirs])
                if reduced is None:
                    raise
                body, left = reduced, (*left, *theirs)
                continue
            at_rest = tuple(each for each in found if each.manager != OURS)
            if at_rest:
                body, left = hold.held(hold.with_live_values(body, cluster.get(path))), (*left, *at_rest)
            force = True
    raise ApiError(409, "Conflict", f"{target}: its fields are changed faster than they can be applied")


def _patiently(cluster: Cluster, path: str, body: Manifest, *, force: bool, dry_run: bool) -> Manifest:
    until = clock.monotonic_seconds() + _PATIENCE_SECONDS
    while True:
        try:
            return cluster.apply(path, body, force=force, dry_run=dry_run)
        except ApiError as error:
            passing = any(words in error.message for words in (*_TRANSIENT, *_NOT_SERVED_YET))
            if dry_run or not passing or clock.monotonic_seconds() > until:
                raise
            clock.sleep(_PAUSE_SECONDS)


def _inexpressible(error: ApiError) -> bool:
    """Whether server-side apply cannot read what other clients may write (an environment variable twice)."""
    return error.status in {400, 422, 500} and any(words in error.message for words in _INEXPRESSIBLE)


def _create(cluster: Cluster, kind: ResourceKind, body: Manifest, error: ApiError, *, dry_run: bool) -> Manifest:
    """Such an object can be created where it is not there yet."""
    try:
        return cluster.create(kind.path(identity(body).namespace or None), body, dry_run=dry_run)
    except ApiError as refused:
        if refused.reason == "AlreadyExists":
            raise error from refused
        raise
