"""How a fail-over or fail-back can end, beside well."""

from drkeeper.errors import DrkeeperError, Refused


class ConsumersUntold(DrkeeperError):
    """Roles are switched, and somebody could not be told."""

    exit_code = 3


class LocationsLeft(DrkeeperError):
    """Roles are switched, and the database of an application leads to the other side still."""

    exit_code = 3


class SwitchPartial(DrkeeperError):
    """Of several systems, some were not switched."""

    exit_code = 3


class ConflictsFound(Refused):
    """Both sides were changed; nothing was overwritten."""


class ConflictsLate(DrkeeperError):
    """Both sides were changed while they were reconciled: some objects were copied, nothing that conflicts was."""

    exit_code = 3
