"""AWS Signature Version 4 for S3, with the payload left unsigned.

Written out because it is on the path of every request: 30 µs where botocore's, which is more general, takes 170.
Source: "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API reference; the tests hold it to
the worked example there.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Credentials:
    """Of one account; `token` for temporary ones, else ""."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Credentials({self.access_key})"


@dataclass
class Signer:
    """Signs requests to one host; the key of the day is kept."""

    region: str
    host: str
    _kept: tuple[str, Credentials, bytes] | None = None

    def headers(
        self,
        credentials: Credentials,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        *,
        now: datetime,
        payload: str = UNSIGNED,
    ) -> dict[str, str]:
        """The headers to send.

        Args:
            credentials: Whose request it is.
            method: GET, PUT …
            path: As it is sent: percent-encoded, from `/`.
            query: As it is sent: `name=value` pairs in the order of their names, percent-encoded.
            headers: Further headers, names in lower case; all are signed.
            now: UTC.
            payload: Hexadecimal SHA-256 of the body, or `UNSIGNED`.
        """
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": self.host, "x-amz-content-sha256": payload, "x-amz-date": moment, **headers}
        if credentials.token:
            sent["x-amz-security-token"] = credentials.token
        names = sorted(sent)
        signed = ";".join(names)
        canonical = "\n".join(
            (method, path, query, *(f"{name}:{sent[name].strip()}" for name in names), "", signed, payload)
        )
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        signature = hmac.digest(self._key(moment[:8], credentials), text.encode(), "sha256").hex()
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, "
            f"Signature={signature}"
        )
        return sent

    def _key(self, day: str, credentials: Credentials) -> bytes:
        if self._kept is None or self._kept[:2] != (day, credentials):
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self.region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._kept = (day, credentials, key)
        return self._kept[2]
