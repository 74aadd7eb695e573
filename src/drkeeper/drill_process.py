"""The process of a drill: the far side of `drill_apart`, in which nothing leads to production.

It knows no policy. It reads an `Order` from its stdin, and tells on its stdout; both are moved out of the way of
whatever prints, or starts processes that inherit them.
"""

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

from pydantic import TypeAdapter

from drkeeper import log
from drkeeper.drill import run_drill
from drkeeper.drill_request import DrillRequest, Order
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.forecast import History
from drkeeper.progress import Progress
from drkeeper.systems import load_kind
from drkeeper.throttle import set_by_signal
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault

GARBAGE_THRESHOLD = 200_000  # as in `__main__`


class Teller:
    """Tells the near side, one JSON object a line; called from several threads."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def tell(self, **words: object) -> None:
        """One line."""
        with self._lock:
            self._out.write(json.dumps(words, default=str).encode() + b"\n")
            self._out.flush()

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """A task starts."""
        self.tell(begin=task, total_bytes=total_bytes)

    def advance(self, task: str, size_bytes: int) -> None:
        """So many more bytes of it are done."""
        self.tell(advance=task, size_bytes=size_bytes)

    def end(self, task: str, outcome: str = "done") -> None:
        """It is over."""
        self.tell(end=task, outcome=outcome)

    def log(self, level: str, values: MutableMapping[str, Any]) -> None:
        """An event of the log."""
        self.tell(log=level, event=values.pop("event"), values=dict(values))


def carry_out(order: Order, progress: Progress, stop: threading.Event) -> dict[str, object]:
    """Drill; what is told at last."""
    try:
        stores = {name: open_store(StoreOptions.model_validate(each)) for name, each in order.regions.items()}
        vault = Vault.open(stores, identities=(order.identity,) if order.identity else ())
        request = replace(order.request, history=History(order.request.history))
        _get_ready(request)
        record = run_drill(request, vault=vault, progress=progress, stop=stop)
    except Interrupted as error:
        return {"interrupted": str(error)}
    except DrkeeperError as error:
        return {"problem": str(error)}
    return {"record": record.model_dump(mode="json"), "served": sorted(vault.regions.served)}


def _get_ready(request: DrillRequest) -> None:
    """Import what the drill will need, before its clock runs: RTO is about data, and no step's forecast knows of it."""
    log.get_logger()
    for kind in {record.kind for record in request.systems}:
        with suppress(DrkeeperError):  # it is told where it is needed
            load_kind(kind)
    for name in request.applications:
        request.application(name)


def main() -> None:
    """Do what stdin says, and end with it."""
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
    orders, answers = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())  # of these nobody inherits
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: set_by_signal(stop))
    order = TypeAdapter(Order).validate_json(os.fdopen(os.dup(orders), "rb").readline())
    threading.Thread(target=_heed, args=(orders, stop), daemon=True).start()
    teller = Teller(os.fdopen(answers, "wb"))
    log.relay(teller.log)
    teller.tell(**carry_out(order, teller, stop))
    gc.freeze()


def _heed(orders: int, stop: threading.Event) -> None:
    """The end of what we are told is the word to stop: the near side says it, or is dead."""
    while os.read(orders, 1):
        pass
    stop.set()


if __name__ == "__main__":
    main()
