"""The ops where a plain formula overflows, divides by zero or hides NaN: right, or NaN, never finite and wrong."""

import array
import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

NAN, INF = np.nan, np.inf
V = np.array([1.0, 2.0, 3.0])


def slopes(f: Callable[..., Any], *args: Any) -> Any:
    g = mg.grad(lambda *a: mg.sum(f(*a)), tuple(range(len(args))))(*args)
    return g[0] if len(args) == 1 else g


# masks, and NaN that goes in


@pytest.mark.parametrize("taken", [mg.relu, lambda x: np.maximum(x, 0.0), lambda x: np.clip(x, 0.0, 1.0),
                                   lambda x: np.fmax(x, 0.0), lambda x: -np.minimum(-x, 0.0)])  # fmt: skip
@pytest.mark.parametrize("outer", [np.sqrt, np.log])
def test_the_side_not_taken_gets_zero_whatever_comes_from_above(taken: Any, outer: Any) -> None:
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(slopes(lambda x: outer(taken(x)), np.array([-1.0, -INF])), 0)
        assert slopes(lambda x: outer(np.max(x)), np.array([-1.0, 0.0]))[0] == 0


@pytest.mark.parametrize("f", [
    mg.relu, lambda x: np.clip(x, 0.0, 1.0), lambda x: np.maximum(x, 0.0), lambda x: np.minimum(0.0, x), np.max,
    np.min, np.ptp, np.median, lambda x: np.quantile(x, 0.3), lambda x: np.max(x, 0, keepdims=True),
])  # fmt: skip
def test_nan_stays_visible(f: Any) -> None:
    assert np.isnan(slopes(f, np.array([NAN, 2.0, 3.0]))[0])


def test_nan_left_out_is_left_out() -> None:
    np.testing.assert_array_equal(
        slopes(lambda x: np.max(x, 0, initial=0.0, where=[False, True]), np.array([NAN, 2.0])), [0, 1]
    )
    assert np.isnan(mg.nanmax(np.array([NAN, NAN]))) and np.isnan(mg.nanmin(np.full((2, 1), NAN), 0, keepdims=True))


# where the first derivative was chosen


@pytest.mark.parametrize("f", [
    lambda x: np.sum(np.abs(x)), np.linalg.norm, lambda x: np.linalg.norm(x, 1), lambda x: np.linalg.norm(x, 3),
    lambda x: np.hypot(x[0], x[1]), np.std, lambda x: np.abs(x[0] + 1j * x[1]),
    lambda x: np.linalg.norm(x[None], "fro"),
])  # fmt: skip
def test_a_chosen_derivative_is_not_differentiated(f: Any) -> None:
    x = np.zeros(2)
    np.testing.assert_array_equal(mg.grad(f)(x), 0)
    np.testing.assert_array_equal(mg.jvp(f, (x,), (np.ones(2),))[1], 0)  # by two pullbacks, the second one linear
    for g in (f, lambda x: f(x) ** 2):
        assert np.isnan(mg.hessian(g)(x)[0, 0])


def test_what_is_not_at_such_a_point_stays() -> None:
    np.testing.assert_allclose(mg.hessian(lambda x: np.linalg.norm(x) ** 2)(V), 2 * np.eye(3), atol=1e-14)
    assert mg.hessian(lambda x: np.std(x))(np.array([3.0])) == 0  # one element deviates from nothing
    z = np.array([0j, 3 + 4j])
    np.testing.assert_allclose(mg.sign(z), [0, 0.6 + 0.8j], rtol=1e-15)
    assert np.isnan(slopes(lambda z: np.real(np.sign(z)), z)).tolist() == [True, False]


# the sigmoid


