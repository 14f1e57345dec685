"""RowSparse: everything it does must equal what the dense array of np.add.at does."""

import copy
import itertools
import operator
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derived import same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import sparse
from minigrad.mode import merging_rows, mode
from minigrad.sparse import RowSparse

N = 6
few = settings(max_examples=25)  # the same arrays in each of many tests


@st.composite
def gradients(draw: st.DrawFn) -> tuple[RowSparse, np.ndarray]:
    """A gradient of a few look-ups, and the same made dense by NumPy."""
    dense, parts = np.zeros((N, 2)), []
    for _ in range(draw(st.integers(1, 3))):
        ids = np.array(draw(st.lists(st.integers(-N, N - 1), max_size=8)), int)
        rows = np.random.default_rng(len(ids)).integers(-4, 5, (len(ids), 2)).astype(float)
        parts.append((ids, rows))
        np.add.at(dense, ids, rows)
    sparse = RowSparse(parts, (N, 2))
    if draw(st.booleans()):
        assert len(sparse.indices) == len(sparse.rows)  # merged, from here on
    return sparse, dense


def same(x: Any, y: np.ndarray) -> bool:
    dense = x.dense() if isinstance(x, RowSparse) else x
    return type(dense) is np.ndarray and dense.dtype == y.dtype and np.array_equal(dense, y)


@given(gradients())
def test_rows_are_merged(pair: Any) -> None:
    sparse, dense = pair
    assert np.all(np.diff(sparse.indices) > 0) and np.all((sparse.indices >= 0) & (sparse.indices < N))
    assert same(sparse.rows, dense[sparse.indices]) and not np.any(np.delete(dense, sparse.indices, axis=0))
    assert (sparse.shape, sparse.ndim, sparse.size, len(sparse), sparse.dtype) == ((N, 2), 2, 2 * N, N, np.float64)


STAY_SPARSE = [
    lambda g: g * 3.0, lambda g: 3 * g, lambda g: np.float64(3.0) * g, lambda g: g * np.array(3.0),
    lambda g: np.multiply(g, 2.0), lambda g: +g, lambda g: g + g, lambda g: g + 2.0 * g + g, np.positive,
]  # fmt: skip
BECOME_DENSE = [
    lambda g: g + np.ones((N, 2)), lambda g: np.ones((N, 2)) + g, lambda g: np.ones((N, 2)) - g, lambda g: g - g,
    lambda g: -g, lambda g: g * np.arange(2.0), lambda g: np.arange(2.0) * g, lambda g: g / 2.0, lambda g: g**2,
    np.square, lambda g: g @ np.ones(2), lambda g: np.sum(g, axis=0), lambda g: np.asarray(g), lambda g: g[1:3],
    lambda g: g[:, 0], np.sqrt, lambda g: np.stack([g, g]), lambda g: g > 0, lambda g: np.where(g > 0, g, 0.0),
    lambda g: np.concatenate([g, np.ones((1, 2))]), lambda g: np.add(g, 1.0), lambda g: np.asarray(g, np.float32),
    lambda g: np.subtract(g, np.ones((N, 2)), out=np.zeros((N, 2))), lambda g: np.add.reduce(g),
]  # fmt: skip


@given(gradients())
def test_stays_sparse(pair: Any) -> None:
    sparse, dense = pair
    for i, f in enumerate(STAY_SPARSE):
        new = copy.copy(sparse)  # whose rows are not yet merged by the function before
        assert isinstance(f(new), RowSparse) and same(f(new), f(dense)), i
        assert same(new, dense), i  # and is left as it was


@given(gradients())
def test_becomes_dense_on_demand(pair: Any) -> None:
    sparse, dense = pair
    for i, f in enumerate(BECOME_DENSE):
        new = copy.copy(sparse)
        with np.errstate(invalid="ignore"):
            expected = f(dense)
            value = f(new)
        np.testing.assert_array_equal(value, expected, err_msg=str(i))
        assert type(value) is type(expected) and value.dtype == expected.dtype and same(new, dense), i


@pytest.mark.parametrize("update", [operator.iadd, operator.isub])
@pytest.mark.parametrize("times", [1, 1000])
@few
@given(gradients())
def test_added_in_place(update: Callable[..., Any], times: int, pair: Any) -> None:
    """A few rows one by one, many of them merged first: the array is the same."""
    many, dense = RowSparse(pair[0]._parts * times, (N, 2)), pair[1] * times
    array = table = np.ones((N, 2))
    array = update(array, many)
    array = update(array, 0.5 * many)
    assert array is table
    np.testing.assert_array_equal(array, update(np.ones((N, 2)), 1.5 * dense))


