"""checkpoint: random numbers, arguments and values of all kinds; the states of generators."""

import functools
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.generators import State
from minigrad.transforms import gradients

GENERATOR = np.random.default_rng(1)
HELD = types.SimpleNamespace(rng=np.random.default_rng(2), many=[np.random.default_rng(3)])


class Dropout:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)

    def __call__(self, x: Any) -> Any:
        return x * (self.rng.random(x.shape) > 0.5)

    def other(self, x: Any) -> Any:
        return self(x)


def from_default(x: Any, rng: Any = np.random.default_rng(5)) -> Any:
    return x * rng.random(8)


def from_global(x: Any) -> Any:
    return (lambda: x * GENERATOR.random(8))()


def from_an_attribute(x: Any) -> Any:
    return x * HELD.rng.random(8) * HELD.many[0].random(8)


def calling_another(x: Any) -> Any:
    return from_global(x) * np.random.random(8)


LOCAL, OLD, PYTHON = np.random.default_rng(6), np.random.RandomState(7), random.Random(8)
RANDOM: list[Callable[[Any], Any]] = [
    lambda x: x * LOCAL.random(8), lambda x: x * OLD.random(8), lambda x: x * PYTHON.random(),
    lambda x: x * np.random.random(8), lambda x: x * random.random(), from_default, from_global, from_an_attribute,
    calling_another, Dropout(), Dropout().other,
    functools.partial(lambda rng, x: x * rng.random(8), np.random.default_rng(9)),
    lambda x: x * np.random.default_rng(10).random(8),
]  # fmt: skip


@pytest.mark.parametrize("f", RANDOM)
def test_random_numbers_are_the_same_the_second_time(f: Callable[[Any], Any]) -> None:
    """A function linear in x = 1: its gradient is its value."""
    seen = []

    def whole(x: Any) -> Any:
        y = mg.checkpoint(f)(mg.checkpoint(f)(x))
        seen.append(y.data)
        return np.sum(y)

    np.testing.assert_allclose(mg.grad(whole)(np.ones(8)), seen[0], rtol=1e-14)


def test_generators_go_on_as_without_the_second_run() -> None:
    def draws(wrap: Any) -> list[float]:
        rng = np.random.default_rng(0)
        f = wrap(lambda x: x * rng.random(8))
        w = mg.Tensor(np.ones(8))
        found = []
        for _ in range(2):
            mg.sum(f(w)).backward()
            found += [rng.random(), w.grad.sum()]
        return found

    assert draws(mg.checkpoint) == draws(lambda f: f)


def test_a_generator_as_an_argument() -> None:
    rng = np.random.default_rng(0)
    y, pullback = mg.vjp(lambda x: mg.checkpoint(lambda x, rng: x * rng.random(8))(x, rng), np.ones(8))
    assert pullback(np.ones(8))[0].tolist() == y.tolist()


def test_another_value_the_second_time_is_refused() -> None:
    counter = iter(range(10))
    with pytest.raises(RuntimeError, match="checkpoint needs a function that has the same value when it runs again"):
        mg.grad(mg.checkpoint(lambda x: x * next(counter)))(3.0)


def test_reading_a_value_inside_is_refused() -> None:
    w = mg.Tensor(2.0)
    with pytest.raises(TypeError, match="read as a Python number"):
        mg.checkpoint(lambda x: x * float(x))(w).backward()


@pytest.mark.parametrize("other", [None, "square", 2, True, np.arange(3), np.tanh, {"a": [None, 1]}])
def test_arguments_of_all_kinds(other: Any) -> None:
    def f(x: Any, other_: Any) -> Any:
        assert other_ is other or other_ == other
        return x * x

    assert mg.grad(lambda x: mg.checkpoint(f)(x, other))(3.0) == 6.0
    assert mg.grad(mg.grad(lambda x: mg.checkpoint(f)(x, other_=other) * x))(3.0) == 18.0


VALUES: list[Callable[..., Any]] = [
    lambda x, k=2.0: (x**k, x), lambda x, k=2.0: {"a": x**k, "b": [x, None, "text", 3]},
    lambda x, k=2.0: [mg.sum(x**k)],
    lambda x, k=2.0: (x**k, np.float32(2.0) * x.astype(np.float32)),
    lambda x, k=2.0: x**k,
]  # fmt: skip


@pytest.mark.parametrize("f", VALUES)
def test_keywords_and_values_of_all_kinds(f: Callable[..., Any]) -> None:
    from minigrad.trees import leaves, paths

    def total(value: Any) -> Any:
        return sum(mg.sum(mg.sin(y)) for y in leaves(value) if hasattr(y, "dtype"))

    x = np.array([0.3, 0.7])
    direct, kept = f(x, k=3.0), mg.checkpoint(f)(x, k=3.0)
    assert paths(direct) == paths(kept) and [np.shape(y) for y in leaves(direct)] == [np.shape(y) for y in leaves(kept)]
    assert [getattr(y, "dtype", y) for y in leaves(direct)] == [getattr(y, "dtype", y) for y in leaves(kept)]
    for order in (mg.grad, mg.hessian):
        expected = order(lambda x: total(f(x, k=3.0)))(x)
        np.testing.assert_allclose(order(lambda x: total(mg.checkpoint(f)(x, k=3.0)))(x), expected, rtol=1e-6)
    w = mg.Tensor(x)
    total(mg.checkpoint(f)(x=w, k=3.0)).backward()
    np.testing.assert_allclose(w.grad, mg.grad(lambda x: total(f(x, k=3.0)))(x), rtol=1e-6)


def test_no_floating_point_argument() -> None:
    assert mg.checkpoint(lambda n: n + 1)(2) == 3 and mg.checkpoint(lambda: 2.0)() == 2.0


def test_state_of_generators() -> None:
    rng, unused = np.random.default_rng(0), np.random.default_rng(1)

    def f() -> Any:
        return rng.random(), np.random.random(), random.random()

    state = State(f, {"unused": [unused]})
    first = f()
    state.forget_unused()
    assert len(state.states) == 3
    second = f()
    with state.restored():
        assert f() == first
    with state.restored():
        assert f() == first
    third = f()
    assert len({first, second, third}) == 3


def test_a_pass_that_asks_for_some_gradients_leaves_none_for_the_next():
    b, a = mg.Tensor(2.0), mg.Tensor(3.0)
    y = mg.checkpoint(lambda b, a: b * a)(b, a)
    assert gradients([y], [np.float64(1.0)], [a], False) == [2.0]  # b is older, and not asked for
    assert gradients([y], [np.float64(10.0)], [b], False) == [30.0]
