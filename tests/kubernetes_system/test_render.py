"""What is rendered is read back the same, by a parser of YAML 1.1 and by one of YAML 1.2, and looks as people write it."""

import io
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from drkeeper.errors import VerificationFailed
from drkeeper.systems._kubernetes.documents import document, file_name, object_path, read_documents
from drkeeper.systems._kubernetes.render import Renderer, render

# What JSON can hold: no lone surrogates, no infinities.
TEXTS = st.text(st.characters(exclude_categories=("Cs",))) | st.text(
    alphabet="ab:# -\n\t'\"\\|>%@`~yYnNoOfF01.eE+_", max_size=12
)
SCALARS = (
    TEXTS
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)
MANIFESTS = st.dictionaries(TEXTS, TREES, min_size=1, max_size=5)
TRAPS = [
    *["yes", "No", "ON", "off", "y", "N", "true", "False", "null", "Null", "~", "", "-", "--", "---", "...", "=", "<<"],
    *["1", "-1", "+1", "0x1F", "0o17", "017", "1_000", "1e3", "1.5", ".5", ".inf", "-.INF", ".nan", "190:20:30", "1:2"],
    *["2026-11-23", "2026-11-23T10:00:00Z", "10:30", "10.96.0.1", "100m", "256Mi", "1h", "12e03", "0b11"],
    *["a: b", "a:", ":a", "a #b", "#a", "a ", " a", "@a", "`a", "%a", "&a", "*a", "!a", "|", ">", "{a}", "[a", "a, b"],
    *[
        "'a'",
        '"a"',
        "a\\b",
        "a\tb",
        "a\rb",
        "a\r\nb",
        "\n",
        "\na",
        " a\nb",
        "\ta\nb",
        "a\n\tb",
        "a\n b",
        "a\n\n",
        "a\n\n\nb\n",
    ],
    *[
        "a\n  ",
        "a\n---\nb",
        "a\n# b\n",
        "\u0085",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "\U0001f600",
        "é\nü\n",
        "\x00",
        "\x7f",
        "\x9f",
    ],
    *["? a", "- a", "a\n-", "x" * 5000, "a b  c", "key: |", "!!str a", "\u00a0", "a\u00a0\nb"],
]


def read_1_1(text: bytes) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def read_1_2(text: bytes) -> Any:
    parser = YAML(typ="safe", pure=True)
    parser.version = (1, 2)
    return parser.load(io.BytesIO(text))


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal types: 1 is not 1.0, nor True."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and (not isinstance(left, float) or math.copysign(1, left) == math.copysign(1, right))


@given(MANIFESTS)
@settings(max_examples=400, deadline=None)
def test_whatever_json_can_hold_comes_back_the_same_with_yaml_1_1(manifest: dict[str, Any]) -> None:
    assert same(manifest, read_1_1(render(manifest)))


@given(MANIFESTS)
@settings(max_examples=100, deadline=None)
def test_whatever_json_can_hold_comes_back_the_same_with_yaml_1_2(manifest: dict[str, Any]) -> None:
    assert same(manifest, read_1_2(render(manifest)))


@pytest.mark.parametrize("trap", TRAPS)
def test_each_known_trap_comes_back_as_value_key_and_list_item(trap: str) -> None:
    manifest = {"a": trap, "b": [trap, [trap, {"c": trap}]], "d": {trap: {"e": trap}}, "f": {trap: [trap]}}
    assert same(manifest, read_1_1(render(manifest)))
    assert same(manifest, read_1_2(render(manifest)))


def test_the_order_of_keys_says_nothing() -> None:
    assert render({"b": {"y": 1, "x": 2}, "a": []}) == render({"a": [], "b": {"x": 2, "y": 1}})


def test_a_key_too_long_for_block_style_comes_back() -> None:
    manifest = {"kind": "A", "metadata": {"name": "a"}, "data": {"k" * 3000: {"yes": "no"}}}
    assert same(manifest, read_1_1(render(manifest)))


def test_it_looks_as_people_write_it() -> None:
    manifest = {
        "spec": {"image": "registry/a:1.2", "args": ["--x=1", {"b": 1, "a": "100m"}], "empty": {}, "on": True},
        "metadata": {"name": "a"},
        "kind": "Thing",
        "apiVersion": "v1",
        "data": {"conf": "a: 1\n\nb: 2\n", "bare": "x\ny", "version": "1.10"},
    }
    expected = """\
apiVersion: v1
kind: Thing
metadata:
  name: a
data:
  bare: |-
    x
    y
  conf: |
    a: 1

    b: 2
  version: "1.10"
spec:
  args:
  - --x=1
  - a: 100m
    b: 1
  empty: {}
  image: registry/a:1.2
  "on": true
"""
    actual = render(manifest).decode()
    assert expected.replace("  - --x=1\n", '  - "--x=1"\n') == actual


def test_a_renderer_that_has_seen_much_renders_as_a_new_one() -> None:
    renderer = Renderer()
    for number in range(30_000):
        renderer.render({"metadata": {"name": f"object-{number}"}})
    manifest = {"metadata": {"name": "object-7", "x": "yes"}, "on": "object-7"}
    assert render(manifest) == renderer.render(manifest)


# --- documents ----------------------------------------------------------------------------------------------


@given(st.lists(MANIFESTS, min_size=1, max_size=4), st.integers(1, 70))
@settings(max_examples=100, deadline=None)
def test_documents_are_read_back_whatever_the_blocks_they_come_in(manifests: list[dict[str, Any]], size: int) -> None:
    whole = [{**manifest, "metadata": {"name": str(number)}} for number, manifest in enumerate(manifests)]
    text = b"".join(document(f"cluster/x/{n}.yaml", render(each)) for n, each in enumerate(whole))
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    found = list(read_documents(blocks))
    assert [f"cluster/x/{n}.yaml" for n in range(len(whole))] == [each.path for each in found]
    assert all(same(expected, actual.manifest) for expected, actual in zip(whole, found, strict=True))


def test_no_bytes_are_no_documents() -> None:
    assert list(read_documents([])) == []


@pytest.mark.parametrize("text", [b"kind: A\n", b"---\n# a.yaml\n- 1\n", b"---\n# a.yaml\n{\n", b"x"])
def test_what_we_did_not_write_is_refused(text: bytes) -> None:
    with pytest.raises(VerificationFailed):
        list(read_documents([text]))


def test_paths_are_those_that_a_person_would_browse() -> None:
    metadata = {"name": "ml-pipeline", "namespace": "kubeflow"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    trial = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Trial", "metadata": metadata}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a:b"}}
    assert object_path(deployment) == "namespaces/kubeflow/deployment/ml-pipeline.yaml"
    assert object_path(trial) == "namespaces/kubeflow/trial.kubeflow.org/ml-pipeline.yaml"
    assert object_path(role) == "cluster/clusterrole/a%3Ab.yaml"


def test_names_that_a_file_system_would_mind_stay_apart() -> None:
    names = ["a:b", "a%3Ab", "a*b", "a?b", "a" * 253, "a" * 252 + "b", ":" * 100, ":" * 99 + "%"]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(len(file) <= 255 for file in files)
