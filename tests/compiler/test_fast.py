"""Fast NumPy: parts of a concatenation are computed in their place."""

import linecache
import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.trees import leaves


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


@pytest.mark.parametrize("J", [1.0, 0.0, -0.0, -2.0, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_choice_between_numbers_is_made_by_python(J: float, dtype: Any) -> None:
    w, x = mg.Tensor(np.array([2.0, -1.0], dtype), name="w"), np.array([0.5, -0.0], dtype)

    def step(J: Any) -> Any:
        w.grad = None
        mg.relu(J + mg.sum(w * x) - 1).backward()
        return w.grad

    compiled = mg.compile(step)
    assert same_bits(compiled(dtype(1.0)), step(dtype(1.0)))
    assert same_bits(compiled(dtype(J)), step(dtype(J)))
    lines = "".join(linecache.getlines(compiled.latest.run.__code__.co_filename))
    assert " else " in lines and "np.where" not in lines and "np.where" in compiled.source


def test_a_choice_between_numbers_that_is_returned_is_an_array_as_numpys() -> None:
    f = lambda x: np.where(mg.sum(x) > 0, 1.0, mg.sum(x))  # noqa: E731
    d, x = mg.compile(f), np.ones(2)
    assert type(d(x)) is type(f(x)) is np.ndarray
    assert d(x) is not d(x)  # each call's own


def test_containers_and_constants_are_new_at_every_call() -> None:
    names = ["one", "two"]

    def f(x: Any) -> Any:
        return {"x": [x * 2, names[0]], "c": np.arange(3), "none": (None, 1.5, [])}

    for backend in "numpy", "numba":
        d = mg.compile(f, backend=backend)
        x = np.ones((2, 2))
        wanted = d(x)
        wanted["c"][:] = 7
        wanted["none"][2].append(1)
        wanted["x"].clear()
        found = d(x)
        assert found["c"].tolist() == [0, 1, 2] and found["none"] == (None, 1.5, []) and found["x"][1] == "one"
        assert list(found) == list(wanted)


def raised_in_place(x: Any, n: Any) -> Any:
    y = x[0]
    y **= n
    return y


def called_by_name(ufunc: np.ufunc) -> Any:
    return lambda x, n: (
        ufunc(x[0], n),
        ufunc(x.sum(), 0.5),
        ufunc(np.float64(-np.inf), x[1]),
        ufunc(n, n),
        ufunc(x, n),
    )


@pytest.mark.parametrize("first", [-np.inf, np.inf, 0.0, 2.0, 1e300])
@pytest.mark.parametrize("n", [0.5, 2.0, 0.0])
@pytest.mark.parametrize(
    "f",
    [
        *map(called_by_name, (np.power, np.multiply, np.divide, np.remainder, np.floor_divide, np.add)),
        lambda x, n: (x[0] ** n, n ** x[1], x.sum() ** 0.5, np.float64(-np.inf) ** x[1], operator.pow(x[0], 2)),
        lambda x, n: (n * n, n + 1, -n, n - x[0], n / 2, n < 1),
        raised_in_place,
    ],
)
def test_a_ufunc_of_numbers_called_by_its_name_is_no_operator(f: Any, n: float, first: float) -> None:
    """np.power(-inf, 0.5) is nan, -inf ** 0.5 is inf; np.divide(1.0, 0.0) is inf, 1.0 / 0.0 an error."""
    x = np.array([first, 0.5, 3.0])
    with np.errstate(all="ignore"):
        wanted, compiled = f(x, n), mg.compile(f)
        for _ in range(3):
            for ours, eager in zip(leaves(compiled(x, n)), leaves(wanted), strict=True):
                assert type(ours) is type(eager) and same_bits(ours, eager)


def plus(x: Any, y: Any) -> Any:
    x += y
    return x


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (np.power, (np.float32(7.25), 5)),  # a number takes the dtype of the scalar that it meets
        (lambda x, n: np.power(np.float32(3), n), (0.0, 2.5)),
        (lambda c, d: (c + d, c**d, d * c), (1 - 2j, np.float64(3))),  # Python's complex number where it is first
        (np.add, (1 - 2j, np.float64(3))),
        (np.add, (1 - 2j, np.float32(3))),
        (lambda n, m: (divmod(7, n), divmod(m, 2.0), divmod(n, m)), (3, -1.5)),
        (lambda n, m: (+n, +m, +(n < m), (n < m).conjugate(), divmod(n < m, m)), (3, -0.0 + 4)),
        (lambda n, m: (np.positive(n), np.positive(m)), (3, -1.5)),
        (lambda n, c: (np.outer(n, 2), np.outer(0, c)), (2, 1j)),
        (lambda x, t: (np.copy(t).imag, np.copy(x).real, x.conj(), t.conj()), (np.array(2.0), np.True_)),
        (lambda n, y: n + y ** np.array(0.5), (1.0, np.float64(-np.inf))),
        (lambda n, c: n + np.array([c, 1]), (1.0, complex(2, -np.inf))),
        (lambda n, c: n * np.array([c, 1]), (-1.0, complex(-0.0, 1))),
        (plus, (np.float32(2), mg.Tensor(3.0))),
        (lambda n, x: np.add(n, x, where=True), (2.0, np.float64(3))),
    ],
)
def test_numbers_keep_their_kind(f: Any, args: Any) -> None:
    """A number of Python's, a scalar of NumPy's and an array without axes are three kinds; each stays what it is."""

    def step(*args: Any) -> Any:
        return f(*args)

    compiled = mg.compile(step)
    with np.errstate(all="ignore"):
        for _ in range(3):
            for ours, eager in zip(leaves(compiled(*args)), leaves(f(*args)), strict=True):
                assert type(ours) is type(eager)
                assert same_bits(mg.stop_gradient(ours), mg.stop_gradient(eager))


