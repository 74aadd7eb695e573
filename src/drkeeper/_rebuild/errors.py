"""How a rebuild may end."""

from typing import ClassVar

from drkeeper.errors import DrkeeperError


class RebuildPartial(DrkeeperError):
    """Some views could not be materialised; the others are, and the record says which."""

    exit_code: ClassVar[int] = 3
    default_hint: ClassVar[str] = "mend what it says, and run it again"
