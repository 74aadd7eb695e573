"""How well recoveries were predicted: predicted against actual, drill after drill. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from drkeeper.report.record import Trend

Direction = Literal["improving", "steady", "worsening", "too few to tell"]
LEAST_FOR_DIRECTION = 2
"""Drills in each half."""
NOTEWORTHY = 0.1
"""Of a logarithm: a tenth more or less."""


@dataclass(frozen=True)
class Accuracy:
    """How well drills were predicted.

    Attributes:
        ratios: Actual by predicted p50, of each drill that has both, oldest first: 1 is exact, 2 twice as long.
        within: How many of these ended within their p90.
        direction: Whether later ones were predicted better than earlier ones.
    """

    ratios: tuple[float, ...]
    within: int
    direction: Direction


def accuracy(trend: Sequence[Trend]) -> Accuracy:
    """Predicted against actual, over drills that are given oldest first."""
    pairs = [
        (each.rto_seconds, each.rto_forecast)
        for each in trend
        if each.rto_seconds and each.rto_forecast is not None and each.rto_forecast.p50_seconds > 0
    ]
    ratios = tuple(actual / forecast.p50_seconds for actual, forecast in pairs)
    within = sum(actual <= forecast.p90_seconds for actual, forecast in pairs)
    return Accuracy(
        tuple(round(ratio, 3) for ratio in ratios), within, _direction([abs(math.log(one)) for one in ratios])
    )


def _direction(errors: Sequence[float]) -> Direction:
    """The later half against the earlier one; errors are of logarithms, so that half and twice weigh alike."""
    half = len(errors) // 2
    if half < LEAST_FOR_DIRECTION:
        return "too few to tell"
    earlier, later = median(errors[:half]), median(errors[-half:])
    if abs(later - earlier) < NOTEWORTHY:
        return "steady"
    return "improving" if later < earlier else "worsening"
