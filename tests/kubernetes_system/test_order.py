"""In which order objects are put back."""

from hypothesis import given
from hypothesis import strategies as st

from drkeeper.systems._kubernetes import ranks
from drkeeper.systems._kubernetes.identities import Identity, identity, owners
from drkeeper.systems._kubernetes.order import Entry, waves


def entry(kind: str, name: str, namespace: str = "", *, group: str = "", owned_by: tuple[Identity, ...] = ()) -> Entry:
    target = Identity(group, kind, namespace, name)
    return Entry(
        path=str(target),
        source=target,
        target=target,
        api_version=f"{group}/v1" if group else "v1",
        rank=ranks.rank(group, kind),
        owners=tuple((owner,) for owner in owned_by),
    )


def definition(plural: str, group: str, kind: str) -> Entry:
    made = entry("CustomResourceDefinition", f"{plural}.{group}", group="apiextensions.k8s.io")
    return Entry(**{**vars(made), "defines": (group, kind)})


def sequence(entries: list[Entry]) -> dict[str, int]:
    return {each.target.name: number for number, wave in enumerate(waves(entries)) for each in wave}


def test_kinds_follow_their_ranks_whatever_order_they_are_given_in() -> None:
    names = [
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("storage.k8s.io", "StorageClass"),
        ("", "ServiceAccount"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("", "Secret"),
        ("", "ConfigMap"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
        ("", "Service"),
        ("apps", "Deployment"),
        ("kubeflow.org", "Notebook"),
        ("apiregistration.k8s.io", "APIService"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ]
    entries = [entry(kind, kind, group=group) for group, kind in reversed(names)]
    assert [wave[0].target.kind for wave in waves(entries)] == [kind for _, kind in names]


def test_a_namespace_waits_for_its_owner_and_all_that_lies_in_it_waits_too() -> None:
    """Kubeflow's profile controller owns the namespaces of its Profiles, which are custom resources."""
    profile = entry("Profile", "ann", group="kubeflow.org")
    places = sequence(
        [
            entry("Namespace", "ns-ann", owned_by=(profile.target,)),
            entry("Namespace", "other"),
            entry("ConfigMap", "inside", "ns-ann"),
            entry("ConfigMap", "outside", "other"),
            profile,
            definition("profiles", "kubeflow.org", "Profile"),
        ]
    )
    assert places["other"] < places["outside"] < places["ann"] < places["ns-ann"] < places["inside"]
    assert places["profiles.kubeflow.org"] < places["ann"]


def test_owners_come_before_what_they_own_through_several_generations() -> None:
    chain = [entry("Trial", "t0", "ns", group="kubeflow.org")]
    for number in range(1, 2000):
        chain.append(entry("Trial", f"t{number}", "ns", group="kubeflow.org", owned_by=(chain[-1].target,)))
    places = sequence(list(reversed(chain)))
    assert [places[f"t{number}"] for number in range(2000)] == sorted(places.values())
    assert len(set(places.values())) == 2000


def test_a_circle_of_owners_is_cut_and_nothing_is_lost() -> None:
    one, two = Identity("", "ConfigMap", "ns", "one"), Identity("", "ConfigMap", "ns", "two")
    entries = [
        entry("ConfigMap", "one", "ns", owned_by=(two,)),
        entry("ConfigMap", "two", "ns", owned_by=(one,)),
        entry("ConfigMap", "self", "ns", owned_by=(Identity("", "ConfigMap", "ns", "self"),)),
    ]
    assert sorted(sequence(entries)) == ["one", "self", "two"]


def test_webhooks_stay_last_even_where_an_owned_object_is_late() -> None:
    profile = entry("Profile", "ann", group="kubeflow.org")
    webhook = entry("ValidatingWebhookConfiguration", "hook", group="admissionregistration.k8s.io")
    late = entry("ConfigMap", "late", "ns-ann")
    places = sequence([webhook, late, profile, entry("Namespace", "ns-ann", owned_by=(profile.target,))])
    assert places["hook"] == max(places.values())


def test_an_owner_lies_in_the_same_namespace_or_outside_of_all() -> None:
    reference = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "name": "n", "uid": "x"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "n", "namespace": "ns", "ownerReferences": [reference]},
    }
    [(found, choices)] = owners(manifest)
    assert found is reference
    assert choices == (Identity("kubeflow.org", "Notebook", "ns", "n"), Identity("kubeflow.org", "Notebook", "", "n"))
    assert str(identity(manifest)) == "Service ns/n"


@given(st.data())
def test_every_object_has_one_place_and_comes_after_its_owner(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 15))
    kinds = [("", "ConfigMap"), ("apps", "Deployment"), ("example.com", "Widget"), ("", "Secret")]
    entries: list[Entry] = []
    for number in range(count):
        group, kind = data.draw(st.sampled_from(kinds))
        owner = data.draw(st.none() | st.sampled_from(entries)) if entries else None
        entries.append(entry(kind, f"o{number}", "ns", group=group, owned_by=(owner.target,) if owner else ()))
    places = sequence(data.draw(st.permutations(entries)))
    assert len(places) == count
    for each in entries:
        for (owner,) in each.owners:
            assert places[owner.name] < places[each.target.name]
