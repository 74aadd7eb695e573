"""What a restore would change: each object as it is live, and as the server says that it would be afterwards."""

import copy
import difflib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from drkeeper.errors import DrkeeperError
from drkeeper.systems import Streams
from drkeeper.systems._kubernetes.answers import ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.documents import Document, read_documents
from drkeeper.systems._kubernetes.identities import Manifest, identity
from drkeeper.systems._kubernetes.index import arriving
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.part import within
from drkeeper.systems._kubernetes.render import render
from drkeeper.systems._kubernetes.sanitise import sanitise
from drkeeper.systems._kubernetes.served import Served
from drkeeper.systems._kubernetes.submit import submit

_THREADS = 4
_AT_ONCE = 64
_NOT_FOUND = 404


def difference(options: Options, streams: Streams) -> Iterator[str]:
    """Lines of a unified diff, object after object in the order of the recovery point.

    Shown is what is live after the release: holding workloads at zero is left out. Lines that begin with `#` say what
    the server could not be asked, would refuse, or leaves with another manager.

    Raises:
        SystemUnreachable: The server does not answer.
    """
    try:
        with Cluster.open(options) as cluster, ThreadPoolExecutor(_THREADS) as pool:
            comparison = _Comparison(cluster, options)
            documents = read_documents(streams.read("manifests.yaml"))
            for some in _batches(each for each in documents if within(each.manifest, options)):
                for lines in pool.map(comparison.lines, some):
                    yield from lines
    except ApiError as error:
        raise translated(error) from error


class _Comparison:
    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster = cluster
        self._options = options
        self._served = Served(cluster)

    def lines(self, document: Document) -> list[str]:
        """What one object would change."""
        source = identity(document.manifest)
        plural = self._served.plural(source.group, source.kind)
        try:
            manifest = arriving(document.path, document.manifest, self._options, plural)
        except DrkeeperError as error:
            return [f"# {document.path}: {error}"]
        if manifest is None:
            return [f"# {document.path}: left out by a transform"]
        kind = self._served.find(str(manifest["apiVersion"]), str(manifest["kind"]))
        if kind is None:
            return [
                f"# {document.path}: {manifest['apiVersion']} is not served (yet)",
                *_added(document.path, manifest),
            ]
        before = self._live(kind, manifest)
        if before is not None and self._options.existing == "keep":
            return []
        return self._asked(document.path, kind, before, manifest)

    def _asked(self, path: str, kind: ResourceKind, before: Manifest | None, manifest: Manifest) -> list[str]:
        wanted = _without_owners(manifest)
        try:
            taken = submit(self._cluster, kind, wanted, force=self._options.conflicts == "force", dry_run=True)
        except ApiError as error:
            return [f"# {path}: not checked: {error.message}", *([] if before else _added(path, manifest))]
        notes = [f"# {path}: {conflict}" for conflict in taken.left]
        return notes + _unified(path, before and _without_owners(before), _without_owners(taken.live))

    def _live(self, kind: ResourceKind, manifest: Manifest) -> Manifest | None:
        target = identity(manifest)
        try:
            return self._cluster.get(kind.path(target.namespace or None, target.name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise


def _added(path: str, manifest: Manifest) -> list[str]:
    return _unified(path, None, manifest)


def _without_owners(manifest: Manifest) -> Manifest:
    """Owner references name UIDs, which are other ones after a restore."""
    result = copy.deepcopy(manifest)
    result["metadata"].pop("ownerReferences", None)
    return result


def _unified(path: str, before: Manifest | None, after: Manifest) -> list[str]:
    old, new = _masked(before and sanitise(copy.deepcopy(before)), sanitise(copy.deepcopy(after)))
    names = (f"live/{path}" if old is not None else "/dev/null", f"restored/{path}")
    return [line.rstrip("\n") for line in difflib.unified_diff(_text(old), _text(new), *names)]


def _text(manifest: Manifest | None) -> list[str]:
    return render(manifest).decode().splitlines() if manifest is not None else []


def _masked(old: Manifest | None, new: Manifest) -> tuple[Manifest | None, Manifest]:
    """A Secret's values as words that only say whether they are the same."""
    if new.get("kind") != "Secret" or new.get("apiVersion") != "v1":
        return old, new
    for field in ("data", "stringData"):
        former, values = (old or {}).get(field) or {}, new.get(field) or {}
        shown: Callable[[str], str] = lambda key: "(same value)" if former.get(key) == values[key] else "(other value)"  # noqa: B023, E731
        masked = {key: shown(key) for key in values}
        if values:
            new[field] = masked
        if old is not None and former:
            old[field] = {key: "(same value)" if masked.get(key) == "(same value)" else "(value)" for key in former}
    return old, new


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Some at a time, so that memory does not grow with the number of objects."""
    iterator = iter(documents)
    while some := list(islice(iterator, _AT_ONCE)):
        yield some
