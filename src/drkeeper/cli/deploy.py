"""`drkeeper deploy`: values, rbac, kinds."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.deployment import Kinds
    from drkeeper.policy import Policy
    from drkeeper.systems._kubernetes.options import Options


def _place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--namespace", default="drkeeper", show_default=True, help="Where the Pods run."),
        click.option("--account", default="drkeeper", show_default=True, help="Name of their ServiceAccount."),
        click.option(
            "--kinds",
            "kinds_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="What the cluster serves, as saved by `deploy kinds`; else it is asked.",
        ),
    ):
        function = option(function)
    return function


@click.group("deploy")
def command() -> None:
    r"""Print what is needed to run drkeeper in a Kubernetes cluster, derived from the policy.

    Rules are no wider than what the policy protects. Nothing in the cluster is changed.

    \b
    Examples:
      drkeeper deploy values > values.yaml         for the chart in deploy/chart
      drkeeper deploy rbac | kubectl apply -f -    a ServiceAccount and its rules
    """


@command.command("values")
@click.option("--secret", default="drkeeper", show_default=True, help="The Secret that holds what references name.")
@click.option("--restore", is_flag=True, help="With a suspended Job for restores, and its rules.")
@_place_options
@pass_settings
def values_command(
    settings: Settings, *, namespace: str, account: str, secret: str, kinds_file: Path | None, restore: bool
) -> None:
    """Print Helm values: policy, schedules, Secrets to mount, rules, network peers.

    Secrets that references name need no value here; addresses do. Each reference is a key of the Secret: the name of
    a variable, or the last part of a file's path.
    """
    from drkeeper._policy.source import read_text
    from drkeeper.deployment import Place, notes, values

    policy = _policy(settings)
    place = Place(namespace=namespace, account=account, secret=secret)
    text = read_text(settings.find_policy())
    data = values(policy, text, place, _served(policy, None, kinds_file), restore=restore)
    for note in notes(policy):
        click.echo(f"note: {note}", err=True)
    comment = "Made by `drkeeper deploy values`; make it again rather than edit it."
    _write_documents([{**data, "policy": _literal(text)}], comment)


@command.command("rbac")
@click.option("--system", metavar="NAME", help="A cluster that the policy reaches by a kubeconfig, for rules there.")
@click.option("--restore", is_flag=True, help="Of the account for restores, which may write nearly everything.")
@_place_options
@pass_settings
def rbac_command(
    settings: Settings, *, namespace: str, account: str, system: str | None, kinds_file: Path | None, restore: bool
) -> None:
    """Print a ServiceAccount with the roles and bindings that the policy needs."""
    from drkeeper.deployment import Place, hooks_of, rbac_manifests

    policy = _policy(settings)
    place = Place(namespace=namespace, account=account)
    served = _served(policy, system, kinds_file)
    _write_documents(rbac_manifests(served, place, restore=restore, hooks=hooks_of(policy)))


@command.command("kinds")
@click.option("--system", metavar="NAME", help="A system of kind kubernetes; the Pod's own cluster by default.")
@pass_settings
def kinds_command(settings: Settings, *, system: str | None) -> None:
    """Print what the cluster serves, as JSON, for `--kinds` where it cannot be asked."""
    import json

    from drkeeper.deployment import clusters, kinds_to
    from drkeeper.errors import UsageInvalid

    policy = _policy(settings)
    found = clusters(policy, system)
    if len(found) != 1:
        raise UsageInvalid(
            f"the policy {policy.name} has {len(found)} systems of kind kubernetes without a kubeconfig",
            hint="name one with `--system`",
        )
    click.echo(json.dumps(kinds_to(_ask(*found.values())), indent=1))


def _policy(settings: Settings) -> "Policy":
    """The policy, read where its secrets are not."""
    from drkeeper.deployment import STAND_IN
    from drkeeper.policy import load_policy

    settings.quiet_logging()
    policy = load_policy(settings.find_policy(), stand_in=STAND_IN)
    settings.secrets.extend(policy.secret_values())
    return policy


def _served(policy: "Policy", system: str | None, kinds_file: Path | None) -> "dict[str, tuple[Options, Kinds]]":
    """The clusters that are protected, and what they serve."""
    from drkeeper.deployment import clusters, kinds_from

    found = clusters(policy, system)
    if kinds_file is None:
        return {name: (options, _ask(options)) for name, options in found.items()}
    return {name: (options, kinds_from(_json(kinds_file))) for name, options in found.items()}


def _json(file: Path) -> object:
    import json

    try:
        data: object = json.loads(file.read_bytes())
    except ValueError:
        return None
    return data


def _ask(options: "Options") -> "Kinds":
    from drkeeper.errors import SystemUnreachable
    from drkeeper.systems._kubernetes.api import Cluster

    elsewhere = "give what it serves with `--kinds FILE`, saved by `drkeeper deploy kinds` where it can be reached"
    try:
        with Cluster.open(options) as cluster:
            kinds, broken = cluster.kinds(), cluster.broken_groups
    except SystemUnreachable as error:
        raise SystemUnreachable(str(error), hint=f"{error.hint}; or {elsewhere}") from error
    if broken:
        # Rules that lack a group would be too narrow, and nobody would notice.
        raise SystemUnreachable(
            f"these API groups do not answer: {', '.join(broken)}",
            hint="mend their APIServices, or leave the rules as they are until then",
        )
    return kinds


def _literal(text: str) -> Any:
    from ruamel.yaml.scalarstring import LiteralScalarString

    return LiteralScalarString(text)


def _write_documents(documents: "Iterable[dict[str, Any]]", comment: str = "") -> None:
    """To stdout; the same documents give the same bytes."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda _: True
    if comment:
        sys.stdout.write(f"# {comment}\n")
    for index, document in enumerate(documents):
        if index:
            sys.stdout.write("---\n")
        yaml.dump(document, sys.stdout)
