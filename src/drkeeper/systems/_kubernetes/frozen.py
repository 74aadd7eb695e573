"""The frozen view of a cluster: manifests as streams, each list of one moment, which its resourceVersion names."""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from drkeeper import clock
from drkeeper.facts import Check, Facts, Scalar
from drkeeper.systems import Stream
from drkeeper.systems._kubernetes import documents
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.harvest import Harvest
from drkeeper.systems._kubernetes.options import Options

if TYPE_CHECKING:
    from drkeeper.systems._kubernetes.git_commit import GitExport

MANIFESTS = "manifests.yaml"
UIDS = "uids.tsv"
HEARTBEAT_STREAM = "heartbeat.yaml"
BUNDLE = "commit.bundle"

BLOCK_BYTES = 256 << 10
_MANIFESTS_HINT = (
    "kubectl apply --server-side -f -  # CRDs first, then again; Secrets are SOPS documents: "
    "`sops -d --input-type yaml --output-type yaml FILE | kubectl apply --server-side -f -`, one document at a time"
)
_UIDS_HINT = "cat > uids.tsv  # old uid and path of each object, for databases that store such ids"
_HEARTBEAT_HINT = "kubectl apply --server-side -f -"
_BUNDLE_HINT = "cat > commit.bundle && git bundle verify commit.bundle && git pull commit.bundle"


class Spool:
    """Lines kept until their turn, compressed as they come: about 40 bytes for each object of a cluster."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1)
        self._blocks: list[bytes] = []
        self._held: list[str] = []

    def add(self, line: str) -> None:
        """One line, with its end."""
        self._held.append(line)
        if len(self._held) >= 1000:  # noqa: PLR2004 - some 100 KB at once
            self._compress()

    def blocks(self) -> Iterator[bytes]:
        """All lines. To be read once, after the last one was added."""
        self._compress()
        self._blocks.append(self._compressor.flush())
        decompressor = zlib.decompressobj()
        for block in self._blocks:
            if plain := decompressor.decompress(block):
                yield plain
        if rest := decompressor.flush():
            yield rest

    def _compress(self) -> None:
        if block := self._compressor.compress("".join(self._held).encode()):
            self._blocks.append(block)
        self._held.clear()


@dataclass
class FrozenCluster:
    """What there was to capture when it was opened; objects are as they were when their list was read."""

    as_of: datetime
    tools: dict[str, str]
    _harvest: Harvest
    _options: Options
    _info: dict[str, Scalar] = field(default_factory=dict)
    _unpushed: tuple[Check, ...] = ()

    @property
    def findings(self) -> tuple[Check, ...]:
        """Kinds that could not be listed; ConfigMaps with credentials; a commit that waits in the vault."""
        return (*self._harvest.findings, *self._unpushed)

    def streams(self) -> Iterator[Stream]:
        """Manifests, uids, the heartbeat, and the commit where it could not be pushed."""
        from drkeeper.systems._kubernetes import git_commit

        spool = Spool()
        with ExitStack() as stack:
            export = None
            if self._options.git is not None:
                export = stack.enter_context(git_commit.open_export(self._options.git))
            yield Stream(MANIFESTS, self._manifests(spool, export), restore_hint=_MANIFESTS_HINT)
            yield Stream(UIDS, spool.blocks(), restore_hint=_UIDS_HINT)
            if beat := self._harvest.read_heartbeat():
                text = documents.document(HEARTBEAT_STREAM, beat)
                yield Stream(HEARTBEAT_STREAM, iter((text,)), restore_hint=_HEARTBEAT_HINT)
            if export is not None and (bundle := self._exported(export)) is not None:
                yield Stream(BUNDLE, iter(bundle), restore_hint=_BUNDLE_HINT)

    def facts(self) -> Facts:
        """Counts and digests by kind; resource versions and what was left out, for people."""
        tallies, unread = self._harvest.tallies, self._harvest.unread
        read = {label: tally for label, tally in tallies.items() if label not in unread and tally.count}
        info: dict[str, Scalar] = {
            **{f"list.{label}.resource_version": " ".join(tally.resource_versions) for label, tally in tallies.items()},
            **{f"left_out.{name}": count for name, count in sorted(self._harvest.left_out.items())},
            **self._info,
        }
        return Facts(
            exact={f"digest.{label}": tally.digest for label, tally in read.items()},
            bounds={f"count.{label}": (tally.count, tally.count) for label, tally in read.items()},
            info=info,
            unread={f"count.{name}": reason for name, reason in unread.items()},
        )

    def _manifests(self, spool: Spool, export: "GitExport | None") -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        for path, uid, rendered in self._harvest.objects():
            text = documents.document(path, rendered)
            parts.append(text)
            size += len(text)
            spool.add(f"{uid}\t{path}\n")
            if export is not None:
                export.add(path, rendered)
            if size >= BLOCK_BYTES:
                yield b"".join(parts)
                parts.clear()
                size = 0
        if parts:
            yield b"".join(parts)

    def _exported(self, export: "GitExport") -> Iterable[bytes] | None:
        for kind in self._harvest.unread_kinds:
            export.keep(documents.folder_of(kind.api_version, kind.kind, None).split("/")[1])
        exported = export.finish(as_of=self.as_of, note=_note(self._harvest))
        self._info = self._info | {
            "git.commit": exported.commit,
            "git.pushed": exported.pushed,
            "git.message": exported.error or exported.summary,
        }
        if not exported.pushed:
            self._unpushed = (
                Check(
                    subject="git",
                    verdict="failed",
                    severity="warning",
                    detail=f"the commit was not pushed: {exported.error}",
                    remedy=exported.hint or "it is in the vault, and is pushed with the next replicate",
                ),
            )
        return exported.bundle


@contextmanager
def frozen(options: Options) -> Iterator[FrozenCluster]:
    """Look what the cluster serves; its lists are read with the streams.

    Raises:
        SystemUnreachable: It does not answer, or does not know us.
    """
    with Cluster.open(options) as cluster:
        as_of = clock.now()
        version = cluster.version()
        harvest = Harvest(cluster, options)
        info: dict[str, Scalar] = {"server_version": version, "kinds": len(harvest.kinds)}
        yield FrozenCluster(as_of, {"server": version}, harvest, options, info)


def _note(harvest: Harvest) -> str:
    """What whoever reads the commit should know."""
    missing = ", ".join(sorted(harvest.unread))
    return f"not read, kept as it was: {missing}" if missing else ""
