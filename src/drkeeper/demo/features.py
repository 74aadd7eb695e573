"""What the demo does with Feast, through its SDK: churn features of the CDNOW customers, served from Valkey.

Meant for a process of its own (`worker`): Feast takes seconds to import.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drkeeper.applications._sdk.child import unchecked
from drkeeper.demo.customers import FEATURE_NAMES, INSTALL_HINT, Customer, load_customers
from drkeeper.errors import ToolMissing

PROJECT = "churn"
VIEW = "customer_churn"
SERVICE = "churn_service"  # what models are trained on and served with
SAMPLE_STEP = 10  # every tenth customer is asked for in a snapshot
# The shop of 1997 is told as if its observation had ended two days ago: features of long ago are served as absent.
COMPUTED = timedelta(days=2)
VALID_FOR = timedelta(days=30)

Snapshot = dict[str, Any]


def connection_string(endpoint: Mapping[str, Any]) -> str:
    """Where the online store is, as Feast wants it; carries the password."""
    return f"{endpoint['host']}:{endpoint['port']},password={endpoint['password']}"


class Features:
    """One Feast feature store, seen through the SDK.

    Args:
        online: The Valkey server's `connection_string`.
        registry: Its file, lost with its region.
        folder: Where the offline store lies; it outlives a region, as a warehouse would.
    """

    def __init__(self, online: str, registry: Path, folder: Path) -> None:
        self._feast = import_feast()
        for each in (registry.parent, folder):
            each.mkdir(parents=True, exist_ok=True)
        self._offline_path = folder / f"{VIEW}.parquet"
        self._store = self._feast.FeatureStore(config=self._config(online, registry))
        self._customers = load_customers()
        self._computed_at = datetime.now(UTC).replace(microsecond=0) - COMPUTED

    def seed(self) -> None:
        """Write the offline store, apply the definitions, and materialise all customers."""
        self._append_offline(self._customers, self._computed_at)
        self._store.apply(self._definitions())
        self._materialise(self._computed_at)

    def go_on(self, days: int) -> Snapshot:
        """Features as computed so many days later, of every third customer: older and with one more purchase."""
        moment = self._computed_at + timedelta(days=days)
        changed = [_later(customer, days) for customer in self._customers[::3]]
        self._append_offline(changed, moment)
        self._materialise(moment)
        return {"customers": len(changed)}

    def training_set(self) -> Snapshot:
        """What the feature service knew of each customer when the features were computed, and who has left since."""
        import pandas as pd

        moment = pd.Timestamp(self._computed_at)
        entities = pd.DataFrame(
            {"customer_id": [customer.customer_id for customer in self._customers], "event_timestamp": moment}
        )
        service = self._store.get_feature_service(SERVICE)
        known = self._store.get_historical_features(entity_df=entities, features=service).to_df()
        churned = {customer.customer_id: customer.churned for customer in self._customers}
        columns = [known[name].tolist() for name in ("customer_id", *FEATURE_NAMES)]
        rows = [[*map(float, values), churned[number]] for number, *values in zip(*columns, strict=True)]
        return {"rows": sorted(rows)}

    def snapshot(self) -> Snapshot:
        """What is registered, and what the online store serves for a sample of the customers."""
        ids = [customer.customer_id for customer in self._customers[::SAMPLE_STEP]]
        answer = self._store.get_online_features(
            features=[f"{VIEW}:{name}" for name in FEATURE_NAMES],
            entity_rows=[{"customer_id": customer_id} for customer_id in ids],
        ).to_dict()
        columns = [answer[name] for name in FEATURE_NAMES]
        served = {str(number): list(values) for number, *values in zip(answer["customer_id"], *columns, strict=True)}
        return {
            "views": [view.name for view in self._store.list_feature_views()],
            "customers": len(self._customers),
            "served": served,
            "absent": sum(None in values for values in served.values()),
        }

    def _config(self, online: str, registry: Path) -> Any:
        from feast.repo_config import RepoConfig

        return RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str(registry),
            online_store={"type": "redis", "connection_string": online},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )

    def _definitions(self) -> list[Any]:
        feast = self._feast
        from feast.types import Float32, Int64

        customer = feast.Entity(name="customer", join_keys=["customer_id"], value_type=feast.ValueType.INT64)
        source = feast.FileSource(name="cdnow", path=str(self._offline_path), timestamp_field="computed_at")
        fields = [feast.Field(name=name, dtype=Float32) for name in FEATURE_NAMES]
        view = feast.FeatureView(
            name=VIEW,
            entities=[customer],
            schema=[feast.Field(name="customer_id", dtype=Int64), *fields],
            source=source,
            ttl=VALID_FOR,
            online=True,
        )
        service = feast.FeatureService(name=SERVICE, features=[view])
        return [customer, source, view, service]

    def _append_offline(self, customers: list[Customer], moment: datetime) -> None:
        """Rows are added, as in a warehouse: what was known at an earlier moment stays."""
        import pandas as pd

        table = pd.DataFrame([customer.features for customer in customers], columns=list(FEATURE_NAMES))
        table.insert(0, "customer_id", [customer.customer_id for customer in customers])
        table["computed_at"] = pd.Timestamp(moment)
        earlier = [pd.read_parquet(self._offline_path)] if self._offline_path.exists() else []
        pd.concat([*earlier, table]).to_parquet(self._offline_path)

    def _materialise(self, moment: datetime) -> None:
        self._store.materialize(moment - timedelta(hours=1), moment, feature_views=[VIEW])


def _later(customer: Customer, days: int) -> Customer:
    weeks = days / 7
    return Customer(
        customer_id=customer.customer_id,
        frequency=customer.frequency + 1,
        recency_weeks=customer.age_weeks + weeks,
        age_weeks=customer.age_weeks + weeks,
        monetary_value=customer.monetary_value,
        churned=customer.churned,
    )


def import_feast() -> Any:
    """Feast, told to be quiet and to phone nobody before it is imported.

    Raises:
        ToolMissing: It is not installed.
    """
    os.environ.update(FEAST_USAGE="False", DO_NOT_TRACK="true", TQDM_DISABLE="1")
    warnings.simplefilter("ignore")
    try:
        with unchecked():
            import feast
    except ImportError as error:
        raise ToolMissing("Feast is not installed", hint=INSTALL_HINT) from error
    logging.getLogger("feast").setLevel(logging.ERROR)
    return feast
