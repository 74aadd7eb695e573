"""What a policy may say about MLflow."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from drkeeper.applications import ApplicationOptions


class RecordedModel(BaseModel):
    """A registered model whose prediction is recorded, and asked for again after a restore."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Of the registered model")
    alias: str = Field("champion", description="Names the version that is loaded")
    input: Path | None = Field(
        None, description="JSON file: `dataframe_split`, `inputs` …, or a list of records; default: the model's example"
    )


class Options(ApplicationOptions):
    """One MLflow tracking server and model registry."""

    database: str = Field(description="System of kind postgres that holds MLflow's database")
    database_name: str | None = Field(None, description="The database, where that system has several")
    artifacts: tuple[str, ...] = Field((), description="Systems of kind objects that hold artifacts")
    artifacts_destination: str | None = Field(
        None, description="What proxied locations (mlflow-artifacts:/) stand for: the server's --artifacts-destination"
    )
    registry: str | None = Field(
        None, description="System of kind feast_registry in which the tags `feast.*` of runs and versions must resolve"
    )
    models: tuple[RecordedModel, ...] = Field((), description="Models whose predictions are recorded and compared")
    webhook_key: SecretStr | None = Field(None, description="The server's MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
    kek_passphrase: SecretStr | None = Field(None, description="The server's MLFLOW_CRYPTO_KEK_PASSPHRASE")
    kek_version: int = Field(1, ge=1, description="The server's MLFLOW_CRYPTO_KEK_VERSION")
    python: str = Field(
        default_factory=lambda: sys.executable, description="Python in which MLflow and the models' libraries are"
    )
    model_seconds: float = Field(120, gt=0, description="Bound of loading one model and predicting with it")
    model_memory_bytes: int = Field(2 << 30, ge=1 << 26, description="Bound of the process that loads a model")
    model_bytes: int = Field(1 << 30, ge=1, description="Bound of one model's files, which are fetched to load it")
    recipes: int = Field(
        20, ge=0, description="How many MLmodel files are read: those of versions with an alias, then of the newest"
    )

    @property
    def systems(self) -> tuple[str, ...]:
        """The database first: what it refers to is frozen after it, and is there."""
        return (self.database, *self.artifacts, *((self.registry,) if self.registry else ()))

    def kinds(self) -> Mapping[str, str]:
        """Which kind each of them must be of."""
        registry = {self.registry: "feast_registry"} if self.registry else {}
        return {self.database: "postgres", **dict.fromkeys(self.artifacts, "objects"), **registry}
