"""What a policy may say about a registry of Feast's."""

from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from drkeeper.buckets.options import DEFAULT_REGION, BucketOptions
from drkeeper.systems._postgres.options import Options as PostgresOptions
from drkeeper.systems._postgres.options import Tls

Form = Literal["file", "bucket", "postgres", "sqlite"]
SCHEMES: dict[str, Form] = {"": "file", "file": "file", "s3": "bucket", "postgresql": "postgres", "sqlite": "sqlite"}
OF_BUCKETS = (
    "endpoint",
    "region",
    "access_key",
    "secret_key",
    "session_token",
    "allow_http",
    "virtual_hosted",
    "ca_certificate",
    "timeout_seconds",
    "retries",
)
OF_POSTGRES = ("user", "password", "passfile", "tls", "schema_name", "connect_timeout_seconds", "lock_timeout_seconds")
POSTGRES_PORT = 5432


class Options(BaseModel):
    """A registry: a file, an object, or the tables of Feast's SQL registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    SANDBOX_FIELDS: ClassVar[tuple[str, ...]] = ()

    url: str = Field(
        description="/path/registry.db, s3://bucket/registry.db, postgresql://host:port/database or sqlite:////path.db"
    )
    lock: str | None = Field(
        None, description="The lock that its writers take (`drkeeper lock NAME -- feast apply`); default: its own name"
    )
    settle_seconds: float = Field(
        10, gt=0, description="How long a backup waits for a file that is being written to be whole"
    )
    cache_ttl_seconds: int = Field(
        600, ge=0, description="How long Feast's servers keep a registry they have read; 0: until they are restarted"
    )
    throw_away: bool = Field(default=False, description="A drill's own registry, which no server reads")

    endpoint: str | None = Field(None, description="s3: of a compatible server, e.g. https://minio.example:9000")
    region: str = Field(DEFAULT_REGION, description="s3: the bucket's region")
    access_key: str | None = Field(None, description="s3: without it, the environment's own credentials")
    secret_key: SecretStr | None = Field(None, description="s3: secret key")
    session_token: SecretStr | None = Field(None, description="s3: of temporary credentials")
    allow_http: bool = Field(default=False, description="s3: permit an endpoint without TLS")
    virtual_hosted: bool = Field(default=False, description="s3: bucket.host instead of host/bucket")
    ca_certificate: Path | None = Field(None, description="s3: PEM file of a private certificate authority")
    timeout_seconds: float = Field(60, gt=0, description="s3: bound of one request")
    retries: int = Field(5, ge=0, le=20, description="s3: of a request that failed for a passing reason")

    user: str | None = Field(None, description="postgresql: reads the registry's tables, and writes them in a restore")
    password: SecretStr | None = Field(None, description="postgresql: `${env:NAME}` or `${file:path}`")
    passfile: Path | None = Field(None, description="postgresql: a .pgpass file instead of a password")
    tls: Tls = Field(default_factory=Tls, description="postgresql: how connections are protected")
    schema_name: str = Field("public", description="postgresql: where the registry's tables are")
    connect_timeout_seconds: int = Field(10, ge=1, description="postgresql: bound of connecting")
    lock_timeout_seconds: float = Field(
        30, gt=0, description="postgresql, sqlite: how long to try for a moment at which nobody writes"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES:
            raise ValueError("url must be /path, s3://bucket/key, postgresql://host:port/database or sqlite:////path")
        if "@" in parts.netloc:
            raise ValueError("url names no user and no password: give `user` and `password`")
        others = {"bucket": OF_BUCKETS, "postgres": OF_POSTGRES}
        for form, names in others.items():
            given = [name for name in names if name in self.model_fields_set]
            shared = form == "postgres" and self.form == "sqlite" and given == ["lock_timeout_seconds"]
            if given and form != self.form and not shared:
                raise ValueError(f"{', '.join(given)}: not for a registry at {parts.scheme or 'a path'}")
        return self._insist_whole(parts.path)

    def _insist_whole(self, path: str) -> Self:
        match self.form:
            case "file" | "sqlite":
                if not self.path.is_absolute() or not self.path.name:
                    raise ValueError("the path must be absolute: /path/registry.db, or sqlite:////path/registry.db")
            case "bucket":
                if not self.key or self.key.endswith("/"):
                    raise ValueError("url must name the object: s3://bucket/registry.db")
                _ = self.bucket_options
            case "postgres":
                if not self.user:
                    raise ValueError("`user` is missing")
                if path.count("/") != 1 or not path.strip("/"):
                    raise ValueError("url must name the database: postgresql://host:port/database")
                _ = self.postgres_options
        return self

    @property
    def form(self) -> Form:
        """What the registry is kept in."""
        return SCHEMES[urlsplit(self.url).scheme]

    @property
    def path(self) -> Path:
        """Of a file; of SQLite's file, whose url has one slash more than others (as SQLAlchemy wants it)."""
        if self.form == "sqlite":
            return Path(self.url.removeprefix("sqlite:///"))
        return Path(self.url.removeprefix("file://"))

    @property
    def key(self) -> str:
        """Of the object, without what `bucket_options` names."""
        return self.url.rpartition("/")[2] if urlsplit(self.url).path.strip("/") else ""

    @property
    def bucket_options(self) -> BucketOptions:
        """The bucket, down to the folder in which the object lies."""
        fields = {name: getattr(self, name) for name in OF_BUCKETS}
        return BucketOptions.model_validate({**fields, "url": self.url.rpartition("/")[0]})

    @property
    def servers(self) -> tuple[BucketOptions | PostgresOptions, ...]:
        """Who is connected to."""
        match self.form:
            case "bucket":
                return (self.bucket_options,)
            case "postgres":
                return (self.postgres_options,)
            case _:
                return ()

    @property
    def database(self) -> str:
        """In PostgreSQL."""
        return urlsplit(self.url).path.strip("/")

    @property
    def postgres_options(self) -> PostgresOptions:
        """The server."""
        parts = urlsplit(self.url)
        return PostgresOptions(
            host=parts.hostname or "localhost",
            port=parts.port or POSTGRES_PORT,
            user=self.user or "",
            password=self.password,
            passfile=self.passfile,
            tls=self.tls,
            connect_timeout_seconds=self.connect_timeout_seconds,
        )
