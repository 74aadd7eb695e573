"""The policy that people work with in a game day: empty servers in the place of what is lost, the vault only read.

Hooks, notifications, schedules and evidence are left out: they lead to production, or would say that it is restored.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from drkeeper.drill_request import Exercise
from drkeeper.policy import Policy
from drkeeper.systems import load_kind
from drkeeper.wiring import spans

Options = Mapping[str, object]
POLICY_FILE = "drkeeper.yaml"
WRITTEN, GONE, KEYS = "written", "gone", "keys"
KEPT = ("version", "name", "objectives", "recovery", "drills")
_FILE = re.compile(r"\$\{file:([^}]+)\}")


def write_game_policy(
    policy: Policy, exercise: Exercise, servers: Mapping[str, Options], folder: Path, policy_folder: Path
) -> Path:
    """Write the policy, and the passwords that it names, for our eyes only.

    Args:
        policy: Of production.
        exercise: What is lost.
        servers: Options of the empty servers, by system.
        folder: Where to; what is written into the vault goes there, too.
        policy_folder: What the files that the policy names are relative to.
    """
    from ruamel.yaml import YAML

    data = _absolute(policy.shown(), policy_folder)
    game = {key: data[key] for key in KEPT if key in data}
    game["systems"] = {name: _system(policy, data, name, options, folder) for name, options in servers.items()}
    whole = {name for name, systems in spans(policy).items() if set(systems) <= set(servers)}
    whole |= {name for name, each in policy.applications.items() if set(each.systems) <= set(servers)} - set(
        spans(policy)
    )
    game["applications"] = {name: data["applications"][name] for name in policy.applications if name in whole}
    game["vault"] = _vault(data, exercise, folder)
    if exercise.scenario in data["scenarios"]:
        game["scenarios"] = {exercise.scenario: data["scenarios"][exercise.scenario]}
    file = folder / POLICY_FILE
    file.touch(mode=0o600)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with file.open("w", encoding="utf-8") as opened:
        yaml.dump(game, opened)
    return file


def _system(policy: Policy, data: Any, name: str, options: Options, folder: Path) -> dict[str, object]:
    kind = policy.systems[name].kind
    model = load_kind(kind).options
    written = data["systems"][name]
    carried = {key: written[key] for key in getattr(model, "SANDBOX_FIELDS", ()) if key in written}
    own: dict[str, object] = {}
    for key, value in options.items():
        secret = _is_secret(model.model_fields[key])
        own[key] = _kept(folder / KEYS / f"{name}-{key}", value) if secret else _plain(value)
    return {"kind": kind, **carried, **own}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _kept(file: Path, value: object) -> str:
    """A secret in a file of its own, as a policy names it."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(value.get_secret_value() if isinstance(value, SecretStr) else str(value), encoding="utf-8")
    return f"${{file:{file}}}"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _vault(data: Any, exercise: Exercise, folder: Path) -> dict[str, object]:
    regions = {}
    for name, region in data["vault"]["regions"].items():
        if name in exercise.regions_gone:
            regions[name] = {"url": str(folder / GONE / name)}  # a place that is not there, as after the disaster
            continue
        overlay = folder / WRITTEN / name
        overlay.mkdir(parents=True, mode=0o700)
        regions[name] = {**region, "overlay": str(overlay)}
    vault = {**data["vault"], "regions": regions}
    if exercise.other_key:
        vault["encryption"] = {**vault["encryption"], "identity": data["scenarios"][exercise.scenario]["identity"]}
    return vault


def _absolute(value: Any, folder: Path) -> Any:
    """With the files that references name where they are, for a policy that lies elsewhere."""
    if isinstance(value, dict):
        return {key: _absolute(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [_absolute(each, folder) for each in value]
    if isinstance(value, str):
        return _FILE.sub(lambda match: f"${{file:{(folder / match.group(1)).absolute()}}}", value)
    return value
