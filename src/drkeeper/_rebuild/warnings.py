"""What stands against a rebuild, and what it does not heal, in words. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from drkeeper._rebuild.seen import Mode, Seen, ViewSeen, moment


def obstacles(seen: Seen, wanted: Sequence[ViewSeen], left: Mapping[str, str], mode: Mode) -> Iterator[str]:
    """Why it is not carried out."""
    if not wanted:
        yield f"no view of {seen.project} can be rebuilt" + _why(left)
    if mode != "full":
        return
    for view in seen.views:
        if view.name in left and view.served and view.entities:
            yield f"{view.name} would be lost: {left[view.name]}"
    for view in wanted:
        if _is_unread(view) and view.entities:
            yield f"{view.name} would be lost: its source {view.source or 'of no name'} could not be read"


def warnings(seen: Seen, wanted: Sequence[ViewSeen], mode: Mode, *, within_seconds: float) -> Iterator[str]:
    """What somebody should know beforehand.

    Args:
        seen: What was found.
        wanted: The views that are rebuilt.
        mode: Of the rebuild.
        within_seconds: How long it may take.
    """
    if seen.eviction:
        yield f"the store evicts keys ({seen.eviction}): what is materialised may be dropped again"
    if mode == "full" and seen.keys:
        yield "from the first removed key to the end, features are served as absent"
    yield from _expiring_keys(seen, within_seconds)
    for view in seen.views:
        if not view.served:
            continue
        if view in wanted:
            yield from _of_view(view, seen, mode)
            yield from _served_as_absent(view, seen, done_at=seen.at + timedelta(seconds=within_seconds))
        else:
            yield f"{view.name} stays as it is" + (f", of {moment(view.newest_at)}" if view.newest_at else ", empty")


def _of_view(view: ViewSeen, seen: Seen, mode: Mode) -> Iterator[str]:
    if mode == "materialise" and view.newest_at and _is_ahead(view, view.newest_at, seen):
        yield (
            f"{view.name} holds values newer than its source ({moment(view.newest_at)}), which stay:"
            " only `--mode full` replaces them"
        )
    if mode == "full" and view.kind == "stream":
        yield f"{view.name}: values that were pushed, and are not in {view.source or 'its source'}, are lost"


def _is_unread(view: ViewSeen) -> bool:
    """Whether Feast could not even tell what columns its source has, so that nothing can come of it."""
    return view.kind in {"batch", "stream"} and view.source_there is None


def _served_as_absent(view: ViewSeen, seen: Seen, *, done_at: datetime) -> Iterator[str]:
    """Feast serves a value as absent once its ttl has passed."""
    if not view.ttl_seconds:
        return
    ttl = timedelta(seconds=view.ttl_seconds)
    if view.source_newest_at and view.source_newest_at + ttl < done_at:
        newest = moment(view.source_newest_at)
        yield f"{view.name} is served as absent even afterwards: its source ends at {newest}, its ttl is {ttl}"
    elif view.newest_at and view.newest_at + ttl < seen.at:
        yield f"{view.name} is served as absent until it is rebuilt: its ttl of {ttl} has passed"


def _expiring_keys(seen: Seen, within_seconds: float) -> Iterator[str]:
    dying = sum(life <= within_seconds for life in seen.lives_seconds)
    if dying and seen.sampled:
        about = round(seen.keys * dying / seen.sampled)
        yield f"about {about:,} of {seen.keys:,} keys expire before it ends (of {seen.sampled:,} that were looked at)"


def _is_ahead(view: ViewSeen, newest_at: datetime, seen: Seen) -> bool:
    """Whether it holds what its source cannot have given. Pushed values may be ahead of a batch source."""
    source_at = view.source_newest_at if view.kind == "batch" else None
    return newest_at > seen.at or (source_at is not None and newest_at > source_at)


def _why(left: Mapping[str, str]) -> str:
    return ": " + "; ".join(f"{name}: {why}" for name, why in left.items()) if left else ": it has none"
