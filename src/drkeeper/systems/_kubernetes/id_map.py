"""Which new UID took the place of which old one: for the databases that store such ids (`jobs.UUID` of Kubeflow).

Computed when it is asked for, from the recovery point and what is live: there is nothing to keep, or to lose.
"""

from collections.abc import Iterator

from drkeeper.errors import VerificationFailed
from drkeeper.systems import Streams
from drkeeper.systems._kubernetes.api import ApiError, Cluster, translated
from drkeeper.systems._kubernetes.documents import object_path
from drkeeper.systems._kubernetes.kinds import selected
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.places import live_places

UIDS = "uids.tsv"


def id_map(options: Options, streams: Streams) -> Iterator[tuple[str, str, str]]:
    """Old UID, new UID and the path in the recovery point of each of its objects that is live.

    Renamed namespaces are followed, other renames (by transforms) are not.

    Raises:
        VerificationFailed: The record holds no UIDs, or none that can be read.
        SystemUnreachable: The server does not answer.
    """
    if UIDS not in streams.names():
        raise VerificationFailed(f"the record holds no {UIDS}")
    live = _live_uids(options)
    for line in uid_lines(streams):
        uid, tab, path = line.partition("\t")
        if not tab:
            raise VerificationFailed(f"{UIDS} cannot be read: {line[:80]}")
        if (present := live.get(_renamed(path, options))) is not None:
            yield uid, present, path


def _live_uids(options: Options) -> dict[str, str]:
    """UID by path, of all kinds that the policy protects."""
    try:
        with Cluster.open(options) as cluster:
            return {
                object_path(item): str(item["metadata"]["uid"])
                for kind in selected(cluster.kinds(), options)
                for namespace in live_places(kind, options)
                for page in cluster.pages(kind.path(namespace))
                for item in page.items
            }
    except ApiError as error:
        raise translated(error) from error


def _renamed(path: str, options: Options) -> str:
    """The path under the names that namespaces have here."""
    parts, names = path.split("/"), options.namespace_map
    if parts[0] == "namespaces":
        parts[1] = names.get(parts[1], parts[1])
    elif parts[:2] == ["cluster", "namespace"]:
        name = parts[2].removesuffix(".yaml")
        parts[2] = f"{names.get(name, name)}.yaml"
    return "/".join(parts)


def uid_lines(streams: Streams) -> Iterator[str]:
    """Lines of UID, tab and path."""
    kept = b""
    for chunk in streams.read(UIDS):
        *lines, kept = (kept + chunk).split(b"\n")
        yield from (line.decode() for line in lines)
    if kept:
        yield kept.decode()
