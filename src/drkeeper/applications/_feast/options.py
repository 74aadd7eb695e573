"""What a policy may say about a Feast project."""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from drkeeper.applications import ApplicationOptions
from drkeeper.applications._sdk import Limits


class Options(ApplicationOptions):
    """A Feast project: a registry, an online store, and how its features are read."""

    project: str = Field(min_length=1, description="Name of the project, as in feature_store.yaml")
    registry: str = Field(description="System of kind feast_registry: frozen first, for it refers to the store")
    online: str = Field(description="System of kind redis that is the online store")
    sources: tuple[str, ...] = Field((), description="Systems of kind objects where its offline sources are")
    tracking: str = Field("", description="Application of kind mlflow whose models use these features")
    service: str = Field("", description="Feature service that is read and compared; by default, all views")
    rebuild: Literal["auto", "materialise", "full", "never"] = Field(
        "auto", description="How the online store is brought up to date after a restore"
    )
    sample_entities: int = Field(20, ge=0, le=1000, description="Entities whose values are recorded and compared")
    scan_keys: int = Field(100_000, ge=1, description="A check looks at no more keys of the online store than so many")
    scan_seconds: float = Field(30, gt=0, description="... and for no longer than so many seconds")
    lag_seconds: float = Field(
        172_800, ge=0, description="The newest event may lie so long before the end of the last materialisation"
    )
    outage_seconds: float = Field(
        14_400, gt=0, description="An outage that no entity's time to live should be over in (the policy's RTO)"
    )
    key_ttl_seconds: int | None = Field(
        None, ge=1, description="The online store's key_ttl_seconds, as in feature_store.yaml; a rebuild sets it"
    )
    online_versions: bool = Field(
        default=False, description="The registry's enable_online_feature_view_versioning, as in feature_store.yaml"
    )
    repository: Path | None = Field(
        None, description="Folder of feature_store.yaml: relative paths of sources begin there"
    )
    offline: dict[str, JsonValue] = Field(
        {"type": "file"}, description="The offline_store of feature_store.yaml; no secrets"
    )
    skew: bool = Field(default=True, description="Compare what is served with the offline store, through Feast itself")
    python: str = Field(
        "", description="Python that has Feast, for what Feast itself is asked; by default, drkeeper's own"
    )
    seconds: float = Field(300, gt=0, description="Longest time that Feast is given for one answer")
    memory_bytes: int = Field(2 << 30, ge=256 << 20, description="Most memory that it may take")

    @property
    def systems(self) -> tuple[str, ...]:
        """The registry, then what it refers to."""
        return (self.registry, self.online, *self.sources)

    @property
    def companions(self) -> dict[str, str]:
        """The application whose models are served with these features."""
        return {self.tracking: "mlflow"} if self.tracking else {}

    def kinds(self) -> dict[str, str]:
        """What only one kind of system can be."""
        return {self.registry: "feast_registry", self.online: "redis"}

    @property
    def limits(self) -> Limits:
        """Of a process of Feast's."""
        return Limits(python=self.python or sys.executable, seconds=self.seconds, memory_bytes=self.memory_bytes)
