"""The ops where it is easy to go wrong: views, read-only input, ties, zeros, NaN, any shape, complex numbers."""

import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from test_ops import dense, every_case, floating, mapped, run

import minigrad as mg
from minigrad.operands import MANY, selected
from minigrad.trees import leaves


def awkward(x: np.ndarray) -> np.ndarray:
    """The same values, not contiguous, and read-only."""
    out = (
        np.repeat(np.repeat(x[..., None], 2, -1).T, 2, 0)[::2].T[..., 0]
        if x.ndim
        else np.array([x, x])[0:1].reshape(())
    )
    out.flags.writeable = False
    return out


@every_case
def test_views_and_read_only_input(case: Case) -> None:
    """Nothing is written into; a gradient has the form of its Tensor, and shares its memory with nothing else."""
    held = [awkward(x) for x in leaves(case.args) if floating(x)]
    before = [x.copy() for x in held]
    new = iter(held)
    args = mapped(case, lambda _: mg.engine.leaf(object.__new__(mg.Tensor), next(new)))
    tensors = [x for x in leaves(args) if isinstance(x, mg.Tensor)]
    y = case(*args)
    seed = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
    seed.flags.writeable = False
    y.backward(seed)
    expected, gradients = run(case)
    assert [(g.shape, g.dtype) for g in gradients] == [(x.shape, x.dtype) for x in before]
    np.testing.assert_allclose(dense(y.data), dense(expected), rtol=1e-12, atol=1e-12)
    for t, g in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(dense(t.grad), dense(g), rtol=1e-10, atol=1e-10)
        others = [*held, seed, *(o.grad for o in tensors if o is not t)]
        assert not any(np.shares_memory(dense(t.grad), dense(o)) for o in others)
    for x, b in zip(held, before, strict=True):
        np.testing.assert_array_equal(x, b)


SPOILT = (
    "eig",
    "svd",
    "inv",
    "det",
    "solve",
    "cholesky",
    "pinv",
    "nan",
    "norm",
    "length",
    "cofactors",
    "interp",
    "choose",
    "relu",  # like: 0 for NaN
    "lstsq",
    "cond",
    "polyfit",
)
NANS = [
    c for c in CASES if not any(w in str(c).lower() for w in SPOILT) and any(map(np.size, filter(floating, c.args)))
]


@pytest.mark.parametrize("case", NANS, ids=str)
def test_nan_passes_through(case: Case) -> None:
    """Where NumPy gives NaN the op gives NaN, and a gradient is found without a word."""

    def spoilt(x: Any) -> Any:
        x = np.array(x)
        x[(0,) * x.ndim if x.size else slice(0)] = np.nan
        return x

    args = mapped(case, spoilt)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(case.like(*case.prepared(tuple(args)), **case.kwargs))
    tensors = mapped(case._replace(args=tuple(args)), mg.Tensor)
    with np.errstate(invalid="ignore"):  # as NumPy's own, which warns of NaN in logaddexp or a complex quotient
        y = case(*tensors)
        y.backward(np.ones(y.shape))
    found, expected = np.isnan(dense(y.data)), np.isnan(expected.astype(complex))
    if case.op.__name__ == "partition":  # in which order the numbers beyond the chosen one come is not said
        found, expected = np.sort(found, axis=None), np.sort(expected, axis=None)
    np.testing.assert_array_equal(found, expected)


def slopes(f: Callable[..., Any], *args: Any) -> list[Any]:
    return [np.asarray(g).tolist() for g in mg.grad(lambda *a: mg.sum(f(*a)), tuple(range(len(args))))(*args)]


X = np.array([-1.0, 0.0, 1.0])
ZEROS = np.zeros(2)


