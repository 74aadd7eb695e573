"""Several orders of the same systems, merged into one. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from drkeeper.errors import PolicyInvalid


def merge_orders(systems: Iterable[str], orders: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Merge orders into one that respects each; of those that may come next, the first in `systems` does.

    Raises:
        PolicyInvalid: They contradict one another; the message names the circle.
    """
    left = list(dict.fromkeys(systems))
    edges = list(_edges(orders))
    merged: list[str] = []
    while left:
        waiting = {after for before, after, _ in edges if before in left}
        ready = next((name for name in left if name not in waiting), None)
        if ready is None:
            raise PolicyInvalid(f"no order of freezing is possible: {_circle(left, edges)}")
        merged.append(ready)
        left.remove(ready)
    return tuple(merged)


def _edges(orders: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    for application, order in orders.items():
        for before, after in combinations(order, 2):
            yield before, after, application


def _circle(left: list[str], edges: list[tuple[str, str, str]]) -> str:
    """In words. Each of `left` has one of `left` before it, so going back must come round."""
    seen: list[tuple[str, str, str]] = []
    at = left[0]
    while not any(at == after for _, after, _ in seen):
        edge = next(edge for edge in edges if edge[1] == at and edge[0] in left)
        seen.append(edge)
        at = edge[0]
    start = next(index for index, edge in enumerate(seen) if edge[1] == at)
    circle = reversed(seen[start:])
    return ", ".join(f"{before} before {after} ({application})" for before, after, application in circle)
