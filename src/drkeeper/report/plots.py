"""Drawings of reports as SVG, once for a page (and paper) and once for a phone, so that letters keep their size.

Shapes carry classes and no colours: a page styles them by its own sheet (light, dark, print), a PDF by `PDF_STYLE`.
Whatever a colour says, a shape says as well: reports are copied in black and white.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from markupsafe import escape

from drkeeper.report import words
from drkeeper.report.quarter_record import Attempt, BackupDay, Tooth

PDF_STYLE = (
    "text{font-family:'Libertinus Serif';font-size:13px;fill:#444}.p-strong{fill:#000}"
    ".p-grid{stroke:#d5d5d5;stroke-width:1}.p-axis{stroke:#777;stroke-width:1}.p-area{fill:#e9edf2}"
    ".p-line{stroke:#2f4f78;stroke-width:1.4;fill:none}.p-goal{stroke:#000;stroke-width:1.2;stroke-dasharray:5 3}"
    ".p-over{stroke:#9c1c16;stroke-width:2.6;fill:none}.p-made{fill:#2f4f78}.p-empty{fill:none;stroke:#b5b5b5}"
    ".p-part{fill:none;stroke:#2f4f78;stroke-width:1.4}.p-half{fill:#2f4f78}.p-lost{fill:none;stroke:#9c1c16;stroke-width:1.6}"
    ".p-none{fill:#c9c9c9}.p-band{fill:#d3dbe6;stroke:#8695ab;stroke-width:.8}.p-mid{stroke:#2f4f78;stroke-width:1.4}"
    ".p-dot{fill:#000}.p-path{stroke:#777;stroke-width:1;fill:none;stroke-dasharray:2 2}"
)
_NICE_HOURS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 72, 120, 168, 336, 720)
_NICE_SECONDS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    *(h * 3600 for h in _NICE_HOURS[2:]),
)
_TICKS = 4
_FAR = 2.5
_SVG = "http://www.w3.org/2000/svg"
Place = Callable[[datetime], float]
Height = Callable[[float], float]
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Size:
    """Of a drawing.

    Attributes:
        left: Room for what stands beside the axis.
    """

    width: int
    height: int
    left: int = 56
    right: int = 8
    top: int = 16
    bottom: int = 20


WIDE, NARROW = Size(720, 140, top=22), Size(340, 140, left=48, top=22)
TREND_WIDE, TREND_NARROW = Size(720, 190, top=22, bottom=36), Size(340, 190, left=48, top=22, bottom=36)


class _Drawing:
    """An SVG as it grows."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._shapes: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self._shapes.append(f'<path class="{style}" d="M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}"/>')

    def path(self, points: Iterable[tuple[float, float]], style: str, *, closed: bool = False) -> None:
        steps = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self._shapes.append(f'<path class="{style}" d="M{steps}{"Z" if closed else ""}"/>')

    def box(self, place: tuple[float, float], width: float, height: float, style: str, title: str = "") -> None:
        x, y = place
        told = f"<title>{escape(title)}</title>" if title else ""
        tag = f'<rect class="{style}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._shapes.append(f"{tag}>{told}</rect>" if told else f"{tag}/>")

    def dot(self, x: float, y: float, radius: float, style: str) -> None:
        self._shapes.append(f'<circle class="{style}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')

    def cross(self, x: float, y: float, reach: float) -> None:
        self.line(x - reach, y - reach, x + reach, y + reach, "p-lost")
        self.line(x - reach, y + reach, x + reach, y - reach, "p-lost")

    def text(self, x: float, y: float, text: str, anchor: str = "start", style: str = "") -> None:
        named = f' class="{style}"' if style else ""
        self._shapes.append(f'<text{named} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>')

    def svg(self) -> str:
        box = f"0 0 {self.size.width} {self.size.height}"
        head = f'<svg viewBox="{box}" width="{self.size.width}" aria-hidden="true">'
        return f"{head}{''.join(self._shapes)}</svg>"


def for_pdf(svg: str) -> bytes:
    """The drawing with colours of its own."""
    return svg.replace("<svg ", f'<svg xmlns="{_SVG}" ', 1).replace(">", f"><style>{PDF_STYLE}</style>", 1).encode()


# --- exposure ---


