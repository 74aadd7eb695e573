"""Empty a scratch cluster after a drill; only one that says by a ConfigMap of its own that it may be emptied."""

from collections.abc import Iterator

from drkeeper import clock
from drkeeper.errors import LoadFailed, Refused
from drkeeper.systems._kubernetes.answers import ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.emptiness import SCRATCH, put_there
from drkeeper.systems._kubernetes.kinds import selected
from drkeeper.systems._kubernetes.options import Options

MARK = f"/api/v1/namespaces/default/configmaps/{SCRATCH}"
GONE_SECONDS = 120.0
# Who should have acted on a finalizer does not run in a scratch cluster; what still waits for it then is let go.
FINALIZER_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
_NOT_FOUND = 404


def insist_clearable(options: Options) -> None:
    """Ask the cluster whether drills may fill and empty it.

    Raises:
        Refused: ConfigMap `default/drkeeper-scratch` is not there.
        SystemUnreachable: The server does not answer.
    """
    with Cluster.open(options) as cluster:
        _insist(cluster)


def clear(options: Options) -> None:
    """Delete all that `is_empty` would find, and wait until it is gone.

    Raises:
        Refused: The cluster does not allow it; nothing was deleted.
        LoadFailed: Something is still there; the message names it.
    """
    try:
        with Cluster.open(options) as cluster:
            _insist(cluster)
            began = clock.monotonic_seconds()
            while left := list(_delete_all(cluster, options, since=began)):
                if clock.monotonic_seconds() > began + GONE_SECONDS:
                    raise LoadFailed(
                        f"{len(left)} objects of the scratch cluster are still there, {left[0]} among them",
                        hint="see what they wait for, and delete them by hand",
                    )
                clock.sleep(_PAUSE_SECONDS)
    except ApiError as error:
        raise translated(error) from error


def _insist(cluster: Cluster) -> None:
    try:
        cluster.get(MARK)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise translated(error) from error
        raise Refused(
            f"the cluster at {cluster.host} has no ConfigMap default/{SCRATCH}, so drills must not use it",
            hint=f"if it holds nothing of worth: `kubectl -n default create configmap {SCRATCH}`",
        ) from error


def _delete_all(cluster: Cluster, options: Options, *, since: float) -> Iterator[str]:
    """Ask for the deletion of everything, what was restored last first; names what was still there."""
    cluster.forget_kinds()
    let_go = clock.monotonic_seconds() > since + FINALIZER_SECONDS
    for kind in reversed(selected(cluster.kinds(), options)):
        for item in list(put_there(cluster, kind, options)):
            metadata = item["metadata"]
            path = kind.path(metadata.get("namespace"), metadata["name"])
            yield path
            if "deletionTimestamp" not in metadata:
                cluster.delete(path)
            elif let_go and metadata.get("finalizers"):
                _let_go(cluster, path)


def _let_go(cluster: Cluster, path: str) -> None:
    try:
        cluster.merge_patch(path, {"metadata": {"finalizers": None}})
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
