"""Let everything run that a restore held; finds it by itself, and may be called again at any time.

First the workloads behind webhooks, then the webhooks whose Services have endpoints, then the other workloads, then
the other webhooks: so that a Pod that a webhook must change (a sidecar) meets it where that can be had, and no webhook
that does not answer yet refuses the release of what it waits for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from drkeeper import clock
from drkeeper.errors import LoadFailed
from drkeeper.log import get_logger
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.answers import CONFLICT, FORBIDDEN, ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.outcome import named
from drkeeper.systems._kubernetes.places import live_places

THREADS = 8
_NOT_FOUND = 404
_TRIES = 5
_PAUSE_SECONDS = 1.0
Service = tuple[str, str]


def release(options: Options) -> int:
    """Give every held object its values back; gives how many there were.

    Raises:
        LoadFailed: Some could not be released; the message names them, the others run.
        SystemUnreachable: The server does not answer.
    """
    if options.dry_run:
        return 0
    try:
        with Cluster.open(options) as cluster:
            return _Release(cluster, options).carry_out()
    except ApiError as error:
        raise translated(error) from error


class _Release:
    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster = cluster
        self._options = options
        self._kinds: dict[Identity, ResourceKind] = {}
        self._failed: dict[Identity, str] = {}
        self._selectors: dict[Service, dict[str, str]] = {}
        self._released = 0

    def carry_out(self) -> int:
        found = list(self._held())
        webhooks = [live for live in found if hold.is_webhook(identity(live))]
        workloads = [live for live in found if not hold.is_webhook(identity(live))]
        services = {service for webhook in webhooks for service in hold.backing_services(webhook)}
        backing, others = _split(workloads, lambda live: self._serves(live, services))
        self._release(backing)
        answering = self._await_endpoints(services) if backing else {each for each in services if self._answers(each)}
        first, last = _split(webhooks, lambda webhook: set(hold.backing_services(webhook)) <= answering)
        self._release(first)
        self._release(others)
        self._release(last)
        get_logger().info("workloads released", released=self._released, failed=len(self._failed))
        if self._failed:
            raise LoadFailed(
                f"{len(self._failed)} objects are still held: {named(self._failed)}; {self._released} were released",
                hint="put right what the server says, then `drkeeper release` again",
            )
        return self._released

    def _held(self) -> Iterator[Manifest]:
        """Every live object that carries the annotation."""
        for kind in self._cluster.kinds():
            if (kind.group, kind.kind) not in hold.HELD_KINDS or "list" not in kind.verbs:
                continue
            if self._options.only and not kind.namespaced:
                continue
            for namespace in self._places(kind):
                for page in self._cluster.pages(kind.path(namespace)):
                    for live in filter(hold.is_held, page.items):
                        self._kinds[identity(live)] = kind
                        yield live

    def _places(self, kind: ResourceKind) -> Sequence[str | None]:
        """Everywhere, or the policy's namespaces where we may not look everywhere."""
        if not kind.namespaced or self._options.namespaces is None:
            return (None,)
        if self._options.only:
            return tuple(live_places(kind, self._options))
        try:
            self._cluster.get(kind.path(), limit="1")
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            names = self._options.namespace_map
            return [names.get(namespace, namespace) for namespace in self._options.namespaces]
        return (None,)

    def _release(self, objects: Iterable[Manifest]) -> None:
        with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="release") as pool:
            for target, words in pool.map(self._release_one, objects):
                if words:
                    self._failed[target] = words
                else:
                    self._released += 1

    def _release_one(self, live: Manifest) -> tuple[Identity, str]:
        """Release one object, and say what stopped it; one that changes meanwhile is read again."""
        target = identity(live)
        path = self._kinds[target].path(target.namespace or None, target.name)
        for _ in range(_TRIES):
            try:
                self._cluster.merge_patch(path, hold.release_patch(live))
            except ValueError as error:
                return target, str(error)
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return target, ""
                if error.status != CONFLICT:
                    return target, error.message
            else:
                return target, ""
            live = self._cluster.get(path)
            if not hold.is_held(live):
                return target, ""
        return target, "it is changed faster than it can be released"

    # --- webhooks ---------------------------------------------------------------------------------------

    def _serves(self, live: Manifest, services: set[Service]) -> bool:
        """Whether a workload's Pods stand behind one of these Services."""
        metadata, spec = live["metadata"], live.get("spec") or {}
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        near = [service for service in services if service[0] == metadata.get("namespace")]
        return any(_selects(self._selector(service), labels) for service in near)

    def _selector(self, service: Service) -> dict[str, str]:
        if service not in self._selectors:
            namespace, name = service
            try:
                found = self._cluster.get(f"/api/v1/namespaces/{namespace}/services/{name}")
            except ApiError:
                found = {}
            self._selectors[service] = (found.get("spec") or {}).get("selector") or {}
        return self._selectors[service]

    def _await_endpoints(self, services: set[Service]) -> set[Service]:
        """Services that answer, after some waiting; none does where there is no node to run anything."""
        if not self._has_nodes():
            return set()
        until = clock.monotonic_seconds() + self._options.established_seconds
        while True:
            answering = {service for service in services if self._answers(service)}
            if answering == services or clock.monotonic_seconds() > until:
                for namespace, name in sorted(services - answering):
                    get_logger().warning("webhook does not answer yet", service=f"{namespace}/{name}")
                return answering
            clock.sleep(_PAUSE_SECONDS)

    def _has_nodes(self) -> bool:
        try:
            return bool(self._cluster.get("/api/v1/nodes", limit="1").get("items"))
        except ApiError:
            return True  # we may not look; then wait

    def _answers(self, service: Service) -> bool:
        namespace, name = service
        try:
            endpoints = self._cluster.get(f"/api/v1/namespaces/{namespace}/endpoints/{name}")
        except ApiError:
            return False
        return any(subset.get("addresses") for subset in endpoints.get("subsets") or ())


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _split(objects: Iterable[Manifest], belongs: Callable[[Manifest], bool]) -> tuple[list[Manifest], list[Manifest]]:
    """Those that belong, and the others."""
    chosen: tuple[list[Manifest], list[Manifest]] = ([], [])
    for live in objects:
        chosen[0 if belongs(live) else 1].append(live)
    return chosen
