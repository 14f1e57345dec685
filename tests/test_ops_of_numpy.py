"""What users of other engines look for: keywords, decompositions, activations, SciPy, errors for what is missing."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import minigrad as mg
from minigrad.hints import HINTS

V = np.array([1.0, 2.0, 3.0])
NAN, INF = np.nan, np.inf


def slope(f: Callable[..., Any], *args: Any) -> Any:
    return mg.grad(lambda *a: np.sum(f(*a)))(*args)


# activations: at 1e4 too


def e(x: float) -> np.longdouble:
    return np.exp(np.longdouble(x))


@pytest.mark.parametrize(
    ("f", "value", "first"),
    [
        (mg.softplus, lambda x: np.logaddexp(np.longdouble(x), 0), lambda x: 1 / (1 + e(-x))),
        (mg.log_sigmoid, lambda x: -np.logaddexp(np.longdouble(-x), 0), lambda x: 1 / (1 + e(x))),
        (mg.silu, lambda x: x / (1 + e(-x)), lambda x: (1 + e(-x) + x * e(-x)) / (1 + e(-x)) ** 2),
        (mg.elu, lambda x: x if x > 0 else np.expm1(np.longdouble(x)), lambda x: 1 if x > 0 else e(x)),
        (np.expm1, lambda x: np.expm1(np.longdouble(x)), e),
    ],
)
@pytest.mark.parametrize("x", [-300.0, -40.0, -20.0, -3.0, 0.5, 20.0, 40.0, 300.0])
def test_activations_keep_their_digits(f: Any, value: Any, first: Any, x: float) -> None:
    np.testing.assert_allclose(f(x), float(value(x)), rtol=2e-15)
    np.testing.assert_allclose(mg.grad(f)(x), float(first(x)), rtol=4e-15)


@pytest.mark.parametrize("f", [mg.softplus, mg.log_sigmoid, mg.silu, mg.elu, mg.gelu,
                               lambda x: mg.gelu(x, approximate="tanh")])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out(f: Any, dtype: Any) -> None:
    """Silent (a warning is an error here), and finite to the second order."""
    x = np.array([-1e4, -100, 0, 100, 1e4], dtype)
    y, second = f(mg.Tensor(x)), mg.elementwise_grad(mg.elementwise_grad(f))(x)
    first = mg.elementwise_grad(f)(x)
    assert y.dtype == first.dtype == dtype and np.all(np.isfinite([y.data, first, second]))
    np.testing.assert_allclose([first[0], first[-1]], [1, 0] if f is mg.log_sigmoid else [0, 1], atol=1e-30)


def test_the_lower_end_of_gelu() -> None:
    """x Phi(x) and Phi(x) + x phi(x), where 1 + erf(x / sqrt(2)) has no digits left."""
    for x in (-30.0, -10.0, -6.0, -1.0):
        below, density = scipy.special.ndtr(x), np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
        np.testing.assert_allclose([mg.gelu(x), mg.grad(mg.gelu)(x)], [x * below, below + x * density], rtol=1e-12)
    with pytest.raises(ValueError, match='gelu has approximate="none" and "tanh", got True'):
        mg.gelu(1.0, approximate=True)  # type: ignore[arg-type]


def test_elu_at_zero_and_with_its_factor_as_a_variable() -> None:
    assert [mg.grad(mg.elu)(x, 0.5) for x in (-0.0, 0.0, 1.0)] == [0.5, 0.5, 1.0]
    assert mg.grad(mg.elu, 1)(-40.0, 0.5) == np.expm1(-40.0)
    assert np.isnan(mg.grad(mg.elu)(NAN))


# SciPy


def test_scipys_functions_are_found_when_they_meet_a_tensor() -> None:
    code = """if True:
        import sys, numpy as np, minigrad as mg
        assert not any(name.startswith("scipy") for name in sys.modules)
        import scipy.special
        assert "minigrad.ops.special" not in sys.modules
        print(mg.grad(scipy.special.erf)(0.0) == 2 / np.sqrt(np.pi), mg.grad(np.i0)(0.0))
        try:
            mg.grad(scipy.special.gammaln)(1.0)
        except TypeError as error:
            print(str(error).split(";")[0])
    """
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "True 0.0\nnp.gammaln has no gradient in minigrad\n" or out.startswith(
        "True 0.0\nscipy.special.gammaln"
    )


def test_without_scipy_an_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    monkeypatch.delitem(sys.modules, "minigrad.ops.special", raising=False)
    for f in (mg.gelu, mg.erf, np.i0):
        with pytest.raises(ImportError, match=r"need SciPy, which is not installed: pip install scipy"):
            f(mg.Tensor(1.0))
    assert mg.gelu(mg.Tensor(0.0), approximate="tanh").data == 0


def test_derived_source_imports_scipy() -> None:
    d = mg.derive(lambda x: np.sum(scipy.special.erf(x)), V)
    assert "    import scipy.special\n" in d.source and "np.erf" not in d.source
    np.testing.assert_array_equal(d(V)[1], slope(scipy.special.erf, V))


def test_the_order_of_a_bessel_function_is_a_constant() -> None:
    with pytest.raises(TypeError, match="no derivative with respect to its order"):
        mg.grad(lambda v: scipy.special.iv(v, 1.0))(2.0)
    np.testing.assert_allclose(mg.grad(mg.grad(mg.grad(np.i0)))(0.0), 0)
    np.testing.assert_allclose(mg.grad(mg.grad(np.i0))(0.0), 0.5)


# keywords


def test_dtype_is_the_type_that_is_computed_in() -> None:
    x = np.array([6e4, 6e4], "e")
    for f in (np.sum, np.mean, np.cumsum, np.nansum, np.prod, np.var, np.std, np.cumprod):
        t = mg.Tensor(x)
        y = f(t, dtype=np.float64)
        assert y.dtype == np.float64 and np.array_equal(y.data, f(x, dtype=np.float64))
        y.backward(np.ones(y.shape))
        assert t.grad.dtype == np.float16
    assert np.concatenate([mg.Tensor(x), x], dtype="d").dtype == float and mg.sum(mg.Tensor(V), dtype="f").dtype == "f"
    with pytest.raises(TypeError, match="needs a floating-point type, got int64"):
        np.sum(mg.Tensor(V), dtype=np.int64)


def test_two_names_for_one_number() -> None:
    with pytest.raises(ValueError, match="ddof and correction are two names for one number"):
        np.var(mg.Tensor(V), ddof=1, correction=1)


@pytest.mark.parametrize("q", [-0.1, 1.2, np.array([0.5, 1.5])])
def test_a_quantile_is_between_zero_and_one(q: Any) -> None:
    for f in (np.quantile, lambda x, q: np.percentile(x, np.multiply(q, 100))):
        with pytest.raises(ValueError, match=r"must be in the range \[0"):
            f(mg.Tensor(V), q)
    d = mg.derive(lambda x, q: np.quantile(x, q), V, 0.3)
    with pytest.raises(ValueError, match="range"):
        d(V, 1.3)


@pytest.mark.parametrize("method", ["linear", "hazen", "weibull", "interpolated_inverted_cdf", "median_unbiased",
                                    "normal_unbiased", "lower", "nearest", "inverted_cdf"])  # fmt: skip
def test_the_derivative_with_respect_to_q(method: str) -> None:
    x, h = np.array([3.0, 1.0, 7.0, 2.0, 11.0]), 1e-6
    for q in (0.03, 0.33, 0.77, 0.98):
        exact = (np.quantile(x, q + h, method=method) - np.quantile(x, q - h, method=method)) / (2 * h)
        np.testing.assert_allclose(mg.grad(lambda q: np.quantile(x, q, method=method))(q), exact, rtol=1e-8, atol=1e-8)


def test_what_is_masked_has_no_part_in_a_softmax() -> None:
    x, mask = np.array([1.0, NAN, INF, 2.0]), np.array([True, False, False, True])
    for f in (mg.logsumexp, mg.softmax, mg.log_softmax):
        g = mg.vjp(lambda x, f=f: np.ravel(f(x, where=mask))[0], x)[1](1.0)[0]
        want = mg.vjp(lambda x, f=f: np.ravel(f(x))[0], x[mask])[1](1.0)[0]
        np.testing.assert_allclose(g[mask], want)
        assert np.all(g[~mask] == 0)
    assert mg.softmax(x, where=mask)[1] == 0 and mg.log_softmax(x, where=mask)[1] == -INF


def test_an_index_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        np.take(mg.Tensor(V), [3])
    with pytest.raises(ValueError, match="the modes raise, wrap, clip, got 'around'"):
        np.take(mg.Tensor(V), [3], mode="around")


@pytest.mark.parametrize("f", [
    lambda x, t: np.sum(x, initial=t), lambda x, t: np.prod(x, initial=t), lambda x, t: np.max(x, initial=t),
    lambda x, t: np.pad(x, 1, constant_values=t), lambda x, t: np.nan_to_num(x, nan=t),
    lambda x, t: np.var(x, ddof=t), lambda x, t: np.sum(x, where=t),
])  # fmt: skip
def test_a_tensor_where_a_constant_is_needed(f: Any) -> None:
    with pytest.raises(TypeError, match=r"as a constant, got t .*whose gradient would be lost: .*mg\.stop_gradient"):
        f(mg.Tensor(V), mg.Tensor(2.0, name="t"))


# decompositions


def test_what_a_decomposition_does_not_determine_is_refused() -> None:
    tall = mg.Tensor(np.arange(6.0).reshape(3, 2) ** 2)
    for call in (lambda: np.linalg.svd(tall), lambda: np.linalg.qr(tall, mode="complete")):
        with pytest.raises(
            TypeError, match=r"of shape \(3, 2\).*columns that x does not determine, and no derivative; write"
        ):
            call()
    with pytest.raises(TypeError, match=r"'raw' has no derivative; write qr\(x\), or qr\(x, mode='r'\)"):
        np.linalg.qr(tall, "raw")


def test_qr_of_dependent_columns_is_nan() -> None:
    x = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    assert np.all(np.isnan(slope(lambda x: np.linalg.qr(x).R, x)))
    wide = np.array([[1.0, 2.0, 5.0], [2.0, 3.0, 1.0]])  # of a wide matrix only the first columns matter
    assert np.all(np.isfinite(slope(lambda x: np.linalg.qr(x).R, wide)))


@pytest.mark.parametrize("A", [np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]),
                               np.array([[1.0, 1.0], [1e-15, 1.0]])])  # fmt: skip
def test_a_defective_matrix_has_no_gradient(A: np.ndarray) -> None:
    assert np.all(np.isnan(slope(lambda A: np.real(np.linalg.eigvals(A)), A)))


def test_equal_eigenvalues() -> None:
    A = np.eye(3)
    np.testing.assert_allclose(mg.grad(lambda A: np.real(np.sum(np.linalg.eigvals(A) ** 2)))(A), 2 * A)
    assert np.all(np.isnan(mg.grad(lambda A: np.real(np.linalg.eig(A).eigenvectors)[0, 1])(A)))


@pytest.mark.parametrize("f", [mg.linalg.eigh, lambda x: mg.linalg.svd(x, full_matrices=False), mg.linalg.eig])
def test_complex_vectors_have_a_phase_that_gradients_follow(f: Any) -> None:
    """In any loss, one that depends on the phase too, and to the second order."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 3, 3))

    def parts(x: Any, y: Any) -> Any:
        z = x + 1j * y
        z = (z + np.conj(z.T)) / 2 if f is mg.linalg.eigh else z
        return [part for v in f(z) for part in (np.real(v), np.imag(v))]

    assert mg.gradcheck(parts, x, y) and mg.gradcheck(parts, x, y, order=2)
    z = x + 1j * y
    u, s, vh = mg.linalg.svd(z)
    np.testing.assert_allclose((u * s) @ vh, z, atol=1e-13)
    top = np.take_along_axis(u, np.argmax(np.abs(u), 0)[None], 0)
    assert np.all(np.imag(top) < 1e-15) and np.all(np.real(top) > 0)


