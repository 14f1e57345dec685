"""Containers of arrays: leaves in order, their paths, and trees of the same form."""

import collections
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.trees import leaves, map_leaves, paths, unflatten

Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Layer:
    W: Any
    b: Any = 0.0


TREES = [
    (1.0, [1.0], [""]),
    ([], [], []),
    ([1, (2, [3])], [1, 2, 3], ["[0]", "[1][0]", "[1][1][0]"]),
    ({"b": 1, "a": {"x": 2}}, [1, 2], ["['b']", "['a']['x']"]),
    (Pair(1, [2]), [1, 2], ["[0]", "[1][0]"]),
    (Layer([1, 2], 3), [1, 2, 3], [".W[0]", ".W[1]", ".b"]),
    ({"layers": [Layer(1, 2)], "out": ()}, [1, 2], ["['layers'][0].W", "['layers'][0].b"]),
    ("text", ["text"], [""]),
    (Layer, [Layer], [""]),
    (None, [None], [""]),
]


@pytest.mark.parametrize(("tree", "flat", "names"), TREES)
def test_leaves_and_paths(tree: Any, flat: list[Any], names: list[str]) -> None:
    assert leaves(tree) == flat and paths(tree) == names


@pytest.mark.parametrize("tree", [t for t, *_ in TREES])
def test_form_is_kept(tree: Any) -> None:
    same = map_leaves(lambda x: x, tree)
    assert same == tree and type(same) is type(tree)
    counted = unflatten(tree, range(100))
    assert leaves(counted) == list(range(len(leaves(tree)))) and paths(counted) == paths(tree)


KEYS = st.text("ab'].", max_size=3)  # of any text at all hypothesis makes a table first, which takes seconds


@given(
    st.recursive(
        st.integers(), lambda t: st.lists(t) | st.tuples(t, t) | st.dictionaries(KEYS, t) | st.builds(Layer, t, t)
    )
)
def test_round_trip(tree: Any) -> None:
    assert unflatten(tree, leaves(tree)) == tree and len(leaves(tree)) == len(paths(tree)) == len(set(paths(tree)))
    assert leaves(map_leaves(lambda x: -x, tree)) == [-x for x in leaves(tree)]
