"""How much room a vault's regions have, and how much of it is taken.

A folder's file system says both. A bucket has no bound, or one that it does not tell: where the policy names it
(`vault.capacity`), what is stored is listed, which takes a request for each thousand objects, once in an hour.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from drkeeper import clock
from drkeeper.errors import DrkeeperError
from drkeeper.log import get_logger
from drkeeper.vault.layout import FRAMES, POINTS, STREAMS
from drkeeper.vault.store import Store

LISTED_EVERY_SECONDS = 3600.0
HELD = (FRAMES, STREAMS, POINTS)
"""Where nearly all bytes of a vault lie."""


class Room:
    """Of the regions of one vault.

    Args:
        regions: Stores by name.
        capacity_bytes: Of each, as the policy says; None: it says nothing.
    """

    def __init__(self, regions: Mapping[str, Store], capacity_bytes: int | None) -> None:
        self._regions = dict(regions)
        self._capacity_bytes = capacity_bytes
        self._listed: dict[str, tuple[float, int]] = {}

    def look(self, region: str) -> tuple[int | None, int | None]:
        """Used, and there at all; None for what nobody knows."""
        store = self._regions[region]
        try:
            if self._capacity_bytes is not None:
                return self._taken(region, store), self._capacity_bytes
            folder = _folder(store.url)
            if folder is None:
                return None, None
            there = shutil.disk_usage(folder)
        except (DrkeeperError, OSError) as error:
            get_logger().warning("room of a region is not known", region=region, error=str(error))
            return None, None
        return there.total - there.free, there.total

    def _taken(self, region: str, store: Store) -> int:
        at, size = self._listed.get(region, (0.0, 0))
        if region not in self._listed or clock.monotonic_seconds() - at >= LISTED_EVERY_SECONDS:
            size = sum(entry.size_bytes for prefix in HELD for entry in store.list(prefix))
            self._listed[region] = (clock.monotonic_seconds(), size)
        return size


def _folder(url: str) -> Path | None:
    """Of a store that lies in one."""
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
