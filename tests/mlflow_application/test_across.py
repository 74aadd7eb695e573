"""MLflow in PostgreSQL and a bucket, Feast in Valkey and a file: the champion says of served features what it said."""

import pytest

from drkeeper import clock
from drkeeper.applications._across.statements import checked, recorded
from drkeeper.applications._feast.definitions import definitions_of
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.repo import repo_config
from drkeeper.applications._feast.samples import sample_of
from drkeeper.applications._feast.through_feast import Feast
from drkeeper.feature_registry import parse
from drkeeper.systems.feast_registry import Options as RegistryOptions
from drkeeper.systems.feast_registry import open_system as open_registry
from drkeeper.systems.redis import Options as RedisOptions
from drkeeper.systems.redis import RedisSystem
from sdk.models import MISBEHAVING
from sdk.shop import ask, hour, made_shop

MODEL = """
def _load_pyfunc(path):
    return Model()

class Model:
    def predict(self, table, params=None):
        return [{"risk": count - 2 * days} for days, count in table.tolist()]
"""
FEATURES = Options.model_validate({"project": "shop", "registry": "registry", "online": "online", "seconds": 120})
MODELS = [{"name": "churn"}, {"name": "older", "alias": "champion"}]


@pytest.fixture
def sources(owned, tmp_path):
    """Systems of both applications; the champion is a model of two features."""
    owned.put(owned.key("second", "MLmodel"), MISBEHAVING.replace("misbehaving", "risk"))
    owned.put(owned.key("second", "code/risk.py"), MODEL)
    owned.sql(
        "INSERT INTO model_version_tags (key, value, name, version) VALUES"
        " ('feast.feature_refs', 'visits:days,visits:count', 'churn', 2)"
    )
    with made_shop(tmp_path / "shop") as shop:
        ask(shop, "materialise", start=hour(0), end=hour(2), views=["visits"])
        options = RedisOptions.model_validate({**shop["server"].options, "scratch": tmp_path / "scratch"})
        place = RegistryOptions(url=str(shop["folder"] / "registry.db"))
        registry = open_registry("registry", place)
        yield {**owned.systems, "registry": registry, "online": RedisSystem("online", options)}


def test_what_was_recorded_when_a_point_was_taken_is_proven_of_what_is_there(owned, sources):
    tracking = owned.application(models=MODELS).options
    definitions = definitions_of(parse(sources["registry"].registry()), "shop")
    store = sources["online"]
    samples = [sample_of(key, fields, definitions, "shop") for key, fields, _ in store.hashes(sorted(store.keys()))]
    with sources["mlflow-db"].freeze() as view:
        records, unread = recorded(tracking, FEATURES, {**sources, "mlflow-db": view}, definitions, samples)
    assert unread == {"across.older@champion": "no version of older has the alias champion"}
    assert [record["model"] for record in records] == ["churn"]
    assert [row["risk"] for row in records[0]["prediction"]] == pytest.approx(
        [12 * 5 / 7 + each * 50 / 7 for each in range(5)]
    )

    with Feast(lambda: repo_config(FEATURES, sources), FEATURES.limits) as feast:
        checks = list(checked(tracking, feast, sources, records, clock.now()))
    assert [(check.subject, check.verdict) for check in checks] == [
        ("across.churn@champion.features", "passed"),
        ("across.churn@champion.prediction", "passed"),
    ]

    owned.sql("UPDATE registered_model_aliases SET version = 1 WHERE name = 'churn'")
    with Feast(lambda: repo_config(FEATURES, sources), FEATURES.limits) as feast:
        (moved,) = checked(tracking, feast, sources, records, clock.now())
    assert (moved.verdict, moved.detail) == ("not checked", "the alias names version 1; 2 was recorded")
