"""Secrets as SOPS documents: `sops -d` and GitOps tools read them; an unchanged Secret encrypts to the same bytes.

sops itself draws a new data key at each encryption, so each backup would change every Secret in git, and no frame of
the vault would ever be met twice. Here all that is drawn at random is derived instead, by HMAC-SHA256 under
`secrets.key`, each value under a name of its own (docs/adr/0102):

- The data key is derived from the object's identity, the recipients, and all that will be encrypted: paths, types and
  plaintexts. So one data key encrypts one content, and no IV, itself derived from data key and path, ever meets another
  plaintext: the construction of AES-SIV. Equal ciphertext says "unchanged", which git's history would say anyway.
- File key, ephemeral secret and nonce of each age stanza are derived from data key and recipient.
- Who learns `secrets.key` alone cannot decrypt: he lacks the plaintext that the data key is derived from. He can check
  a guess, which matters for weak passwords only. Who is taken from the recipients does not know the new data key.

Format: SOPS 3.9 and later (`mac_only_encrypted`), its `aes` and `sops` packages.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drkeeper.errors import PolicyInvalid
from drkeeper.systems._kubernetes.age_stanza import Parts, recipient_key, sealed
from drkeeper.systems._kubernetes.options import SecretsOptions
from drkeeper.systems._kubernetes.sops_open import opened
from drkeeper.systems._kubernetes.sops_tree import SECTION, Path, Rules, digest, encoded, leaves, replaced

KEY_LENGTH = 32
_RULES = Rules(encrypted_regex="^(data|stringData)$", mac_only_encrypted=True)
# Not when it was encrypted: that would differ each time. It only has to be what the MAC is bound to.
_LAST_MODIFIED = "2000-01-01T00:00:00Z"
_VERSION = "3.9.0"
_TAG_BYTES = 16
# The order in which `render` writes keys: the MAC is over the values in the order of the file.
_FIRST = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True)
class _Derived:
    """What is derived under one key, for one content."""

    key: bytes

    def value(self, purpose: str, *parts: bytes) -> bytes:
        """32 bytes; other purposes or parts give unrelated ones, for each part is preceded by its length."""
        text = b"".join(len(part).to_bytes(8) + part for part in (b"drkeeper sops 1", purpose.encode(), *parts))
        return hmac.new(self.key, text, hashlib.sha256).digest()


def is_encrypted(manifest: dict[str, Any]) -> bool:
    """Whether this is a SOPS document."""
    return isinstance(manifest.get(SECTION), dict)


def check(secrets: SecretsOptions) -> None:
    """Whether these options can encrypt.

    Raises:
        PolicyInvalid: The key is too short, or a recipient cannot be read.
    """
    if len(secrets.key.get_secret_value()) < KEY_LENGTH:
        raise PolicyInvalid(
            f"secrets.key is shorter than {KEY_LENGTH} characters",
            hint="make one with `openssl rand -hex 32`, and set secrets.key to ${file:PATH} or ${env:NAME}",
        )
    for recipient in secrets.recipients:
        _check_recipient(recipient)


@lru_cache(maxsize=64)
def _check_recipient(recipient: str) -> None:
    if recipient.upper().startswith("AGE-SECRET-KEY-"):
        raise PolicyInvalid(
            "secrets.recipients holds an age identity, which is secret",
            hint="name its public key there (`age-keygen -y`), and treat that identity as known to others",
        )
    try:
        recipient_key(recipient)
    except ValueError as error:
        raise PolicyInvalid(
            f"secrets.recipients: {recipient} cannot be used: {error}",
            hint="`age-keygen -y IDENTITY` prints the public key; ssh and plugin keys are not supported",
        ) from error


def encrypt(manifest: dict[str, Any], secrets: SecretsOptions) -> dict[str, Any]:
    """The manifest with the values of `data` and `stringData` encrypted, and a `sops` section.

    The same manifest, key and recipients give the very same result. Its keys are in the order in which `render` writes
    them, for the MAC depends on it.

    Raises:
        PolicyInvalid: See `check`.
    """
    check(secrets)
    ordered = _ordered(manifest)
    plain = [(path, value) for path, value in leaves(ordered) if _RULES.encrypts(path)]
    root = _Derived(secrets.key.get_secret_value().encode())
    data_key = root.value("data key", *_context(manifest, secrets), *_content(plain))
    cipher = _Cipher(data_key, root)
    document: dict[str, Any] = replaced(
        ordered, lambda path, value: cipher.sealed(path, value) if _RULES.encrypts(path) else value
    )
    mac = digest((value for _, value in plain), only_encrypted=True)
    document[SECTION] = {
        "age": [
            {"enc": sealed(data_key, recipient, _parts(root, data_key, recipient)), "recipient": recipient}
            for recipient in dict.fromkeys(secrets.recipients)
        ],
        "encrypted_regex": _RULES.encrypted_regex,
        "lastmodified": _LAST_MODIFIED,
        "mac": cipher.text(mac, "str", _LAST_MODIFIED, b"mac"),
        "mac_only_encrypted": True,
        "version": _VERSION,
    }
    return document


def decrypt(manifest: dict[str, Any], secrets: SecretsOptions) -> dict[str, Any]:
    """The plain manifest of a SOPS document, ours or one that sops itself wrote, its MAC verified.

    Raises:
        KeyMissing: There is no identity, or none that opens it.
        VerificationFailed: It was changed since it was encrypted, or is no sound SOPS document.
    """
    return opened(manifest, secrets.identity.get_secret_value() if secrets.identity else "")


def _ordered(manifest: dict[str, Any]) -> dict[str, Any]:
    keys = [*(key for key in _FIRST if key in manifest), *sorted(manifest.keys() - {*_FIRST, SECTION})]
    return {key: _sorted(manifest[key]) for key in keys}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _context(manifest: dict[str, Any], secrets: SecretsOptions) -> Iterator[bytes]:
    """Whose content it is and for whom: neither two Secrets nor two sets of recipients share a data key."""
    metadata = manifest.get("metadata") or {}
    for word in (manifest.get("kind"), metadata.get("namespace"), metadata.get("name")):
        yield str(word or "").encode()
    recipients = sorted(set(secrets.recipients))
    yield len(recipients).to_bytes(4)
    yield from (recipient.encode() for recipient in recipients)


def _content(plain: list[tuple[Path, Any]]) -> Iterator[bytes]:
    for path, value in plain:
        kind, data = encoded(value)
        yield len(path).to_bytes(4)
        yield from (name.encode() for name in path)
        yield kind.encode()
        yield data


def _parts(root: _Derived, data_key: bytes, recipient: str) -> Parts:
    who = recipient.encode()
    return Parts(
        file_key=root.value("file key", data_key, who)[:16],
        ephemeral=root.value("ephemeral", data_key, who),
        nonce=root.value("nonce", data_key, who)[:16],
    )


class _Cipher:
    """Values of one document."""

    def __init__(self, data_key: bytes, root: _Derived) -> None:
        self._aes = AESGCM(data_key)
        self._data_key = data_key
        self._root = root
        self._count = 0

    def sealed(self, path: Path, value: Any) -> Any:
        """`ENC[…]`; an empty text stays as it is, as with sops."""
        if value == "":
            return value
        kind, data = encoded(value)
        self._count += 1
        # Entries of a list share their path, so each value is counted too.
        return self.text(data, kind, ":".join(path) + ":", b"value %d" % self._count)

    def text(self, data: bytes, kind: str, bound_to: str, use: bytes) -> str:
        iv = self._root.value("iv", self._data_key, use, bound_to.encode())
        both = self._aes.encrypt(iv, data, bound_to.encode())
        parts = (both[:-_TAG_BYTES], iv, both[-_TAG_BYTES:])
        data64, iv64, tag64 = (base64.b64encode(part).decode() for part in parts)
        return f"ENC[AES256_GCM,data:{data64},iv:{iv64},tag:{tag64},type:{kind}]"
