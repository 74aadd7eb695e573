"""The JSON schema of a policy, for editors: the models' own, the kinds' options, and references for all values."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from drkeeper import applications
from drkeeper._policy.quantities import RATE_PATTERN
from drkeeper.policy import Policy
from drkeeper.systems import kind_names, load_kind

Schema = dict[str, Any]

REFERENCE_PATTERN = r"\$\{(env|file):[^}]+\}"
ONLY_REFERENCE_PATTERN = rf"^{REFERENCE_PATTERN}$"


def policy_schema() -> Schema:
    """Draft 2020-12. Holds each kind that is installed; secrets can be given by reference only."""
    schema = _referable(Policy.model_json_schema(by_alias=True))
    definitions: Schema = schema["$defs"]
    for replaced in ("SystemPolicy", "BaseModel", "ApplicationOptions"):
        definitions.pop(replaced, None)
    kinds = {kind: f"System_{kind}" for kind in kind_names()}
    for kind, definition in kinds.items():
        _embed(definitions, definition, load_kind(kind).options)
        definitions[definition]["properties"] = _common_keys(kind) | definitions[definition]["properties"]
    definitions["System"] = _by_kind(kinds)
    schema["properties"]["systems"]["additionalProperties"] = {"$ref": "#/$defs/System"}
    definitions["ApplicationPolicy"] = _application(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "drkeeper policy",
        "$defs": dict(sorted(definitions.items())),
    }


def _application(definitions: Schema) -> Schema:
    """An order, or a kind with its options."""
    kinds = {kind: f"Application_{kind}" for kind in applications.kind_names()}
    for kind, definition in kinds.items():
        _embed(definitions, definition, applications.load_kind(kind).options)
        word = {"const": kind, "description": "What the application is."}
        definitions[definition]["properties"] = {"kind": word} | definitions[definition]["properties"]
    order = definitions["ApplicationPolicy"]["properties"]["order"]
    plain = {"type": "object", "properties": {"order": order}, "required": ["order"], "additionalProperties": False}
    if not kinds:
        return plain
    return {"if": {"type": "object", "required": ["kind"]}, "then": _by_kind(kinds), "else": plain}


def _common_keys(kind: str) -> Schema:
    return {
        "kind": {"const": kind, "description": "What the system is."},
        "rate": {
            "description": "Upper bound of reading from it, such as 50MB/s.",
            "anyOf": [{"type": "string", "pattern": RATE_PATTERN}, {"type": "string", "pattern": REFERENCE_PATTERN}],
        },
    }


def _by_kind(kinds: Mapping[str, str]) -> Schema:
    cases = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"$ref": f"#/$defs/{name}"}}
        for kind, name in kinds.items()
    ]
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(kinds), "description": "What it is."}},
        "allOf": cases,
    }


def _embed(definitions: Schema, name: str, model: type[BaseModel]) -> None:
    """Add a model's schema; its own definitions get the name as a prefix, so that kinds cannot collide."""
    schema = model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}_{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}_{inner}"] = _referable(definition)
    definitions[name] = _referable(schema)


def _referable(schema: Schema) -> Schema:
    """Every scalar may be given by reference, and a secret in no other way."""
    if schema.get("format") == "password":
        rest = {key: value for key, value in schema.items() if key not in {"format", "writeOnly", "type"}}
        return {**rest, "type": "string", "pattern": ONLY_REFERENCE_PATTERN}
    inner = {key: _inner(key, value) for key, value in schema.items() if key != "patternProperties"}
    for pattern, value in schema.get("patternProperties", {}).items():
        # pydantic lets names that do not match pass; a policy does not.
        inner |= {"propertyNames": {"pattern": pattern}, "additionalProperties": _referable(value)}
    if not _is_bounded_scalar(schema):
        return inner
    outside: Schema = {key: inner.pop(key) for key in ("description", "title", "default", "examples") if key in inner}
    return {**outside, "anyOf": [inner, {"type": "string", "pattern": REFERENCE_PATTERN}]}


def _inner(key: str, value: Any) -> Any:
    if key in {"properties", "$defs"}:
        return {name: _referable(each) for name, each in value.items()}
    if key in {"anyOf", "oneOf", "allOf", "prefixItems"}:
        return [_referable(each) for each in value]
    if key in {"items", "additionalProperties"} and isinstance(value, dict):
        return _referable(value)
    return value


def _is_bounded_scalar(schema: Schema) -> bool:
    """Whether the schema takes a scalar, and not every text."""
    bounds = {"pattern", "enum", "const", "format", "maxLength"}
    return schema.get("type") in {"integer", "number", "boolean"} or (
        schema.get("type") == "string" and bool(bounds & schema.keys())
    )