def exposure_plot(
    teeth: Sequence[Tooth], began_at: datetime, ends_at: datetime, rpo_seconds: float | None, size: Size
) -> str:
    """What would have been lost, over the quarter: it grows until the next point is usable."""
    drawing = _Drawing(size)
    top = max([tooth.peak_seconds for tooth in teeth] + [rpo_seconds or 0.0], default=0.0) * 1.08 or 1.0
    length = (ends_at - began_at).total_seconds()

    def x(at: datetime) -> float:
        return size.left + (at - began_at).total_seconds() / length * (size.width - size.left - size.right)

    def y(seconds: float) -> float:
        return size.height - size.bottom - seconds / top * (size.height - size.top - size.bottom)

    _months(drawing, began_at, ends_at, x)
    _heights(drawing, top, y)
    for group in _runs(teeth):
        corners = [(x(at), y(seconds)) for tooth in group for at, seconds in _ends(tooth)]
        drawing.path([(corners[0][0], y(0)), *corners, (corners[-1][0], y(0))], "p-area", closed=True)
        drawing.path(corners, "p-line")
    if rpo_seconds is not None:
        _over(drawing, teeth, rpo_seconds, x, y)
        drawing.line(size.left, y(rpo_seconds), size.width - size.right, y(rpo_seconds), "p-goal")
        _goal_words(drawing, f"RPO {words.duration(rpo_seconds)}")
    return drawing.svg()


def _goal_words(drawing: _Drawing, text: str) -> None:
    """Above the drawing, where no line can cross it."""
    left = drawing.size.left
    drawing.line(left, 8, left + 26, 8, "p-goal")
    drawing.text(left + 32, 12, text, style="p-strong")


def _ends(tooth: Tooth) -> tuple[tuple[datetime, float], tuple[datetime, float]]:
    return (tooth.began_at, tooth.low_seconds), (tooth.ended_at, tooth.peak_seconds)


def _runs(teeth: Sequence[Tooth]) -> list[list[Tooth]]:
    """Teeth without a gap between them, together."""
    runs: list[list[Tooth]] = []
    for tooth in teeth:
        if runs and runs[-1][-1].ended_at == tooth.began_at:
            runs[-1].append(tooth)
        else:
            runs.append([tooth])
    return runs


def _over(drawing: _Drawing, teeth: Sequence[Tooth], rpo_seconds: float, x: Place, y: Height) -> None:
    """The stretches above the objective, thick."""
    for tooth in teeth:
        rise = tooth.peak_seconds - tooth.low_seconds
        if tooth.peak_seconds > rpo_seconds:
            share = max(0.0, rpo_seconds - tooth.low_seconds) / rise if rise > 0 else 0.0
            start = tooth.began_at + share * (tooth.ended_at - tooth.began_at)
            low = max(tooth.low_seconds, rpo_seconds)
            drawing.path([(x(start), y(low)), (x(tooth.ended_at), y(tooth.peak_seconds))], "p-over")


def _months(drawing: _Drawing, began_at: datetime, ends_at: datetime, x: Place) -> None:
    size = drawing.size
    month = began_at
    while month < ends_at:
        drawing.line(x(month), size.top, x(month), size.height - size.bottom, "p-grid")
        drawing.text(x(month) + 3, size.height - 5, _MONTHS[month.month - 1])
        month = (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def _heights(drawing: _Drawing, top: float, y: Height) -> None:
    size = drawing.size
    pace = next((nice for nice in _NICE_SECONDS if top / nice <= _TICKS), top / _TICKS)
    for number in range(int(top / pace) + 1):
        style = "p-grid" if number else "p-axis"
        drawing.line(size.left, y(number * pace), size.width - size.right, y(number * pace), style)
        drawing.text(size.left - 6, y(number * pace) + 4, _short(number * pace), "end")


def _short(seconds: float) -> str:
    """A duration in one unit: beside an axis there is little room."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s" if seconds else "0"


# --- backups by day ---


def days_plot(days: Sequence[BackupDay], cell: int, left: int) -> str:
    """One square a day, one row a month."""
    months = sorted({(day.day.year, day.day.month) for day in days})
    drawing = _Drawing(Size(left + 31 * cell + 2, len(months) * (cell + 6) + 18))
    for number in (1, 5, 10, 15, 20, 25, 30):
        drawing.text(left + (number - 0.5) * cell, 12, str(number), "middle")
    for day in days:
        row = months.index((day.day.year, day.day.month))
        _day(drawing, day, left + (day.day.day - 1) * cell, 18 + row * (cell + 6), cell - 3)
    for row, (_, month) in enumerate(months):
        drawing.text(0, 18 + row * (cell + 6) + cell / 2 + 2, _MONTHS[month - 1])
    return drawing.svg()


def day_words(day: BackupDay) -> str:
    """What the square of a day says."""
    if not day.due:
        return "nothing is known" if day.before else "none due"
    told = [(day.made, "made"), (day.partial, "partial"), (day.failed, "failed"), (day.missed, "missed")]
    return ", ".join(f"{number} {word}" for number, word in told if number)


def _day(drawing: _Drawing, day: BackupDay, x: float, y: float, side: float) -> None:
    title = f"{day.day:%Y-%m-%d}: {day_words(day)}"
    middle = (x + side / 2, y + side / 2)
    if not day.due:
        drawing.dot(*middle, 1.4, "p-none")
    elif day.made == day.due:
        drawing.box((x, y), side, side, "p-made", title)
    elif day.made or day.partial:
        drawing.box((x, y), side, side, "p-part", title)
        drawing.path([(x, y + side), (x, y), (x + side, y + side)], "p-half", closed=True)
    else:
        drawing.box((x, y), side, side, "p-lost", title)
        drawing.cross(*middle, side * 0.28)


# --- trends ---


def trend_plot(attempts: Sequence[Attempt], rto_seconds: float | None, size: Size) -> str:
    """What was predicted (band from p50 to p90) and what it took (dot), drill by drill."""
    drawing = _Drawing(size)
    known = [
        value
        for each in attempts
        for value in (each.rto_seconds, each.p50_seconds, each.p90_seconds)
        if value is not None
    ]
    far = rto_seconds is not None and known and rto_seconds > _FAR * max(known)
    top = max(known + ([rto_seconds] if rto_seconds is not None and not far else []), default=1.0) * 1.1 or 1.0
    step = (size.width - size.left - size.right) / len(attempts)

    def y(seconds: float) -> float:
        return size.height - size.bottom - seconds / top * (size.height - size.top - size.bottom)

    _heights(drawing, top, y)
    for place, each in enumerate(attempts):
        _attempt(drawing, each, size.left + (place + 0.5) * step, y, min(step * 0.5, 34))
        if len(attempts) * 46 < size.width or place % 2 == (len(attempts) - 1) % 2:
            _date(drawing, each.started_at.date(), size.left + (place + 0.5) * step)
    middles = [(size.left + (place + 0.5) * step, each.rto_seconds) for place, each in enumerate(attempts)]
    for (x1, first), (x2, second) in pairwise([(x, value) for x, value in middles if value is not None]):
        drawing.line(x1, y(first), x2, y(second), "p-path")
    if rto_seconds is not None:
        _goal_words(drawing, f"RTO {words.duration(rto_seconds)}{', above this scale' if far else ''}")
        if not far:
            drawing.line(size.left, y(rto_seconds), size.width - size.right, y(rto_seconds), "p-goal")
    return drawing.svg()


def _attempt(drawing: _Drawing, each: Attempt, x: float, y: Height, width: float) -> None:
    if each.p50_seconds is not None and each.p90_seconds is not None:
        top, low = y(each.p90_seconds), y(each.p50_seconds)
        drawing.box((x - width / 2, top), width, max(low - top, 1), "p-band")
        drawing.line(x - width / 2, low, x + width / 2, low, "p-mid")
    if each.rto_seconds is None:
        drawing.cross(x, y(0) - 8, 5)
    elif each.outcome == "recovered":
        drawing.dot(x, y(each.rto_seconds), 4, "p-dot")
    else:
        drawing.cross(x, y(each.rto_seconds), 5)


def _date(drawing: _Drawing, day: date, x: float) -> None:
    drawing.text(x, drawing.size.height - 19, f"{day.day} {_MONTHS[day.month - 1]}", "middle")
    drawing.text(x, drawing.size.height - 5, str(day.year), "middle")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