def test_least_squares_of_a_deficient_rank() -> None:
    a, b = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]]), V
    x, left, rank, s = np.linalg.lstsq(mg.Tensor(a), b)
    np.testing.assert_allclose(x.data, np.linalg.lstsq(a, b)[0], atol=1e-15)
    assert rank == 1 and left.shape == (1,) and s.shape == (2,)
    assert np.linalg.lstsq(mg.Tensor(a.T), b[:2])[1].shape == (0,)


# arrays made of others


def test_a_value_that_fills_an_array_has_a_gradient() -> None:
    assert mg.grad(lambda t: np.sum(np.full_like(t * V, t)))(2.0) == 3  # it was silently 0
    assert mg.grad(lambda t: np.sum(mg.full((2, 3), t)))(2.0) == 6
    assert np.full_like(mg.Tensor(V), 1, dtype=int).dtype == int
    assert np.array_equal(np.full_like(mg.Tensor(V), 2.0, shape=2), [2, 2])
    with pytest.raises(TypeError, match=r"mg\.full for np\.full"):
        np.full(3, mg.Tensor(1.0))


@pytest.mark.parametrize("tol", [100, 1e-20])
def test_real_if_close(tol: float) -> None:
    z = np.array([1 + 1e-15j, 2 - 0j])
    y = np.real_if_close(mg.Tensor(z), tol)
    np.testing.assert_array_equal(y.data, np.real_if_close(z, tol))
    assert y.dtype == np.real_if_close(z, tol).dtype
    np.testing.assert_array_equal(mg.grad(lambda z: np.sum(np.real(np.real_if_close(z, tol))))(z), 1)


