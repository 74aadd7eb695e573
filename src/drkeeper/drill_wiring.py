"""From the policy to what a drill is given: how to restore, and nothing of where production is."""

from typing import TYPE_CHECKING, Literal

from drkeeper.drill_places import Fallback
from drkeeper.drill_request import DrillRequest, Exercise
from drkeeper.errors import Refused, UsageInvalid
from drkeeper.forecast import Limits
from drkeeper.policy import Policy, ScratchCluster
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import Objectives
from drkeeper.scenarios import Loss, fitting
from drkeeper.systems import Clearing, System, load_kind
from drkeeper.wiring import loss, meanings, open_applications

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drkeeper._policy.recovery_sections import ScenarioPolicy
    from drkeeper.forecast import Run

KEY_LOST = "key-lost"


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
        applications=open_applications(policy),
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


def carried_options(policy: Policy) -> dict[str, dict[str, object]]:
    """What each system's options say of how to restore, and nothing of where to: drills get no more than that.

    A kind names such options in `Options.SANDBOX_FIELDS`.
    """
    return {
        name: {key: getattr(system.options, key) for key in getattr(system.options, "SANDBOX_FIELDS", ())}
        for name, system in policy.systems.items()
    }


def drill_fallbacks(policy: Policy) -> dict[str, Fallback]:
    """Where drills restore systems to that a dry run can be asked of, when no sandbox of theirs can be started."""
    return {
        name: _scratch(policy, policy.sandbox.cluster, name) if policy.sandbox.cluster else _asked(policy, name)
        for name, system in policy.systems.items()
        if "dry_run" in type(system.options).model_fields
    }


def _scratch(policy: Policy, cluster: ScratchCluster, name: str) -> Fallback:
    kind = policy.systems[name].kind
    carried = carried_options(policy)[name]

    def open_scratch() -> System:
        model = load_kind(kind).options
        place = {"kubeconfig": cluster.kubeconfig, "context": cluster.context, "missing_kinds": "skip"}
        return load_kind(kind).open_system(name, model.model_validate({**carried, **place}))

    def admit() -> None:
        system = open_scratch()
        if isinstance(system, Clearing):
            system.insist_clearable()
        if not system.is_empty():
            raise Refused(
                f"{name}: the scratch cluster is not empty, so the drill did not restore into it",
                hint="empty it, or name another one under sandbox.cluster",
            )

    def clear() -> None:
        system = open_scratch()
        if isinstance(system, Clearing):
            system.clear()

    return Fallback(open=open_scratch, words="the scratch cluster of the policy", admit=admit, clear=clear)


def _asked(policy: Policy, name: str) -> Fallback:
    system = policy.systems[name]
    options = system.options.model_copy(update={"dry_run": True, "missing_kinds": "skip"})
    return Fallback(
        open=lambda: load_kind(system.kind).open_system(name, options),
        words="a dry run of the live API server (nothing was created)",
    )
