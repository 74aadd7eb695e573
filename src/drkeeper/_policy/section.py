"""What every part of a policy has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a policy: unknown keys are refused, nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)
