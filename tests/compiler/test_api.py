"""derive: for which arguments, in which memory, when it is derived again, and the errors of its arguments."""

import re
from collections.abc import Callable
from typing import Any

import derive_page
import numpy as np
import pytest
from derived import arrays_in, assert_same, by_source, expected, same_bits, share_memory
from derived_models import U, W, X, b, rng, x

import minigrad as mg
from models.window import score

# memory


def test_writing_into_a_gradient_changes_nothing_else() -> None:
    """Where two gradients are the same, or an argument itself, each comes as an array of its own."""

    def f(x, y):
        return np.sum(x + y) + np.sum(x * y)

    d = mg.derive(f, X, X + 1)
    args = X.copy(), X + 1
    for i in range(2):
        value, found = d(*args)
        right = [g.copy() for g in found]
        found[i][...] = 99
        assert same_bits(found[1 - i], right[1 - i])
        assert same_bits(args[0], X) and same_bits(args[1], X + 1)
        assert_same(d(*args), (value, tuple(right)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[::-1],
        lambda x: np.reshape(x, (1, 3)),
        lambda x: (x, x),
        lambda x: [x[:2], x[1:]],
        lambda x: {"a": np.broadcast_to(x, (2, 3)), "b": np.sin(x)},
    ],
)
def test_values_are_arrays_of_their_own(f: Callable[..., Any]) -> None:
    x = X.copy()
    d = mg.derive(f, x, wrt=())
    found = d(x)
    assert_same(found, f(x))
    assert not share_memory(found, x)
    for y in arrays_in(found):
        y[...] = 99
    assert same_bits(x, X)


def test_rows_share_no_memory_with_what_else_is_given() -> None:
    table, b, seed, ids = np.ones((4, 2)), np.ones((3, 2)), np.ones((3, 2)), np.array([1, 2, 2])
    for f, args in (
        (lambda table, b: mg.tanh(mg.embedding(table, ids) + b), (table, b)),
        (lambda b, table: mg.tanh(mg.embedding(table, ids) + b), (b, table)),
        (lambda table: mg.embedding(table, ids), (table,)),
    ):
        d = mg.derive(f, *args)
        assert not share_memory(d(*args, gradient=seed), [*args, seed, ids])


# for which arguments


def test_the_cache_is_seen_and_limited() -> None:
    d = mg.derive(lambda x: np.sum(x * x), X)
    assert len(d.cache) == 1
    d(X + 1)
    assert len(d.cache) == 1
    d(np.ones(4))
    d(np.ones(3, np.float32))
    assert len(d.cache) == 3
    for n in range(5, 30):
        d(np.ones(n))
    assert len(d.cache) == 8
    assert d(X)[0] == 14.0


def test_flags_that_come_and_go_do_not_fill_the_memory() -> None:
    n = 0

    def f(x):
        y = x
        for _ in range(n):
            y = y * x
        return np.sum(y)

    d = mg.derive(f, X)
    with pytest.warns(RuntimeWarning, match="f was compiled 9 times for such arguments, as its guards failed again"):
        for n in range(20):  # noqa: B007
            assert d(X)[0] == f(X)
    assert sum(map(len, d.cache.values())) <= 8


def test_pinned_to_its_shapes() -> None:
    d = mg.derive(lambda x, y: np.sum(x * y), X, X, pinned=True)
    assert d(X, X)[0] == 14.0
    with pytest.raises(
        TypeError, match=re.escape("was derived for x (3,) float64, y (3,) float64, got x (4,) float64")
    ):
        d(np.ones(4), np.ones(4))
    with pytest.raises(TypeError, match="float32"):
        d(X.astype(np.float32), X)
    assert len(d.cache) == 1


def two(x, y):
    return np.sum(x * y * y)


@pytest.mark.parametrize(
    ("wrt", "numbers", "bare"),
    [
        (0, (0,), True),
        (1, (1,), True),
        (-1, (1,), True),
        ("y", (1,), True),
        ("x", (0,), True),
        ((0,), (0,), False),
        ((1, 0), (1, 0), False),
        (("y", "x"), (1, 0), False),
        (["x"], (0,), False),
        (None, (0, 1), False),
    ],
)
def test_which_to_differentiate_by(wrt: Any, numbers: tuple[int, ...], bare: bool) -> None:
    value, right = mg.value_and_grad(two, numbers)(X, X + 1)
    assert_same(mg.derive(two, X, X + 1, wrt=wrt)(X, X + 1), (value, right[0] if bare else right))


def test_by_nothing_gives_the_value_alone() -> None:
    d = mg.derive(lambda x, y: {"sum": x + y, "both": [x * y, 2]}, X, X, wrt=())
    assert_same(d(X, X + 1), {"sum": X + X + 1, "both": [X * (X + 1), 2]})
    assert mg.derive(lambda x: 2 * x, 1.5, wrt=())(2.5) == 5.0


