"""The customers of CDNOW, a real purchase history (2,357 people, 1997-98), as churn features.

The files come with the package `lifetimes`, read without importing it: the import takes seconds and brings a
plotting library with it.
"""

import csv
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path

from drkeeper.errors import ToolMissing

INSTALL_HINT = "pip install 'drkeeper[demo]'"
FEATURE_NAMES = ("frequency", "recency_weeks", "age_weeks", "monetary_value")
# The summary covers the 39 weeks up to this day; whoever buys after it has stayed.
LAST_OBSERVED_DAY = "19970930"


@dataclass(frozen=True)
class Customer:
    """One customer as observed up to `LAST_OBSERVED_DAY`, and whether anything was bought after it.

    Attributes:
        frequency: Repeat purchases.
        recency_weeks: From the first purchase to the last.
        age_weeks: From the first purchase to the end of the observation.
        monetary_value: Mean value of a repeat purchase, in dollars; 0 where there was none.
    """

    customer_id: int
    frequency: float
    recency_weeks: float
    age_weeks: float
    monetary_value: float
    churned: bool

    @property
    def features(self) -> tuple[float, ...]:
        """The values of `FEATURE_NAMES`, in that order."""
        return tuple(float(value) for value in astuple(self)[1:5])


def load_customers() -> list[Customer]:
    """All customers, by id.

    Raises:
        ToolMissing: The demo's extra is not installed.
    """
    folder = _datasets_folder()
    stayed = _bought_later(folder / "CDNOW_sample.txt")
    with (folder / "cdnow_customers_summary_with_transactions.csv").open(newline="") as lines:
        return [
            Customer(
                customer_id=int(row["ID"]),
                frequency=float(row["x"]),
                recency_weeks=float(row["t_x"]),
                age_weeks=float(row["T"]),
                monetary_value=float(row["zbar"]),
                churned=int(row["ID"]) not in stayed,
            )
            for row in csv.DictReader(lines)
        ]


def _datasets_folder() -> Path:
    found = find_spec("lifetimes")
    if found is None or found.origin is None:
        raise ToolMissing("the demo's data (package lifetimes) are not installed", hint=INSTALL_HINT)
    return Path(found.origin).parent / "datasets"


def _bought_later(transactions: Path) -> set[int]:
    # Columns: id in the full data set, id in this sample, day, discs bought, dollars.
    rows = (line.split() for line in transactions.read_text().splitlines())
    return {int(row[1]) for row in rows if row and row[2] > LAST_OBSERVED_DAY}
