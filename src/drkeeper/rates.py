"""What is expected of a step of which no earlier run is known: conservative, and measured. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """What is expected of a step of which no earlier run is known.

    Attributes:
        fixed_seconds: Whatever there is to do.
        bytes_per_second: None: bytes are not what takes the time.
        counts_per_second: Rows, objects or keys; None: they are not what takes the time.
    """

    fixed_seconds: float = 2.0
    bytes_per_second: float | None = None
    counts_per_second: float | None = None

    def seconds(self, size_bytes: int, count: int) -> float:
        """How long these take."""
        by_bytes = size_bytes / self.bytes_per_second if self.bytes_per_second else 0.0
        return self.fixed_seconds + by_bytes + (count / self.counts_per_second if self.counts_per_second else 0.0)

    @property
    def even_amounts(self) -> tuple[float, float]:
        """Bytes, and counts, that are expected to take as long as the fixed part."""
        return (
            self.fixed_seconds * (self.bytes_per_second or SOME_BYTES_PER_SECOND),
            self.fixed_seconds * (self.counts_per_second or SOME_COUNTS_PER_SECOND),
        )


SOME_BYTES_PER_SECOND = 10e6
SOME_COUNTS_PER_SECOND = 1000.0
# Measured: a logical restore of PostgreSQL 18 at 11 MB of dump a second, indexes rebuilt; an RDB served to a replica at
# 70 MB/s; buckets at 1,100 objects and 140 MB a second between two servers of one machine (a third of each is taken,
# for the way between regions); lists of a Kubernetes API server at 2,600 objects a second; an SDK that starts in seven
# CPU seconds before a proof.
RATES: dict[tuple[str, str], Rates] = {
    ("", "undo"): Rates(2.0, 10e6),
    ("postgres", "load"): Rates(2.0, 11e6),
    ("postgres", "switch"): Rates(2.0),
    ("postgres", "verify"): Rates(2.0, None, 500_000.0),
    ("postgres", "provision"): Rates(4.0),
    ("redis", "load"): Rates(2.0, 150e6),
    ("redis", "switch"): Rates(2.0, 70e6),
    ("redis", "provision"): Rates(2.0),
    ("objects", "load"): Rates(2.0, 45e6, 350.0),
    ("objects", "verify"): Rates(2.0, None, 5000.0),
    ("objects", "provision"): Rates(10.0),
    ("kubernetes", "load"): Rates(2.0, 10e6),
    ("kubernetes", "switch"): Rates(2.0, None, 50.0),
    ("kubernetes", "verify"): Rates(2.0, None, 1000.0),
    ("kubernetes", "release"): Rates(5.0),
    ("kubernetes", "provision"): Rates(15.0),
    ("mlflow", "prove"): Rates(20.0),
    ("feast", "prove"): Rates(20.0),
    ("mlflow", "relocate"): Rates(5.0),
    ("feast", "rebuild"): Rates(20.0),
}
USUAL = {"load": Rates(2.0, SOME_BYTES_PER_SECOND), "prove": Rates(20.0)}


def rates(kind: str, verb: str) -> Rates:
    """What is expected of a step without history."""
    return RATES.get((kind, verb)) or USUAL.get(verb) or Rates()