def test_a_piece_is_not_evaluated_elsewhere() -> None:
    x = np.array([-1.0, 0.0, 4.0])
    y, g = mg.value_and_grad(lambda x: np.sum(np.piecewise(x, [x < 0, x > 0], [lambda x: -x, np.sqrt, 7.0])))(x)
    assert y == 10 and g.tolist() == [-1, 0, 0.25]
    with pytest.raises(ValueError, match="piecewise needs 1 functions, or one more, got 3"):
        np.piecewise(mg.Tensor(x), [x > 0], [1.0, 2.0, 3.0])


def test_rounding_has_no_gradient_but_a_name() -> None:
    t = mg.Tensor([1.26, 2.0])
    for y in (np.round(t, 1), mg.round(t, 1), t.round(1)):
        assert type(y) is np.ndarray and y.tolist() == [1.3, 2.0]


# numbers


def test_products_of_which_parts_leave_the_range() -> None:
    x = np.array([1e100, 1e200, 1e-200, 1e-200])
    np.testing.assert_allclose(slope(np.prod, x), [1e-200, 1e-300, 1e100, 1e100], rtol=1e-14)
    assert mg.hessian(np.prod)(x)[0, 1] == 0 and mg.hessian(np.prod)(x)[0, 2] == pytest.approx(1)
    many = np.random.default_rng(0).uniform(0.3, 0.4, 5000)  # of one sign, their product is 0
    np.testing.assert_array_equal(slope(np.prod, many), 0)
    ups = np.tile([1.5, 1 / 1.5], 2000)
    np.testing.assert_allclose(slope(np.prod, ups), 1 / ups, rtol=1e-11)
    assert slope(np.prod, ups[:10].astype("f")).dtype == np.float32
    assert mg.grad(np.linalg.det)(np.diag([1e200, 1e-200, 1e200, 1e-200, 1.0]))[4, 4] == pytest.approx(1)


