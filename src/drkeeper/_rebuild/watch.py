"""What Feast does takes hours at most, and must not go on once somebody else may write the registry."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from drkeeper.errors import DrkeeperError, Interrupted

POLL_SECONDS = 0.2


@contextmanager
def ended_with(stop: Event, admit: Callable[[], None]) -> Iterator[Event]:
    """An event that is set once we are told to stop, or must not go on; what waits for it raises `Interrupted`.

    Args:
        stop: Set from elsewhere.
        admit: Asked all the time; raises where we must not go on.

    Raises:
        DrkeeperError: What `admit` raised.
    """
    ended, over = Event(), Event()
    refused: list[DrkeeperError] = []

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            try:
                admit()
            except DrkeeperError as error:
                refused.append(error)
            if refused or stop.is_set():
                ended.set()
                return

    with ThreadPoolExecutor(1, thread_name_prefix="rebuild-watch") as pool:
        pool.submit(watch)
        try:
            yield ended
        except Interrupted:
            if refused:
                raise refused[0] from None
            raise
        finally:
            over.set()
