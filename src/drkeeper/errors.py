"""One tree of errors: the name states the fact; the class carries exit code, hint and whether to try again.

Exit codes are an interface (see README): 0 ok, 1 failed, 2 usage, 3 some systems failed, 4 refused and nothing
changed, 5 verification failed, 6 objective missed, 10 vault unreachable, 11 lease held, 12 key missing,
130 interrupted.
"""

from typing import ClassVar


class DrkeeperError(Exception):
    """Something that a user of drkeeper is told about.

    Args:
        message: What is the case, in one sentence, with the names of the things concerned and no secret.
        hint: What to do next. Falls back to the class's own hint.
        said: The end of what somebody else's program wrote, which may hold anything: shown to who looks on, and part of
            no message, so that it gets into no log, no record and no notification.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", said: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint
        self.said = said


# --- what was asked -------------------------------------------------------------------------------------


class UsageInvalid(DrkeeperError):
    """A command line that cannot be carried out as written."""

    exit_code = 2


class PolicyInvalid(DrkeeperError):
    """The policy cannot be read; the message names file, line and key."""

    exit_code = 2


class PointUnknown(DrkeeperError):
    """No recovery point, or more than one, answers to the id that was given."""

    exit_code = 2
    default_hint = "list them with `drkeeper points`"


class FindingUnknown(DrkeeperError):
    """No finding, or more than one, answers to the id that was given."""

    exit_code = 2
    default_hint = "list them with `drkeeper findings`"


class Refused(DrkeeperError):
    """A pre-flight check said no; nothing was changed."""

    exit_code = 4


class NotApproved(Refused):
    """A restore that somebody else must approve, and nobody has."""


class WorldChanged(Refused):
    """A saved plan no longer matches the policy, the point or the target."""

    default_hint = "look at a new plan with `drkeeper plan`"


# --- how it ended ---------------------------------------------------------------------------------------


class BackupPartial(DrkeeperError):
    """Some systems, or some regions, failed; what worked is committed and marked partial or not durable."""

    exit_code = 3


class VerificationFailed(DrkeeperError):
    """Something that was checked is not as it must be."""

    exit_code = 5


class ObjectiveMissed(DrkeeperError):
    """A measured RTO or RPO is worse than what the policy promises."""

    exit_code = 6


class Interrupted(DrkeeperError):
    """SIGINT or SIGTERM arrived; everything was left consistent."""

    exit_code = 130


class Aborted(Interrupted):
    """Somebody ended a restore between two of its steps (`drkeeper recovery abort`)."""


class StepsFailed(DrkeeperError):
    """Several steps of a restore failed; the message names each of them, and those that were not run."""


class StepTimedOut(DrkeeperError):
    """A step of a restore took longer than the policy allows, and was ended, or left behind if that did not help."""

    words = "took longer than"

    default_hint = (
        "look at what its server waits for; `recovery.step_timeout` in the policy says how long a step may take"
    )


# --- the vault ------------------------------------------------------------------------------------------


class VaultUnreachable(DrkeeperError):
    """No region of the vault answers, or it refuses our credentials."""

    exit_code = 10
    retryable = True
    default_hint = "check the region's url, credentials and network with `drkeeper check`"


class VaultMissing(VaultUnreachable):
    """The store answers, and holds no vault."""

    retryable = False
    default_hint = "create it with `drkeeper init`"


class VaultFull(DrkeeperError):
    """The store has no space left."""

    default_hint = "free space or `drkeeper prune`, then run again; nothing that was committed is affected"


class FrameMissing(VerificationFailed):
    """A frame or stream index that a recovery point names is not in any region."""


class FrameCorrupt(VerificationFailed):
    """Stored bytes do not hash to their name, or do not decompress."""


class RecordCorrupt(VerificationFailed):
    """A small record of the vault (point, lease, journal) cannot be decoded or does not match its digest."""


class PointCorrupt(VerificationFailed):
    """What a recovery point holds of a system turned out to be damaged, or gone, while it was loaded.

    Args:
        message: As of every error.
        system: Whose bytes they are.
    """

    def __init__(self, message: str, *, system: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.system = system


class LeaseHeld(DrkeeperError):
    """Somebody else holds the lease."""

    exit_code = 11
    retryable = True
    default_hint = "wait for it to end, or give `--wait`; a crashed holder's lease ends by itself at the time shown"


class LeaseLost(DrkeeperError):
    """Our lease expired, or went to somebody else, while we were at work; nothing more was written."""

    exit_code = 11


class KeyMissing(DrkeeperError):
    """An encrypted vault, and no identity that opens it (or the wrong one)."""

    exit_code = 12
    default_hint = "set vault.encryption.identity to ${file:PATH} of the age identity (AGE-SECRET-KEY-1…)"


# --- the protected systems ------------------------------------------------------------------------------


class SystemUnreachable(DrkeeperError):
    """A protected system does not answer, or refuses our credentials."""

    retryable = True
    default_hint = "probe it with `drkeeper check`"


class CaptureFailed(DrkeeperError):
    """A system's bytes could not be read to their end; what arrived counts for nothing."""


class LoadFailed(DrkeeperError):
    """A system did not accept what was restored into it; the message says what the target holds now."""


class ToolMissing(DrkeeperError):
    """A program that is needed is not installed, or too old."""
