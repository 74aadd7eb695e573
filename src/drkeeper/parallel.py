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
