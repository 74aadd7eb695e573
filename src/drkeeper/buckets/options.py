"""What a policy may say about one bucket."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

DEFAULT_REGION = "us-east-1"
SCHEME = "s3://"


class BucketOptions(BaseModel):
    """A bucket of an S3-compatible server, or a prefix in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="s3://bucket or s3://bucket/prefix")
    endpoint: str | None = Field(None, description="Of an S3-compatible server, e.g. https://minio.example:9000")
    region: str = Field(DEFAULT_REGION, description="The bucket's region")
    access_key: str | None = Field(None, description="Access key; without it, the environment's own credentials")
    secret_key: SecretStr | None = Field(None, description="Secret key")
    session_token: SecretStr | None = Field(None, description="Of temporary credentials")
    allow_http: bool = Field(default=False, description="Permit an endpoint without TLS")
    virtual_hosted: bool = Field(default=False, description="bucket.host instead of host/bucket")
    ca_certificate: Path | None = Field(None, description="PEM file of a private certificate authority")
    timeout_seconds: float = Field(60, gt=0, description="Bound of one request")
    etags: Literal["digests", "opaque"] = Field(
        "digests",
        description="opaque: objects are encrypted with SSE-KMS or SSE-C, ETags say nothing of bytes; copies are "
        "compared by size and age",
    )
    storage_class: str | None = Field(None, description="Of copies written there; by default that of the original")
    retries: int = Field(5, ge=0, le=20, description="Of a request that failed for a passing reason")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.url.startswith(SCHEME) or not self.bucket:
            raise ValueError("url must be s3://bucket or s3://bucket/prefix")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        if (self.endpoint or "").startswith("http://") and not self.allow_http:
            raise ValueError("the endpoint has no TLS; say allow_http: true where that is meant")
        return self

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.url.removeprefix(SCHEME).partition("/")[0]

    @property
    def prefix(self) -> str:
        """What all keys begin with: "" or a text that ends in `/`."""
        inner = self.url.removeprefix(SCHEME).partition("/")[2].strip("/")
        return f"{inner}/" if inner else ""
