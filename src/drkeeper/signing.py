"""Ed25519 keys, and DSSE envelopes: bytes, what they are, and who signed them.

The format is that of https://github.com/secure-systems-lab/dsse (protocol.md, v1): what is signed are the bytes as they
are, with their type, so that nothing has to be written in one way only. A key's id is the SHA-256 of its raw public
key, in hex. `cryptography` takes a tenth of a second to import, so it is imported where it is used.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drkeeper.errors import UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "ed25519:"
KEY_BYTES = 32


class KeyUnusable(UsageInvalid):
    """What should be an Ed25519 key is none."""

    default_hint = "make one with `drkeeper key new --out FILE`"


class SignatureInvalid(VerificationFailed):
    """None of the known keys has signed these bytes."""


class Signature(BaseModel):
    """One signature of an envelope."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keyid: str
    sig: str


class Envelope(BaseModel):
    """Bytes and their signatures, in the names of the specification."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    payload_type: str = Field(alias="payloadType")
    payload: str
    signatures: tuple[Signature, ...]

    def dump(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(by_alias=True, indent=1).encode() + b"\n"

    def content(self) -> bytes:
        """What was signed. Says nothing of whether the signature holds: `signer` does.

        Raises:
            SignatureInvalid: It is not base64.
        """
        return _decoded(self.payload)


def read_envelope(data: bytes, what: str) -> Envelope:
    """An envelope as it was stored.

    Args:
        data: JSON.
        what: For the message: where it comes from.

    Raises:
        SignatureInvalid: It is none.
    """
    try:
        return Envelope.model_validate_json(data)
    except ValidationError as error:
        raise SignatureInvalid(f"{what} is no DSSE envelope: {error.errors()[0]['msg']}") from error


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: "Pre-Authentication Encoding" of the specification."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def new_key() -> str:
    """A private key, in PEM (PKCS 8, not encrypted)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def public_of(private_pem: str) -> bytes:
    """The raw public key of a private one.

    Raises:
        KeyUnusable: It is no private key in PEM, or not of Ed25519.
    """
    return _private(private_pem).public_key().public_bytes_raw()


def public_text(public: bytes) -> str:
    """A public key on one line, as a policy has it: `ed25519:` and base64."""
    return PREFIX + base64.b64encode(public).decode()


def public_pem(public: bytes) -> str:
    """A public key as openssl reads it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read_public(text: str) -> bytes:
    """The raw public key, of one line or of PEM.

    Raises:
        KeyUnusable: It is neither.
    """
    text = text.strip()
    if text.startswith("-----BEGIN PUBLIC KEY"):
        return _public_in_pem(text)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyUnusable(f"this is no Ed25519 public key; it begins with {PREFIX}") from error
    if len(key) != KEY_BYTES:
        raise KeyUnusable(f"an Ed25519 public key has {KEY_BYTES} bytes, and this one {len(key)}")
    return key


def key_id(public: bytes) -> str:
    """Names a public key."""
    return hashlib.sha256(public).hexdigest()


def sign(payload_type: str, payload: bytes, private_pem: str) -> Envelope:
    """An envelope of these bytes.

    Raises:
        KeyUnusable: The key is none.
    """
    private = _private(private_pem)
    signature = Signature(
        keyid=key_id(private.public_key().public_bytes_raw()),
        sig=base64.b64encode(private.sign(pae(payload_type, payload))).decode(),
    )
    return Envelope(payloadType=payload_type, payload=base64.b64encode(payload).decode(), signatures=(signature,))


def signer(envelope: Envelope, publics: Mapping[str, bytes]) -> str:
    """Which of the known keys has signed an envelope: its name.

    The id that a signature carries is a help for people and not believed: each known key is tried.

    Args:
        envelope: With what it says it is.
        publics: Name -> raw public key.

    Raises:
        SignatureInvalid: None of them has.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed = pae(envelope.payload_type, envelope.content())
    for signature in envelope.signatures:
        for name, public in publics.items():
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(_decoded(signature.sig), signed)
            except InvalidSignature:
                continue
            return name
    ids = ", ".join(signature.keyid[:12] for signature in envelope.signatures) or "nobody"
    known = ", ".join(f"{name} {key_id(public)[:12]}" for name, public in publics.items()) or "none"
    raise SignatureInvalid(
        f"the signature does not hold: it says that key {ids} has signed it; known are {known}",
        hint="either what was signed was changed afterwards, or another key has signed it",
    )


def _private(private_pem: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_pem.encode(), password=None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("this is no private key in PEM") from error
    except TypeError as error:
        raise KeyUnusable("this private key is encrypted; give one that is not, from a place that is") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable("this private key is not of Ed25519")
    return key


def _public_in_pem(text: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("this is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable("this public key is not of Ed25519")
    return key.public_bytes_raw()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureInvalid("the envelope is damaged: it is not base64") from error
