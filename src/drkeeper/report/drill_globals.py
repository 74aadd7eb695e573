"""What both forms of a drill's report call things: marks, signs and words, for their templates."""

from typing import Any

from drkeeper.report.blocks import SIGNS
from drkeeper.report.controls import CAUTION, ROLES, SHOWN, parts_words
from drkeeper.report.view import VERDICT_MARKS, forecast_words

DRILL_GLOBALS: dict[str, Any] = {
    "marks": VERDICT_MARKS,
    "forecast_words": forecast_words,
    "signs": SIGNS,
    "caution": CAUTION,
    "shown": SHOWN,
    "roles": ROLES,
    "parts_words": parts_words,
}
