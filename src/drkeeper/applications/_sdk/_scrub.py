"""Values that must not be in a message, whatever a library wrote around them."""

import json
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

# Shorter ones ("1", "yes") are settings: leaving them out would make a message unreadable and hide nothing.
LEAST_LENGTH = 4


class Secrets:
    """The values of an environment, as they are and as URLs, JSON and Python write them."""

    def __init__(self, environment: Mapping[str, SecretStr]) -> None:
        values = {value.get_secret_value() for value in environment.values()}
        written = {form for value in values if len(value) >= LEAST_LENGTH for form in _forms(value)}
        self._written = sorted(written, key=len, reverse=True)

    @property
    def longest_bytes(self) -> int:
        """Of the longest of them."""
        return max((len(form.encode()) for form in self._written), default=0)

    def scrubbed(self, text: str) -> str:
        """The text with `***` instead of each of them."""
        for form in self._written:
            text = text.replace(form, "***")
        return text


def _forms(value: str) -> set[str]:
    return {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
