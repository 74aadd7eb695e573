"""Bring the manifests to the scratch folder, and find out there all that would stop them; nothing live changes."""

from collections.abc import Iterable, Iterator

from drkeeper.errors import DrkeeperError, LoadFailed, Refused, VerificationFailed
from drkeeper.log import get_logger
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Streams
from drkeeper.systems._kubernetes import spool
from drkeeper.systems._kubernetes.answers import ApiError
from drkeeper.systems._kubernetes.api import Cluster, translated
from drkeeper.systems._kubernetes.ask import ask
from drkeeper.systems._kubernetes.documents import Document, read_documents
from drkeeper.systems._kubernetes.index import HEARTBEAT_PATH, Index, missing, opened, read_index
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.outcome import named
from drkeeper.systems._kubernetes.part import within
from drkeeper.systems._kubernetes.served import Served

MANIFESTS = "manifests.yaml"
_COUNT = "count."


def load(name: str, options: Options, record: SystemRecord, streams: Streams, staging: str) -> None:
    """Write all documents to the scratch folder, each parsed and decrypted once, and ask the server about them.

    Raises:
        VerificationFailed: They are not what was captured.
        KeyMissing: A Secret cannot be decrypted.
        Refused: The scratch folder lacks room, the target does not serve a kind, or a transform does not fit.
        LoadFailed: The scratch folder cannot be written, or the server would not take an object.
    """
    scratch = spool.scratch_for(options, name, staging)
    spool.forget_earlier(options, name)
    _refuse_without_room(options, streams)
    scratch.write(_checked(record, streams, options))
    try:
        with Cluster.open(options) as cluster:
            served = Served(cluster)
            index = read_index(scratch, options, served)
            _refuse_unserved(index, served, options)
            ask(cluster, options, scratch, index, served)
    except ApiError as error:
        scratch.clear()
        raise translated(error) from error
    except DrkeeperError:
        scratch.clear()
        raise


def discard(name: str, options: Options, staging: str) -> None:
    """Remove what a load left; what a switch applied stays."""
    spool.scratch_for(options, name, staging).clear()


def _refuse_without_room(options: Options, streams: Streams) -> None:
    if MANIFESTS not in streams.names():
        raise LoadFailed("the record holds no manifests; the cluster was not touched")
    folder = spool.scratch_folder(options)
    lacking = spool.missing_bytes(folder, streams.size_bytes(MANIFESTS))
    if lacking:
        raise Refused(
            f"the scratch folder {folder} lacks {lacking} bytes for {MANIFESTS}",
            hint="free space there, or name another folder with the system's `scratch`",
        )


def _checked(record: SystemRecord, streams: Streams, options: Options) -> Iterator[tuple[str, dict[str, object]]]:
    """All documents, or those of a part; the last one is given out only where there are as many as were captured."""
    count = 0
    for document in read_documents(streams.read(MANIFESTS)):
        count += 1
        if not within(document.manifest, options):
            continue
        opened(document.manifest, options)
        yield document.path, document.manifest
    expected = sum(low for fact, (low, _) in record.facts.bounds.items() if fact.startswith(_COUNT))
    if count != expected:
        raise VerificationFailed(f"{MANIFESTS} holds {count} objects, {expected} were captured; nothing was changed")
    if not options.only:  # a part's data are not as new as the heartbeat of the whole says
        yield from ((HEARTBEAT_PATH, document.manifest) for document in _heartbeat(streams))


def _heartbeat(streams: Streams) -> Iterable[Document]:
    return read_documents(streams.read(HEARTBEAT_PATH)) if HEARTBEAT_PATH in streams.names() else ()


def _refuse_unserved(index: Index, served: Served, options: Options) -> None:
    unserved = {entry.target: words for entry, words in missing(index, served)}
    if not unserved:
        return
    if options.missing_kinds == "refuse":
        raise Refused(
            f"the target lacks the API of {len(unserved)} objects: {named(unserved)}; nothing was changed",
            hint="install what serves it, change apiVersion by `transforms`, or leave them out: `missing_kinds: skip`",
        )
    for target, words in unserved.items():
        get_logger().warning("object will not be restored", object=str(target), reason=words)
