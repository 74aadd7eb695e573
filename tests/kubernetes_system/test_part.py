"""Single namespaces of a point: which objects are theirs, and what of them is not served any more."""

import pytest

from drkeeper.errors import UsageInvalid, VerificationFailed
from drkeeper.lost_parts import WHOLE, insist_has_parts, lost_parts
from drkeeper.scenarios import BUILT_IN
from drkeeper.systems._kubernetes import part
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems.kubernetes import Kubernetes

UIDS = b"""\
1\tcluster/namespace/team-a.yaml
2\tcluster/customresourcedefinition/gadgets.shop.test.yaml
3\tnamespaces/team-a/configmap/settings.yaml
4\tnamespaces/team-a/gadget.shop.test/one.yaml
5\tnamespaces/default/secret/password.yaml
"""
SCENARIO = BUILT_IN["namespace-deleted"]


class Kept:
    """Streams of a record."""

    def __init__(self, **streams):
        self._streams = {name.replace("_", "."): content for name, content in streams.items()}

    def names(self):
        return tuple(self._streams)

    def read(self, name):
        yield self._streams[name][:40]
        yield self._streams[name][40:]


def kind(name, group="", *, namespaced=True):
    return ResourceKind(group, "v1", name, f"{name.lower()}s", namespaced, frozenset({"list"}))


def test_an_object_is_of_a_namespace_when_it_lies_in_it_or_is_it():
    options = part.part_of(Options(), ["team-a/", "team-a"])
    assert options.only == ("team-a",)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    inside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "team-a"}}
    outside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "team-a", "namespace": "team-b"}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "team-a"}}
    assert [part.within(each, options) for each in (namespace, inside, outside, role)] == [True, True, False, False]
    assert part.within(role, Options())


@pytest.mark.parametrize("name", ["", "/", "Team", "a/b", "a.b", "-a", "x" * 64])
def test_what_is_no_namespace_is_refused(name):
    with pytest.raises(UsageInvalid, match="single namespaces"):
        part.part_of(Options(), [name])


def test_what_the_policy_does_not_protect_is_refused():
    with pytest.raises(UsageInvalid, match="does not protect namespace kube-system"):
        part.part_of(Options(exclude_namespaces=("kube-*",)), ["kube-system"])


def test_a_copy_of_the_options_is_of_the_same_part():
    options = part.part_of(Options(), ["team-a"])
    assert options.model_copy(update={"timeout_seconds": 1}).only == ("team-a",)
    assert not Options().only


def test_a_cluster_says_of_which_part_it_is_and_leads_nowhere_else():
    system = Kubernetes("cluster", Options(context="east"))
    assert "only" not in system.narrowed([], "").place
    assert system.narrowed(["team-a/"], "").place.endswith("context east (only namespaces team-a)")
    with pytest.raises(UsageInvalid, match="--into does not lead to") as refused:
        system.narrowed([], "s3://bucket")
    assert "kubeconfig" in refused.value.hint


def test_contents_of_namespaces_are_read_from_paths():
    assert part.contents(Kept(uids_tsv=UIDS)) == {
        "team-a": {"configmap", "gadget.shop.test"},
        "default": {"secret"},
    }
    with pytest.raises(VerificationFailed, match=r"no uids.tsv"):
        part.contents(Kept())


def test_a_definition_that_is_gone_is_named_with_the_way_to_bring_it_back():
    wanted = {"configmap", "gadget.shop.test"}
    missing = part.definitions([kind("ConfigMap")], wanted)
    assert (missing.verdict, missing.severity) == ("failed", "error")
    assert "gadget.shop.test" in missing.detail
    assert "drkeeper restore --system" in missing.remedy
    assert part.definitions([kind("ConfigMap"), kind("Gadget", "shop.test")], wanted).verdict == "passed"


def test_parts_are_named_for_a_scenario_that_loses_parts_only():
    insist_has_parts(SCENARIO, ["team-a"])
    with pytest.raises(UsageInvalid, match="whole systems"):
        insist_has_parts(BUILT_IN["everything-lost"], ["team-a"])


def test_what_is_said_to_be_gone_is_taken_as_said():
    cluster = {"cluster": Kubernetes("cluster", Options())}
    assert lost_parts(SCENARIO, ["team-a"], cluster, None, None).only == ("team-a",)
    assert lost_parts(BUILT_IN["everything-lost"], (), cluster, None, None) == WHOLE
    assert lost_parts(SCENARIO, (), cluster, None, None, ask=False) == WHOLE


def test_of_several_clusters_nobody_guesses_which_one_it_is():
    clusters = {name: Kubernetes(name, Options()) for name in ("east", "west")}
    lost = lost_parts(SCENARIO, ["team-a"], clusters, None, None)
    assert not lost.only
    assert "east, west" in lost.reason
    assert "systems: [NAME]" in lost.remedy
