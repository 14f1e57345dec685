"""Recording: effects and random numbers are refused, and nothing is left behind."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derived import same_bits
from derived_models import X

import minigrad as mg
from minigrad.compiler.tracer import Refused


def test_random_numbers_are_refused_and_not_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 1)  # another test's may still run, and could draw too
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises(Refused, match=r"random numbers were drawn.*pass them as arguments"):
        mg.derive(lambda x: np.sum(x * rng.normal(size=3)), X)
    assert rng.bit_generator.state == state
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.derive(lambda x: np.sum(x * np.random.rand(3)), X)


def test_writing_into_an_argument_is_refused() -> None:
    def f(x):
        x[0] = 1.0
        return np.sum(x)

    args = X.copy()
    with pytest.raises(Refused, match="the argument x was written into; compute a new array instead"):
        mg.derive(f, args, wrt=())
    assert same_bits(args, X)

    def g(x):
        x += 1
        return np.sum(x)

    with pytest.raises(Refused, match="the argument x was written into"):
        mg.derive(g, args, wrt=())
    assert same_bits(args, X)


def test_effects_are_refused_and_undone() -> None:
    """Arrays, numbers, lists and attributes that f changes are what they were: derive is for functions."""
    array, counts, calls = np.ones(3), [0], 0

    class Model:
        mean = np.zeros(3)

    model = Model()
    model.mean = np.zeros(3)

    def writes(x):
        array[0] += 1
        return np.sum(x * array)

    def counting(x):
        counts[0] += 1
        return np.sum(x)

    def rebinds(x):
        nonlocal calls
        calls += 1
        return np.sum(x)

    def remembers(x):
        model.mean = np.copy(array) * 2
        return np.sum(x)

    for f, name in ((writes, "array"), (counting, "counts0"), (rebinds, "calls"), (remembers, "mean")):
        with pytest.raises(Refused, match=f"a function without effects, got one that changes {name}; see mg.compile"):
            mg.derive(f, X)
    assert same_bits(array, np.ones(3)) and counts == [0] and calls == 0
    assert type(array) is type(model.mean) is np.ndarray and same_bits(model.mean, np.zeros(3))


def test_a_value_that_is_stored_is_refused_and_removed() -> None:
    kept: list[Any] = []

    def f(x):
        kept.append(np.sin(x))
        return np.sum(x)

    with pytest.raises(Refused, match="something was stored in a list"):
        mg.derive(f, X)
    assert kept == []


def test_what_is_captured_is_afterwards_the_very_same() -> None:
    array, number, parts, table = np.ones(3), 2.0, [np.ones(3), 1.5], {"a": np.ones(3), "b": (np.zeros(3), 4.0)}
    before = array, number, parts[0], parts[1], table["a"], table["b"]
    error = True

    def f(x):
        y = np.sum(x * array * parts[0] * table["a"] + table["b"][0]) * number * parts[1] * table["b"][1]
        return float(y) if error else y

    with pytest.raises(Refused):
        mg.derive(f, X)
    assert all(p is q for p, q in zip(before[:5], (array, number, parts[0], parts[1], table["a"])))
    error = False
    mg.derive(f, X)
    assert all(p is q for p, q in zip(before[:5], (array, number, parts[0], parts[1], table["a"])))
    assert table["b"][0] is before[5][0] and table["b"][1] is before[5][1]


def test_an_error_of_the_function_passes_and_leaves_nothing_behind() -> None:
    array = np.ones(3)

    def f(x):
        raise ZeroDivisionError(f"{np.shape(x * array)}")

    with pytest.raises(ZeroDivisionError):
        mg.derive(f, X)
    assert type(array) is np.ndarray and not mg.mode.mode.tracing
    assert np.sum(mg.Tensor(X)).item() == 6.0


@pytest.mark.parametrize(
    "draw",
    [
        np.random.RandomState(0).normal,
        np.random.Generator(np.random.MT19937(0)).normal,
        random.Random(0).random,
        random.random,
    ],
)
def test_random_numbers_of_every_kind_are_refused(draw: Callable[[], float]) -> None:
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.derive(lambda x: np.sum(x) * draw(), X)


def test_what_was_stored_is_named() -> None:
    table, seen, recent = {}, set(), deque()

    def in_dict(x):
        table["last"] = np.sum(x)
        return np.sum(x)

    def in_set(x):
        seen.add(1)
        return np.sum(x)

    with pytest.raises(Refused, match=r"stored in a dict or an attribute \('last'\)"):
        mg.derive(in_dict, X)
    with pytest.raises(Refused, match="stored in a set"):
        mg.derive(in_set, X)

    def in_deque(x):
        recent.append(np.sum(x))
        return np.sum(x)

    with pytest.raises(Refused, match="stored in a deque"):
        mg.derive(in_deque, X)
    assert not table and not seen and not recent


def test_a_number_is_no_array_without_axes() -> None:
    def f(x: Any) -> Any:
        y = x
        y += 1
        return y, x

    kept = mg.compile(lambda x: (x, x * 2))
    for x in [np.float64(2), np.array(2.0), np.int64(2), np.array(2), np.float64(3), np.float32(2), np.array(2, "f4")]:
        assert [type(y) for y in kept(x)] == [type(x), type(x * 2)]
    compiled = mg.compile(f)
    assert compiled(np.float64(2)) == (3.0, 2.0)
    with pytest.raises(Refused, match="written into"):
        compiled(np.array(2.0))
