"""Manifests as YAML that people read: deterministic, and fast enough to keep up with an API server.

PyYAML's emitter takes ten times as long as this one even with libyaml, forty times without. What is written here is a
small part of YAML that parsers of versions 1.1 and 1.2 read alike: block style as kubectl's, plain scalars only where
one expression says that they are safe, literal blocks for texts of several lines, double quotes for all else.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml

_FIRST = ("apiVersion", "kind", "metadata")
# Starts with a letter, `_` or `/`; neither `: ` nor ` #` in it, nor a space at its end. Or a quantity such as `100m`.
_PLAIN = re.compile(
    r"[A-Za-z_/](?:[A-Za-z0-9_./@+=,;()$%^~*&!?|<>\[\]{}'\"\\-]| (?=[A-Za-z0-9_./($])|:(?=[A-Za-z0-9_/.$({]))*"
    r"|[1-9][0-9]*(?:m|[KMGTP]i?|h|s|d)"
)
# What YAML 1.1 takes for booleans and null, in any case of letters.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
# Neither printable in YAML 1.1 nor sure to come back as it was.
_UNSAFE = re.compile(
    '[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|["\\\\]',
)
_SHORT = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\", "\r": "\\r"}
_WRITTEN = {None: "null", True: "true", False: "false"}
_LINE_BEGIN = re.compile(r"^(?=[^\n])", re.MULTILINE)
_CACHED_LENGTH = 80
_CACHED_ENTRIES = 20_000
# A key that is not marked with `?` may have 1,024 characters (YAML 1.1, section 9.1.3), quotes and escapes included.
_LONGEST_KEY = 1000


class _KeyTooLong(Exception):
    """A key that needs another form than ours."""


class _Scalars(dict[str, str]):
    """Texts of one line as they are written; short ones are remembered, they come again and again."""

    def __missing__(self, text: str) -> str:
        plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
        written = text if plain else _quoted(text)
        if len(text) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_ENTRIES:
                self.clear()
            self[text] = written
        return written


class _Keys(_Scalars):
    """The same, with a colon."""

    def __missing__(self, text: str) -> str:
        written = super().__missing__(text) + ":"
        if len(written) > _LONGEST_KEY:
            raise _KeyTooLong
        if text in self:
            self[text] = written
        return written


class Renderer:
    """Renders manifests; remembers short texts, so keep one for many objects. Not for several threads."""

    def __init__(self) -> None:
        self._scalars = _Scalars()
        self._keys = _Keys()

    def render(self, manifest: dict[str, Any]) -> bytes:
        """The manifest as YAML: apiVersion, kind and metadata first, all other keys in alphabetical order."""
        parts: list[str] = []
        first = [key for key in _FIRST if key in manifest]
        others = sorted(key for key in manifest if key not in _FIRST)
        try:
            self._map(manifest, [*first, *others], "", parts)
        except _KeyTooLong:
            text: str = yaml.safe_dump(manifest, default_style='"', allow_unicode=True, width=1 << 30)
            return text.encode()
        return "".join(parts).encode()

    def _map(self, values: dict[str, Any], order: Iterable[str], indent: str, parts: list[str]) -> None:
        # The order of these tests is that of how often each is met; every line here is run some fifty times an object.
        keys = self._keys
        scalars = self._scalars
        add = parts.append
        for key in order:
            value = values[key]
            kind = type(value)
            if kind is str:
                if "\n" in value:
                    add(f"{indent}{keys[key]} {_lines(value, indent)}\n")
                else:
                    add(f"{indent}{keys[key]} {scalars[value]}\n")
            elif kind is dict and value:
                add(f"{indent}{keys[key]}\n")
                self._map(value, sorted(value) if len(value) > 1 else value, indent + "  ", parts)
            elif kind is list and value:
                add(f"{indent}{keys[key]}\n")
                self._list(value, indent, parts)
            elif kind is int:
                add(f"{indent}{keys[key]} {value}\n")
            else:
                add(f"{indent}{keys[key]} {_other(value)}\n")

    def _list(self, values: list[Any], indent: str, parts: list[str]) -> None:
        scalars = self._scalars
        inner = indent + "  "
        for value in values:
            kind = type(value)
            if kind is str:
                text = _lines(value, indent) if "\n" in value else scalars[value]
                parts.append(f"{indent}- {text}\n")
            elif value and (kind is dict or kind is list):
                begin = len(parts)
                if kind is dict:
                    self._map(value, sorted(value), inner, parts)
                else:
                    self._list(value, inner, parts)
                parts[begin] = f"{indent}- {parts[begin][len(inner) :]}"
            else:
                parts.append(f"{indent}- {_other(value)}\n")


def render(manifest: dict[str, Any]) -> bytes:
    """One manifest as YAML; for many, keep a `Renderer`."""
    return Renderer().render(manifest)


def _lines(text: str, indent: str) -> str:
    return _literal(text, indent + "  ") if _fits_literal(text) else _quoted(text)


def _other(value: Any) -> str:
    """Numbers, booleans, null and empty containers."""
    written = _WRITTEN.get(value) if value is None or value is True or value is False else None
    if written is not None:
        return written
    if isinstance(value, float):
        # YAML 1.1 wants a point in a float: 1e+16 would be a text.
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text
    return json.dumps(value)


def _fits_literal(text: str) -> bool:
    """Whether a literal block gives back the very same text, without an indentation indicator."""
    return text[0] not in " \t\n" and text.replace("\n", "").replace("\t", "").isprintable()


def _literal(text: str, indent: str) -> str:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    chomping = "-" if ends == 0 else "" if ends == 1 else "+"
    return f"|{chomping}\n{_LINE_BEGIN.sub(indent, body)}" + "\n" * (ends - 1)


def _quoted(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{_UNSAFE.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte
