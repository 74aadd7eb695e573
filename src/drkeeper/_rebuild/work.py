"""Carries a rebuild out: removes keys where the plan says so, then has Feast materialise the views."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from drkeeper import clock
from drkeeper._rebuild.look import Place
from drkeeper._rebuild.records import ViewOutcome
from drkeeper._rebuild.watch import ended_with
from drkeeper.applications._feast.online import project_keys
from drkeeper.applications._feast.process import Feast
from drkeeper.errors import DrkeeperError, Interrupted, ToolMissing
from drkeeper.log import get_logger
from drkeeper.progress import Progress
from drkeeper.rebuild_plan import RebuildPlan, ViewRebuild

# Rows that go to the online store in one piece: Feast's own default is a whole view, all in memory.
ROWS_AT_ONCE = 10_000
DAY_SECONDS = 86_400.0
PATIENCE = 10  # times the forecast


@dataclass
class Work:
    """One rebuild.

    Attributes:
        feast: What materialises; it is closed when that is done.
        admit: Called before anything is written; raises where it must not be done (any more).
        removed_keys: So far.
        outcomes: Of views, as they are done.
    """

    place: Place
    plan: RebuildPlan
    feast: Feast
    progress: Progress
    stop: threading.Event
    admit: Callable[[], None]
    removed_keys: int = 0
    outcomes: dict[str, ViewOutcome] = field(default_factory=dict)

    def carry_out(self) -> None:
        """All of it. A view that fails costs the others nothing; its outcome says why.

        Views of one start are materialised together; where that fails, each by itself.

        Raises:
            Interrupted, LeaseLost, ToolMissing, SystemUnreachable: It did not get to its end.
        """
        if self.plan.mode == "full":
            self._remove()
        groups: dict[datetime, list[ViewRebuild]] = {}
        for view in self.plan.views:
            groups.setdefault(view.start, []).append(view)
        with self.feast:
            for start, together in groups.items():
                if not self._materialise(together, start) and len(together) > 1:
                    for view in together:
                        self._materialise([view], start)

    def _remove(self) -> None:
        task = f"remove keys of {self.plan.project}"
        self.progress.begin(task)
        outcome = "failed"
        try:
            self.removed_keys = self.place.store.remove(self._admitted_keys())
            outcome = "done"
        finally:
            self.progress.end(task, outcome)
        get_logger().info("keys removed", application=self.plan.application, keys=self.removed_keys)

    def _admitted_keys(self) -> Iterator[bytes]:
        for number, key in enumerate(project_keys(self.place.store, self.plan.project)):
            if number % ROWS_AT_ONCE == 0:
                self._go_on()
            yield key

    def _materialise(self, views: list[ViewRebuild], start: datetime) -> bool:
        """Whether it went well."""
        self._go_on()
        names = [view.view for view in views]
        task = f"materialise {', '.join(names)}"
        self.progress.begin(task)
        started, error, written = clock.monotonic_seconds(), "", {}
        try:
            written = self._asked(names, start)
        except (Interrupted, ToolMissing):
            self.progress.end(task, "failed")
            raise
        except DrkeeperError as failure:
            error = str(failure)
        self.progress.end(task, "failed" if error else "done")
        elapsed = round(clock.monotonic_seconds() - started, 3)
        for view in views:
            self.outcomes[view.view] = ViewOutcome(
                view=view.view,
                start=view.start,
                end=view.end,
                rows=view.rows,
                written=written.get(view.view),
                elapsed_seconds=elapsed if len(views) == 1 else None,
                outcome="failed" if error else "done",
                error=error,
            )
        log = get_logger().bind(application=self.plan.application, views=", ".join(names), elapsed_seconds=elapsed)
        log.error("not materialised", error=error) if error else log.info("materialised", rows=sum(written.values()))
        return not error

    def _asked(self, names: list[str], start: datetime) -> dict[str, int]:
        request: dict[str, JsonValue] = {
            "start": start.isoformat(),
            "end": self.plan.until.isoformat(),
            "views": [*names],
        }
        config = {"materialization": {"online_write_batch_size": ROWS_AT_ONCE}}
        with ended_with(self.stop, self.admit) as ended:
            answer = self.feast.ask("materialise", request, config=config, seconds=self._seconds(), stop=ended)
        return dict(answer["rows_written"] or {})

    def _seconds(self) -> float:
        """A multiple of the forecast; a day where nobody knows how many rows there are."""
        known = all(view.rows is not None for view in self.plan.views)
        seconds = PATIENCE * self.plan.forecast.p90_seconds if known else DAY_SECONDS
        return max(self.feast.limits.seconds, seconds)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted; run it again, and it goes on from where this one began")
        self.admit()
