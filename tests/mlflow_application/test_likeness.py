"""Floats are alike to a millionth; everything else is equal or not."""

import pytest

from drkeeper.applications._mlflow.likeness import difference


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([0.1, 0.2], [0.1, 0.2 + 1e-8]),
        ([0.1, "NaN"], [0.1, "NaN"]),
        ([1, 2], [1, 2]),
        ([1.0], [1]),
        ({"columns": ["a"], "data": [[1e9]]}, {"columns": ["a"], "data": [[1e9 + 1]]}),
        ([0.0], [1e-13]),
        (None, None),
    ],
)
def test_alike(expected, found):
    assert difference(expected, found) == ""


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ([0.1, 0.2], [0.1, 0.2001], "[1] is 0.2001, and was 0.2"),
        ([1], [2], "[0] is 2, and was 1"),
        ([1], [True], "[0] is true, and was 1"),
        (["a"], ["b"], '[0] is "b", and was "a"'),
        ([1, 2], [1], "the prediction has 1 entries, and had 2"),
        ({"a": 1}, {"b": 1}, "the prediction has b, and had a"),
        ([[1], [2]], [[1], 2], "[1] is 2, and was [2]"),
        ("yes", None, 'the prediction is null, and was "yes"'),
        (["x" * 300], ["y"], '[0] is "y", and was "' + "x" * 199 + "…"),
    ],
)
def test_different(expected, found, said):
    assert difference(expected, found) == said
