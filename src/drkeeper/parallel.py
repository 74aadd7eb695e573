"""Work on many things at once, with a bound on how many."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_bounded(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, at_once: int) -> Iterator[R]:
    """Results as they come, with so many items asked for at most. The first failure ends it.

    Context variables (the word to stop) are seen by the work as by the caller.
    """
    ended: SimpleQueue[Future[R]] = SimpleQueue()
    running = 0
    futures: set[Future[R]] = set()
    try:
        for item in items:
            future = pool.submit(copy_context().run, work, item)
            futures.add(future)
            future.add_done_callback(ended.put)
            running += 1
            while running >= at_once or not ended.empty():
                done = ended.get()
                futures.discard(done)
                running -= 1
                yield done.result()
        while running:
            done = ended.get()
            futures.discard(done)
            running -= 1
            yield done.result()
    finally:
        for future in futures:
            future.cancel()


def all_at_once(work: Callable[[str], R], names: Iterable[str], *, at_once: int = 16) -> dict[str, R]:
    """What came of each name, in order. When one fails, that is raised once all have ended."""
    wanted = list(names)
    if len(wanted) < 2:  # noqa: PLR2004 - one needs no threads
        return {name: work(name) for name in wanted}
    with ThreadPoolExecutor(at_once, thread_name_prefix="look") as pool:
        pending = [pool.submit(copy_context().run, work, name) for name in wanted]
        return {name: future.result() for name, future in zip(wanted, pending, strict=True)}