@pytest.mark.parametrize(
    ("wrt", "message"),
    [
        (2, "wrt=2 needs an argument 2, got the arguments x, y"),
        (-3, "wrt=-3 needs an argument -3, got the arguments x, y"),
        ("z", "wrt='z' needs an argument z, got the arguments x, y"),
        (("x", "z"), "needs an argument z"),
    ],
)
def test_an_argument_that_is_not_there(wrt: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        mg.derive(two, X, X, wrt=wrt)


def test_whole_numbers_have_no_gradient() -> None:
    with pytest.raises(
        TypeError, match=re.escape("wrt=1 needs floating-point arrays in y, got (3,) int64; use x.astype(float)")
    ):
        mg.derive(two, X, np.arange(3), wrt=1)
    _value, g = mg.derive(two, X, np.arange(3))(X, np.arange(3))
    assert_same(g, mg.grad(two)(X, np.arange(3)))


def test_several_values_have_no_gradient() -> None:
    with pytest.raises(TypeError, match="one array as the value, got a tuple; derive each, or use wrt="):
        mg.derive(lambda x: (x, x), X)


def test_a_value_that_is_no_number_takes_its_gradient() -> None:
    def f(x, y):
        return np.outer(np.sin(x), y)

    d = mg.derive(f, X, X)
    assert "gradient" in d.source
    g = rng.normal(size=(3, 3))
    value, found = d(X, X + 1, gradient=g)
    assert_same(value, f(X, X + 1))
    assert_same(found, mg.vjp(f, X, X + 1)[1](g))
    with pytest.raises(
        ValueError, match=re.escape("the value has shape (3, 3), so its pullback is derived: call it with gradient=")
    ):
        d(X, X)


def test_complex_numbers() -> None:
    z = np.array([1 + 2j, -0.5 + 0.1j, 3 - 1j])

    def f(z, w):
        return np.sum(np.abs(z * np.exp(w)) ** 2) + np.sum(np.real(z * w))

    d = mg.derive(f, z, z[::-1].copy())
    assert_same(d(z, z * 1j), expected(f, (z, z * 1j)))
    assert_same(by_source(d, z, z * 1j), expected(f, (z, z * 1j)))


def test_single_precision_stays() -> None:
    args = tuple(a.astype(np.float32) for a in (U, W, b, x))
    d = mg.derive(score, *args)
    value, found = d(*args)
    assert {a.dtype for a in (value, *found)} == {np.dtype(np.float32)} and "float64" not in d.source
    assert_same((value, found), expected(score, args))
    assert_same(by_source(d, *args), expected(score, args))


def test_pythons_numbers_are_numbers() -> None:
    def f(x, k):
        return np.sum(np.sin(x) * k) + k**3

    for k in (2.0, np.float64(2.0), np.array(2.0)):
        d = mg.derive(f, X, k)
        assert_same(d(X, k), expected(f, (X, k)))
        assert_same(by_source(d, X, k), expected(f, (X, k)))
    single = X.astype(np.float32)
    assert_same(mg.derive(f, single, 2.0, wrt=0)(single, 2.0), mg.value_and_grad(f, 0)(single, 2.0))


def test_arguments_by_name() -> None:
    def f(x, n=2, *, k, how="sum"):
        y = x**n * k
        return np.sum(y) if how == "sum" else np.mean(y)

    d = mg.derive(f, X, n=3, k=2.0, how="mean")
    value, (dx, dk) = d(X, n=3, k=2.0, how="mean")
    assert value == f(X, 3, k=2.0, how="mean")
    assert_same(dx, mg.grad(lambda x: f(x, 3, k=2.0, how="mean"))(X))
    assert_same(dk, np.float64(mg.grad(lambda k: f(X, 3, k=k, how="mean"))(2.0)))
    assert d(X, n=2, k=2.0, how="sum")[0] == f(X, k=2.0) and sum(map(len, d.cache.values())) == 2


def test_any_number_of_arguments() -> None:
    def f(*parts, **named):
        y = parts[0] * 0.5
        for part in parts[1:]:
            y = y + part * named["k"]
        return np.sum(y * y)

    d = mg.derive(f, X, X, X, k=3.0)
    value, found = d(X, X + 1, X + 2, k=2.0)
    assert len(found) == 4
    assert_same((value, found[:3]), mg.value_and_grad(lambda *p: f(*p, k=2.0), (0, 1, 2))(X, X + 1, X + 2))


def test_rough_rules_are_for_those_who_ask() -> None:
    def f(x):
        return np.sum(-(x - 1) * x + 0)

    exact, rough = mg.derive(f, X), mg.derive(f, X, exact=False)
    assert "(0 - " in exact.source and "0 - " not in rough.source
    assert_same(exact(X), expected(f, (X,)))
    for found, right in zip(rough(X), expected(f, (X,))):
        np.testing.assert_allclose(found, right, rtol=1e-15)


def test_a_line_of_a_derived_function_is_found_by_tracebacks() -> None:
    d = mg.derive(lambda x, y: np.sum(x[y]), X, np.array([0, 1]))
    with pytest.raises(IndexError) as error:
        d(X, np.array([0, 7]))
    assert any("<derived" in str(entry.path) for entry in error.traceback)


def test_a_backend_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="backend needs to be one of numpy, numba, got 'torch'"):
        mg.derive(two, X, X, backend="torch")


def test_the_page_is_what_derive_gives() -> None:
    assert derive_page.PAGE.read_text(encoding="utf-8") == derive_page.page(), "run python tests/derive_page.py"


def test_a_python_number_that_is_differentiated_by_is_a_float64() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x * y)

    x = np.ones(3, np.float32)
    assert_same(mg.derive(f, x, 0.1)(x, 0.3), mg.value_and_grad(f, (0, 1))(x, 0.3))


# names, and what is not said


def test_a_parameter_called_gradient_is_one_of_f() -> None:
    def f(x, gradient):
        return np.sum(x * gradient)

    assert_same(mg.derive(f, X, X + 1)(X, X + 1), expected(f, (X, X + 1)))

    def g(x, gradient):
        return x * gradient

    d = mg.derive(g, X, X + 1)
    with pytest.raises(ValueError, match="call it with gradient_of_value="):
        d(X, X + 1)
    assert_same(d(X, X + 1, gradient_of_value=X)[1], (X * (X + 1), X * X))


def test_a_listing_takes_pythons_numbers() -> None:
    def f(x, y):
        return np.sum(x) * y

    scope: dict[str, Any] = {"np": np}
    exec(mg.derive(f, 2.0, 3.0).source, scope)
    assert_same(scope["f"](2.0, 3.0), (6.0, (3.0, 2.0)))
