"""A restore plan as one self-contained HTML page: the ways that were weighed, and the steps on one axis of time."""

from dataclasses import dataclass
from datetime import datetime

from drkeeper.report.html import environment
from drkeeper.report.record import Forecast
from drkeeper.report.timeline import Tick, ticks_of

THINNEST = 0.6


@dataclass(frozen=True)
class Bar:
    """One step."""

    step_id: str
    does: str
    host: str
    after: tuple[str, ...]
    start_seconds: float
    p50_seconds: float
    p90_seconds: float
    basis: str
    size_bytes: int
    critical: bool


@dataclass(frozen=True)
class Lane:
    """The steps of one phase, in the plan's order."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class WayLine:
    """One way in which a system could come back."""

    system: str
    kind: str
    way: str
    possible: bool
    chosen: bool
    forecast: Forecast | None
    loss_seconds: float | None
    why: str


@dataclass(frozen=True)
class PlanPage:
    """All that the page shows.

    Attributes:
        title: What happened, in words; "" for a restore that somebody asked for.
        length_seconds: Of the axis.
        targets: System, endpoint, whether it is empty.
        critical: The longest chain, in words.
        command: What carries it out.
    """

    plan_id: str
    policy: str
    scenario: str
    title: str
    created_at: datetime
    point_id: str
    point_as_of: datetime
    point_why: str
    before: datetime | None
    forecast: Forecast
    length_seconds: float
    lanes: tuple[Lane, ...]
    ways: tuple[WayLine, ...]
    targets: tuple[tuple[str, str, bool], ...]
    left_out: tuple[tuple[str, str], ...]
    critical: tuple[str, ...]
    command: str

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Marks on the axis."""
        return ticks_of(self.length_seconds)

    @property
    def systems(self) -> tuple[str, ...]:
        """That are gone, in order."""
        return tuple(dict.fromkeys(way.system for way in self.ways))

    def left(self, bar: Bar) -> float:
        """Where a bar begins, in per cent of the axis."""
        return round(bar.start_seconds / self.length_seconds * 100, 2)

    def width(self, seconds: float) -> float:
        """How wide a stretch is, in per cent of the axis."""
        return round(max(seconds / self.length_seconds * 100, THINNEST), 2)


def render_plan(page: PlanPage) -> str:
    """The page. No script, nothing loaded from elsewhere, every text escaped; same plan, same bytes."""
    return environment().get_template("plan.html.j2").render(page=page)
