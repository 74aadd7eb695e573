"""The switch: every object of the scratch file put to the API server, in an order that works.

An apply is atomic for its object and may be repeated, and what is equal already is left alone: after a crash the
whole is simply done again. (`docs/adr/0103-restore-by-server-side-apply.md`)
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO

from drkeeper.errors import DrkeeperError, LoadFailed, SystemUnreachable
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.api import ApiError, Cluster, translated
from drkeeper.systems._kubernetes.established import await_established
from drkeeper.systems._kubernetes.identities import Identity, Manifest, owners
from drkeeper.systems._kubernetes.index import HEARTBEAT_PATH, Index, arriving, missing, read_index
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.live import Live, fingerprint
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.order import Entry, waves
from drkeeper.systems._kubernetes.outcome import Outcome
from drkeeper.systems._kubernetes.served import Served
from drkeeper.systems._kubernetes.spool import read_at, scratch_for
from drkeeper.systems._kubernetes.submit import submit
from drkeeper.systems._kubernetes.webhooks import hold_live

THREADS = 8


def switch(name: str, options: Options, staging: str) -> Outcome:
    """Apply everything that was loaded; a switch that was made already is not made again.

    Raises:
        LoadFailed: The server did not take some objects; the message names them, the others are live.
        SystemUnreachable: The server went away; what was applied until then is live.
    """
    scratch = scratch_for(options, name, staging)
    if scratch.switched:
        scratch.mark_switched()
        return Outcome()
    scratch.verify()
    try:
        with Cluster.open(options) as cluster, scratch.reader() as file:
            restoration = Restoration(options, cluster, file)
            outcome = restoration.carry_out(read_index(scratch, options, restoration.served))
    except ApiError as error:
        raise translated(error) from error
    outcome.log(dry_run=options.dry_run)
    outcome.raise_failures(dry_run=options.dry_run)
    scratch.mark_switched()
    return outcome


class Restoration:
    """One run through all objects."""

    def __init__(self, options: Options, cluster: Cluster, file: BinaryIO) -> None:
        self.served = Served(cluster)
        self.outcome = Outcome()
        self._options = options
        self._cluster = cluster
        self._file = file
        self._live = Live(cluster)
        self._index = Index()
        self._refused: list[Entry] = []

    def carry_out(self, index: Index) -> Outcome:
        """Apply wave after wave; what the server did not take is tried once more when all the others are there."""
        self._index = index
        self._skip(index)
        wanted = [entry for entry in index.entries if entry.target not in self.outcome.skipped]
        try:
            if self._options.hold and not self._options.dry_run and self._options.existing == "update":
                hold_live(self._cluster, self.served, wanted)
            if not self._options.dry_run:
                self._make_namespaces(wanted)
            for wave in waves(wanted):
                self._wave(wave)
            if not self._options.dry_run:
                again, self._refused = self._refused, []
                for wave in waves(again):
                    self._wave(wave)
        except SystemUnreachable as error:
            raise SystemUnreachable(
                f"{error}; live now: {self.outcome.live()} of {len(wanted)}",
                hint="go on with `drkeeper restore --resume` when it is back",
            ) from error
        return self.outcome

    def _skip(self, index: Index) -> None:
        for target in index.left_out:
            self.outcome.skipped[target] = "left out by a transform"
        for entry, words in missing(index, self.served):
            self.outcome.skipped[entry.target] = words

    def _make_namespaces(self, wanted: Sequence[Entry]) -> None:
        """Namespaces that are neither here nor in the point: a policy of single namespaces does not capture them.

        Nothing is said where we may not make one: the objects in it are refused then, each in the server's words.
        """
        kind = self._namespaces()
        brought = {entry.target.name for entry in wanted if entry.target.kind == "Namespace"}
        for name in sorted({entry.target.namespace for entry in wanted} - brought - {""}):
            if self._live.find(Identity("", "Namespace", "", name), kind) is None and kind is not None:
                with suppress(ApiError):
                    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                    self._live.note(self._cluster.apply(kind.path(None, name), body))

    def _wave(self, wave: Sequence[Entry]) -> None:
        namespaces = sorted({entry.target.namespace for entry in wave if entry.target.namespace})
        for api_version, kind in sorted({(entry.api_version, entry.target.kind) for entry in wave}):
            if (served := self.served.find(api_version, kind)) is not None:
                self._live.list_kind(served, namespaces)
        each(self._put, wave)
        if not self._options.dry_run:
            self._await([entry for entry in wave if entry.defines])

    def _await(self, entries: Sequence[Entry]) -> None:
        """Wait until what was defined is served."""
        made = {
            entry.defines: self._index.definitions[entry.defines]
            for entry in entries
            if entry.defines in self._index.definitions and entry.target not in self.outcome.failed
        }
        if not made:
            return
        seconds = self._options.established_seconds
        stuck = await_established(self._cluster, made, seconds)
        for entry in entries:
            if entry.target.name in stuck:
                words = f"not Established after {seconds} s: {stuck[entry.target.name]}"
                self.outcome.failed[entry.target] = words
        self.served.forget({each.api_version for each in self._index.entries if self._index.defines(each)})

    def _put(self, entry: Entry) -> None:
        """Apply one object; what the server says of it is noted."""
        try:
            self._apply(entry)
            self.outcome.failed.pop(entry.target, None)  # of an earlier try
        except ApiError as error:
            with self.outcome.lock:
                self.outcome.failed[entry.target] = error.message
                self._refused.append(entry)
        except SystemUnreachable:
            raise
        except DrkeeperError as error:
            with self.outcome.lock:
                self.outcome.failed[entry.target] = str(error)

    def _apply(self, entry: Entry) -> None:
        kind = self._kind(entry)
        if kind is None:
            return
        known = self._live.find(entry.target, kind)
        if known is not None and self._options.existing == "keep":
            self._note(self.outcome.kept, entry)
            return
        declared = self._manifest(entry)
        manifest = self._at_rest(entry, declared)
        if known is not None and known.fingerprint == fingerprint(declared, held=manifest is not declared):
            self._note(self.outcome.unchanged, entry)
            return
        if self._options.dry_run and (reason := self._unaskable(entry)):
            with self.outcome.lock:
                self.outcome.unasked[entry.target] = reason
            return
        force = self._options.conflicts == "force" or entry.path == HEARTBEAT_PATH
        taken = submit(self._cluster, kind, manifest, force=force, dry_run=self._options.dry_run)
        if not self._options.dry_run:
            self._live.note(taken.live)
        self._note(self.outcome.applied, entry)
        if taken.left:
            with self.outcome.lock:
                self.outcome.left[entry.target] = taken.left

    def _kind(self, entry: Entry) -> ResourceKind | None:
        kind = self.served.find(entry.api_version, entry.target.kind)
        if kind is None and self._options.dry_run:
            with self.outcome.lock:
                self.outcome.unasked[entry.target] = "its definition does not exist yet"
        elif kind is None:
            raise LoadFailed(f"{entry.api_version} is not served: its definition is not Established")
        return kind

    def _unaskable(self, entry: Entry) -> str:
        namespace = entry.target.namespace
        if not namespace or self._live.find(Identity("", "Namespace", "", namespace), self._namespaces()):
            return ""
        return f"namespace {namespace} does not exist yet"

    def _namespaces(self) -> ResourceKind | None:
        return self.served.find("v1", "Namespace")

    def _manifest(self, entry: Entry) -> Manifest:
        """What is to be live in the end: decrypted, transformed, with the UIDs of its owners."""
        plural = self._index.plural(self.served, entry.source) if self._options.transforms else ""
        manifest = arriving(entry.path, read_at(self._file, entry.offset, entry.length), self._options, plural)
        if manifest is None:
            raise LoadFailed("a transform leaves it out now, and did not when it was loaded")
        return self._with_owners(entry, manifest)

    def _at_rest(self, entry: Entry, declared: Manifest) -> Manifest:
        """What is applied: the same, held where the policy says so."""
        if not self._options.hold or hold.excepted(entry.source, self._options.hold_except):
            return declared
        return hold.held(declared)

    def _with_owners(self, entry: Entry, manifest: Manifest) -> Manifest:
        """Owner references with the UIDs that the owners have here; without an owner here, none."""
        if not entry.owners:
            return manifest
        result, references, lost = copy.deepcopy(manifest), [], []
        for reference, choices in owners(manifest):
            uid = next((found for choice in choices if (found := self._uid(reference, choice))), "")
            if uid:
                references.append({**reference, "uid": uid})
            else:
                lost.append(str(choices[0]))
        if lost:
            with self.outcome.lock:
                self.outcome.ownerless[entry.target] = ", ".join(lost)
        result["metadata"].pop("ownerReferences", None)
        if references:
            result["metadata"]["ownerReferences"] = references
        return result

    def _uid(self, reference: Manifest, choice: Identity) -> str:
        kind = self.served.find(str(reference.get("apiVersion", "")), choice.kind)
        if kind is not None and kind.namespaced != bool(choice.namespace):
            return ""
        known = self._live.find(choice, kind)
        return known.uid if known else ""

    def _note(self, where: list[Identity], entry: Entry) -> None:
        with self.outcome.lock:
            where.append(entry.target)


def each(act: Callable[[Entry], None], entries: Iterable[Entry]) -> None:
    """Do it for all, some at a time; the first error that is raised ends it, and what has not begun is not done."""
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="apply") as pool:
        futures = [pool.submit(act, entry) for entry in entries]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