@pytest.mark.parametrize("z", [-700.0, -40.0, -1.0, 0.0, 2.0, 20.0, 37.0, 40.0, 300.0, 700.0])
def test_the_derivatives_of_sigmoid_keep_their_digits(z: float) -> None:
    e = np.exp(-np.abs(np.longdouble(z)))
    first = e / (1 + e) ** 2
    second = first * (1 - e) / (1 + e) * -np.sign(z)
    np.testing.assert_allclose(mg.grad(mg.sigmoid)(z), float(first), rtol=1e-15)
    np.testing.assert_allclose(mg.grad(mg.grad(mg.sigmoid))(z), float(second), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_beyond_its_clamp_the_derivative_of_sigmoid_is_below_every_normal_number(dtype: Any) -> None:
    for z in {np.float16: (12.0, 20.0, 89.0, INF), np.float32: (89.0, INF), np.float64: (710.0, INF)}[dtype]:
        g = mg.grad(mg.sigmoid)(dtype(z))
        assert g.dtype == dtype and abs(float(g) - float(np.exp(-z))) < np.finfo(dtype).tiny


# linear algebra


def test_eigenvectors_that_rounding_decides_give_nan() -> None:
    def exponential(A: Any) -> Any:
        w, v = np.linalg.eigh(A)
        return ((v * np.exp(w)) @ v.T)[0, 1]

    for gap in (0.0, 1e-15):
        assert np.all(np.isnan(mg.grad(exponential)(np.diag([1.0, 1 + gap]))))
    np.testing.assert_allclose(mg.grad(exponential)(np.diag([1.0, 1.0001]))[0, 1], np.e * 1.00005 / 2, rtol=1e-8)
    tangent = mg.jvp(lambda A: tuple(np.linalg.eigh(A)), (np.eye(2),), (np.array([[1.0, 2.0], [2.0, 5.0]]),))[1]
    assert tangent[0].tolist() == [1, 5] and np.all(np.isnan(tangent[1]))


@pytest.mark.parametrize("A", [np.eye(3)[:, :2], np.zeros((3, 2)), np.diag([2.0, 2.0]), np.outer(V, [1.0, 2.0])])
def test_singular_vectors_that_rounding_decides_give_nan(A: np.ndarray) -> None:
    def energy(A: Any) -> Any:
        return np.linalg.svdvals(A) ** 2

    def vectors(A: Any) -> Any:
        u = np.linalg.svd(A, full_matrices=False).U
        return u * np.arange(u.size).reshape(u.shape)

    np.testing.assert_allclose(slopes(energy, A), 2 * A, atol=1e-14)
    assert np.any(np.isnan(slopes(vectors, A)))
    np.testing.assert_allclose(slopes(lambda A: np.linalg.eigvalsh(A.T @ A), A), 2 * A, atol=1e-13)


@pytest.mark.parametrize("diagonal", [[0.0, 0, 0], [2.0, 0, 0], [2.0, 3, 0], [2.0, 3, 4]])
def test_the_second_derivative_of_a_determinant_at_any_rank(diagonal: list[float]) -> None:
    rng = np.random.default_rng(3)
    q, r = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    A, E, F = q @ np.diag(diagonal) @ r, *rng.normal(size=(2, 3, 3))
    exact = sum(i * j * np.linalg.det(A + i * E + j * F) for i in (1, -1) for j in (1, -1)) / 4
    # det is a cubic: its third-order parts along E and F cancel
    np.testing.assert_allclose(np.sum(mg.hvp(np.linalg.det)(A, E) * F), exact, rtol=1e-12, atol=1e-12)


def test_a_third_derivative_of_a_determinant() -> None:
    A, (E, F, G) = np.diag([1.0, 2.0, 3.0]), np.random.default_rng(4).normal(size=(3, 3, 3))
    third = mg.grad(lambda A: np.sum(mg.hvp(np.linalg.det)(A, E) * F))(A)
    signs = [(i, j, k) for i in (1, -1) for j in (1, -1) for k in (1, -1)]
    exact = sum(i * j * k * np.linalg.det(A + i * E + j * F + k * G) for i, j, k in signs) / 8
    np.testing.assert_allclose(np.sum(third * G), exact, rtol=1e-12)


def test_a_determinant_of_infinities_returns() -> None:
    A = np.stack([np.array([[INF, 1.0], [1.0, 2.0]]), np.eye(2)])
    g = mg.vjp(np.linalg.det, A)[1](np.ones(2))[0]
    assert np.all(np.isnan(g[0])) and np.array_equal(g[1], np.eye(2))


@pytest.mark.parametrize(("dtype", "size"), [("f", 1e30), ("f", 1e-30), ("d", 1e200), ("d", 1e-200)])
@pytest.mark.parametrize("f", [
    np.linalg.norm, lambda x: np.linalg.norm(x, 3), np.std, np.nanstd, lambda x: np.hypot(x[0], x[1]),
    lambda x: np.linalg.norm(x[None], axis=1), lambda x: np.linalg.norm(x[:, None], "fro"),
])  # fmt: skip
def test_squares_that_overflow(f: Any, dtype: str, size: float) -> None:
    x = np.array([3.0, 4.0], dtype)
    value, g = f(mg.Tensor(x * np.array(size, dtype))).data, slopes(f, x * np.array(size, dtype))
    np.testing.assert_allclose(value, f(x) * np.array(size, dtype), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(g, slopes(f, x), rtol=1e-6)


@pytest.mark.parametrize("x", [0.0, 1e-3, -2.0, 1e200, -1e200, np.float32(1e20), 2 + 1j, 1e200 + 1j])
def test_arcsinh_of_large_numbers(x: Any) -> None:
    want = 1 / np.sqrt(1 + np.clongdouble(x) ** 2)
    got = mg.grad(lambda x: np.real(np.arcsinh(x)))(x)
    np.testing.assert_allclose(got, np.conj(want), rtol=1e-6 if isinstance(x, np.float32) else 1e-15, atol=0)


def test_norms_of_integers_are_floating_point_numbers() -> None:
    for order in (None, 0, 1, 2, 3, INF):
        ours, theirs = mg.linalg.norm(np.array([3, 4]), order), np.linalg.norm(np.array([3, 4]), order)
        assert ours.dtype == theirs.dtype == float and np.isclose(ours, theirs, rtol=1e-15)
    assert np.linalg.norm(mg.Tensor(V.astype("f")), 0).dtype == np.float32


# remainders, products, infinities


@pytest.mark.parametrize(("x", "y"), [(-19.0, 3.0), (19.0, -3.0), (1.0, 0.1), (-1e-20, 3.0), (6.0, 0.6), (5.0, INF)])
def test_remainders_use_the_quotient_of_their_value(x: float, y: float) -> None:
    for f in (np.remainder, np.fmod, lambda x, y: np.divmod(x, y)[1], lambda x, y: x % y):
        quotient = 0.0 if y == INF else np.rint(float((np.longdouble(x) - np.longdouble(f(x, y))) / np.longdouble(y)))
        assert mg.grad(f, (0, 1))(x, y) == (1, -quotient)


@pytest.mark.parametrize("x", [[1e200, 1e-200, 1e200, 1e-200], [1e-160, 1e-160, 1e300], [2.0, 0.0, 3.0, 0.0, 5.0]])
def test_products_overflow_where_numpys_do(x: list[float]) -> None:
    x = np.array(x)
    assert mg.prod(mg.Tensor(x)).data == np.prod(x)
    np.testing.assert_array_equal(mg.cumprod(mg.Tensor(x)).data, np.cumprod(x))
    others = [np.prod(np.delete(x, k).astype(np.longdouble)) for k in range(x.size)]
    np.testing.assert_allclose(slopes(np.prod, x), np.array(others, float), rtol=1e-15)


def test_cumprod_of_zeros_to_the_second_order() -> None:
    x, g = np.array([2.0, 0.0, 3.0, 0.0, 5.0, 7.0]), np.array([1.0, 10.0, 100.0, 1e3, 1e4, 1e5])
    terms = [np.arange(6) <= k for k in range(6)]

    def without(m: np.ndarray, *left_out: int) -> float:
        return np.prod(np.delete(x, left_out)[np.delete(m, left_out)]) if all(m[k] for k in left_out) else 0.0

    first = [sum(c * without(m, i) for c, m in zip(g, terms)) for i in range(6)]
    second = [[sum(c * without(m, i, j) for c, m in zip(g, terms)) * (i != j) for j in range(6)] for i in range(6)]
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(np.cumprod(x) * g))(x), first, rtol=1e-14)
    np.testing.assert_allclose(mg.hessian(lambda x: np.sum(np.cumprod(x) * g))(x), second, rtol=1e-14)