UPDATES = operator.iadd, operator.isub, operator.imul, operator.itruediv
BY = np.ones((N, 2)), RowSparse([(np.array([1]), np.ones((1, 2)))], (N, 2)), 0.5, np.arange(2.0)


@given(gradients())
def test_updated_in_place(pair: Any) -> None:
    """p.grad += decay * p.data, p.grad *= clip: the name is bound to the result, as with arrays."""
    for update, other in itertools.product(UPDATES, BY):
        with np.errstate(all="ignore"):
            expected = update(pair[1].copy(), other.dense() if isinstance(other, RowSparse) else other)
            value = update(copy.copy(pair[0]), other)
        np.testing.assert_array_equal(value, expected, err_msg=f"{update} by {other}")
        assert (
            isinstance(value, RowSparse) == (update is operator.imul and isinstance(other, float))
            or update is operator.iadd
        )


def test_added_in_place_where() -> None:
    array, where = np.zeros((N, 2)), np.arange(N)[:, None] > 1
    sparse = RowSparse([(np.array([0, 3]), np.ones((2, 2)))], (N, 2))
    assert np.add(array, sparse, out=array, where=where) is array and array[:, 0].tolist() == [0, 0, 0, 1, 0, 0]


@given(gradients(), gradients())
def test_sum_of_two(one: Any, other: Any) -> None:
    assert isinstance(one[0] + other[0], RowSparse) and same(one[0] + other[0], one[1] + other[1])


