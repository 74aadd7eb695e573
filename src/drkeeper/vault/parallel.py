"""Work on many frames at once, with a bound on how many."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from drkeeper.vault.index import FrameSpan


def run_bounded(
    pool: ThreadPoolExecutor, work: Callable[[FrameSpan], int], spans: Iterable[FrameSpan], *, at_once: int
) -> Iterator[int]:
    """Results as they come, with so many spans asked for at most. The first failure ends it."""
    running: set[Future[int]] = set()
    try:
        for span in spans:
            running.add(pool.submit(work, span))
            if len(running) >= at_once:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in running:
            future.cancel()
