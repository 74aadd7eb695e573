"""Files, folders and environment variables that a policy names, and which a Pod must therefore have. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from drkeeper._policy.references import BODY, PATTERN
from drkeeper.errors import UsageInvalid
from drkeeper.policy import VAULT_REGIONS, Policy

CONFIG_FOLDER = Path("/etc/drkeeper")
"""Where the policy lies in the Pod; relative paths in it start there."""

# Options that name a folder. Every other path is a file that is read.
FOLDERS = frozenset({"folder", "scratch"})
# Programs come with the image.
PROGRAMS = frozenset({"bin_folder"})
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True)
class SecretFile:
    """A file that is a key of a Secret."""

    path: str
    key: str


@dataclass(frozen=True)
class SecretVariable:
    """An environment variable that is a key of a Secret; optional where the policy has a default for it."""

    name: str
    optional: bool


@dataclass(frozen=True)
class Folder:
    """A folder of the Pod: on a claim where it must outlive the Pod, empty at first where it is for scratch."""

    path: str
    claim: str = ""


def secret_files(policy: Policy, within: tuple[str, ...] = ()) -> tuple[SecretFile, ...]:
    """Files by `${file:…}`, and those that options name (certificates, ssh keys, kubeconfigs); sorted by path.

    Args:
        policy: Whose.
        within: Only what this part of the policy names: nothing, or `VAULT_REGIONS`.

    Raises:
        UsageInvalid: Two files would be the same key, or a name cannot be one.
    """
    part = policy.vault.regions if within == VAULT_REGIONS else policy
    named = {_absolute(Path(body)) for body in _bodies(policy, "file", within)}
    named |= {_absolute(path) for key, path in _paths(part) if key not in FOLDERS | PROGRAMS}
    by_key: dict[str, str] = {}
    for path in sorted(named):
        key = Path(path).name
        if not _KEY.fullmatch(key):
            raise UsageInvalid(f"the file {path} cannot be a key of a Secret", hint="letters, digits, '-', '_' and '.'")
        if by_key.setdefault(key, path) != path:
            raise UsageInvalid(
                f"the files {by_key[key]} and {path} would be the same key of a Secret", hint="rename one of them"
            )
    return tuple(SecretFile(path=path, key=key) for key, path in sorted(by_key.items(), key=lambda each: each[1]))


def secret_variables(policy: Policy, within: tuple[str, ...] = ()) -> tuple[SecretVariable, ...]:
    """Variables by `${env:…}`, in that part of the policy; sorted by name."""
    optional: dict[str, bool] = {}
    for name, default in _variables(policy, within):
        optional[name] = optional.get(name, True) and default
    return tuple(SecretVariable(name, flag) for name, flag in sorted(optional.items()))


def folders(policy: Policy) -> tuple[Folder, ...]:
    """Folders of the vault, and scratch folders; outer ones before what is in them."""
    found = {folder.path: folder for folder in vault_folders(policy)}
    for key, path in _paths(policy):
        if key in FOLDERS:
            found.setdefault(_absolute(path), Folder(_absolute(path)))
    return tuple(found[path] for path in sorted(found))


def vault_folders(policy: Policy) -> tuple[Folder, ...]:
    """Folders of the vault, on claims `drkeeper-<region>`."""
    found = {
        str(region.local_folder): Folder(str(region.local_folder), f"drkeeper-{name.replace('_', '-')}")
        for name, region in policy.vault.regions.items()
        if region.local_folder is not None
    }
    return tuple(found[path] for path in sorted(found))


def _bodies(policy: Policy, group: str, within: tuple[str, ...]) -> Iterator[str]:
    for match in _references(policy, within):
        if match[group]:
            yield match[group]


def _variables(policy: Policy, within: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    for match in _references(policy, within):
        if match["env"]:
            yield match["env"], match["default"] is not None


def _references(policy: Policy, within: tuple[str, ...]) -> Iterator[re.Match[str]]:
    for written in policy.references(within):
        for found in PATTERN.finditer(written):
            body = BODY.fullmatch(found.group(1) or "")
            if body is not None:
                yield body


def _paths(value: object, key: str = "") -> Iterator[tuple[str, Path]]:
    """Each path in a model, with the name of its option."""
    match value:
        case Path():
            yield key, value
        case BaseModel():
            for name, each in value:
                yield from _paths(each, name)
        case dict():
            for each in value.values():
                yield from _paths(each, key)
        case list() | tuple():
            for each in value:
                yield from _paths(each, key)


def _absolute(path: Path) -> str:
    return str(CONFIG_FOLDER / path)
