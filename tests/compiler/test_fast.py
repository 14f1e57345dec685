"""Fast NumPy: parts of a concatenation are computed in their place."""

import linecache
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg


@pytest.mark.parametrize(("reused", "placed"), [(False, True), (True, False)])
def test_what_is_concatenated_is_computed_where_it_lies(reused: bool, placed: bool) -> None:
    rng = np.random.default_rng(0)
    x, W, b = (rng.normal(size=shape) for shape in [(4, 3), (3, 5), (3, 10)])

    def f(x: Any, W: Any, b: Any) -> Any:
        second = np.tanh(b) * 2
        first = x @ W
        both = np.concatenate([first.reshape(2, -1), second])
        return mg.sum(both * both, axis=0), first + 1 if reused else b

    d = mg.compile(f)
    for ours, wanted in zip(d(x, W, b), f(x, W, b), strict=True):
        assert same_bits(ours, wanted)
    lines = "".join(linecache.getlines(d.latest.run.__code__.co_filename))
    assert ("out=" in lines) == placed, lines
    assert "out=" not in d.source


@pytest.mark.parametrize(
    ("parts", "placed"),
    [
        (lambda x, y: (np.tanh(x), np.tanh(y)), False),
        (lambda x, y: (x @ y.T, np.tanh(y)), True),
    ],
)
def test_what_is_concatenated_lies_as_it_would(parts: Any, placed: bool) -> None:
    """Sums depend on the order: NumPy concatenates arrays in Fortran's order in that."""
    x, y = np.random.default_rng(0).normal(size=(2, 60, 60))

    def step(x: Any, y: Any) -> Any:
        first, second = parts(x, y)
        both = np.concatenate([first, second])
        return both, np.sum(both), both[:10].T @ both[:10]

    d = mg.compile(step)
    for given in ((x, y), map(np.asfortranarray, (x, y))):
        args = list(given)
        for ours, wanted in zip(d(*args), step(*args), strict=True):
            assert same_bits(ours, wanted)
    assert ("out=" in "".join(linecache.getlines(d.latest.run.__code__.co_filename))) == placed


def test_what_is_concatenated_counts_as_it_lies() -> None:
    """Ones that lie by columns stay what they are, or the whole would lie by rows, and add up in another order."""
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    f = lambda x: mg.sum(np.concatenate([x.T**0, x.T]), axis=0)  # noqa: E731
    assert same_bits(mg.compile(f)(x), f(x))


def test_a_long_formula_that_is_concatenated() -> None:
    x = np.random.default_rng(0).normal(size=(200, 100))

    def f(x: Any) -> Any:
        first, second = x.reshape(-1) * 2 + 1, x.reshape(-1) * x.reshape(-1) - 1
        return np.exp(np.concatenate([first, second]))

    assert same_bits(mg.compile(f, backend="numba")(x), f(x))
