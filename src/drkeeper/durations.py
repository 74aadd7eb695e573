"""How long work takes, learned from few runs: the statistics under `forecast`. Pure.

The model: a run takes (fixed + amount / rate) x noise, where the noise is log-normal and no part is negative. How the
time is split is not known, so many splits are weighed at once: each says how large an amount must be to take as long
as the fixed part, and counts by how well the runs fit it. For one split the logarithms of the times have one unknown
place and one unknown spread, and what comes next has Student's distribution (a t-quantile, wide where runs are few).
A quantile is that of the whole mixture. So it widens with extrapolation, never falls with the amount (it does not for
any split), and is positive. Of several amounts (bytes, rows) the runs show which one matters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

# What was seen of one kind of step on one machine (test runs, hundreds of restores): 0.3 to 0.5 where much else ran.
# It counts like two runs: one run alone promises to stay within 2.3 times, and five speak for themselves.
EXPECTED_SPREAD = 0.3
SPREAD_WEIGHT = 2
# A run this many times off the middle counts as just so many: one bad night is remembered, and is not the forecast.
MOST_OFF = 4.0
LEAST_SECONDS = 0.01
# Decades of the amount that takes as long as the fixed part, around the one that is expected.
DECADES = tuple(step / 2 for step in range(-6, 13))
LIKELY_DECADES = 1.5
FIXED_ONLY_WEIGHT = 0.1
NEGLIGIBLE = 1e-4
TICK = 1e-4
"""Of the logarithm of a time: a hundredth of a percent."""


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        amounts: How much there was to do, in each of the units that may matter.
    """

    amounts: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class _Split:
    """One way in which the time may be split.

    Attributes:
        unit: Which of the amounts matters.
        even_amount: That takes as long as the fixed part; infinite: no amount matters.
        place: Of the logarithm of the fixed part.
        spread: Of the logarithm of what comes next.
    """

    unit: int
    even_amount: float
    place: float
    spread: float
    weight: float

    def middle(self, amounts: Sequence[float]) -> float:
        """Logarithm of the median time for these amounts."""
        return self.place + _growth(amounts[self.unit], self.even_amount)


class Durations:
    """What runs of one kind teach. Their order does not matter."""

    def __init__(self, samples: Sequence[Sample], even_amounts: Sequence[float]) -> None:
        """Weigh every split.

        Args:
            samples: At least one.
            even_amounts: For each unit the amount that is expected to take as long as the fixed part.
        """
        ordered = sorted(samples, key=lambda sample: (sample.seconds, sample.amounts))
        self.count = len(ordered)
        self.freedom = SPREAD_WEIGHT + self.count - 1
        weighed = [self._weigh(0, math.inf, FIXED_ONLY_WEIGHT, ordered)]
        for unit, even in enumerate(even_amounts):
            # What no run had any of teaches nothing of itself.
            if any(sample.amounts[unit] > 0 for sample in ordered):
                weighed += [
                    self._weigh(unit, even * 10**decade, 1 / (1 + (decade / LIKELY_DECADES) ** 2), ordered)
                    for decade in DECADES
                ]
        best = max(log_weight for _, log_weight in weighed)
        self._splits = [
            _Split(split.unit, split.even_amount, split.place, split.spread, math.exp(log_weight - best))
            for split, log_weight in weighed
            if log_weight - best > math.log(NEGLIGIBLE)
        ]

    def seconds(self, amounts: Sequence[float], share: float) -> float:
        """The time within which so large a share of runs with these amounts ends."""
        reach = student_quantile(share, self.freedom)
        parts = [(split.middle(amounts), split.spread, split.weight) for split in self._splits]
        wanted = share * math.fsum(weight for _, _, weight in parts)
        # On the ticks of one ruler for all amounts, so that not even the search makes more of them take less time.
        low = math.floor(min(middle + reach * spread for middle, spread, _ in parts) / TICK)
        high = math.ceil(max(middle + reach * spread for middle, spread, _ in parts) / TICK)
        while high - low > 1:
            half = (low + high) // 2
            below = math.fsum(
                weight * student_share((half * TICK - middle) / spread, self.freedom)
                for middle, spread, weight in parts
            )
            low, high = (half, high) if below < wanted else (low, half)
        return math.exp(high * TICK)

    def _weigh(self, unit: int, even: float, prior: float, samples: Sequence[Sample]) -> tuple[_Split, float]:
        """One split as the runs have it, and the logarithm of its weight: prior times marginal likelihood."""
        logs = [
            math.log(max(sample.seconds, LEAST_SECONDS)) - _growth(sample.amounts[unit] if sample.amounts else 0, even)
            for sample in samples
        ]
        middle, most = median(logs), math.log(MOST_OFF)
        logs = [min(max(each, middle - most), middle + most) for each in logs]
        place = math.fsum(logs) / self.count
        squares = SPREAD_WEIGHT * EXPECTED_SPREAD**2 + math.fsum((each - place) ** 2 for each in logs)
        spread = math.sqrt(squares / self.freedom * (1 + 1 / self.count))
        return _Split(unit, even, place, spread, 1.0), math.log(prior) - self.freedom / 2 * math.log(squares)


def student_share(reach: float, freedom: int) -> float:
    """The share of Student's distribution that lies below `reach`.

    Wallace's approximation (Annals of Mathematical Statistics 30, 1959): within 0.01 from two degrees of freedom.
    """
    normal = math.sqrt(freedom * math.log1p(reach * reach / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return 0.5 * math.erfc(-math.copysign(normal, reach) / math.sqrt(2))


@lru_cache(maxsize=256)
def student_quantile(share: float, freedom: int) -> float:
    """The reach below which so large a share lies; the inverse of `student_share`."""
    low, high = -100.0, 100.0
    while high - low > 1e-9:  # noqa: PLR2004 - far below what any clock shows
        half = (low + high) / 2
        low, high = (half, high) if student_share(half, freedom) < share else (low, half)
    return high


def _growth(amount: float, even: float) -> float:
    return math.log1p(amount / even)
