"""Ask the server, before anything changes, what it would say to each object: a server-side dry run.

Many an answer says nothing yet: an object whose namespace or definition comes with the restore cannot be asked about,
and one may be refused for what the restore brings before it (a PriorityClass, a role, the Service of a webhook). So
only what no other object can put right stops a restore here: an object that is not valid, or too large.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import BinaryIO

from drkeeper.errors import LoadFailed
from drkeeper.log import get_logger
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.apply import each
from drkeeper.systems._kubernetes.identities import Identity
from drkeeper.systems._kubernetes.index import HEARTBEAT_PATH, Index, arriving
from drkeeper.systems._kubernetes.live import Live, fingerprint
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.order import Entry
from drkeeper.systems._kubernetes.outcome import named
from drkeeper.systems._kubernetes.served import Served
from drkeeper.systems._kubernetes.spool import Scratch, read_at
from drkeeper.systems._kubernetes.submit import submit

_TOO_LARGE, _INVALID = 413, 422
_TOO_LARGE_WORDS = "*request is too large*"


def ask(cluster: Cluster, options: Options, scratch: Scratch, index: Index, served: Served) -> None:
    """Ask about every object that can be asked about.

    Raises:
        LoadFailed: Some are certain to be refused; the message names them.
        SystemUnreachable: The server does not answer.
    """
    with scratch.reader() as file:
        question = _Question(cluster, options, index, served, file)
        askable = [entry for entry in index.entries if question.askable(entry)]
        question.look(askable)
        each(question.ask, askable)
    certain, uncertain = question.certain, question.uncertain
    get_logger().info(
        "server asked by dry run",
        asked=len(askable),
        not_checked=len(index.entries) - len(askable),
        refused_for_now=len(uncertain),
    )
    for target, words in sorted(uncertain.items()):
        get_logger().warning("refused for now; may be taken once all is there", object=str(target), words=words)
    if certain:
        raise LoadFailed(
            f"the API server would refuse {len(certain)} objects: {named(certain)}; nothing was changed",
            hint="put right what it says: `transforms` can change an object or, by a `test` that fails, leave it out",
        )


class _Question:
    def __init__(self, cluster: Cluster, options: Options, index: Index, served: Served, file: BinaryIO) -> None:
        self.certain: dict[Identity, str] = {}
        self.uncertain: dict[Identity, str] = {}
        self._cluster = cluster
        self._options = options
        self._index = index
        self._served = served
        self._file = file
        self._live = Live(cluster)
        if namespaces := served.find("v1", "Namespace"):
            self._live.list_kind(namespaces)

    def askable(self, entry: Entry) -> bool:
        """Whether its kind is served, and its namespace there, before anything is restored."""
        if self._served.find(entry.api_version, entry.target.kind) is None:
            return False
        namespace = Identity("", "Namespace", "", entry.target.namespace)
        return (
            not entry.target.namespace or self._live.find(namespace, self._served.find("v1", "Namespace")) is not None
        )

    def look(self, entries: Sequence[Entry]) -> None:
        """List the kinds that are asked about: what is equal already need not be asked about."""
        namespaces = sorted({entry.target.namespace for entry in entries if entry.target.namespace})
        for api_version, kind in sorted({(entry.api_version, entry.target.kind) for entry in entries}):
            if served := self._served.find(api_version, kind):
                self._live.list_kind(served, namespaces)

    def ask(self, entry: Entry) -> None:
        """Put one object to the server; its answer is noted."""
        kind = self._served.find(entry.api_version, entry.target.kind)
        plural = self._index.plural(self._served, entry.source) if self._options.transforms else ""
        manifest = arriving(entry.path, read_at(self._file, entry.offset, entry.length), self._options, plural)
        if kind is None or manifest is None:
            return
        known = self._live.find(entry.target, kind)
        if known and (self._options.existing == "keep" or known.fingerprint == fingerprint(manifest, held=False)):
            return
        manifest = {**manifest, "metadata": {**manifest["metadata"]}}
        manifest["metadata"].pop("ownerReferences", None)  # their UIDs are not known yet
        force = self._options.conflicts == "force" or entry.path == HEARTBEAT_PATH
        try:
            submit(self._cluster, kind, manifest, force=force, dry_run=True)
        except ApiError as error:
            (self.certain if self._certain(entry, error) else self.uncertain)[entry.target] = error.message

    def _certain(self, entry: Entry, error: ApiError) -> bool:
        if error.status == _TOO_LARGE or fnmatchcase(error.message, _TOO_LARGE_WORDS):
            return True
        # What a definition of the point changes, or a webhook says, may be otherwise when all is there.
        changing = self._index.defines(entry)
        return error.status == _INVALID and not changing and "admission webhook" not in error.message
