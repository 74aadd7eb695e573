"""Keys that only the operator holds: without them, secrets in a restored database are noise.

MLflow encrypts the secrets of webhooks with Fernet (`MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY`; where it is unset, each
server makes one up, and forgets it), and the table `secrets` with keys of their own, each wrapped by one that is
derived from a passphrase (`MLFLOW_CRYPTO_KEK_PASSPHRASE`). Formats are those of mlflow.utils.crypto and
mlflow.store.model_registry.dbmodels. A point holds a fingerprint of each key, never the key: scrypt with a salt of its
own, so that somebody who reads the vault cannot try passphrases any faster than against the database.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from pydantic import JsonValue, SecretStr

from drkeeper.applications._mlflow.database import Database, Row
from drkeeper.applications._mlflow.options import Options
from drkeeper.facts import Check

WEBHOOK, KEK = "webhook_key", "kek_passphrase"
SCRYPT_COST, SCRYPT_BLOCK, SCRYPT_BYTES = 1 << 15, 8, 64 << 20
# mlflow.utils.crypto
KEK_SALT, KEK_ITERATIONS, KEK_BYTES, NONCE_BYTES = b"mlflow-secrets-kek-v1-2025", 600_000, 32, 12

WEBHOOK_NEEDS = {"webhooks": "name secret deleted_timestamp"}
WEBHOOKS = "SELECT name, secret FROM webhooks WHERE secret <> '' AND deleted_timestamp IS NULL LIMIT 100"
SECRET_NEEDS = {"secrets": "secret_id secret_name encrypted_value wrapped_dek kek_version"}
SECRETS = "SELECT secret_name, secret_id, encrypted_value, wrapped_dek, kek_version FROM secrets LIMIT 100"
MISSING = "cryptography is not installed: pip install 'drkeeper[mlflow]'"


def fingerprints(options: Options) -> dict[str, JsonValue]:
    """Of the keys that the policy has, for the point."""
    found: dict[str, JsonValue] = {}
    for name, key in _keys(options).items():
        salt = secrets.token_bytes(16)
        found[name] = {"salt": salt.hex(), "fingerprint": _fingerprint(key, salt)}
    return found


def statements(database: Database, options: Options, recorded: Mapping[str, JsonValue]) -> Iterator[Check]:
    """The keys open what is in the database, and are those of the point.

    Args:
        database: Of MLflow.
        options: With the keys.
        recorded: What `fingerprints` gave when the point was taken.
    """
    yield _webhooks(database, options.webhook_key)
    yield _secrets(database, options.kek_passphrase, options.kek_version)
    for name, key in _keys(options).items():
        before = recorded.get(name)
        if isinstance(before, Mapping):
            same = hmac.compare_digest(
                _fingerprint(key, bytes.fromhex(str(before["salt"]))), str(before["fingerprint"])
            )
            yield _same(name, same=same)


def _keys(options: Options) -> dict[str, str]:
    keys = {}
    if options.webhook_key is not None:
        keys[WEBHOOK] = options.webhook_key.get_secret_value()
    if options.kek_passphrase is not None:
        keys[KEK] = f"{options.kek_version}:{options.kek_passphrase.get_secret_value()}"
    return keys


def _fingerprint(key: str, salt: bytes) -> str:
    digest = hashlib.scrypt(key.encode(), salt=salt, n=SCRYPT_COST, r=SCRYPT_BLOCK, p=1, maxmem=SCRYPT_BYTES, dklen=16)
    return digest.hex()


def _same(name: str, *, same: bool) -> Check:
    subject = f"keys.{name}.fingerprint"
    if same:
        return Check(subject=subject, verdict="passed", detail="the key of the point")
    detail = "the policy's key is not the one that it was when the point was taken"
    remedy = "take the former key out of the secret store for what is restored from this point"
    return Check(subject=subject, verdict="failed", severity="warning", detail=detail, remedy=remedy)


def _webhooks(database: Database, key: SecretStr | None) -> Check:
    subject = f"keys.{WEBHOOK}"
    if lacks := database.lacks(WEBHOOK_NEEDS):
        return Check(subject=subject, verdict="not checked", detail=lacks)
    rows = database.rows(WEBHOOKS)
    if key is None or not rows:
        return _untried(subject, f"{len(rows)} webhooks have secrets", rows, key)
    if find_spec("cryptography") is None:
        return Check(subject=subject, verdict="not checked", detail=MISSING)
    from cryptography.fernet import Fernet, InvalidToken

    remedy = "give the server the former MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY, or set these webhooks' secrets anew: it "
    remedy += "answers nothing about webhooks as long as one of them cannot be read"
    try:
        cipher = Fernet(key.get_secret_value())
    except ValueError:
        return Check(subject=subject, verdict="failed", detail="the policy's key is none of Fernet's", remedy=remedy)
    strange = []
    for name, token in rows:
        try:
            cipher.decrypt(token.encode())
        except InvalidToken:
            strange.append(name)
    return _opened(subject, "webhooks", strange, len(rows), remedy)


def _secrets(database: Database, passphrase: SecretStr | None, version: int) -> Check:
    subject = f"keys.{KEK}"
    if lacks := database.lacks(SECRET_NEEDS):
        return Check(subject=subject, verdict="not checked", detail=lacks)
    rows = database.rows(SECRETS)
    if passphrase is None or not rows:
        return _untried(subject, f"{len(rows)} secrets are kept", rows, passphrase)
    if find_spec("cryptography") is None:
        return Check(subject=subject, verdict="not checked", detail=MISSING)
    salt = KEK_SALT + version.to_bytes(4, "big")
    key = hashlib.pbkdf2_hmac("sha256", passphrase.get_secret_value().encode(), salt, KEK_ITERATIONS, KEK_BYTES)
    strange = [row[0] for row in rows if not _opens(row, key, version)]
    remedy = "give the server the former MLFLOW_CRYPTO_KEK_PASSPHRASE and MLFLOW_CRYPTO_KEK_VERSION, or keep these "
    return _opened(subject, "secrets", strange, len(rows), remedy + "secrets in MLflow anew")


def _opens(row: Row, key: bytes, version: int) -> bool:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    name, secret_id, value, wrapped, kek_version = row
    if kek_version != version:
        return False
    try:
        inner = AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], None)
        AESGCM(inner).decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], f"{secret_id}|{name}".encode())
    except (InvalidTag, ValueError):
        return False
    return True


def _untried(subject: str, said: str, rows: list[Row], key: SecretStr | None) -> Check:
    if rows:
        return Check(subject=subject, verdict="not checked", detail=f"{said}, and the policy does not have their key")
    if key is not None:
        return Check(subject=subject, verdict="not checked", detail="there is nothing to try the key on")
    return Check(subject=subject, verdict="passed", detail="nothing is encrypted")


def _opened(subject: str, what: str, strange: list[str], count: int, remedy: str) -> Check:
    if not strange:
        return Check(subject=subject, verdict="passed", detail=f"opens the secrets of {count} {what}")
    detail = f"the policy's key does not open {len(strange)} of {count} {what}: {', '.join(strange[:5])}"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)