@pytest.mark.parametrize("x", [[1.0, 2.0, INF], [1.0, INF, INF], [-INF, 1.0, 2.0], [-INF, -INF, INF], [1.0, INF]])
def test_quantiles_of_infinities(x: list[float]) -> None:
    x = np.array(x)
    assert mg.median(x) == np.median(x) and np.isclose(np.sum(slopes(np.median, x)), 1)
    assert np.all(slopes(np.median, x)[x != np.median(x)] == (0.5 if x.size == 2 else 0))


def test_interpolation_between_infinities() -> None:
    x, xp, fp = np.array([0.0, 0.5, 1.0, 1.5, 9.0]), np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, INF])
    np.testing.assert_array_equal(mg.interp(x, xp, fp), np.interp(x, xp, fp))
    np.testing.assert_array_equal(slopes(lambda fp: np.interp(x[:3], xp, fp), fp), [1.5, 1.5, 0])
    np.testing.assert_array_equal(slopes(lambda fp: np.interp(np.array([-INF, INF]), xp, fp), V), [1, 0, 1])
    assert mg.grad(lambda x: np.interp(x, xp, fp))(0.0) == 1 and not np.isfinite(mg.grad(np.interp)(1.0, xp, fp))


@pytest.mark.parametrize(("x", "y", "share"), [(INF, 0.0, 1), (-INF, 0.0, 0), (-INF, INF, 0), (1e10, 1e10, 0.5),
                                               (-INF, -INF, 0), (INF, INF, 0.5), (800.0, 0.0, 1)])  # fmt: skip
