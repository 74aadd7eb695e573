"""MLmodel files: what a model is made of, in MLflow's YAML."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

from drkeeper.errors import DrkeeperError

MOST_BYTES = 4 << 20
# Fields of flavours that name files of the model's folder (mlflow.<flavour>.save_model).
FILES = ("data", "model_data", "model_path", "pickled_model", "python_model", "code")
FOREIGN = ("://", ":/")


class RecipeUnreadable(DrkeeperError):
    """An MLmodel file that is none."""


@dataclass(frozen=True)
class Recipe:
    """What an MLmodel file says.

    Attributes:
        model_id: `m-…`; "" before MLflow 3.
        mlflow_version: That wrote it.
        files: Files and folders that its flavours name, within the model's folder.
        example: File with an input that the scoring server takes; "" where there is none.
    """

    model_id: str
    mlflow_version: str
    files: tuple[str, ...]
    example: str


def parse(text: bytes) -> Recipe:
    """Read an MLmodel file.

    Raises:
        RecipeUnreadable: It is no YAML, or has no flavours.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > MOST_BYTES:
        raise RecipeUnreadable(f"{len(text)} bytes are more than any MLmodel file has")
    try:
        data = YAML(typ="safe", pure=True).load(StringIO(text.decode()))
    except (YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:200]
        raise RecipeUnreadable(f"it does not parse: {said}") from error
    if not isinstance(data, Mapping) or not isinstance(data.get("flavors"), Mapping) or not data["flavors"]:
        raise RecipeUnreadable("it names no flavours")
    example = data.get("saved_input_example_info")
    serving = example.get("serving_input_path") if isinstance(example, Mapping) else None
    return Recipe(
        model_id=str(data.get("model_id") or ""),
        mlflow_version=str(data.get("mlflow_version") or ""),
        files=tuple(sorted(set(_files(data["flavors"])))),
        example=str(serving or ""),
    )


def lacking(recipe: Recipe, files: frozenset[str]) -> list[str]:
    """Which of the files that it names are not there; a folder is where a file in it is."""
    there = files | {folder for file in files for folder in _folders(file)}
    return [name for name in recipe.files if name not in there]


def _files(flavours: Mapping[str, Any]) -> Iterator[str]:
    for flavour in flavours.values():
        if not isinstance(flavour, Mapping):
            continue
        artifacts = flavour.get("artifacts")
        named = [flavour.get(name) for name in FILES]
        if isinstance(artifacts, Mapping):
            named += [each.get("path") for each in artifacts.values() if isinstance(each, Mapping)]
        for name in named:
            if (
                isinstance(name, str)
                and name
                and not name.startswith("/")
                and not any(sign in name for sign in FOREIGN)
            ):
                yield name.removeprefix("./").rstrip("/")


def _folders(file: str) -> Iterator[str]:
    while file := file.rpartition("/")[0]:
        yield file
