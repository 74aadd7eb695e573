"""How well recoveries were predicted: predicted against actual, drill after drill. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

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


def accuracy(drills: Iterable[tuple[float | None, float | None, float | None]]) -> Accuracy:
    """Predicted against actual.

    Args:
        drills: What each took, its p50 and its p90, oldest first; None: not measured, not predicted.
    """
    known = [(actual, p50, p90) for actual, p50, p90 in drills if actual and p50]
    ratios = tuple(actual / p50 for actual, p50, _ in known)
    within = sum(p90 is not None and actual <= p90 for actual, _, p90 in known)
    errors = [abs(math.log(ratio)) for ratio in ratios]
    return Accuracy(tuple(round(ratio, 3) for ratio in ratios), within, _direction(errors))


def _direction(errors: Sequence[float]) -> Direction:
    """The later half against the earlier one; errors are of logarithms, so that half and twice weigh alike."""
    half = len(errors) // 2
    if half < LEAST_FOR_DIRECTION:
        return "too few to tell"
    earlier, later = median(errors[:half]), median(errors[-half:])
    if abs(later - earlier) < NOTEWORTHY:
        return "steady"
    return "improving" if later < earlier else "worsening"
