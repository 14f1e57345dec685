"""Every case of the table under vmap, batched in each argument and in all, equals a loop: to second order."""

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from batches import LOOPS, REFUSED, SIZE, arrays_of, batch, batches, derivatives, is_refused, looped, value, with_numpys
from cases import CASES, Case
from foreign import dense
from sampling import sampled

import minigrad as mg
from minigrad import batched
from minigrad.batched import RULES, Batched
from minigrad.hints import full_name
from minigrad.trees import leaves

WITH_ARRAYS = [c for c in map(with_numpys, CASES) if arrays_of(c)]


def axes(case: Case, chosen: list[int]) -> tuple[int | None, ...]:
    return tuple(0 if k in chosen else None for k in arrays_of(case))


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The NumPy functions that run example by example."""
    found, looped = set(), batched.one_by_one

    def noting(level: Any, function: Any, args: Any, kwargs: Any) -> Any:
        found.add(full_name(function))
        return looped(level, function, args, kwargs)

    monkeypatch.setattr(batched, "one_by_one", noting)
    return found


@sampled(WITH_ARRAYS, one_in=3)
def test_equals_a_loop(case: Case, loops: set[str]) -> None:
    zeroth = looped(case, [], 0)
    for chosen in batches(case):
        mapped, arrays = mg.vmap(derivatives(case), axes(case, chosen)), batch(case, chosen, SIZE)
        if is_refused(case, chosen):
            with pytest.raises(TypeError, match=r"vmap: .*"):
                mapped(*arrays)
            continue
        others = [looped(case, chosen, i) for i in range(1, SIZE)]
        for found, *expected in zip(mapped(*arrays), zeroth, *others, strict=True):
            assert found.dtype == expected[0].dtype
            np.testing.assert_allclose(found, np.stack(expected), rtol=1e-9, atol=1e-11)
    listed = {function for function, (names, _) in LOOPS.items() if re.fullmatch(names, str(case))}
    assert loops <= listed
    if case.op.__name__ == "convolve":
        assert loops == listed


@sampled(WITH_ARRAYS, one_in=3)
def test_batches_of_one_and_of_none(case: Case) -> None:
    *_, chosen = batches(case)
    if is_refused(case, chosen) or case.op.__name__ == "delete":  # how many are left of none?
        return
    expected = dense(case(*case.args))
    for size in (0, 1):
        found = mg.vmap(value(case), axes(case, chosen))(*batch(case, chosen, size))
        assert found.shape == (size, *np.shape(expected))
        if size:
            np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", ["matmul", "getitem", "take", "sort", "einsum", "embedding", "solve"])
def test_derivatives_of_batches_of_one_and_of_none(name: str, size: int) -> None:
    """They sum over the batch."""
    for case in [c for c in map(with_numpys, CASES) if c.op.__name__ == name and arrays_of(c)][::2]:
        *_, chosen = batches(case)
        if not is_refused(case, chosen):
            given = batch(case, chosen, size)
            variables = tuple(i for i, a in enumerate(given) if a.dtype.kind in "fc")

            def total(*arrays: Any, case: Any = case, chosen: Any = chosen) -> Any:
                return np.real(np.sum(np.sin(mg.vmap(value(case), axes(case, chosen))(*arrays))))

            found = mg.grad(total, variables)(*given)
            wanted_of = mg.grad(lambda *arrays, f=value(case): np.real(np.sum(np.sin(f(*arrays)))), variables)
            expected = wanted_of(*[leaves(case.args)[k] for k in arrays_of(case)])
            for i, g, wanted in zip(variables, found, expected, strict=True):
                assert g.shape == given[i].shape
                if size:
                    np.testing.assert_allclose(np.reshape(dense(g), np.shape(wanted)), dense(wanted), rtol=1e-9)


def test_what_is_refused_is_in_the_table() -> None:
    for pattern, _ in REFUSED.values():
        assert any(is_refused(case, chosen) for case in map(with_numpys, CASES) for chosen in batches(case)), pattern


# calls that no op makes

x, y = np.arange(24.0).reshape(2, 3, 4) % 7 / 3, np.arange(6.0).reshape(2, 3)
CALLS: list[Any] = [
    (lambda a: np.add.reduce(a), x),
    (lambda a: np.maximum.accumulate(a, 1), x),
    (lambda a: np.multiply.outer(a, a), y),
    (lambda a: np.frexp(a), x),
    (lambda a: np.argmax(a, keepdims=True), x),
    (lambda a: np.argmax(a, axis=-1, keepdims=True), x),
    (lambda a: np.lexsort((a,)), y),
    (lambda a: np.isin(a, [0.0, 1.0]), y),
    (lambda a: np.digitize(a, [0.5, 2.0]), y),
    (lambda a: np.searchsorted(np.sort(a), [0.5, 2.0]), y),
    (lambda a: np.linalg.lstsq(a, np.ones(3))[0], x + np.eye(3, 4)),
    (lambda a: np.linalg.matrix_rank(a), x),
    (lambda a: np.array_equal(a, a), x),
    (lambda a: np.allclose(a, 0.0), x),
    (lambda a: np.reshape(a, (4, 3), order="F"), x),
    (lambda a: np.median(a), x),
    (lambda a: np.apply_along_axis(np.sum, 0, a), x),
    (lambda a: np.histogram(a, bins=3)[0], y),
    (lambda a: np.tensordot(a, a, 2), x),
    (lambda a: a.sum(axis=-1).max() + a.mean().reshape(1), x),
    (lambda a: a.T.copy().ravel().astype(np.float32), x),
    (lambda a: a.flatten("F").argsort(), x),
    (lambda a: len(a) + a[0] + sum(a), x),
    (lambda a: [*a][1], x),
    (lambda a: divmod(a, 0.7), y),
    (lambda a: a @ a.T, x),
    (lambda a: np.vecdot(a, np.ones(4)), x),
    (lambda a: np.full_like(a, 2.0) + np.full_like(a, a[0]), y),
    (lambda a: np.einsum("ij,ij", a, a), x),
    (lambda a: np.where(a > 1, a, 0), x),
    (lambda a: np.squeeze(a[None]), x),
    (lambda a: np.round(a, 1), x),
    (lambda a: np.nan_to_num(a, nan=1.0), x),
    (lambda a: operator.index(np.ndim(a)) + a.size + a.nbytes, y),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_call_equals_a_loop(number: int) -> None:
    call, a = CALLS[number]
    found, expected = mg.vmap(call)(a), [call(row) for row in a]
    if isinstance(found, tuple):
        found, expected = found[0], [e[0] for e in expected]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12)


def written(call: Any) -> Any:
    def f(a: Any) -> Any:
        a = a.copy()
        call(a)
        return a

    return f


WRITES: list[Any] = [
    lambda a: operator.setitem(a, 0, a[1] * 2),
    lambda a: operator.setitem(a, (0, slice(None, None, 2)), 7.0),
    lambda a: operator.setitem(a, ([0, 1], slice(None), [1, 1]) if a.ndim == 3 else ([0, 1],), a[0] + 1),
    lambda a: operator.setitem(a, np.argmax(a[0]) % 3, -1.0),
    lambda a: operator.iadd(a, a[0]),
    lambda a: operator.setitem(a[1:], 0, 5.0),
    lambda a: np.add.at(a, ([0, 0, 1],), 1.0),
    lambda a: np.copyto(a, a[0]),
    lambda a: np.fill_diagonal(a, a[0, 0]),
    lambda a: np.put(a, [0, -1], a[1, 1]),
]


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_a_write_into_an_own_array_equals_a_loop(number: int) -> None:
    f, before = written(WRITES[number]), x.copy()
    np.testing.assert_array_equal(mg.vmap(f)(x), [f(row) for row in x])
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("call", [lambda a: a[..., 9], lambda a: np.sum(a, axis=2), lambda a: np.transpose(a, (0, 0))])
@pytest.mark.parametrize("kind", [np.asarray, mg.Tensor])
def test_an_axis_or_index_that_an_example_lacks_is_an_error_as_in_a_loop(call: Any, kind: Any) -> None:
    with pytest.raises((IndexError, ValueError)):
        call(x[0])
    with pytest.raises((IndexError, ValueError)):
        mg.vmap(call)(kind(x))


def matmuls() -> Any:
    shapes = [(3,), (3, 3), (2, 3, 3)]
    return [
        (a, b, i, j) for a in shapes for b in shapes for i in (0, None) for j in (0, None) if (i, j) != (None, None)
    ]


@pytest.mark.parametrize(("a", "b", "i", "j"), matmuls())
def test_every_product(a: Any, b: Any, i: Any, j: Any) -> None:
    rng = np.random.default_rng(1)
    p, q = (rng.normal(size=(*[4] * (k == 0), *shape)) for shape, k in ((a, i), (b, j)))
    found = mg.vmap(np.matmul, (i, j))(p, q)
    expected = [np.matmul(p[k] if i == 0 else p, q[k] if j == 0 else q) for k in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_vector_times_a_matrix_is_one_product_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Counted(np.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            if any(isinstance(a, Batched) for a in inputs):
                return NotImplemented
            calls.append((ufunc.__name__, [np.shape(a) for a in inputs]))
            return getattr(ufunc, method)(*(np.asarray(a) for a in inputs), **kwargs)

    W = np.ones((5, 3)).view(Counted)
    mg.vmap(lambda v: W @ v)(np.ones((4, 3)))
    assert calls == [("matmul", [(4, 3), (3, 5)])]


@pytest.mark.parametrize("function", [np.sum, np.matmul, np.take, np.concatenate])
def test_planted_a_wrong_rule_is_found(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES[function]

    def wrong(level: Any, *args: Any, **kwargs: Any) -> Any:
        y = right(level, *args, **kwargs)
        return y if y is NotImplemented or np.ndim(y) == 0 else np.flip(y, 0)

    monkeypatch.setitem(RULES, function, wrong)
    case = next(c for c in map(with_numpys, CASES) if c.like is function and np.ndim(leaves(c.args)[0]) == 2)
    with pytest.raises(AssertionError):
        test_equals_a_loop(case, set())


def test_a_batched_array_has_a_text() -> None:
    texts = []
    mg.vmap(lambda a: texts.append((repr(a), str(a), np.array2string(a), repr(mg.Tensor(a)))) or a)(y)
    assert set(texts[0][:3]) == {"<float64 (3,) for each of 2 examples>"} and "2 examples" in texts[0][3]
    assert Batched.__hash__ is None


WITH_KEYWORDS: dict[str, Callable[[Any, Any], Any]] = {
    "where": lambda s, x: np.add(s, 1.0, where=x > 0, out=x.copy()),
    "where, the same for all": lambda s, x: np.add(x, s, where=np.arange(3) > 0, out=x * 2),
    "where, in a corner": lambda s, x: np.divide(s, x, where=x > 0, out=np.zeros_like(x, shape=(2, 3))),
    "clip": lambda s, x: np.clip(s, min=x),
    "isclose": lambda s, x: np.isclose(s, 1.0, atol=np.abs(x)),
    "dtype": lambda s, x: np.add(s, x, dtype=np.float32),
}


@pytest.mark.parametrize("name", WITH_KEYWORDS)
def test_keywords_broadcast_and_where_leaves_elements_as_they_are(name: str) -> None:
    s, x = np.array([0.5, -1.0, 2.0]), np.array([[1.0, -2.0, 3.0], [-1.0, 0.5, 2.5], [0.1, 0.2, -0.3]])
    expected = np.stack([WITH_KEYWORDS[name](*row) for row in zip(s, x, strict=True)])
    assert np.array_equal(mg.vmap(WITH_KEYWORDS[name])(s, x), expected)


def test_where_writes_into_no_argument() -> None:
    with pytest.raises(TypeError, match=r"an argument, .*, was written into"):
        mg.vmap(lambda x: np.add(x, 1.0, where=x > 0, out=x))(np.ones((3, 2)))


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_orders_are_those_of_each_example(order: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for f in (lambda x: np.ravel(x, order), lambda x: np.ravel(x.T, order), lambda x: x.T.flatten(order)):
        assert np.array_equal(mg.vmap(f)(x), np.stack([f(row) for row in x]))
    if order != "K":
        for f in (lambda x: np.reshape(x, (2, 6), order), lambda x: np.reshape(x.T, (2, 6), order)):
            assert np.array_equal(mg.vmap(f)(x), np.stack([f(row) for row in x]))
    weighted = mg.grad(lambda x: np.sum(np.ravel(x.T, order) * np.arange(12.0)))
    assert np.array_equal(mg.vmap(weighted)(x), np.stack([weighted(row) for row in x]))
