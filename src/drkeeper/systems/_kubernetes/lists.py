"""Lists of many kinds, fetched by a few threads ahead of whoever reads them, and given out in order.

What lies ready is bounded: `AHEAD` lists, each with one page in its queue and one in its thread's hand, none larger
than `paging.MOST_BYTES` (but for a page of a single object). The bytes are decoded by the reader, so that a page is
never in memory as objects before its turn.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event

from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.paging import Page, RawPage, decoded, raw_pages

AHEAD = 3
_POLL_SECONDS = 0.2


@dataclass
class Listing:
    """One list: all objects of a kind, or those of one namespace.

    Attributes:
        namespace: None for all.
    """

    kind: ResourceKind
    namespace: str | None
    _ready: "Queue[RawPage | Exception | None]" = field(default_factory=lambda: Queue(maxsize=1))

    def pages(self) -> Iterator[Page]:
        """Page by page, to be read to the end before the next list is.

        Raises:
            ApiError: The server said no.
            SystemUnreachable: It does not answer.
        """
        while (page := self._ready.get()) is not None:
            if isinstance(page, Exception):
                raise page
            yield decoded(page)

    def fetch(self, cluster: Cluster, stop: Event) -> None:
        """Put each page into the queue; runs in a thread of its own."""
        try:
            for page in raw_pages(cluster, self.kind.path(self.namespace), {}, stop=stop):
                if not self._put(page, stop):
                    return
            self._put(None, stop)
        except Exception as error:  # noqa: BLE001 - raised again by the reader
            self._put(error, stop)

    def _put(self, page: RawPage | Exception | None, stop: Event) -> bool:
        while not stop.is_set():
            try:
                self._ready.put(page, timeout=_POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    def forget(self) -> None:
        """Take nothing more from it."""
        try:
            while True:
                self._ready.get_nowait()
        except Empty:
            return


def lists_ahead(
    cluster: Cluster, kinds: Iterable[ResourceKind], namespaces: tuple[str, ...] | None
) -> Iterator[Listing]:
    """The lists of these kinds, in order; of these namespaces only, where any are named.

    The next lists are being fetched while one is read. A list is given out once its reader asks for the next one.
    """
    wanted = deque(
        Listing(kind, namespace)
        for kind in kinds
        for namespace in (sorted(namespaces) if kind.namespaced and namespaces is not None else (None,))
    )
    begun: deque[Listing] = deque()
    stop = Event()
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="list")
    try:
        while wanted or begun:
            while wanted and len(begun) < AHEAD:
                begun.append(wanted.popleft())
                pool.submit(begun[-1].fetch, cluster, stop)
            yield begun[0]
            begun.popleft().forget()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
