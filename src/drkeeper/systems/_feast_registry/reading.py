"""Bytes that a place holds, judged."""

from drkeeper.errors import CaptureFailed
from drkeeper.feature_registry import FeatureRegistry, RegistryNewer, RegistryUnreadable, parse

BARE = "holds no object but its project, as a process of Feast's makes one that finds none"

LOST = "lost: `drkeeper restore`, before a process of Feast writes an empty one; new: `feast apply`"
"""What to do where there is none: applying makes one without a past, which then hides the loss."""


def insist_whole(data: bytes, where: str) -> FeatureRegistry:
    """The registry, where it can be one that somebody uses.

    Raises:
        CaptureFailed: It is unreadable, or nobody has applied anything to it.
    """
    try:
        registry = parse(data)
    except RegistryUnreadable as error:
        raise CaptureFailed(f"{where}: {error}", hint=error.hint) from error
    if registry.bare:
        raise CaptureFailed(f"{where} {BARE}", hint="run `feast apply`, or restore the registry")
    return registry


def is_worthless(data: bytes) -> bool:
    """Whether the bytes can be replaced without a loss: none, no registry at all, or one without any object."""
    try:
        return parse(data).bare
    except RegistryNewer:
        return False
    except RegistryUnreadable:
        return True


def is_unreadable(data: bytes) -> bool:
    """Whether there are bytes, and they are no registry: somebody may want to look into them."""
    try:
        parse(data)
    except RegistryNewer:
        return False
    except RegistryUnreadable:
        return bool(data)
    return False