def test_a_power_of_an_array_is_no_power_of_a_number() -> None:
    """-inf ** 0.5 is nan for an array and inf for a number, and squares differ in the last bit."""
    tables: list[Callable[[Any], Any]] = [
        lambda x: np.where(x[0] > 0, x[0], x[1]) ** 0.5,
        lambda x: np.where(x[0] > 0, x[0], x[1]) ** 2,
        lambda x: np.broadcast_to(x[1], (2,)) ** 0.5,
        lambda x: x ** np.full(2, 0.5),
    ]
    for f in tables:
        compiled = mg.compile(f)
        for x in [[-1.0, -np.inf], [-1.0, -0.0], *np.random.default_rng(0).normal(size=(20, 2))]:
            with np.errstate(invalid="ignore"):
                assert same_bits(compiled(np.array(x)), f(np.array(x)))


@pytest.mark.parametrize("shapes", [((1, 1), (1, 2)), ((2, 1), (1,)), ((1,), (1,)), ((1, 1), (1, 1)), ((2, 2), (2,))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_times_nan_is_nan_in_a_product_of_one_element(shapes: Any, dtype: Any) -> None:
    held = [np.zeros(shapes[0], dtype), np.zeros(shapes[1], dtype)]
    f = lambda x: (held[0] + x) @ (held[1] * x)  # noqa: E731
    compiled = mg.compile(f)
    for left, right, x in product([0.0, -0.0, 1.0], [np.nan, np.inf, -0.0], [1.0, -1.0, 0.0]):
        held[:] = np.full(shapes[0], left, dtype), np.full(shapes[1], right, dtype)
        with np.errstate(invalid="ignore"):
            assert same_bits(compiled(x), f(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inlined", [True, False])
def test_a_choice_between_many_elements_takes_no_branches(dtype: Any, inlined: bool) -> None:
    x, g, W = np.random.default_rng(0).normal(size=(3, 300, 300)).astype(dtype)
    x[0, 0], g[:2, 0] = np.nan, [np.inf, np.nan]

    def f(x: Any, g: Any, W: Any) -> Any:
        y = np.maximum(x @ W, 0)
        if inlined:
            z = np.where(y > 0, g @ W, y)
            return z * z[::-1]
        h = g @ W
        return np.where(y > 0, h, y) * h

    d = mg.compile(f)
    with np.errstate(all="ignore"):
        for args in (x, g, W), (x.T, g, W), (np.asfortranarray(x), g.T, W):
            ours, wanted = d(*args), f(*args)
            assert same_bits(ours, wanted) and ours.strides == wanted.strides
    lines = "".join(linecache.getlines(d.latest.run.__code__.co_filename))
    assert "_selected(" in lines and (", True)" in lines) == inlined and "np.where" in d.source, lines
