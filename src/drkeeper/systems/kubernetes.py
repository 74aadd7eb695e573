"""Kubernetes clusters: manifests to the vault and to git, and back in an order that works.

Why and how: `docs/adr/0100-a-cluster-is-captured-from-raw-lists.md` and those after it. The libraries come with the
extra `drkeeper[kubernetes]`, and are imported when they are used.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec

from pydantic import BaseModel

from drkeeper.errors import PolicyInvalid, Refused, ToolMissing, UsageInvalid
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Frozen, Streams
from drkeeper.systems._kubernetes.options import Options

__all__ = ["Kubernetes", "Options", "open_system"]

_LIBRARIES = ("cryptography", "dulwich", "jsonpatch", "kubernetes", "orjson", "yaml")
_ONLY_ASKED = "nothing was restored: the server was only asked"


def open_system(name: str, options: BaseModel) -> "Kubernetes":
    """A cluster; connects to nothing.

    Raises:
        ToolMissing: The libraries of the extra `kubernetes` are not installed.
    """
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a kubernetes system")
    missing = [library for library in _LIBRARIES if find_spec(library) is None]
    if missing:
        raise ToolMissing(
            f"{name}: {', '.join(missing)} are not installed",
            hint="install it with `pip install 'drkeeper[kubernetes]'`",
        )
    return Kubernetes(name, options)


class Kubernetes:
    """One cluster, or the part of it that the policy names."""

    kind = "kubernetes"

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options

    @property
    def place(self) -> str:
        """Which cluster, and how much of it."""
        return self._options.url

    def narrowed(self, only: Sequence[str], into: str, others: Sequence[BaseModel] = ()) -> "Kubernetes":
        """The same cluster, of which a restore touches only some namespaces, and nothing outside of namespaces.

        Raises:
            UsageInvalid: These are no namespaces, or another place was named.
        """
        from drkeeper.systems._kubernetes import part

        del others
        if into:
            raise UsageInvalid(
                f"{self.name} is a cluster, which --into does not lead to",
                hint="restore with a policy whose system has the kubeconfig of that cluster; another name for a "
                "namespace is given by the system's `namespace_map`",
            )
        return Kubernetes(self.name, part.part_of(self._options, only))

    def lost_parts(self, streams: Streams) -> tuple[str, ...]:
        """Namespaces of the point that are not in the cluster, or are being deleted."""
        from drkeeper.systems._kubernetes import part

        return part.lost(self._options, streams)

    def preflight_part(self, streams: Streams) -> Iterator[Check]:
        """What would stop a restore of single namespaces: definitions that are missing, above all."""
        from drkeeper.systems._kubernetes import part

        for check in part.checks(self._options, streams):
            yield check.model_copy(update={"remedy": check.remedy.replace("{system}", self.name)})

    def probe(self) -> Iterator[Check]:
        """Reachable, permitted, clock, git remote, Secrets' recipients."""
        from drkeeper.systems._kubernetes import checks

        yield from checks.probe(self._options)

    def freeze(self) -> AbstractContextManager[Frozen]:
        """Look what there is to capture; each list is then of one moment, which its resourceVersion names."""
        from drkeeper.systems._kubernetes import frozen

        return frozen.frozen(self._options)

    def facts(self, witness: Facts | None = None) -> Facts:
        """Counts of objects by kind: those that we applied, and all. After a dry run there is nothing to count."""
        from drkeeper.systems._kubernetes import live_facts

        if self._options.dry_run and witness is not None:
            return Facts(unread=dict.fromkeys((*witness.bounds, *witness.exact), _ONLY_ASKED))
        return live_facts.live_facts(self._options, witness)

    def is_empty(self) -> bool:
        """Whether nobody has put anything into the cluster yet."""
        from drkeeper.systems._kubernetes import emptiness

        return emptiness.is_empty(self._options)

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """What would stop a restore: missing kinds, permissions, the identity for Secrets."""
        from drkeeper.systems._kubernetes import preflight

        yield from preflight.preflight(self._options, record)

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Bring the manifests to a scratch folder, verify each, and ask the server where it can be asked."""
        from drkeeper.systems._kubernetes import load

        load.load(self.name, self._options, record, streams, staging)

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Apply them in order, workloads held; an apply that was made already is made again and changes nothing."""
        from drkeeper.systems._kubernetes import apply

        apply.switch(self.name, self._options, staging)

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """Always: a begun apply compares object by object, and leaves alone what it does not name."""
        return True

    def discard(self, staging: str) -> None:
        """Remove the scratch folder."""
        from drkeeper.systems._kubernetes import load

        load.discard(self.name, self._options, staging)

    @property
    def holds(self) -> bool:
        """Whether a switch leaves workloads at zero."""
        return self._options.hold and not self._options.dry_run

    def release(self) -> None:
        """Let workloads run that a restore held."""
        from drkeeper.systems._kubernetes import release

        release.release(self._options)

    def verify(self, record: SystemRecord, streams: Streams) -> Iterator[Check]:
        """Every object is there and equal, and refers to nothing that is missing."""
        from drkeeper.systems._kubernetes import proof

        if self._options.dry_run:
            yield Check(subject="objects", verdict="not checked", detail=_ONLY_ASKED)
            return
        yield from proof.verify(self._options, record, streams)

    def difference(self, record: SystemRecord, streams: Streams) -> Iterator[str]:
        """What a restore would change, as the server sees it."""
        from drkeeper.systems._kubernetes import difference

        yield from difference.difference(self._options, streams)

    def undelivered(self, record: SystemRecord) -> bool:
        """Whether the commit could not be pushed when it was made."""
        return self._options.git is not None and any(stream.name == "commit.bundle" for stream in record.streams)

    def deliver(self, record: SystemRecord, streams: Streams) -> str:
        """Push that commit now; gives its id."""
        from drkeeper.systems._kubernetes import bundle

        if self._options.git is None:
            raise Refused(f"{self.name} has no git remote in the policy any more; its commit stays in the vault")
        return bundle.push_bundle(self._options.git, streams.read("commit.bundle"))

    def new_ids(self, record: SystemRecord, streams: Streams) -> Iterator[tuple[str, str, str]]:
        """UID at the time of the capture, present UID, path."""
        from drkeeper.systems._kubernetes import id_map

        yield from id_map.id_map(self._options, streams)

    def insist_clearable(self) -> None:
        """Look for ConfigMap `default/drkeeper-scratch`, by which a cluster allows drills to empty it."""
        from drkeeper.systems._kubernetes import clearing

        clearing.insist_clearable(self._options)

    def clear(self) -> None:
        """Remove all that a policy would protect, where ConfigMap `default/drkeeper-scratch` says that it may go."""
        from drkeeper.systems._kubernetes import clearing

        clearing.clear(self._options)

    def execute(
        self, argv: Sequence[str], *, namespace: str, pod: str, selector: str, container: str, timeout_seconds: float
    ) -> tuple[int, str]:
        """Run a program in a container."""
        from drkeeper.systems._kubernetes import execute
        from drkeeper.throttle import current_stop

        return execute.execute(
            self._options,
            argv,
            namespace=namespace,
            pod=pod,
            selector=selector,
            container=container,
            timeout_seconds=timeout_seconds,
            stop=current_stop(),
        )

    def beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat as a ConfigMap."""
        from drkeeper.systems._kubernetes import beat

        beat.beat(self._options, mark)

    def newest_beat(self) -> Heartbeat | None:
        """The newest heartbeat in the cluster."""
        from drkeeper.systems._kubernetes import beat

        return beat.newest_beat(self._options)