def test_logaddexp_and_logsumexp_have_one_convention(x: float, y: float, share: float) -> None:
    assert mg.grad(np.logaddexp)(x, y) == mg.grad(np.logaddexp2)(x, y) == share
    assert mg.grad(mg.logsumexp)(np.array([x, y]))[0] == share
    np.testing.assert_array_equal(mg.logsumexp(np.array([x, y])), np.logaddexp(x, y))


@pytest.mark.parametrize("f", [np.mean, np.average, mg.logsumexp, np.linalg.norm, lambda x: mg.softmax(x)[0],
                               lambda x: mg.cross_entropy(x, 0), lambda x: np.mean(x, where=np.True_)])  # fmt: skip
def test_float16_counts_further_than_it_goes(f: Any) -> None:
    x = np.ones(70_000)
    value, g = f(mg.Tensor(x.astype("e"))), slopes(f, x.astype("e"))
    assert value.dtype == g.dtype == np.float16
    np.testing.assert_allclose(value.data, f(x), rtol=2e-3)
    np.testing.assert_allclose(g[:2], slopes(f, x)[:2], rtol=5e-3, atol=6e-8)


# memory order


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_an_order_is_that_of_the_array(order: str, axes: tuple[int, ...]) -> None:
    x = np.arange(24.0).reshape(2, 3, 4).transpose(axes)  # each element is its place in memory
    t = mg.engine.leaf(object.__new__(mg.Tensor), x)
    for f in (lambda t: np.ravel(t, order), *([lambda t: np.reshape(t, (4, 6), order)] if order != "K" else [])):
        t.grad = None
        y = f(t)
        np.testing.assert_array_equal(y.data, f(x))
        y.backward(np.square(y.data))
        np.testing.assert_array_equal(t.grad, x**2)


# what crashed


def test_a_complex_number_of_pythons_beside_a_computed_scalar() -> None:
    assert mg.grad(lambda x: np.imag(1j * x[0]))(V).tolist() == [1, 0, 0]
    assert mg.grad(lambda x: np.real((1j - x[1]) * (1j / x[0])))(V).tolist() == [1, 0, 0]
    np.testing.assert_allclose(mg.grad(mg.grad(lambda t: np.real(np.exp(1j * (2 * t)))))(0.3), -4 * np.cos(0.6))
    assert (1j * mg.Tensor(V.astype("f"))).dtype == np.complex64


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">c16"])
def test_the_other_byte_order(dtype: str) -> None:
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(np.abs(x * x)))(V.astype(dtype)), 2 * V)
    t = mg.Tensor(V.astype(dtype))
    assert t.dtype.isnative
    t.data = t.data * 2
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(x * V.astype(dtype).real))(V), V)


