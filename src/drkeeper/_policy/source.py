"""YAML read into plain data, with the line of every key, references resolved, and no guessing.

Read with ruamel.yaml's node graph rather than its round-trip types: each node carries its mark, aliases stay
the nodes they are, and duplicate keys can all be told at once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from drkeeper._policy.references import Reference, ReferenceUnresolved, has_reference, resolve
from drkeeper.errors import PolicyInvalid

KeyPath = tuple[str | int, ...]
"""Of a key in the document: ("systems", "mlflow-db", "databases", 0)."""

NODES_MAX = 20_000
POLICY_BYTES_MAX = 4 << 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a policy; without a line of its own it stands where its key does."""

    path: KeyPath
    message: str
    line: int | None = None


@dataclass
class Source:
    """A policy file as read.

    Attributes:
        data: Plain data, references resolved.
        lines: Line of each key or list item, from 1.
        references: What was written where a value was given by reference, and what it was resolved to.
        problems: What went wrong so far; duplicate keys, references without a value.
    """

    file: Path
    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    references: dict[KeyPath, Reference] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """Of a key, or of the nearest key above it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_source(
    file: Path, environment: Mapping[str, str], stand_in: str | None = None, needed: KeyPath | None = None
) -> Source:
    """Read a policy file.

    Args:
        file: YAML.
        environment: Where `${env:NAME}` looks.
        stand_in: The value of references that have none here; None: that is a problem.
        needed: The part of the document in which that is a problem all the same.

    Raises:
        PolicyInvalid: It cannot be read, or is no YAML.
    """
    text = read_text(file)
    try:
        node = YAML(typ="safe", pure=True).compose(StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PolicyInvalid(f"{file}:{line}: this is no YAML: {error.problem or error.context}") from None
    except (YAMLError, RecursionError, ValueError) as error:
        raise PolicyInvalid(f"{file}:1: this is no YAML: {type(error).__name__}") from None
    source = Source(file)
    try:
        source.data = _Reader(source, environment, stand_in, needed).read(node, ()) if node is not None else {}
    except RecursionError:
        raise PolicyInvalid(f"{file}:1: an alias holds itself, or values lie too deep") from None
    return source


def read_text(file: Path) -> str:
    """The text of a policy file.

    Raises:
        PolicyInvalid: There is none, it cannot be read, or it is none.
    """
    hint = "write a starter policy with `drkeeper init`, or name one with `--policy FILE`"
    try:
        with file.open("rb") as opened:
            content = opened.read(POLICY_BYTES_MAX + 1)
        if len(content) > POLICY_BYTES_MAX:
            raise PolicyInvalid(f"{file}: larger than a policy can be ({POLICY_BYTES_MAX >> 20} MiB)")
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PolicyInvalid(f"there is no policy at {file}", hint=hint) from error
    except OSError as error:
        raise PolicyInvalid(f"the policy {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyInvalid(f"the policy {file} is not UTF-8 text") from error


class _Reader:
    """Nodes into plain data; YAML 1.2's own types only."""

    def __init__(
        self, source: Source, environment: Mapping[str, str], stand_in: str | None, needed: KeyPath | None
    ) -> None:
        self.source = source
        self.environment = environment
        self.stand_in = stand_in
        self.needed = needed
        self.nodes = 0

    def read(self, node: Node, path: KeyPath) -> object:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise PolicyInvalid(f"{self.source.file}: more values than a policy can hold")
        match node:
            case MappingNode():
                return self._mapping(node, path)
            case SequenceNode():
                return self._sequence(node, path)
            case ScalarNode():
                return self._scalar(node, path)
        raise PolicyInvalid(f"{self.source.file}:{node.start_mark.line + 1}: unknown kind of value")

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node in self._pairs(node, path):
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            if key in own_lines:
                self._problem((*path, key), line, f"this key is here twice (first on line {own_lines[key]})")
                continue
            own_lines[key] = line
            self.source.lines[(*path, key)] = line
            result[key] = self.read(value_node, (*path, key))
        return result

    def _pairs(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[Node, Node]]:
        """Own keys first, then those of `<<` that are not overridden."""
        merges = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge" or key.value == "<<"]
        own = [pair for pair in node.value if pair[1] not in merges]
        yield from own
        taken = {key.value for key, _ in own if isinstance(key, ScalarNode)}
        for merged in merges:
            for each in merged.value if isinstance(merged, SequenceNode) else [merged]:
                if not isinstance(each, MappingNode):
                    self._problem((*path, "<<"), each.start_mark.line + 1, "expected a mapping to merge")
                    continue
                for key, value in each.value:
                    if key.value not in taken:
                        taken.add(key.value)
                        yield key, value

    def _sequence(self, node: SequenceNode, path: KeyPath) -> list[object]:
        for index, each in enumerate(node.value):
            self.source.lines[(*path, index)] = each.start_mark.line + 1
        return [self.read(each, (*path, index)) for index, each in enumerate(node.value)]

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        text = str(node.value)
        if has_reference(text):
            try:
                strict = self.needed is not None and path[: len(self.needed)] == self.needed
                stand_in = None if strict else self.stand_in
                reference = resolve(text, self.environment, self.source.file.parent, stand_in)
            except ReferenceUnresolved as error:
                self._problem(path, node.start_mark.line + 1, str(error))
                return None
            self.source.references[path] = reference
            return reference.value
        return plain_value(text) if node.style is None else text

    def _problem(self, path: KeyPath, line: int, message: str) -> None:
        self.source.problems.append(Problem(path, message, line))


def plain_value(text: str) -> object:
    """Of an unquoted scalar. What is not a number, a truth value or null is the text that was written."""
    for read, pattern in _PLAIN:
        if pattern.fullmatch(text):
            return read(text)
    return text


_PLAIN: tuple[tuple[Callable[[str], object], re.Pattern[str]], ...] = (
    (lambda _: None, re.compile(r"~|null|Null|NULL|")),
    (lambda text: text.lower() == "true", re.compile(r"true|True|TRUE|false|False|FALSE")),
    (int, re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")),
    (float, re.compile(r"[-+]?[0-9]{1,19}\.[0-9]{1,19}")),
)
"""YAML 1.2's core types, less octal, hexadecimal, exponents and infinities, which no policy needs."""
