"""Whether hooks name systems that are there, told with the line of each."""

from collections.abc import Iterator, Mapping

from drkeeper._policy.source import KeyPath
from drkeeper._policy.words import near

KIND = "kubernetes"


def hook_problems(document: Mapping[str, object]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with the names in `hooks` and `failover.hooks`, of a policy as it was written."""
    systems = document.get("systems")
    if not isinstance(systems, dict):
        return
    for index, pair in enumerate(_listed(document.get("hooks"))):
        for place, name in enumerate(_listed(pair.get("systems")) if isinstance(pair, dict) else ()):
            if isinstance(name, str) and name not in systems:
                yield ("hooks", index, "systems", place), f'unknown system "{name}"{near(name, systems)}'
        for phase in ("before", "after"):
            yield from _program(("hooks", index, phase), _within(pair, phase), systems)
    for index, hook in enumerate(_listed(_within(document, "failover", "hooks"))):
        yield from _program(("failover", "hooks", index), hook, systems)


def _program(path: KeyPath, hook: object, systems: Mapping[str, object]) -> Iterator[tuple[KeyPath, str]]:
    name = _within(hook, "exec", "system")
    if not isinstance(name, str):
        return
    if name not in systems:
        yield (*path, "exec", "system"), f'unknown system "{name}"{near(name, systems)}'
    elif (kind := _within(systems[name], "kind")) != KIND:
        yield (*path, "exec", "system"), f'"{name}" must be of kind {KIND}, and is {kind}'


def _within(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
