"""What a policy may say about a PostgreSQL server."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]

MEBIBYTE = 1 << 20


class Tls(BaseModel):
    """How connections are protected; the words are libpq's `sslmode`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: TlsMode = Field("prefer", description="`verify-full` is the only one that keeps an impostor out")
    ca: Path | None = Field(None, description="certificates that we trust, PEM")
    cert: Path | None = Field(None, description="our own certificate, PEM")
    key: Path | None = Field(None, description="its private key, PEM, mode 0600")


class Options(BaseModel):
    """A PostgreSQL server and which of its databases are protected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="name, address, or folder of a Unix socket")
    port: int = Field(5432, ge=1, le=65535)
    user: str = Field(description="reads all that is protected (`pg_read_all_data`); a restore needs more")
    password: SecretStr | None = Field(None, description="`${env:NAME}` or `${file:path}`")
    passfile: Path | None = Field(None, description="a .pgpass file instead of a password")
    databases: tuple[str, ...] | None = Field(
        None, description="default: all that accept connections, but templates and the maintenance database"
    )
    maintenance_database: str = Field("postgres", description="where we connect to look at the others")
    tls: Tls = Tls()
    globals: bool = Field(default=True, description="roles and tablespaces are backed up and restored too")
    role_passwords: bool = Field(default=False, description="keep the roles' password hashes; needs `pg_read_all_data`")
    owners: bool = Field(default=True, description="restore owners and grants; off where the target's roles are others")
    bin_folder: Path | None = Field(None, description="where pg_dump and pg_restore lie; default: looked for")
    exclude_tables: tuple[str, ...] = Field(
        (), description="`schema.table` with `*` and `?`, restored empty; each name is matched in its exact case"
    )
    count_rows: Literal["exact", "off"] = Field(
        "exact", description="rows per table as a fact that a restore must meet"
    )
    connect_timeout_seconds: int = Field(10, ge=1)
    lock_timeout_seconds: int = Field(60, ge=1, description="how long a backup waits for somebody's table lock")
    restore_jobs: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="parallel pg_restore")
    maintenance_work_mem_bytes: int | None = Field(
        None, ge=MEBIBYTE, description="of each restore job; default: 1/16 of this machine's memory, 1 GiB at most"
    )
    scratch: Path | None = Field(None, description="folder for one dump at a time while restoring; default: TMPDIR")
    missing_locale: Literal["refuse", "replace"] = Field(
        "refuse", description="`replace` takes the target's own collation for one that it lacks; for drills"
    )

    @model_validator(mode="after")
    def _one_source_of_the_password(self) -> "Options":
        if self.password is not None and self.passfile is not None:
            raise ValueError("give `password` or `passfile`, not both")
        return self

    @property
    def work_memory_bytes(self) -> int:
        """For `maintenance_work_mem`; this machine's memory stands for the server's, which SQL does not tell."""
        if self.maintenance_work_mem_bytes is not None:
            return self.maintenance_work_mem_bytes
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return max(64 * MEBIBYTE, min(1024 * MEBIBYTE, memory // 16))