@pytest.mark.parametrize(
    ("f", "args", "expected"),
    [
        (np.hypot, [ZEROS, ZEROS], [[0, 0], [0, 0]]),
        (np.arctan2, [ZEROS, ZEROS], [[0, 0], [0, 0]]),
        (np.linalg.norm, [ZEROS], [[0, 0]]),
        (lambda x: np.linalg.norm(x, 3), [ZEROS], [[0, 0]]),
        (lambda x: np.linalg.norm(x, axis=1), [np.array([[0.0, 0.0], [3.0, 4.0]])], [[[0, 0], [0.6, 0.8]]]),
        (np.std, [np.ones(3)], [[0, 0, 0]]),
        (np.prod, [np.array([0.0, 2.0, 3.0])], [[6, 0, 0]]),
        (np.cumprod, [np.array([2.0, 0.0, 3.0])], [[1, 8, 0]]),
        (np.logaddexp, [np.array([-np.inf, -np.inf]), np.array([1.0, -np.inf])], [[0, 0], [1, 0]]),
        (np.sinc, [ZEROS], [[0, 0]]),
        (np.sign, [X], [[0, 0, 0]]),
        (lambda x: np.clip(x, 0.0, 1.0), [X], [[0, 0.5, 0.5]]),
        (np.fmax, [np.array([1.0, np.nan, 2.0]), np.array([np.nan, 1.0, 2.0])], [[1, 0, 0.5], [0, 1, 0.5]]),
        (np.fmin, [np.array([1.0, np.nan, 2.0]), np.array([np.nan, 1.0, 2.0])], [[1, 0, 0.5], [0, 1, 0.5]]),
        (lambda x: np.sort(x)[-1], [np.array([2.0, 1.0, 2.0])], [[0.5, 0, 0.5]]),
        (np.median, [np.array([2.0, 2.0, 5.0])], [[0.5, 0.5, 0]]),
        (np.ptp, [np.array([1.0, 1.0, 2.0])], [[-0.5, -0.5, 1]]),
        (np.nansum, [np.array([1.0, np.nan])], [[1, 0]]),
        (np.nanmean, [np.array([1.0, np.nan, 3.0])], [[0.5, 0, 0.5]]),
        (np.nanmax, [np.array([1.0, np.nan, 3.0])], [[0, 0, 1]]),
        (np.nan_to_num, [np.array([1.0, np.nan, np.inf])], [[1, 0, 0]]),
        (np.linalg.det, [np.diag([2.0, 0.0, 3.0])], [[[0, 0, 0], [0, 6, 0], [0, 0, 0]]]),
        (np.linalg.eigvalsh, [np.eye(2)], [[[1, 0], [0, 1]]]),
        (lambda x: np.linalg.norm(x, "nuc"), [np.eye(2)], [[[1, 0], [0, 1]]]),
        (lambda x: np.interp(x, X, 2 * X), [np.array([-5.0, 0.5, 5.0])], [[0, 2, 0]]),
        (lambda x: np.float_power(x, 0), [X], [[0, 0, 0]]),
    ],
)
def test_where_a_formula_divides_by_zero(f: Callable[..., Any], args: list[Any], expected: list[Any]) -> None:
    np.testing.assert_allclose(slopes(f, *args)[0], expected[0], atol=1e-14)
    if len(args) > 1:
        np.testing.assert_allclose(slopes(f, *args)[1], expected[1], atol=1e-14)


def test_second_derivatives_at_zero() -> None:
    second = mg.grad(mg.grad(np.sinc))
    np.testing.assert_allclose([second(0.0), second(1e-9)], -(np.pi**2) / 3, rtol=1e-13)
    np.testing.assert_allclose(mg.grad(mg.grad(mg.grad(second)))(1e-3), -(np.pi**6) / 7 * 1e-3, rtol=1e-4)
    np.testing.assert_array_equal(mg.hessian(np.prod)(np.zeros(2)), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(mg.hessian(np.prod)(np.array([0.0, 0.0, 5.0]))[0], [0, 5, 0])


# any shape, any axis: the sum of the gradients is known, whatever the shapes


@st.composite
def array_and_axes(draw: Any) -> tuple[np.ndarray, Any]:
    shape = draw(array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3))
    x = np.random.default_rng(draw(st.integers(0, 99))).permutation(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)
    n = len(shape)
    one = st.integers(-n, n - 1) if n else st.none()
    several = st.lists(st.integers(0, n - 1), unique=True).map(tuple) if n else st.just(())
    return x / x.size, draw(st.one_of(st.none(), one, several))


def linearised(f: Callable[..., Any], x: np.ndarray) -> None:
    """The derivative along a direction, by jvp (two pullbacks) and by a central difference of second order."""
    v = np.cos(np.arange(x.size)).reshape(x.shape)
    value, slope = mg.jvp(f, (x,), (v,))
    h = 1e-5
    assert np.shape(value) == np.shape(f(x))
    np.testing.assert_allclose(value, f(x), rtol=1e-13)
    np.testing.assert_allclose(slope, (f(x + h * v) - f(x - h * v)) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "ptp", "nansum", "median"])