@pytest.mark.parametrize("many", [0, 2001])
@pytest.mark.parametrize("width", [(), (3,), (4,), (2, 3), (3, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_runs_of_every_length(dtype: Any, width: tuple[int, ...], many: int) -> None:
    """Words once, twice, ... and some hundreds of times, in any order; and three times many."""
    many = 100 if dtype == np.uint8 else many
    rng = np.random.default_rng(0)
    counts = [1, *range(1, 51), *range(100, 600, 50), *[3] * many]
    ids = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(dtype)
    rows = rng.integers(-9, 10, (ids.size, *width)).astype(np.float32)
    dense = np.zeros((3000, *width), np.float32)
    np.add.at(dense, ids, rows)
    sparse = RowSparse([(ids[:100], rows[:100]), (ids[100:].reshape(-1, 1), rows[100:, None])], dense.shape)
    assert same(sparse, dense) and sparse.indices.tolist() == list(range(len(counts)))


@pytest.mark.parametrize("width", [(), (1,), (2,), (3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_an_even_number_of_rows(dtype: Any, width: tuple[int, ...]) -> None:
    """A table of numbers has rows, but no columns to go down two at a time."""
    ids = np.repeat(np.arange(2), 1500)
    sparse = RowSparse([(ids, np.ones((3000, *width), dtype))], (2, *width))
    assert same(sparse, np.full((2, *width), 1500, dtype))


def test_gradient_of_a_complex_table() -> None:
    table, w = mg.Tensor(np.ones((5, 2), complex)), np.array([[1 + 2j, 3j], [1j, 2]])
    mg.sum(np.real(mg.embedding(table, [3, 3]) * w)).backward()
    assert isinstance(table.grad, RowSparse)
    assert table.grad.indices.tolist() == [3] and table.grad.rows.tolist() == [[1 - 3j, 2 - 3j]]


def test_no_silent_copy() -> None:
    sparse = RowSparse([(np.array([1]), np.ones((1, 2)))], (N, 2))
    with pytest.raises(ValueError, match="copy=False cannot be kept"):
        np.asarray(sparse, copy=False)
    assert repr(sparse) == "RowSparse(1 of 6 rows, shape=(6, 2), dtype=float64)"


# as the gradient of a table

IDS = [
    3,
    -1,
    [1, 1, 1],
    (2, 2),
    np.array([0, -6]),
    np.array([[5, 1], [-1, 5]]),
    np.array([], int),
    np.array([2], np.uint8),
]


@pytest.mark.parametrize("ids", IDS, ids=str)
@pytest.mark.parametrize("width", [(), (1,), (2,), (2, 3)])
def test_gradient_of_embedding(ids: Any, width: tuple[int, ...]) -> None:
    table = mg.Tensor(np.random.default_rng(0).normal(size=(N, *width)).astype(np.float32))
    y = mg.embedding(table, ids)
    seed = np.arange(y.size, dtype=np.float32).reshape(y.shape)
    y.backward(seed)
    dense = np.zeros_like(table.data)
    np.add.at(dense, np.asarray(ids), seed)
    np.testing.assert_array_equal(y.data, table.data[np.asarray(ids)])
    assert isinstance(table.grad, RowSparse) and same(table.grad, dense)
    table.data -= 0.5 * table.grad
    assert same(
        table.data, np.random.default_rng(0).normal(size=(N, *width)).astype(np.float32) - np.float32(0.5) * dense
    )


def test_look_ups_merge_in_the_pass_and_over_passes() -> None:
    table = mg.Tensor(np.ones((N, 2)))

    def loss() -> mg.Tensor:
        return mg.sum(mg.embedding(table, [0, 1])) + mg.sum(mg.embedding(table, [1, -1]) * 2.0)

    loss().backward()
    loss().backward()
    assert isinstance(table.grad, RowSparse)
    assert table.grad.indices.tolist() == [0, 1, 5] and table.grad.rows[:, 0].tolist() == [2.0, 6.0, 4.0]


def test_many_look_ups_stay_as_small_as_their_rows() -> None:
    table = mg.Tensor(np.ones((N, 2)))
    for _ in range(200):
        mg.sum(mg.embedding(table, [1, 4])).backward()
    assert sum(len(ids) for ids, _ in table.grad._parts) <= 2 * 65
    assert table.grad.dense()[:, 0].tolist() == [0, 200, 0, 0, 200, 0]


def test_dense_and_sparse_uses_of_one_table() -> None:
    table = mg.Tensor(np.ones((N, 2)))
    for loss in [
        lambda: mg.sum(mg.embedding(table, [1])) + mg.sum(table),
        lambda: mg.sum(table) + mg.sum(mg.embedding(table, [1])),
    ]:
        table.zero_grad()
        loss().backward()
        assert same(table.grad, np.ones((N, 2)) + np.eye(N)[:, 1:2])


def test_ids_may_change_after_the_pass() -> None:
    table, ids = mg.Tensor(np.ones((N, 2))), np.array([0, 1])
    mg.sum(mg.embedding(table, ids)).backward()
    ids[:] = 5
    assert table.grad.indices.tolist() == [0, 1]


def test_a_big_table_costs_its_rows() -> None:
    table = mg.Tensor(np.zeros((100_000, 50)))  # 40 MB
    tracemalloc.start()
    mg.sum(mg.embedding(table, [7, 99_999, 7])).backward()
    table.data -= 0.1 * table.grad
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000 and table.data[[7, 99_999], 0].tolist() == [-0.2, -0.1]


# second order


def test_through_a_result() -> None:
    """The table itself may be computed: its gradient goes on, dense."""
    assert mg.gradcheck(lambda x: mg.embedding(x * x, [1, 1, 0]), np.array([[1.0], [2.0], [3.0]]), order=2)


def test_hessian_through_embedding() -> None:
    L = np.array([[0.5], [2.0], [3.0]])

    def f(L: Any) -> Any:
        x = mg.embedding(L, [0, 2, 2])
        return mg.sum(x**3) + mg.sum(mg.embedding(L, 0) * x)

    H = np.zeros((3, 3))
    H[0, 0], H[2, 2], H[0, 2] = 6 * 0.5 + 2, 2 * 6 * 3.0, 2
    H[2, 0] = H[0, 2]
    np.testing.assert_allclose(mg.hessian(f)(L).reshape(3, 3), H, atol=1e-14)
    np.testing.assert_allclose(np.ravel(mg.hvp(f)(L, L)), H @ L.ravel(), atol=1e-14)


def test_gradient_of_a_gradient_function_is_sparse() -> None:
    L, ids = np.ones((N, 2)), [2, 2]
    g = mg.grad(lambda L: mg.sum(mg.square(mg.embedding(L, ids))))(L)
    assert isinstance(g, RowSparse) and g.indices.tolist() == [2] and g.rows.tolist() == [[4.0, 4.0]]


def test_how_rows_are_merged_is_the_threads_own():
    from concurrent.futures import ThreadPoolExecutor

    with merging_rows(False), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: mode.merge_rows_from).result() == 2000 < mode.merge_rows_from
    assert mode.merge_rows_from == 2000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("width", [(), (1,), (3,), (2, 2)])
def test_few_rows_are_merged_to_the_bit_as_many_are(width, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = (5, *width)
        ids = [rng.integers(-5, 5, n) for n in rng.integers(0, 12, 3)]
        parts = [(i, rng.normal(size=(len(i), *width)).astype(dtype)) for i in ids]
        few = RowSparse(parts, shape).merged()
        with monkeypatch.context() as patch:
            patch.setattr(sparse, "_are_few", lambda parts: False)
            many = RowSparse(parts, shape).merged()
        assert all(map(same_bits, few, many))


def test_a_row_beyond_the_table_is_no_other_row():
    with pytest.raises(IndexError):
        mg.scatter_rows(np.ones((1, 2)), np.array([5]), (3, 2)).dense()
