"""A policy's data into its model: every problem is collected, and told at once with its line."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from drkeeper import applications
from drkeeper._policy.fields import key_names, literal_secrets, model_at
from drkeeper._policy.hook_names import hook_problems
from drkeeper._policy.orders import merge_orders
from drkeeper._policy.quantities import parse_rate
from drkeeper._policy.source import KeyPath, Problem, Source
from drkeeper._policy.words import found, near, say
from drkeeper.errors import DrkeeperError, PolicyInvalid
from drkeeper.policy import ApplicationPolicy, Policy, SystemPolicy
from drkeeper.systems import has_kind, kind_names, load_kind
from drkeeper.vault.store import StoreOptions

M = TypeVar("M", bound=BaseModel)

PASSWORD_IN_URL = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
SCRUBBED_CHARACTERS_MIN = 4
OWN_SYSTEM_KEYS = ("kind", "rate")


def build_policy(source: Source) -> Policy:
    """The policy that a file describes.

    Raises:
        PolicyInvalid: One line for each problem, in the order of the file's lines.
    """
    builder = _Builder(source, list(source.problems))
    policy = builder.policy()
    if policy is None or builder.problems:
        raise PolicyInvalid("\n".join(builder.lines()), hint=builder.hint)
    return policy


@dataclass
class _Builder:
    source: Source
    problems: list[Problem]
    hint: str = field(default="")

    def policy(self) -> Policy | None:
        document = self.source.data
        if not isinstance(document, dict):
            self.add((), f"expected a mapping with {', '.join(key_names(Policy))}; found {found(document)}")
            return None
        for path in _urls_with_password(document, ()):
            self.add_literal(path, "a URL here holds a password")
        tree = dict(document)
        if isinstance(tree.get("systems"), dict):
            tree["systems"] = dict(self.systems(tree["systems"]))
        if isinstance(tree.get("vault"), dict) and isinstance(tree["vault"].get("regions"), dict):
            tree["vault"] = {**tree["vault"], "regions": dict(self.regions(tree["vault"]["regions"]))}
        if isinstance(tree.get("applications"), dict):
            tree["applications"] = dict(self.applications(tree["applications"]))
        policy = self.validated(Policy, tree, ())
        self.check_applications(document, tree.get("applications"))
        for path, said in hook_problems(document):
            self.add(path, said)
        return policy

    def systems(self, systems: Mapping[str, object]) -> Iterator[tuple[str, SystemPolicy]]:
        """Those of the systems that are as they must be."""
        for name, entry in systems.items():
            path: KeyPath = ("systems", name)
            if not isinstance(entry, dict):
                self.add(path, f"expected a mapping with kind and the system's options, found {found(entry)}")
                continue
            options = {key: value for key, value in entry.items() if key not in OWN_SYSTEM_KEYS}
            rate = self.rate(entry, path)
            model = self.options_model(entry, path)
            built = model and self.validated(model, options, path, also=OWN_SYSTEM_KEYS)
            if built is not None:
                data = {"name": name, "kind": entry["kind"], "options": built, "rate_bytes_per_second": rate}
                system = self.validated(SystemPolicy, data, path)
                if system is not None:
                    yield name, system

    def options_model(self, entry: Mapping[str, object], path: KeyPath) -> type[BaseModel] | None:
        kind = entry.get("kind")
        if "kind" not in entry:
            self.add((*path, "kind"), f"this key is missing; expected one of: {', '.join(kind_names())}")
        elif not isinstance(kind, str):
            self.add((*path, "kind"), f"expected one of: {', '.join(kind_names())}; found {found(kind)}")
        elif not has_kind(kind):
            self.add((*path, "kind"), f'unknown kind "{kind}"{near(kind, kind_names())}')
        else:
            try:
                return load_kind(kind).options
            except (ImportError, AttributeError, DrkeeperError) as error:
                self.add((*path, "kind"), f"the kind {kind} cannot be used: {error}")
        return None

    def rate(self, entry: Mapping[str, object], path: KeyPath) -> int | None:
        if entry.get("rate") is None:
            return None
        try:
            return parse_rate(entry["rate"])
        except ValueError as error:
            self.add((*path, "rate"), f"{error}, found {found(entry['rate'])}")
            return None

    def regions(self, regions: Mapping[str, object]) -> Iterator[tuple[str, StoreOptions]]:
        """Those of the regions that are as they must be."""
        places: dict[object, str] = {}
        for name, entry in regions.items():
            path: KeyPath = ("vault", "regions", name)
            region = self.validated(StoreOptions, entry, path)
            if region is None:
                continue
            place = (region.url.rstrip("/"), region.endpoint)
            if place in places:
                self.add(path, f"this is the same place as region {places[place]}; a copy there protects from nothing")
            places[place] = name
            yield name, region

    def validated(self, model: type[M], data: object, path: KeyPath, also: tuple[str, ...] = ()) -> M | None:
        """The model of the data, or None after its problems were noted."""
        for secret in literal_secrets(model, data, path):
            reference = self.source.references.get(secret)
            if not (reference and reference.whole) and not self.explained(secret):
                self.add_literal(secret, "a secret stands in a policy by reference only")
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self.add_pydantic(model, dict(each), path, also)
            return None

    def add_pydantic(
        self, model: type[BaseModel], error: dict[str, object], base: KeyPath, also: tuple[str, ...]
    ) -> None:
        location = tuple(part for part in _location(error["loc"]) if part != "[key]")
        path = (*base, *location)
        reference = self.source.references.get(path)
        if reference:
            error["input"] = reference.written
        if error["type"] == "extra_forbidden":
            owner = model_at(model, location[:-1])
            known = (*(also if owner is model else ()), *(key_names(owner) if owner else ()))
            message = f"unknown key{near(str(location[-1]), known)}"
        else:
            message = say(error)
        self.add(path, message)

    def applications(self, entries: Mapping[str, object]) -> Iterator[tuple[str, object]]:
        """Those that are as they must be; an order without a kind stands as it was written."""
        for name, entry in entries.items():
            path: KeyPath = ("applications", name)
            if not isinstance(entry, dict) or "kind" not in entry:
                if isinstance(entry, dict) and "order" not in entry:
                    self.add(path, f"expected `order`, or `kind`: {', '.join(applications.kind_names())}")
                yield name, entry
                continue
            kind = entry["kind"]
            if kind not in applications.kind_names():
                self.add((*path, "kind"), f'unknown kind "{kind}"{near(str(kind), applications.kind_names())}')
                continue
            options = {key: value for key, value in entry.items() if key != "kind"}
            built = self.validated(applications.load_kind(kind).options, options, path, also=("kind",))
            if built is not None:
                yield name, ApplicationPolicy(kind=kind, options=built)

    def check_applications(self, document: Mapping[str, object], built: object) -> None:
        """Applications name systems that are there and of the right kind, and do not contradict one another."""
        systems = document.get("systems")
        if not isinstance(systems, dict) or not isinstance(built, dict):
            return
        orders: dict[str, tuple[str, ...]] = {}
        for application, entry in built.items():
            if isinstance(entry, ApplicationPolicy):
                orders[application] = entry.systems
                self.check_named_systems(application, entry, systems)
                self.check_companions(application, entry, built)
            else:
                orders[application] = self.check_order(application, entry, systems)
        if not self.explained(("applications",)):
            try:
                merge_orders(systems, orders)
            except PolicyInvalid as error:
                self.add(("applications",), str(error))

    def check_order(self, application: str, entry: object, systems: Mapping[str, object]) -> tuple[str, ...]:
        """The order as it was written, as far as it is one."""
        order = entry.get("order") if isinstance(entry, dict) else None
        names = order if isinstance(order, list) else []
        for index, name in enumerate(names):
            path: KeyPath = ("applications", application, "order", index)
            if isinstance(name, str) and name not in systems:
                self.add(path, f'unknown system "{name}"{near(name, systems)}')
            elif name in names[:index]:
                self.add(path, f'the system "{name}" is named twice')
        return tuple(name for name in names if isinstance(name, str))

    def check_named_systems(self, application: str, policy: ApplicationPolicy, systems: Mapping[str, object]) -> None:
        """Each is there, and of the kind that the application needs."""
        kinds = policy.options.kinds() if policy.options is not None else {}
        for name in policy.systems:
            entry = systems.get(name)
            kind = entry.get("kind") if isinstance(entry, dict) else None
            if name not in systems:
                self.add(("applications", application), f'unknown system "{name}"{near(name, systems)}')
            elif name in kinds and kind != kinds[name]:
                self.add(("applications", application), f'"{name}" must be of kind {kinds[name]}, and is {kind}')

    def check_companions(self, application: str, policy: ApplicationPolicy, built: Mapping[str, object]) -> None:
        """Each is there, and of the kind that it must be of."""
        for name, kind in (policy.options.companions if policy.options is not None else {}).items():
            other = built.get(name)
            if name not in built:
                self.add(("applications", application), f'unknown application "{name}"{near(name, built)}')
            elif not isinstance(other, ApplicationPolicy) or other.kind != kind:
                self.add(("applications", application), f'the application "{name}" must be of kind {kind}')

    def add_literal(self, path: KeyPath, message: str) -> None:
        self.add(path, message)
        self.hint = "write ${env:NAME} or ${file:path} in its place, and keep the value there"

    def add(self, path: KeyPath, message: str) -> None:
        """Note a problem, unless one at, above or below its place explains it already."""
        if not self.explained(path):
            self.problems.append(Problem(path, self.scrubbed(message)))

    def explained(self, path: KeyPath) -> bool:
        """Whether a problem at, above or below the path is known; at the top only one that is there itself."""
        known = [problem.path for problem in self.problems]
        return any(each[: len(path)] == path or path[: len(each)] == each for each in known if each and path)

    def scrubbed(self, message: str) -> str:
        """Without any value that came by reference."""
        references = sorted(self.source.references.values(), key=lambda each: -len(each.value))
        for reference in references:
            if len(reference.value) >= SCRUBBED_CHARACTERS_MIN:
                message = message.replace(reference.value, reference.written)
        return message

    def lines(self) -> Iterator[str]:
        """One for each problem, in the order of the file."""
        placed = [(problem.line or self.source.line(problem.path), problem) for problem in self.problems]
        for line, problem in sorted(placed, key=lambda each: each[0]):
            key = dotted(problem.path)
            yield f"{self.source.file}:{line}: {key}{': ' if key else ''}{problem.message}"


def dotted(path: KeyPath) -> str:
    """`applications.churn.order[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _location(value: object) -> tuple[str | int, ...]:
    return tuple(part for part in value if isinstance(part, str | int)) if isinstance(value, tuple) else ()


def _urls_with_password(value: object, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _urls_with_password(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _urls_with_password(each, (*path, index))
    elif isinstance(value, str) and PASSWORD_IN_URL.search(value):
        yield path
