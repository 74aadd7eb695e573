"""What a pydantic model holds where: for suggestions, and for finding the fields that are secret."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from drkeeper._policy.source import KeyPath

Model = type[BaseModel]


def key_names(model: Model) -> tuple[str, ...]:
    """The keys that a model takes."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def model_at(model: Model | None, path: KeyPath) -> Model | None:
    """The model whose keys stand at a path below a model, None where there is none."""
    annotation: Any = model
    for part in path:
        annotation = _step(annotation, part)
    return _model(annotation)


def literal_secrets(model: Model, data: object, path: KeyPath) -> Iterator[KeyPath]:
    """Where data hold a value for a field that is secret, lists and nested models included."""
    if isinstance(data, dict):
        for name, field in model.model_fields.items():
            key = field.alias or name
            if data.get(key) is not None:
                yield from _secrets_in(field.annotation, data[key], (*path, key))


def _secrets_in(annotation: Any, value: object, path: KeyPath) -> Iterator[KeyPath]:
    if _is_secret(annotation):
        yield path
    elif nested := _model(annotation):
        yield from literal_secrets(nested, value, path)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _secrets_in(_step(annotation, key), each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _secrets_in(_step(annotation, index), each, (*path, index))


def _step(annotation: Any, part: str | int) -> Any:
    """The annotation one key or index further down."""
    model = _model(annotation)
    if model is not None:
        by_key = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        return by_key.get(str(part))
    for each in _alternatives(annotation):
        arguments = get_args(each)
        if arguments and isinstance(get_origin(each), type):
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return None


def _model(annotation: Any) -> Model | None:
    models = [each for each in _alternatives(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
    return models[0] if len(models) == 1 else None


def _is_secret(annotation: Any) -> bool:
    return any(each in {SecretStr, SecretBytes} for each in _alternatives(annotation))


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, without Annotated; the annotation itself where it is no union."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation
