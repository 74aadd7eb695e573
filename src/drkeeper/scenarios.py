"""What may be lost: the built-in scenarios, and what one of them means for a policy's systems. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from drkeeper.errors import UsageInvalid


@dataclass(frozen=True)
class Scenario:
    """What is gone, and what of it the way back depends on.

    Attributes:
        title: What has happened, in a few words, after "What if".
        kinds: Kinds of systems whose data are gone or wrong; () for every kind.
        applies_to: Kinds of which a policy must have one for the scenario to make sense.
        region_lost: A region of the vault is gone, too; the primary where none is named.
        data_wrong: Data are there, and wrong: they are overwritten, after an undo point, from a point before the
            moment when they were still right.
        partly: What is left of the systems stays, and what is gone is put beside it.
        elsewhere: Servers are lost with their data: restores go to new ones, buckets to their replicas.
        key_lost: The identity of the vault is gone: only what another identity opens comes back.
    """

    name: str
    title: str
    kinds: tuple[str, ...] = ()
    applies_to: tuple[str, ...] = ()
    region_lost: bool = False
    data_wrong: bool = False
    partly: bool = False
    elsewhere: bool = False
    key_lost: bool = False

    @property
    def overwrites(self) -> bool:
        """Whether targets hold data that the way back replaces, by the nature of what happened."""
        return self.data_wrong or self.partly


BUILT_IN: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("region-lost", "a region is lost, with every server in it", region_lost=True, elsewhere=True),
        Scenario(
            "database-corrupted",
            "databases hold wrong data since a known moment",
            kinds=("postgres",),
            applies_to=("postgres",),
            data_wrong=True,
        ),
        Scenario("online-store-lost", "the online feature store is lost", kinds=("redis",), applies_to=("redis",)),
        Scenario(
            "registry-corrupted",
            "the feature registry is wrong or unreadable",
            kinds=("feast_registry",),
            applies_to=("feast_registry",),
            data_wrong=True,
        ),
        Scenario(
            "bucket-emptied",
            "a bucket of artifacts was emptied, or encrypted by somebody",
            kinds=("objects",),
            applies_to=("objects",),
            data_wrong=True,
        ),
        Scenario(
            "namespace-deleted",
            "a namespace of a cluster was deleted",
            kinds=("kubernetes",),
            applies_to=("kubernetes",),
            partly=True,
        ),
        Scenario("everything-lost", "every protected server and its data are lost; the vault is left", elsewhere=True),
        Scenario("key-lost", "the key that opens the vault is lost", key_lost=True),
    )
}


@dataclass(frozen=True)
class Loss:
    """A scenario, for one policy.

    Attributes:
        systems: That are gone or wrong, in the policy's order.
        left: The other systems.
        regions: Of the vault, that are gone.
    """

    scenario: Scenario
    systems: tuple[str, ...]
    left: tuple[str, ...]
    regions: tuple[str, ...] = ()


def loss_of(
    scenario: Scenario,
    systems: Mapping[str, str],
    regions: Sequence[str],
    *,
    named: Sequence[str] = (),
    regions_named: Sequence[str] = (),
) -> Loss:
    """What a scenario means for a policy.

    Args:
        scenario: Which one.
        systems: Of the policy: name -> kind.
        regions: Of the vault, the primary first.
        named: The systems that are gone, where somebody said so.
        regions_named: The regions that are gone, where somebody said so.

    Raises:
        UsageInvalid: It does not fit the policy: nothing of it would be gone, or what is named is not there.
    """
    unknown = [name for name in named if name not in systems]
    if unknown:
        raise UsageInvalid(f"scenario {scenario.name}: no system {', '.join(unknown)}; there are {', '.join(systems)}")
    strange = [name for name in regions_named if name not in regions]
    if strange:
        raise UsageInvalid(f"scenario {scenario.name}: no region {', '.join(strange)}; there are {', '.join(regions)}")
    gone = tuple(
        name
        for name, kind in systems.items()
        if (name in named if named else kind in scenario.kinds or not scenario.kinds)
    )
    if not gone:
        raise UsageInvalid(
            f"scenario {scenario.name} does not fit the policy: it has no system of kind {', '.join(scenario.kinds)}",
            hint="name the systems under `scenarios:` in the policy, or take another scenario",
        )
    lost = tuple(regions_named) or (tuple(regions[:1]) if scenario.region_lost and len(regions) > 1 else ())
    return Loss(scenario, gone, tuple(name for name in systems if name not in gone), lost)


def fitting(systems: Mapping[str, str], *, encrypted: bool) -> tuple[str, ...]:
    """Names of the built-in scenarios that make sense for a policy with these systems (name -> kind)."""
    kinds = set(systems.values())
    return tuple(
        name
        for name, each in BUILT_IN.items()
        if (not each.applies_to or kinds & set(each.applies_to)) and (encrypted or not each.key_lost)
    )


def scenario_of(name: str, like: str | None, title: str, own: Sequence[str]) -> Scenario:
    """A policy's scenario: the built-in one of that name, a case of one, or one that is like none.

    Args:
        name: Which one.
        like: The built-in scenario that the policy says it is a case of.
        title: The policy's words for it.
        own: Names of all the policy's own scenarios.

    Raises:
        UsageInvalid: There is no such scenario, or none that it is said to be like.
    """
    if name in own and like is None and name not in BUILT_IN:
        return Scenario(name, title or name)
    base = built_in(like or name, own)
    return replace(base, name=name, title=title or base.title)


def built_in(name: str, own: Sequence[str] = ()) -> Scenario:
    """The built-in scenario of that name.

    Args:
        name: Which one.
        own: Names of a policy's own, which may have been meant.

    Raises:
        UsageInvalid: There is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    known = tuple(dict.fromkeys((*BUILT_IN, *own)))
    near = get_close_matches(name, known, n=1)
    raise UsageInvalid(
        f"no scenario {name}", hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    )