ONE, TWO = np.int64(1), np.int64(2)


@pytest.mark.parametrize("f", [
    lambda x: np.tile(x, TWO), lambda x: np.linalg.norm(x, axis=ONE), lambda x: np.tensordot(x, x, TWO),
    lambda x: np.tensordot(x, x, (ONE, ONE)), lambda x: np.gradient(x, axis=ONE), lambda x: np.repeat(x, TWO, ONE),
    lambda x: np.fft.fftshift(x, ONE), lambda x: np.sum(x, ONE), lambda x: np.roll(x, ONE, ONE), lambda x: x[ONE],
    lambda x: np.cumprod(x, ONE), lambda x: np.transpose(x[0], np.int64(0)), lambda x: np.transpose(x[0], 0),
])  # fmt: skip
def test_numpys_integers_are_integers(f: Any) -> None:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    np.testing.assert_allclose(f(mg.Tensor(x)).data, f(x), rtol=1e-14)
    assert slopes(f, x).shape == (2, 3)


@pytest.mark.parametrize("index", [collections.deque([0, 0]), array.array("q", [0, 0]), memoryview(np.zeros(2, int)),
                                   [0, 0], ([0, 0],), range(0, 1)])  # fmt: skip
def test_an_index_of_any_sequence_counts_repeats(index: Any) -> None:
    want = np.zeros(3)
    np.add.at(want, np.array(index[0] if isinstance(index, tuple) else index), 1)
    assert slopes(lambda x: x[index], V).tolist() == want.tolist()


def test_empty_indices_tables_and_axes() -> None:
    assert slopes(lambda x: x[[]], V).tolist() == slopes(lambda x: x[[[]]], V).tolist() == [0, 0, 0]
    assert slopes(lambda x: np.take(x, []), V).tolist() == [0, 0, 0]
    table = mg.Tensor(np.zeros((3, 0)))
    mg.sum(mg.embedding(table, [1, 1])).backward()
    assert table.grad.dense().shape == (3, 0) and table.grad.indices.tolist() == [1]
    for f in (mg.softmax, mg.log_softmax):
        assert slopes(f, np.zeros((2, 0))).shape == f(np.zeros((2, 0))).shape == (2, 0)
    assert mg.logsumexp(np.zeros(0)) == -INF
    assert mg.grad(lambda x: np.sum(np.cumprod(x, axis=0)))(2.0) == mg.grad(lambda x: np.sum(np.pad(x, 1)))(2.0) == 1


@pytest.mark.parametrize("n", [True, np.True_, np.array([True, False, True])])
def test_a_boolean_exponent(n: Any) -> None:
    np.testing.assert_array_equal(slopes(lambda x: x**n, V), np.broadcast_to(n, 3) * 1.0)


def test_transpose_refuses_too_few_axes() -> None:
    with pytest.raises(ValueError, match="axes don't match array"):
        mg.Tensor(np.ones((2, 3))).transpose(0)


@pytest.mark.parametrize(("x", "xp", "fp"), [(1.0, [1.0], [5.0]), (1.0, [0.0, 1.0, 1.0], [3.0, 4.0, 5.0])])
def test_interp_where_nodes_coincide(x: float, xp: list[float], fp: list[float]) -> None:
    value, g = mg.value_and_grad(lambda fp: mg.interp(x, np.array(xp), fp))(np.array(fp))
    assert value == np.interp(x, xp, fp) and g.tolist() == [0.0] * (len(fp) - 1) + [1.0]


@pytest.mark.parametrize("f", [np.std, np.nanstd])
@pytest.mark.parametrize("x", [[0.1] * 3, [0.3] * 7, [1e30 / 3] * 5, [0.1] * 10])
def test_std_of_equal_elements_that_the_mean_is_not_quite_equal_to(f: Callable[..., Any], x: list[float]) -> None:
    assert np.abs(mg.grad(f)(np.array(x))).max() < 1e-12
