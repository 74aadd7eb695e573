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
from drkeeper.applications._feast.repo import repo_config
from drkeeper.applications._sdk import Limits, run_task
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
        admit: Called before anything is written; raises where it must not be done (any more).
        removed_keys: So far.
        outcomes: Of views, as they are done.
    """

    place: Place
    plan: RebuildPlan
    progress: Progress
    stop: threading.Event
    admit: Callable[[], None]
    removed_keys: int = 0
    outcomes: dict[str, ViewOutcome] = field(default_factory=dict)

    def carry_out(self) -> None:
        """All of it. A view that fails costs the others nothing; its outcome says why.

        Views of one start go to one process, for Feast takes seconds to import; where that fails, each has its own.

        Raises:
            Interrupted, LeaseLost, ToolMissing, SystemUnreachable: It did not get to its end.
        """
        if self.plan.mode == "full":
            self._remove()
        groups: dict[datetime, list[ViewRebuild]] = {}
        for view in self.plan.views:
            groups.setdefault(view.start, []).append(view)
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
        config, environment = repo_config(self.place.options, self.place.systems)
        config["materialization"] = {"online_write_batch_size": ROWS_AT_ONCE}
        request: dict[str, JsonValue] = {
            "repo_config": config,
            "start": start.isoformat(),
            "end": self.plan.until.isoformat(),
            "views": [*names],
        }
        with ended_with(self.stop, self.admit) as ended:
            answer = run_task("materialise", request, limits=self._limits(), environment=environment, stop=ended)
        return dict(answer["rows_written"] or {})

    def _limits(self) -> Limits:
        """A multiple of the forecast; a day where nobody knows how many rows there are."""
        usual = self.place.options.limits
        known = all(view.rows is not None for view in self.plan.views)
        seconds = PATIENCE * self.plan.forecast.p90_seconds if known else DAY_SECONDS
        return Limits(usual.python, max(usual.seconds, seconds), usual.memory_bytes)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted; run it again, and it goes on from where this one began")
        self.admit()
