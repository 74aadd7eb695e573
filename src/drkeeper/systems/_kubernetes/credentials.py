"""ConfigMaps that hold a credential: those go to git and to the vault in clear, and people should learn of it.

Two sorts of evidence: texts that look like nothing but a credential (a private key, a JWT, a cloud's key id, a URL with
a password), and names such as `password` with a value that is no placeholder, reference or switch. A name like `secret`
or `token` mostly refers to a Secret, so its value must look random as well. Never is a value told.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

# Plain searches come first: hardly a ConfigMap gets past them, and there may be thousands. In lower case.
_NAME_HINTS = (
    "pass",
    "pwd",
    "token",
    "secret",
    "credential",
    "auth",
    "apikey",
    "accesskey",
    "privatekey",
    "_key",
    "-key",
)
_TEXT_HINTS = (
    *("private key", "eyj", "akia", "asia", "age-secret-key", "aiza", "hf_", "$2a$", "$2b$", "$2y$", "$apr1$"),
    *("ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox"),
)
_PATTERNS = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----\s*(?:\\n)?[A-Za-z0-9+/=:\-]"
    r"|\b(?:AKIA|ASIA)(?![0-9A-Z]*EXAMPLE)[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"
    r"|\b(?:ghp|gho|ghs|ghu|ghr)_[A-Za-z0-9]{36}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20}|\bxox[abprs]-[\w-]{10,}"
    r"|\bAIza[\w-]{35}\b|\bhf_[A-Za-z0-9]{30,}|\bAGE-SECRET-KEY-1[A-Z0-9]{58}"
    r"|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}|\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"
)
_URL = re.compile(r"\b[a-zA-Z][\w+.-]*://[^\s/:@\"'<>]*:(?P<value>[^\s/@\"'<>]+)@[\w.\[-]")
# `name: value`, `name = value`, `"name": "value",`, `export NAME=value`; YAML, INI, TOML, env and JSON alike.
_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:-[ ]+|export[ ]+)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?[ \t]*[:=][ \t]*"""
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s#,;'"][^\s,;]*)[ \t]*[,;]?[ \t]*(?:\#.*)?$""",
    re.MULTILINE,
)
_INSIDE = re.compile(r"""(?i)[\s;&?"'](?P<name>password|passwd|pwd)=(?P<value>[^\s;&"',]+)""")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_PASSWORDS = ("password", "passwd", "pwd", "passphrase", "pass")
_KEYS = ("apikey", "accesskey", "secretkey", "privatekey", "secretaccesskey", "encryptionkey", "signingkey")
_VAGUE = ("token", "secret", "credential", "credentials")
# In these a value in quotes counts only: `password = read()` is code.
_CODE = (".py", ".sh", ".js", ".ts", ".go", ".lua", ".rb", ".sql", ".jsonnet", ".tpl", ".rego")
_STORES = (".jks", ".p12", ".pfx", ".keystore")
_SWITCHES = r"[x*.]+|true|false|yes|no|on|off|null|none|nil|~|undefined|string|str"
_PLACEHOLDER = re.compile(
    r"(?i).*(?:\$[({A-Z_]|\{\{|%\(|<[^>]*>|change[-_ ]?me|placeholder|redacted|example|your[-_ ]|"
    rf"replace[-_ ]?(?:me|with)|todo|dummy).*|{_SWITCHES}|[|>][-+]?|&\w*|[\[{{(].*"
)
_REFERENCE = re.compile(r"(?:\.{0,2}/|[a-z]:\\|file:|env:|vault:|ref\+|[a-z]+://[^@]*$).*", re.IGNORECASE)
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{16,}|[!-~]{20,}")
_SHORTEST = 3
_DIGITS_SHORTEST = 4


def looks_secret(manifest: dict[str, Any]) -> list[str]:
    """Keys of a ConfigMap's data that look like credentials, sorted; `config.ini.password` for one inside a file."""
    texts: dict[str, str] = {key: value for key, value in (manifest.get("data") or {}).items() if value}
    binaries: dict[str, str] = manifest.get("binaryData") or {}
    texts.update((key, _text(value)) for key, value in binaries.items())
    found = {key for key in binaries if key.lower().endswith(_STORES)}
    everything = "\n".join((*texts, *texts.values())).lower()
    if _any_of(_NAME_HINTS, everything) or _any_of(_TEXT_HINTS, everything) or "@" in everything:
        for key, text in texts.items():
            found.update(_in_value(key, text))
    return sorted(found)


def _any_of(words: tuple[str, ...], text: str) -> bool:
    return any(map(text.__contains__, words))


def _text(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("latin-1")
    except binascii.Error:
        return ""


def _in_value(key: str, text: str) -> Iterator[str]:
    lowered = text.lower()
    if "\n" not in text.strip() and _is_credential(key, text.strip(), quoted=False):
        yield key
    if _any_of(_TEXT_HINTS, lowered) and _PATTERNS.search(text):
        yield key
    if "@" in text and any(_is_literal(url["value"]) for url in _URL.finditer(text)):
        yield key
    if _any_of(_NAME_HINTS, lowered):
        yield from (f"{key}.{name}" for name in _names(text, code=key.lower().endswith(_CODE)))


def _names(text: str, *, code: bool) -> Iterator[str]:
    for match in _ASSIGNMENT.finditer(text):
        value = match["value"]
        quoted = value[0] in "\"'"
        if (quoted or not code) and _is_credential(match["name"], value.strip("\"'"), quoted=quoted):
            yield match["name"]
    for match in () if code else _INSIDE.finditer(text):
        if _is_literal(match["value"]) and not _in_comment(text, match.start()):
            yield match["name"]


def _in_comment(text: str, position: int) -> bool:
    line = text[text.rfind("\n", 0, position) + 1 : position].lstrip()
    return line.startswith(("#", "//", ";", "--"))


def _is_credential(name: str, value: str, *, quoted: bool) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    last, joined = (words[-1], "".join(words)) if words else ("", "")
    if last in _PASSWORDS or joined.endswith(_PASSWORDS[:3]):
        return _is_literal(value) and (not value.isdigit() or len(value) >= _DIGITS_SHORTEST)
    if joined.endswith(_KEYS):
        return _is_literal(value) and (quoted or _is_random(value) or not value.islower())
    if last == "auth":
        return _is_basic(value)
    return last in _VAGUE and _is_literal(value) and _is_random(value)


def _is_literal(value: str) -> bool:
    """Neither empty, a placeholder, a switch, nor the place where the real value lies."""
    if len(value) < _SHORTEST or any(character in value for character in " \t()"):
        return False
    return not _PLACEHOLDER.fullmatch(value) and not _REFERENCE.fullmatch(value)


def _is_random(value: str) -> bool:
    """Letters and digits well mixed, or both cases and digits: names of Secrets are words in lower case."""
    if not _RANDOM.fullmatch(value) or not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    if value != value.lower() and value != value.upper():
        return True
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(value))
    return "-" not in value and "." not in value and changes >= len(value) // 6


def _is_basic(value: str) -> bool:
    """`user:password` in base64, as a registry's configuration has it."""
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(user and colon and password) and (user + password).isprintable()
