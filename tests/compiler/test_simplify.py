"""The simplifier: constants, repeated numbers, overwritten zeros, common subexpressions, default arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derived import assert_same, by_source, expected, same_bits
from derived_models import X
from program_values import FLOATS, argument, nasty, simplest, value

import minigrad as mg
from minigrad.compiler.program import (
    Value,
    assigned,
    number,
)
from minigrad.compiler.simplify import frozen, symbolic


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.concatenate([x, x * 2], axis=None),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.take_along_axis(x, np.array([1, 0]), axis=None) * x.shape[0],
        lambda x: np.concatenate(np.stack([x, x]) * 2) + np.sum(x, axis=None),
        lambda x: np.transpose(x * 2, axes=(0, 1)) + x,
    ],
)
def test_keywords_that_are_the_default_of_other_functions(f: Callable[..., Any]) -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert same_bits(mg.derive(f, x, wrt=())(x), f(x))


SAID = {
    "np.ones": lambda x: np.mean(np.log(x)),
    "& True": lambda x: np.max(x),
    "np.float64(": lambda x: np.sum(x[:2]),
    "broadcast_to": lambda x: np.sum((x - np.mean(x)) ** 2),
    "ddof": lambda x: np.var(x),
    "optimize": lambda x: np.einsum("i,i->", x, x),
    "np.pad": lambda x: np.sum(np.abs(np.fft.fft(x))),
    "positive": lambda x: np.sum(np.outer(x, x).T.copy() ** 2),
    "1.0 *": lambda x: np.sum(x * np.arange(3)),
    "[1.0, 0.0, 0.0]": lambda x: np.sum(np.eye(3) * x),
    "[0.0, 1.0, 2.0]": lambda x: np.sum(np.arange(3.0) * x),
    "swapaxes": lambda x: np.sum(np.swapaxes(np.outer(x, x), 0, 1) @ x),
    ".reshape(3, 1)": lambda x: np.sum(np.outer(x, x) / np.sum(np.outer(x, x) ** 2, axis=1, keepdims=True)),
    "0).copy()": lambda x: np.sum(x) * 0.5,
    "assigned": lambda x: np.sum(x[:2] * x[1:]),
}


@pytest.mark.parametrize("word", SAID)
def test_what_goes_without_saying_is_not_said(word: str) -> None:
    d = mg.derive(SAID[word], X)
    assert word not in d.source
    assert_same(d(X), expected(SAID[word], (X,)))
    assert_same(by_source(d, X), expected(SAID[word], (X,)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_computed_from_constants_is_one(dtype: Any) -> None:
    (three,) = simplest(value(np.add, dtype(1), dtype(2)))
    assert three == 3 and type(three) is dtype
    (ones,) = simplest(value(np.exp, value(np.broadcast_to, dtype(0), (2, 3))))
    assert ones.call is np.full and ones.args == ((2, 3), 1) and ones.dtype == dtype


def test_zeros_of_both_signs_are_no_number_repeated() -> None:
    assert isinstance(symbolic(np.array([0.0, -0.0])), np.ndarray)
    assert symbolic(np.array([-0.0, -0.0])).call is np.full
    assert np.signbit(number(symbolic(np.array([-0.0, -0.0]))))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("call", [np.add, np.multiply, np.maximum, np.power, np.copysign])
def test_a_number_repeated_is_spread_only_as_far_as_needed(call: Any, dtype: Any) -> None:
    x = argument(nasty(dtype))
    for c in nasty(dtype):
        with_array = value(call, x, value(np.broadcast_to, c, (12,)))
        (made,) = simplest(with_array)
        assert not any(isinstance(a, Value) and a.call is np.broadcast_to for a in getattr(made, "args", ()))
        assert same_bits(made.example, with_array.example) and made.dtype == dtype


def test_a_number_that_gives_the_shape_stays_spread() -> None:
    (made,) = simplest(value(np.add, argument(np.ones(())), value(np.broadcast_to, np.float64(2), (3,))))
    assert made.shape == (3,) and made.call is np.full


@pytest.mark.parametrize("index", [..., slice(None), (slice(None), slice(None)), (slice(None), ...)])
def test_zeros_of_which_all_is_assigned_are_what_is_assigned(index: Any) -> None:
    x = argument(nasty(np.float64).reshape(3, 4))
    filled, x_now = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), index, x), x)
    assert filled is x_now


@pytest.mark.parametrize("index", [slice(0, 2), 0, (slice(None), slice(1, 4)), np.array([0, 1, 2])])
def test_zeros_of_which_a_part_is_assigned_stay(index: Any) -> None:
    zeros = np.zeros((3, 4))
    part = argument(np.ones_like(zeros[index]))
    (made,) = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), index, part))
    assert made.call is assigned


def test_zeros_that_are_filled_with_what_is_broadcast_stay() -> None:
    (made,) = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), ..., argument(np.ones(4))))
    assert made.call is assigned


def test_what_is_computed_twice_is_computed_once() -> None:
    x = argument(np.ones(3))
    a, b, c = simplest(value(np.exp, x), value(np.exp, x), value(np.sin, x))
    assert a is b and a is not c
    first, second = simplest(value(np.sum, x, axis=0), value(np.sum, x, axis=None))
    assert first is not second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.0,), (-0.0,)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        ((np.float32(1),), (np.float64(1),)),
        ((np.array([1, 2]),), (np.array([[1, 2]]),)),
        ((slice(0, 1),), ((0, 1, None),)),
        (([0, 1],), ((0, 1),)),
    ],
)
def test_constants_that_differ_make_different_calls(one: Any, other: Any) -> None:
    assert frozen(one) != frozen(other)
    assert frozen(one) == frozen(one)


def test_default_arguments_are_dropped() -> None:
    x = argument(np.ones((2, 3)))
    plain, said, initial = simplest(
        value(np.sum, x), value(np.sum, x, axis=None, keepdims=False), value(np.sum, x, initial=0.0)
    )
    assert plain is said and plain is not initial


def test_a_gradient_negated_twice_is_itself() -> None:
    def f(a: Any) -> Any:
        y = np.negative(-a)
        return y

    d = mg.derive(f, X)
    assert "--" not in d.source
    assert_same(d(X, gradient=X * 2), (X, X * 2))


KEPT: list[Callable[[Any], Any]] = [
    lambda x: (x.astype(np.float64), x.astype(np.float64) * 2, x.astype(x.dtype), np.zeros(3).astype(x.dtype)),
    lambda x: (np.sum(x).copy(), np.copy(np.sum(x)), np.sum(x).astype(np.float32)),
    lambda x: (np.squeeze(x[:1]).astype(np.float32), np.squeeze(x[:1]).astype(float), np.ones_like(np.sum(x))),
]


@pytest.mark.parametrize("dtype", [">f8", "<f8"])
@pytest.mark.parametrize("f", KEPT)
def test_byte_order_and_arrays_without_axes_stay(f: Callable[[Any], Any], dtype: str) -> None:
    x = np.arange(1, 4).astype(dtype)
    found, wanted = mg.compile(f)(x), f(x)
    assert [(type(y), y.dtype.str) for y in found] == [(type(y), y.dtype.str) for y in wanted]
    assert all(map(same_bits, found, wanted))


def test_a_view_of_a_copy_that_was_left_out_is_copied() -> None:
    """Also one of several arrays that a function returns, and an argument that it returns as it is."""
    parts: list[Callable[[Any], Any]] = [
        lambda x: np.split(x, 2),
        lambda x: np.unstack(x),
        lambda x: np.broadcast_arrays(x, 1.0),
        lambda x: [np.atleast_2d(x), np.split(np.real(x), 2)[1]],
    ]
    for of in parts:
        for without in (lambda x: x.copy(), lambda x: x * 1, lambda x: np.positive(x)):
            x = np.ones((4, 2))
            f = mg.compile(lambda x, of=of, without=without: of(without(x)))
            assert not any(np.shares_memory(y, x) for y in f(x))
