"""From the policy to what a drill is given: how to restore, and nothing of where production is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, JsonValue, SecretStr
from pydantic_core import to_jsonable_python

from drkeeper.drill_places import Fallback
from drkeeper.drill_request import Described, DrillRequest, Exercise, Order
from drkeeper.errors import UsageInvalid
from drkeeper.forecast import Limits
from drkeeper.policy import Policy, ScratchCluster
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import Objectives
from drkeeper.sandbox import startable
from drkeeper.scenarios import Loss, fitting
from drkeeper.wiring import loss, meanings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drkeeper._policy.recovery_sections import ScenarioPolicy
    from drkeeper.forecast import Run

KEY_LOST = "key-lost"
# Where programs and their libraries are, how they speak to people and to the network. Whole names: in a Pod a Service
# `user` gives USER_SERVICE_HOST.
KEPT = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("KUBEBUILDER_ASSETS", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
CLOUDS = {"s3://": "AWS_", "gs://": "GOOGLE_", "az://": "AZURE_"}
CLUSTERS = ("KUBECONFIG", "KUBERNETES_SERVICE_")


def drill_request(
    policy: Policy,
    point: RecoveryPoint,
    *,
    trigger: Literal["manual", "schedule"] = "manual",
    past: "Sequence[Run]" = (),
    exercise: Exercise | None = None,
    own: "ScenarioPolicy | None" = None,
) -> DrillRequest:
    """All that a drill is given of a policy: nothing in it leads to production (`tests/spine/test_isolation.py`).

    Args:
        policy: Whose systems.
        point: What is restored.
        trigger: Who began it.
        past: Earlier runs, for the forecast.
        exercise: What is taken to be lost; by default everything.
        own: What the policy says of the scenario.
    """
    rto = own.rto if own and own.rto is not None else policy.objectives.rto
    rpo = own.rpo if own and own.rpo is not None else policy.objectives.rpo
    encryption = policy.vault.encryption
    exercise = exercise or plain(policy)
    gone = exercise.gone or tuple(policy.systems)
    return DrillRequest(
        point=point,
        objectives=Objectives(rto_seconds=rto and rto.total_seconds(), rpo_seconds=rpo and rpo.total_seconds()),
        trigger=trigger,
        folder=policy.sandbox.folder,
        history=past,
        carried={name: options for name, options in carried_options(policy).items() if name in gone},
        fallbacks={name: fallback for name, fallback in drill_fallbacks(policy).items() if name in gone},
        applications={
            name: Described(each.kind, _described(each.options))
            for name, each in policy.applications.items()
            if each.options is not None
        },
        meanings=meanings(policy),
        exercise=exercise,
        recipients=tuple(encryption.recipients) if encryption else (),
        limits=Limits(policy.recovery.at_once, policy.recovery.at_once_per_host),
        step_seconds=policy.recovery.step_timeout.total_seconds(),
        fall_back=policy.recovery.fall_back,
    )


def plain(policy: Policy) -> Exercise:
    """A drill of all that a point holds."""
    return Exercise(lead=policy.drills.lead, observers=policy.drills.observers)


def exercise_of(policy: Policy, lost: Loss, own: "ScenarioPolicy | None") -> Exercise:
    """A drill of a scenario."""
    scenario = lost.scenario
    return Exercise(
        scenario=scenario.name,
        title=scenario.title,
        gone=lost.systems,
        left=lost.left,
        regions_gone=lost.regions,
        data_wrong=scenario.data_wrong,
        partly=scenario.partly,
        other_key=scenario.key_lost and bool(own and own.identity),
        lead=policy.drills.lead,
        observers=policy.drills.observers,
    )


def rehearsable(policy: Policy) -> tuple[str, ...]:
    """Names of the scenarios that are drilled in turn: those that the policy names, else all that fit it.

    The loss of the key is among the latter only where the policy names an identity that would be left: without one
    it is certain that nothing comes back, and no drill would tell more.
    """
    if policy.drills.scenarios:
        return policy.drills.scenarios
    kinds = {name: system.kind for name, system in policy.systems.items()}
    other_key = policy.scenarios.get(KEY_LOST)
    built_in = fitting(kinds, encrypted=bool(other_key and other_key.identity))
    return tuple(name for name in dict.fromkeys((*built_in, *policy.scenarios)) if _fits(policy, name))


def _fits(policy: Policy, name: str) -> bool:
    try:
        lost, own = loss(policy, name)
    except UsageInvalid:
        return False
    return not lost.scenario.key_lost or bool(own and own.identity)


def carried_options(policy: Policy) -> dict[str, dict[str, JsonValue]]:
    """What each system's options say of how to restore, and nothing of where to: drills get no more than that.

    A kind names such options in `Options.SANDBOX_FIELDS`.
    """
    return {
        name: {key: in_the_clear(getattr(system.options, key)) for key in getattr(system.options, "SANDBOX_FIELDS", ())}
        for name, system in policy.systems.items()
    }


def drill_fallbacks(policy: Policy) -> dict[str, Fallback]:
    """Where drills restore systems to that a dry run can be asked of, and no sandbox can be started of here."""
    return {
        name: _scratch(policy, policy.sandbox.cluster, name) if policy.sandbox.cluster else _asked(policy, name)
        for name, system in policy.systems.items()
        if "dry_run" in type(system.options).model_fields and not startable(system.kind)
    }


def order_of(policy: Policy, request: DrillRequest) -> Order:
    """What the drill's process is told: the request, and how the vault is opened.

    Args:
        policy: As the scenario leaves it, with the regions and the key that are left.
        request: What is drilled.
    """
    encryption = policy.vault.encryption
    identity = encryption.identity if encryption else None
    regions = {name: _described(options) for name, options in policy.vault.regions.items()}
    return Order(request, regions, identity.get_secret_value() if identity else "")


def environment_of(order: Order, ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of the drill's process: how programs run, and nothing that says where anything is, or lets in.

    A Pod's environment names the services beside it, and an operator's has passwords for the policy's references. Only
    where the order leaves out a store's keys, or the place of a cluster that is asked, the variables that say it stay.
    """
    places = [*order.regions.values(), *(each for one in order.request.carried.values() for each in one.values())]
    urls = [str(each["url"]) for each in places if isinstance(each, Mapping) and each.get("access_key", "") is None]
    clouds = [names for scheme, names in CLOUDS.items() if any(url.startswith(scheme) for url in urls)]
    fallbacks = order.request.fallbacks.values()
    clusters = CLUSTERS if any(each.options.get("kubeconfig") is None for each in fallbacks) else ()
    also = (*clouds, *clusters)
    kept = {name: value for name, value in ours.items() if name.upper() in KEPT or name.startswith(also)}
    return {**kept, "PYDANTIC_DISABLE_PLUGINS": "__all__"}


def in_the_clear(value: object) -> JsonValue:
    """Options as plain data, with their secrets."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case BaseModel():
            return _described(value)
        case Mapping():
            return {str(key): in_the_clear(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [in_the_clear(each) for each in value]
        case _:
            plain: JsonValue = to_jsonable_python(value)
            return plain


def _described(options: BaseModel) -> dict[str, JsonValue]:
    return {name: in_the_clear(value) for name, value in options}


def _scratch(policy: Policy, cluster: ScratchCluster, name: str) -> Fallback:
    place = {"kubeconfig": str(cluster.kubeconfig), "context": cluster.context, "missing_kinds": "skip"}
    options = {**carried_options(policy)[name], **place}
    return Fallback(name, policy.systems[name].kind, options, "the scratch cluster of the policy", scratch=True)


def _asked(policy: Policy, name: str) -> Fallback:
    system = policy.systems[name]
    options = {**_described(system.options), "git": None, "dry_run": True, "missing_kinds": "skip"}
    return Fallback(name, system.kind, options, "a dry run of the live API server (nothing was created)")
