"""What pydantic says about a value, in words for the person who wrote the policy.

Never quotes a value that was given by reference: pydantic's own messages may carry inputs, so each text is
built here from the kind of error, or scrubbed by the caller.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

TYPE_WORDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "dataclass": "a mapping",
    "model_attributes": "a mapping",
    "none_required": "nothing",
    "url": "a URL",
    "secret": "text",
    "date": "a date",
    "datetime": "a date and time",
    "path": "a path",
}
CONSTRAINT_WORDS = {
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "too_short": "at least {min_length} of them",
    "string_too_short": "text of at least {min_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "int_from_float": "a whole number",
}
SHOWN_CHARACTERS = 40


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean "host"?`, or the names that there are, or nothing where there are none."""
    names = list(known)
    matches = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if matches:
        return f'; did you mean "{matches[0]}"?'
    return f"; expected one of: {', '.join(names)}" if names else ""


def found(value: object) -> str:
    """A value as a person would say it; mappings, lists and long texts are not spelt out."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= SHOWN_CHARACTERS else "a long text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def say(error: Mapping[str, Any]) -> str:
    """The message for one of pydantic's errors (`ValidationError.errors()`), without its place."""
    kind = str(error["type"])
    context = error.get("ctx") or {}
    actual = found(error.get("input"))
    expected = _expected(kind, context)
    if kind == "missing":
        return "this key is missing"
    if kind in {"value_error", "assertion_error"}:
        text = str(context.get("error") or error["msg"].removeprefix("Value error, "))
        return text if "found" in text or not text.startswith("expected") else f"{text}, found {actual}"
    if expected:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(error.get("input"), int | float) else ""
        return f"expected {expected}, found {actual}{quotes}"
    text = str(error["msg"])
    return f"{text[:1].lower()}{text[1:]}, found {actual}"


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    if kind in CONSTRAINT_WORDS:
        return CONSTRAINT_WORDS[kind].format(**context)
    base = kind.removesuffix("_type").removesuffix("_parsing")
    return TYPE_WORDS.get(base, "") if base != kind else ""