@given(drawn=array_and_axes(), keepdims=st.booleans())
def test_reductions_of_any_shape(name: str, drawn: Any, keepdims: bool) -> None:
    x, axis = drawn
    if axis == () and name in ("ptp", "median"):
        return
    f = operator.attrgetter(name)(np)
    np.testing.assert_allclose(getattr(mg, name)(x, axis, keepdims=keepdims), f(x, axis, keepdims=keepdims), atol=1e-12)
    linearised(lambda t: f(t, axis=axis, keepdims=keepdims), x)


@given(drawn=array_and_axes(), data=st.data())
def test_moves_of_any_shape(drawn: Any, data: Any) -> None:
    x, axis = drawn
    n = x.ndim
    k = data.draw(st.integers(0, n - 1)) if n else None
    order = data.draw(st.permutations(range(n)))
    reps = (2,) * data.draw(st.integers(1, 3))
    to = data.draw(st.sampled_from([(-1,), (1, -1), x.shape[::-1], (*x.shape, 1)]))
    moves: list[Callable[[Any], Any]] = [
        lambda t: np.transpose(t, order), lambda t: np.moveaxis(t, range(n), order), lambda t: np.flip(t, axis),
        lambda t: np.roll(t, 2, axis), lambda t: np.ravel(t), lambda t: np.expand_dims(t, 0), np.squeeze,
        lambda t: np.cumsum(t, axis=k), lambda t: np.cumprod(t, axis=k), lambda t: np.repeat(t, 2, axis=k),
        lambda t: np.tile(t, reps), np.atleast_3d,
        lambda t: np.reshape(t, to),
    ]  # fmt: skip
    if n:
        moves += [
            lambda t: np.sort(t, axis=k), lambda t: np.concatenate([t, t], axis=k), lambda t: np.stack([t, t], axis=k),
            lambda t: np.take(t, [0, 0, -1], axis=k), lambda t: np.pad(t, 1, mode="edge"),
            lambda t: np.swapaxes(t, 0, k),
            lambda t: np.diff(t, axis=k, prepend=0.0), lambda t: np.broadcast_to(t, (2, *x.shape)),
        ]  # fmt: skip
    linearised(data.draw(st.sampled_from(moves)), x)


# complex numbers: the gradient is the direction of steepest ascent, dL/da + i dL/db, as in PyTorch

Z = np.array([0.3 + 0.4j, -1.2 + 0.5j, 0.7 - 0.9j])
REAL_VALUED = [
    np.abs, np.real, np.imag, np.angle, lambda z: np.abs(z) ** 2, lambda z: np.real(z * np.conj(z)), np.linalg.norm,
    lambda z: np.real(np.exp(z) / z), lambda z: np.abs(np.fft.fft(z)), lambda z: np.abs(np.fft.ifft(z, 4)),
    lambda z: np.fft.irfft(z), lambda z: np.fft.irfft(z, 5), lambda z: np.imag(np.fft.fftshift(z)), np.var,
    lambda z: np.real(np.vdot(z, z * 1j + 1)), lambda z: np.abs(np.prod(z)), lambda z: np.abs(np.sign(z) + 1),
    lambda z: np.abs(np.linalg.det(np.outer(z, z) + np.eye(3))), lambda z: np.linalg.svdvals(np.outer(z, [1, 2j]) + 1),
]  # fmt: skip


@pytest.mark.parametrize("f", REAL_VALUED)
def test_grad_of_a_complex_variable_points_uphill(f: Callable[..., Any]) -> None:
    t = mg.Tensor(Z)
    mg.sum(f(t)).backward()
    h = 1e-6
    ascent = [
        sum(u * (np.sum(f(Z + h * u * e)) - np.sum(f(Z - h * u * e))) / (2 * h) for u in (1, 1j)) for e in np.eye(3)
    ]
    assert t.grad.dtype == complex
    np.testing.assert_allclose(t.grad, ascent, rtol=1e-7, atol=1e-7)


def test_a_step_against_the_gradient_goes_down() -> None:
    t = mg.Tensor(Z)
    losses = []
    for _ in range(50):
        t.zero_grad()
        loss = mg.sum(mg.abs(t - (1 + 2j)) ** 2)
        loss.backward()
        t.data = t.data - 0.1 * t.grad
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-6


def test_a_gradient_handed_in_is_pytorchs_too() -> None:
    t = mg.Tensor(Z)
    (t * (2 + 1j)).backward(np.ones(3) * 1j)
    np.testing.assert_allclose(t.grad, 1j * np.conj(2 + 1j) * np.ones(3))  # torch: grad_output * conj(f')


# what is refused says what to do


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: np.unique(t), "np.unique has no gradient in minigrad; write np.unique(t.data, return_index=True)"),
        (lambda t: np.linalg.tensorinv(t), "np.linalg.tensorinv has no gradient in minigrad; write mg.linalg.inv"),
        (lambda t: np.max(t, out=np.ones(())), "np.max of a Tensor does not take out=; use the result"),
        (lambda t: np.exp(t, dtype="f"), "np.exp of a Tensor does not take dtype=; use t.astype(dtype) first"),
        (lambda t: np.add(t, t, where=np.True_), "np.add of a Tensor does not take where=; use np.where"),
        (lambda t: np.pad(t, 1, mode="mean"), "pad has the modes constant, edge, reflect, symmetric, wrap, got 'mean'"),
        (lambda t: np.linalg.svd(t), "no derivative; write svd(x, full_matrices=False)"),
        (lambda t: t.astype(int), "astype needs a floating-point type, got int64"),
        (lambda t: np.split(t, 2, axis=1), "split needs equal parts, got 2 of 3; see array_split"),
        (lambda t: np.einsum("ij,jk", t), "einsum 'ij,jk' needs 2 operands, got 1"),
        (lambda t: np.tensordot(t, t, 1), "tensordot of (2, 3) and (2, 3) over axes 1: their lengths differ"),
        (lambda t: np.cross(t, t[0, :2]), "cross needs vectors of three elements, got shapes (2, 3) and (2,)"),
        (lambda t: np.gradient(t[:, :1]), "gradient needs 2 samples along axis 1, got 1"),
        (
            lambda t: np.linalg.norm(t, 7),
            "norm of a matrix has ord None, 'fro', 'nuc', 2, -2, 1, -1, inf or -inf, got 7",
        ),
        (lambda t: np.sum(t, axis=3), "sum of A (2, 3): axis 3 is out of bounds"),
        (lambda t: np.linalg.inv(t), "inv of A (2, 3)"),
    ],
)
def test_error_names_and_advises(f: Callable[..., Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError)) as raised:
        f(mg.Tensor(np.ones((2, 3)), name="A"))
    assert message in str(raised.value)


def test_every_hint_is_of_something_that_is_left_out() -> None:
    from minigrad.engine import implementations
    from minigrad.hints import HINTS

    for name in HINTS:
        assert operator.attrgetter(name.removeprefix("np."))(np) not in implementations, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64, np.int64, ">f4"])
@pytest.mark.parametrize("size", [0, 100, MANY, 300_000])
def test_a_selection_without_branches_is_that_of_numpy(dtype: Any, size: int) -> None:
    """Bit for bit: NaN, infinity and the signs of zeros, in every dtype, layout and memory."""
    rng = np.random.default_rng(size)
    special = [0.0, -0.0, 1.5] if np.dtype(dtype).kind == "i" else [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, y = (rng.choice([*special, *rng.normal(size=20)], (size // 20, 20)).astype(dtype) for _ in range(2))
    masks = rng.random(x.shape) < 0.5, rng.integers(0, 2, x.shape), rng.random(x.shape[1]) < 0.5
    for c in *masks, masks[0].T.copy().T:
        for a, b in (
            (x, y),
            (x, awkward(y)),
            (x.T.copy().T, y),
            (x, x),
            (x, y.astype(np.result_type(y, np.float64))),
            (x, y[:1]),
        ):
            for into_x in False, True:
                given = a.copy(order="K") if into_x else a
                found, expected = selected(c, given, b, into_x), np.where(c, a, b)
                assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
                assert found is given or not np.may_share_memory(found, b)


def test_relu_passes_what_is_not_finite_where_it_is_open() -> None:
    m = np.tile(np.array([1.0, -1.0, 0.0, np.nan], np.float32), 2000)
    g = np.repeat(np.array([np.nan, np.inf], np.float32), 4000)
    t = mg.Tensor(m)
    mg.relu(t).backward(g)
    assert np.array_equal(t.grad, np.where(m > 0, g, np.where(m == m, 0, m)), equal_nan=True)
