"""What a policy may say about a Redis or Valkey server."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Strict):
    """TLS of our connections to the server."""

    enabled: bool = Field(default=False, description="Speak TLS with the server.")
    ca: Path | None = Field(default=None, description="PEM file of the authorities to trust; the system's by default.")
    cert: Path | None = Field(default=None, description="PEM file of our client certificate.")
    key: Path | None = Field(default=None, description="PEM file of the client certificate's key.")
    verify: bool = Field(default=True, description="Check the server's certificate and name.")
    server_name: str = Field(default="", description="Name that the certificate must carry; the host by default.")


class Replica(_Strict):
    """A replica node to read from, with the same user, password and TLS settings as the primary."""

    host: str = Field(description="Host name or address of the replica.")
    port: int = Field(default=6379, ge=1, le=65535, description="Port of the replica.")


class Options(_Strict):
    """A Redis or Valkey server."""

    host: str = Field(description="Host name or address of the server (the primary).")
    port: int = Field(default=6379, ge=1, le=65535, description="Port of the server.")
    user: str = Field(default="", description="ACL user; the default user where empty.")
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    tls: Tls = Field(default_factory=Tls, description="TLS settings.")
    replica: Replica | None = Field(default=None, description="Capture from this replica while it keeps up.")
    capture: Literal["auto", "replication", "scan"] = Field(
        default="auto", description="As a replica (PSYNC), or by SCAN and DUMP; auto falls back to the latter."
    )
    restore: Literal["auto", "replication", "commands"] = Field(
        default="auto", description="By serving the RDB to the target (REPLICAOF), or by RESTORE commands."
    )
    listen_host: str = Field(default="", description="Address on which a restore serves the RDB to the target.")
    listen_port: int = Field(default=0, ge=0, le=65535, description="Port for that; 0 takes a free one.")
    advertise_host: str = Field(
        default="", description="Address at which the target reaches us; by default, that of our connection to it."
    )
    connect_timeout_seconds: float = Field(default=5.0, gt=0, description="Longest wait for a connection.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="Longest silence in a command or a transfer.")
    fork_timeout_seconds: float = Field(default=300.0, gt=0, description="Longest wait for the server to fork.")
    load_timeout_seconds: float = Field(default=3600.0, gt=0, description="Longest wait for the target to load.")
    scratch: Path | None = Field(default=None, description="Folder for the RDB while it is being restored.")
    sample_keys: int = Field(default=64, ge=0, le=10_000, description="Keys whose contents are compared.")
    maxmemory_headroom: float = Field(
        default=1.1, ge=1.0, description="The target's maxmemory must be this many times the source's used memory."
    )
    export_for_version: str = Field(
        default="", description="Ask the source for an RDB that this server version can load (Valkey 9.1 and later)."
    )
