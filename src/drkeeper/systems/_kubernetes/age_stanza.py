"""An age file for one X25519 recipient, whose random parts are given: libraries draw them, so no file comes out twice.

Who gives the parts must never give the same ones for another content or another recipient; `sops` derives them from
both. What is written here, age, pyrage and sops read. Format: https://c2sp.org/age; Bech32: BIP 173.
"""

import base64
import hashlib
import hmac
import textwrap
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_INTRO = b"age-encryption.org/v1"
_PREFIX = "age"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH = 6
_RECIPIENT_BYTES = 32
_ARMOR_WIDTH = 64
# A payload of one chunk: counter 0, marked as the last.
_ONLY_CHUNK = bytes(11) + b"\x01"
_CHUNK_BYTES = 64 << 10


@dataclass(frozen=True)
class Parts:
    """What is usually drawn at random.

    Args:
        file_key: 16 bytes; encrypts the payload's key.
        ephemeral: 32 bytes; the sender's secret.
        nonce: 16 bytes; of the payload.
    """

    file_key: bytes
    ephemeral: bytes
    nonce: bytes


def sealed(content: bytes, recipient: str, parts: Parts) -> str:
    """The armored file.

    Raises:
        ValueError: The recipient is not an X25519 one of age, or the content larger than one chunk (64 KiB).
    """
    if len(content) > _CHUNK_BYTES:
        raise ValueError("more than one chunk of age")
    header = _INTRO + b"\n" + _stanza(recipient_key(recipient), parts) + b"---"
    mac = hmac.new(_derived(parts.file_key, b"", b"header"), header, hashlib.sha256).digest()
    payload = ChaCha20Poly1305(_derived(parts.file_key, parts.nonce, b"payload")).encrypt(_ONLY_CHUNK, content, None)
    return _armored(header + b" " + _base64(mac) + b"\n" + parts.nonce + payload)


def _stanza(recipient: bytes, parts: Parts) -> bytes:
    """The file key, wrapped for the recipient."""
    ephemeral = X25519PrivateKey.from_private_bytes(parts.ephemeral)
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    wrap_key = _derived(shared, share + recipient, _INTRO + b"/X25519")
    body = ChaCha20Poly1305(wrap_key).encrypt(bytes(12), parts.file_key, None)
    return b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n"


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(secret)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _armored(data: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(data).decode(), _ARMOR_WIDTH)
    return "\n".join(["-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----", ""])


def recipient_key(recipient: str) -> bytes:
    """The public key in `age1…`.

    Raises:
        ValueError: Mistyped, or of another kind (ssh, plugins, post-quantum).
    """
    prefix, separator, rest = recipient.lower().rpartition("1")
    mixed = recipient not in (recipient.lower(), recipient.upper())
    if not separator or prefix != _PREFIX or mixed or any(letter not in _BECH32 for letter in rest):
        raise ValueError("it is not an age public key (age1…)")
    values = [_BECH32.index(letter) for letter in rest]
    if _polymod([*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]) != 1:
        raise ValueError("its checksum is wrong: mistyped or cut off")
    bits = "".join(f"{value:05b}" for value in values[:-_CHECKSUM_LENGTH])
    whole = len(bits) // 8
    if whole != _RECIPIENT_BYTES or "1" in bits[whole * 8 :]:
        raise ValueError("it has not the length of an X25519 key")
    key = int(bits[: whole * 8], 2).to_bytes(whole)
    if not int.from_bytes(key):
        raise ValueError("it is no key")
    return key


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if (top >> bit) & 1 else 0
    return check
