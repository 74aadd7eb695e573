"""What a bucket answers when it does not do what was asked."""

from drkeeper.errors import DrkeeperError, SystemUnreachable


class BucketUnreachable(SystemUnreachable):
    """The endpoint does not answer, refuses our credentials, or went on failing."""

    default_hint = "check endpoint, credentials and what they permit with `drkeeper check`"


class BucketFull(DrkeeperError):
    """The endpoint has no space left."""

    default_hint = "free space there, then run again; what was copied stays copied"


class ObjectGone(DrkeeperError):
    """The endpoint answers, and has no such object, version or upload."""


class ObjectChanged(DrkeeperError):
    """An object is not, or no longer, what the request was about (a condition did not hold)."""

    retryable = True


class CallLacking(DrkeeperError):
    """The endpoint does not know this call."""


class BytesDamaged(DrkeeperError):
    """What arrived is not what was sent: a checksum says so."""

    retryable = True