@pytest.mark.parametrize("x", [[0.1] * 3, [1e30 / 3] * 5])
def test_the_second_derivative_of_std_at_equal_elements_is_nan(x: list[float]) -> None:
    assert np.all(np.isnan(mg.hessian(np.std)(np.array(x)))) and np.std(mg.Tensor(x)).data == 0


def test_nan_beside_infinity() -> None:
    assert slope(np.nanmax, np.array([NAN, -INF])).tolist() == slope(np.nanmin, np.array([NAN, INF])).tolist() == [0, 1]
    assert mg.nanmax(np.array([NAN, 1.0]), where=np.array([True, True]), initial=5.0) == 5


def test_the_mixed_derivative_of_a_power_at_exponent_zero() -> None:
    mixed = mg.grad(lambda n: mg.grad(lambda x: x**n)(2.0))(0.0)
    assert mixed == 0.5 and mg.grad(lambda x: x**0.0)(0.0) == 0


# what NumPy does not hand on


@pytest.mark.parametrize("call", [
    lambda a, b: np.array([a, b]), lambda a, b: np.asarray([a, b]), lambda a, b: np.r_[a, b],
    lambda a, b: np.sum([a, b]),
    lambda a, b: np.max([a, b]), lambda a, b: np.mean([[a, b]]), lambda a, b: np.linalg.norm([a, b]),
    lambda a, b: np.exp([a, b]), lambda a, b: np.c_[a, b], lambda a, b: np.full(2, a), lambda a, b: mg.sum([a, b]),
])  # fmt: skip
def test_a_list_of_tensors_says_stack(call: Any) -> None:
    with pytest.raises(TypeError, match=r"use np\.stack\(\[a, b\]\) for np\.array\(\[a, b\]\) and np\.sum\(\[a, b\]\)"):
        call(mg.Tensor(1.0), mg.Tensor(2.0))
    with pytest.raises(TypeError, match=r"np\.stack"):
        mg.grad(lambda t: call(t, 2 * t))(1.0)


def test_a_grid_with_a_variable_end_works() -> None:
    assert (
        mg.grad(lambda t: np.sum(np.mgrid[0:t:3j]))(2.0) == mg.grad(lambda t: np.sum(np.linspace(0, t, 3)))(2.0) == 1.5
    )


def test_no_hint_for_a_function_that_is_there() -> None:
    for name in HINTS:
        function: Any = np
        for part in name.split(".")[1:]:
            function = getattr(function, part)
        assert function not in mg.engine.implementations


@pytest.mark.parametrize("index", [6, -6, [1, 7]])
def test_insert_beyond_the_ends(index: Any) -> None:
    with pytest.raises(IndexError, match="insert into 5 elements needs indices from -5 to 5"):
        mg.insert(np.arange(5.0), index, 1.0)


@pytest.mark.parametrize("index", [5, -5, [1, 1, 3], [3, 0, 3], slice(3, 0, -1), []])
def test_insert_at_the_same_places_as_numpy(index: Any) -> None:
    x, new = np.arange(5.0), np.arange(10.0, 10 + (np.size(index) if type(index) is list else 3))
    np.testing.assert_array_equal(mg.insert(x, index, new), np.insert(x, index, new))


@pytest.mark.parametrize("how", [{"kind": "fast"}, {"kind": "stable", "stable": True}])
def test_sort_of_an_unknown_kind(how: Any) -> None:
    with pytest.raises(ValueError, match="sort takes one of kind= "):
        mg.sort(np.arange(3.0), **how)
