"""A SOPS document opened with an age identity: every value bound to its path, all of them to the MAC.

Also documents that sops itself wrote, as far as age goes: people edit Secrets in the repository with `sops edit`.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Any

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyrage import x25519

from drkeeper.errors import KeyMissing, VerificationFailed
from drkeeper.systems._kubernetes.sops_tree import SECTION, Path, Rules, decoded, digest, leaves, replaced

_ENCRYPTED = re.compile(
    r"ENC\[AES256_GCM,data:(?P<data>[^,]*),iv:(?P<iv>[^,]+),tag:(?P<tag>[^,]+),type:(?P<type>[a-z]+)\]"
)
_HINT = "set secrets.identity to ${file:PATH} of an age identity (AGE-SECRET-KEY-1…) of one of the recipients"
_DAMAGED = "take it from an older recovery point or from git's history; change Secrets in git with `sops edit` only"
_NO_MATCH = "no matching"


def opened(manifest: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """The plain manifest.

    Args:
        manifest: A SOPS document, its keys in the order of the file.
        identity: Text of an age identity file; "" if there is none.

    Raises:
        KeyMissing: No identity, or none of a recipient.
        VerificationFailed: Changed since it was encrypted, or no sound SOPS document.
    """
    section = manifest.get(SECTION)
    name = _name(manifest)
    if not isinstance(section, dict):
        raise VerificationFailed(f"{name} has no `sops` section")
    data_key = _data_key(section, identity, name)
    rules = _rules(section)
    tree = {key: value for key, value in manifest.items() if key != SECTION}
    try:
        aes = AESGCM(data_key)
        plain: dict[str, Any] = replaced(
            tree, lambda path, value: _value(aes, path, value) if rules.encrypts(path) else value
        )
        stated = _plain(aes, str(section["mac"]), str(section["lastmodified"]))
        covered = (v for path, v in leaves(plain) if rules.encrypts(path) or not rules.mac_only_encrypted)
        found = digest(covered, only_encrypted=rules.mac_only_encrypted)
    except (InvalidTag, ValueError, KeyError, TypeError, re.error) as error:
        raise VerificationFailed(
            f"{name} was changed since it was encrypted, or is damaged",
            hint="restore it from git's history or the vault",
        ) from error
    if not hmac.compare_digest(str(stated).encode(), found):
        raise VerificationFailed(
            f"{name}: its MAC does not match its values: one was added, removed or replaced without sops",
            hint=_DAMAGED,
        )
    return plain


def _name(manifest: Mapping[str, Any]) -> str:
    """For messages; nothing of the document is believed."""
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"Secret {metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _rules(section: Mapping[str, Any]) -> Rules:
    words = ("encrypted_regex", "unencrypted_regex", "encrypted_suffix", "unencrypted_suffix")
    given = {word: str(section[word]) for word in words if section.get(word)}
    only = str(section.get("mac_only_encrypted", "")).lower() in ("true", "1", "t")
    return Rules(**given, mac_only_encrypted=only)


def _data_key(section: Mapping[str, Any], identity: str, name: str) -> bytes:
    entries = section.get("age")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not entries or section.get("shamir_threshold"):
        raise KeyMissing(f"{name} is encrypted for no age recipient alone", hint="encrypt it for age with `sops`")
    keys = _identities(identity, name)
    for entry in entries:
        try:
            return bytes(pyrage.decrypt(str(entry.get("enc", "")).encode(), keys))
        except pyrage.DecryptError as error:
            if _NO_MATCH not in str(error).lower():
                raise VerificationFailed(f"{name}: the age stanza in its `sops` section is damaged: {error}") from error
    recipients = ", ".join(str(entry.get("recipient", "?")) for entry in entries)
    raise KeyMissing(f"{name} is encrypted for {recipients}, and the identity is of none of these", hint=_HINT)


def _identities(text: str, name: str) -> list[x25519.Identity]:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise KeyMissing(f"{name} is encrypted, and no identity was given", hint=_HINT)
    try:
        return [x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError:
        # The library's message repeats nothing of the key today; it shall not tomorrow.
        raise KeyMissing("secrets.identity is not an age identity (AGE-SECRET-KEY-1…)", hint=_HINT) from None


def _value(aes: AESGCM, path: Path, value: Any) -> Any:
    return value if value == "" else _plain(aes, str(value), ":".join(path) + ":")


def _plain(aes: AESGCM, text: str, bound_to: str) -> Any:
    match = _ENCRYPTED.fullmatch(text)
    if match is None:
        raise ValueError("a value that should be encrypted is not")
    try:
        data, iv, tag = (base64.b64decode(match[part], validate=True) for part in ("data", "iv", "tag"))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return decoded(match["type"], aes.decrypt(iv, data + tag, bound_to.encode()))
