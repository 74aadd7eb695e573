"""Timestamped marks written into each protected system, by which RPO is measured with data.

A drill reads the newest mark out of what was restored: RPO = disaster - mark. Never the age of a file.
"""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Heartbeat(BaseModel):
    """One mark. `sequence` counts up by one a beat, so that a gap shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    sequence: int


def loss_seconds(disaster_at: datetime, newest: Heartbeat) -> float:
    """The measured RPO: time from the newest recovered mark to the disaster, never negative."""
    return max(0.0, (disaster_at - newest.at).total_seconds())
