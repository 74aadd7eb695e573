"""Tasks of the MLflow SDK. Loaded by `child.py`: standard library and that SDK only, syntax of Python 3.9."""

from __future__ import annotations

import logging
import platform
import time
import warnings
from collections.abc import Mapping
from typing import Any

warnings.simplefilter("ignore")

import mlflow.pyfunc  # noqa: E402 - after it was told to be quiet
from mlflow.pyfunc.scoring_server import infer_and_parse_data  # noqa: E402

logging.getLogger("mlflow").setLevel(logging.ERROR)

SERVED_FORMS = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"})
FEATURES = "features"


def predict(folder: str, input: Any) -> dict[str, Any]:  # noqa: A002 - the request's word
    """What a model says to an input.

    Args:
        folder: Where its MLmodel file is.
        input: A body as MLflow's scoring server takes it (`dataframe_split`, `dataframe_records`, `instances`,
            `inputs`), a list of records, or `{"features": {"columns": [...], "data": [[...]]}}`: rows from a feature
            store, whose columns are put into the order in which the model wants them.
    """
    began = time.monotonic()
    model = mlflow.pyfunc.load_model(folder)
    table, columns = _table(model, input)
    prediction = model.predict(table)
    flavour = model.metadata.flavors["python_function"]["loader_module"]
    return {
        "prediction": prediction,
        "columns": columns,
        "flavour": flavour.rpartition("mlflow.")[2],
        "mlflow": mlflow.__version__,
        "python": platform.python_version(),
        "seconds": time.monotonic() - began,
    }


def _table(model: Any, given: Any) -> tuple[Any, list[str]]:
    """What the model is handed, and the columns of features in their order."""
    if isinstance(given, Mapping) and set(given) == {FEATURES}:
        return _in_order(model, given[FEATURES]["columns"], given[FEATURES]["data"])
    if isinstance(given, list):
        records = bool(given) and all(isinstance(row, Mapping) for row in given)
        given = {"dataframe_records" if records else "inputs": given}
    if not isinstance(given, Mapping) or len(SERVED_FORMS & set(given)) != 1:
        raise ValueError(f"the input is none that MLflow serves: one of {', '.join(sorted(SERVED_FORMS))}")
    body = {name: value for name, value in given.items() if name in SERVED_FORMS}
    return infer_and_parse_data(body, model.metadata.get_input_schema()), []


def _in_order(model: Any, columns: list[str], rows: list[list[Any]]) -> tuple[Any, list[str]]:
    import pandas as pd

    names = [column.rpartition("__")[2] for column in columns]
    wanted = _wanted(model)
    if not wanted:  # trained on bare numbers: the order is that of whoever asks
        return pd.DataFrame(rows, columns=names).to_numpy(), names
    called = {**dict(zip(names, columns)), **{column: column for column in columns}}  # noqa: B905 - Python 3.9
    lacking = [name for name in wanted if name not in called]
    if lacking:
        raise LookupError(f"the model wants columns that the features lack: {', '.join(lacking)}")
    table = pd.DataFrame(rows, columns=columns)[[called[name] for name in wanted]]
    body = {"columns": wanted, "data": table.astype(object).to_numpy().tolist()}
    return infer_and_parse_data({"dataframe_split": body}, model.metadata.get_input_schema()), wanted


def _wanted(model: Any) -> list[str]:
    """Names of the model's columns: of its signature, else those that scikit-learn kept; [] where it has none."""
    schema = model.metadata.get_input_schema()
    if schema is not None and schema.has_input_names():
        return [str(name) for name in schema.input_names()]
    return [str(name) for name in getattr(_raw(model), "feature_names_in_", ())]


def _raw(model: Any) -> Any:
    try:
        return model.get_raw_model()
    except Exception:  # noqa: BLE001 - flavours without one say so in their own ways
        return None
