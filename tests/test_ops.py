"""Every op, against NumPy forward and against its own values backward; see cases.py for the table."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, OPS, Case, cross_entropy, log_softmax, logsumexp, sigmoid, softmax, wide
from duck import Duck, plain
from foreign import of_kind
from ops_table import PAGE, page
from sampling import sampled

import minigrad as mg
from minigrad.check.numeric import EPS
from minigrad.engine import implementations
from minigrad.node import function_of
from minigrad.sparse import RowSparse
from minigrad.trees import leaves, map_leaves

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def floating(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(int)).kind in "fc"


def mapped(case: Case, function: Callable[[Any], Any]) -> list[Any]:
    """The arguments, a function applied to the floating-point arrays among them."""
    return list(map_leaves(lambda x: function(x) if floating(x) else x, case.args))


def single(x: Any) -> Any:
    return x.astype(np.complex64 if np.iscomplexobj(x) else np.float32)


def dense(x: Any) -> Any:
    return x.dense() if isinstance(x, RowSparse) else x


def run(case: Case, kind: Callable[[Any], Any] = np.asarray) -> tuple[Any, list[Any]]:
    """The value and the gradients, on arrays of a kind, the gradient of the value being 1, 0.5, ... around."""
    args = mapped(case, lambda x: mg.Tensor(kind(x)))
    y = case(*args)
    y.backward(kind(np.cos(np.arange(y.size)).reshape(y.shape)))
    return y.data, [x.grad for x in leaves(args) if isinstance(x, mg.Tensor)]


# forward


def test_every_op_has_a_case() -> None:
    covered = {getattr(c.op, "__wrapped__", c.op) if not hasattr(c.op, "body") else c.op for c in CASES}
    assert {f.__name__ for f in OPS if f not in {implementations.get(f, f) for f in covered}} == set()


@every_case
def test_value_is_numpys(case: Case) -> None:
    value, expected = case(*case.args), np.asarray(case.expected())
    assert not isinstance(value, mg.Tensor) and value.shape == np.shape(expected)
    expected = expected.astype(np.result_type(np.float64, expected.dtype if expected.dtype.kind == "c" else float))
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(dense(value), expected, rtol=16 * EPS, atol=16 * EPS)
    of_tensors = case(*mapped(case, mg.Tensor))
    assert isinstance(of_tensors, mg.Tensor)
    np.testing.assert_array_equal(dense(of_tensors.data), dense(value))


@pytest.mark.parametrize(
    "case", [c for c in CASES if getattr(c.like, "__wrapped__", c.like) in implementations], ids=str
)
def test_numpy_function_records(case: Case) -> None:
    value = case.like(*case.prepared(mapped(case, mg.Tensor)), **case.kwargs)
    assert isinstance(value, mg.Tensor) and value._edges
    np.testing.assert_array_equal(value.data, case(*case.args))


# backward


@every_case
def test_gradient_is_the_derivative(case: Case, order: int = 1) -> None:
    f, args = case.of_parts(case)
    report = mg.gradcheck(f, *args, order=order)
    assert report and not report.kinks
    assert len(report.rows) == sum(np.size(x) for x in leaves(args) if floating(x) or isinstance(x, float))


@sampled(CASES, one_in=3)
def test_gradient_of_the_gradient_is_its_derivative(case: Case) -> None:
    test_gradient_is_the_derivative(case, order=2)


def keeps_dtype(case: Case) -> bool:
    weighted = {"fweights", "aweights"} <= case.kwargs.keys()  # int64 times float32
    return not case.kwargs.get("dtype") and not weighted and case.op.__name__ not in ("float_power", "astype")


@pytest.mark.parametrize("case", [*filter(keeps_dtype, CASES)], ids=str)
def test_float32_stays(case: Case) -> None:
    constants = {key: single(x) if floating(x) else x for key, x in case.kwargs.items()}
    value, gradients = run(case._replace(kwargs=constants), single)
    assert {x.dtype.itemsize // (1 + (x.dtype.kind == "c")) for x in (value, *gradients)} == {4}
    exact, exact_gradients = run(case)
    for x, y in zip([value, *gradients], [exact, *exact_gradients], strict=True):
        np.testing.assert_allclose(dense(x), dense(y), rtol=1e-4, atol=1e-5)


@sampled(CASES, one_in=2)
def test_differentiates_twice_on_a_foreign_array(case: Case) -> None:
    def along(kind: Callable[[Any], Any]) -> Any:
        args = [x for x in leaves(case.args) if floating(x)]
        theirs = of_kind(case, kind)

        def f(*new: Any) -> Any:
            values = iter(new)
            return theirs(*mapped(theirs, lambda _: next(values)))

        return mg.jvp(f, [kind(x) for x in args], [kind(np.cos(x)) for x in args])[1]

    np.testing.assert_allclose(plain(dense(along(Duck))), dense(along(np.asarray)), rtol=8 * EPS, atol=8 * EPS)


# faults planted in the rules: the check must find each of them


def scaled(h: Any) -> Any:
    return h * 1.001


def flipped(h: Any) -> Any:
    return h * -1.0


def constant(h: Any) -> Any:
    return mg.stop_gradient(h)


def planted(case: Case, op: Any, i: int, fault: Callable[[Any], Any]) -> Callable[..., Any]:
    """The case with a fault in its op's pullback number i; to the fourth, so that its second derivative is felt."""

    def body(*args: Any, **kwargs: Any) -> Any:
        value, *pullbacks = op.body(*args, **kwargs)
        right = function_of(pullbacks[i])
        pullbacks[i] = lambda g: fault(right(g))
        return value, *pullbacks

    faulty = mg.op()(body)
    return lambda *args: mg.power(faulty(*case.prepared(args), **case.kwargs), 4)


def pullbacks() -> list[Any]:
    """Every pullback of every op, and the largest case of it."""
    found = {}
    for case in sorted(CASES, key=lambda case: -np.size(case.expected())):
        op = implementations.get(case.op, case.op)
        for i, x in enumerate(case.args if hasattr(op, "body") else ()):
            if floating(x):
                found.setdefault(f"{op.__name__}-{i}", (case, op, i))
    return [pytest.param(*how, id=name) for name, how in found.items()]


def test_every_pullback_is_planted() -> None:
    """As many as an op returns, found by asking it, for its first case."""
    numbers = {}
    for case in CASES:
        op = implementations.get(case.op, case.op)
        if hasattr(op, "body"):
            args = [np.asarray(x) if type(x) is list else x for x in case.prepared(case.args)]
            returned = op.body(*args, **case.kwargs)[1:]
            numbers |= {f"{op.__name__}-{i}": 0 for i, pullback in enumerate(returned) if pullback is not None}
    assert sorted(numbers) == sorted(p.id for p in pullbacks())
    assert len(numbers) >= 50


@pytest.mark.parametrize(("case", "op", "i"), pullbacks())
def test_without_a_fault_nothing_is_found(case: Case, op: Any, i: int) -> None:
    right, args = case.of_parts(planted(case, op, i, lambda h: h))
    assert mg.gradcheck(right, *args, order=2)


@pytest.mark.parametrize("fault", [scaled, flipped, constant])
@pytest.mark.parametrize(("case", "op", "i"), pullbacks())
def test_planted_fault_is_found(case: Case, op: Any, i: int, fault: Callable[[Any], Any]) -> None:
    wrong, args = case.of_parts(planted(case, op, i, fault))
    with pytest.raises(mg.GradientError, match="WRONG"):
        mg.gradcheck(wrong, *args, order=2)


def transposed(h: Any, shape: tuple[int, ...]) -> Any:
    return np.swapaxes(h, -1, -2) if np.ndim(h) > 1 else h


def an_element_dropped(h: Any, shape: tuple[int, ...]) -> Any:
    return np.where(np.arange(np.size(h)).reshape(np.shape(h)) == np.argmax(np.abs(h)), 0.0, h)


def broadcasting_not_undone(h: Any, shape: tuple[int, ...]) -> Any:
    """The first of what was broadcast instead of the sum."""
    h = h[(0,) * (np.ndim(h) - len(shape))]
    return h[tuple(slice(None, 1) if n == 1 else slice(None) for n in shape)] if shape else h


def shaped_faults() -> list[Any]:
    """Every pullback with each of these faults, at the first case that it changes."""
    found = {}
    for case in CASES:
        op = implementations.get(case.op, case.op)
        if not hasattr(op, "body"):
            continue
        args = [np.asarray(x) if type(x) is list else x for x in case.prepared(case.args)]
        value, *pullbacks = op.body(*args, **case.kwargs)
        for fault in (transposed, an_element_dropped, broadcasting_not_undone):
            for i, (x, pullback) in enumerate(zip(args, pullbacks)):
                if floating(x) and pullback is not None and np.size(x) > 1 and np.size(value):
                    g = np.linspace(1.0, 2.0, np.size(value)).reshape(np.shape(value))
                    h = np.asarray(function_of(pullback)(g))
                    wrong = fault(h, np.shape(x))
                    if wrong.shape != h.shape or not np.allclose(wrong, h):
                        found.setdefault(f"{op.__name__}-{i}-{fault.__name__}", (case, op, i, fault, np.shape(x)))
    return [pytest.param(*how, id=name) for name, how in found.items()]


@pytest.mark.parametrize(("case", "op", "i", "fault", "shape"), shaped_faults())
def test_planted_fault_in_the_shape_is_found(case: Case, op: Any, i: int, fault: Any, shape: tuple[int, ...]) -> None:
    wrong, args = case.of_parts(planted(case, op, i, lambda h: fault(np.asarray(h), shape)))
    with pytest.raises((mg.GradientError, ValueError), match=r"WRONG|returned a gradient of shape"):
        mg.gradcheck(wrong, *args)


def test_each_kind_of_fault_is_planted() -> None:
    kinds = [p.id.rsplit("-", 1)[1] for p in shaped_faults()]
    assert kinds.count("transposed") > 20
    assert kinds.count("an_element_dropped") > 40
    assert kinds.count("broadcasting_not_undone") >= 10


# far from zero: accurate, and silent (a warning is an error here)

both_precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SPREADS = [0.01, 1.0, 30.0, 90.0, 1000.0]


def far(dtype: Any, spread: float) -> np.ndarray:
    rng = np.random.default_rng(int(spread * 100))
    x = rng.uniform(-spread, spread, (20, 7)).astype(dtype)
    x[0], x[1, 0] = spread, -spread
    return x


def with_gradient(f: Callable[..., Any], x: np.ndarray, *args: Any) -> tuple[np.ndarray, np.ndarray]:
    t = mg.Tensor(x)
    y = f(t, *args)
    y.backward(np.ones(y.shape) if y.ndim == 0 else np.cos(np.arange(y.size)).reshape(y.shape))
    assert y.dtype == t.grad.dtype == x.dtype
    return y.data, t.grad


def assert_close(got: Any, exact: Any, ulp: Any, atol: float = 0.0) -> None:
    """Within a number of ulp, or an absolute error, or what the smallest numbers of the type allow."""
    kind = np.finfo(got.dtype)
    assert np.all(np.isfinite(got))
    assert np.all(np.abs(wide(got) - exact) <= ulp * kind.eps * np.abs(exact) + atol * kind.eps + kind.tiny)


@both_precisions
@pytest.mark.parametrize("spread", SPREADS)
def test_sigmoid_far_from_zero(dtype: Any, spread: float) -> None:
    x = np.linspace(-spread, spread, 2001, dtype=dtype)
    t = mg.Tensor(x)
    a = mg.sigmoid(t)
    a.backward(np.ones(x.shape))
    exact = sigmoid(x)
    assert_close(a.data, exact, ulp=4)
    assert_close(t.grad, exact * (1 - exact), ulp=0, atol=1)


@both_precisions
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_family_far_from_zero(dtype: Any, spread: float, axis: int) -> None:
    x = far(dtype, spread)
    weights = wide(np.cos(np.arange(x.size)).reshape(x.shape))
    p, distance = softmax(x, axis), np.max(wide(x), axis, keepdims=True) - x  # rounding x - max costs distance / 2 ulp

    value, g = with_gradient(lambda t: mg.softmax(t, axis=axis), x)
    assert_close(value, p, ulp=8 + distance)
    assert_close(g, p * (weights - np.sum(weights * p, axis, keepdims=True)), ulp=0, atol=16)

    value, g = with_gradient(lambda t: mg.log_softmax(t, axis=axis), x)
    assert_close(value, log_softmax(x, axis), ulp=4, atol=4 * max(spread, 1))
    assert_close(g, weights - p * np.sum(weights, axis, keepdims=True), ulp=0, atol=16 + spread)

    value, g = with_gradient(lambda t: mg.logsumexp(t, axis=axis), x)
    assert_close(value, logsumexp(x, axis), ulp=4, atol=4)
    weights = np.expand_dims(wide(np.cos(np.arange(value.size))), axis)
    assert_close(g, p * weights, ulp=8 + distance)


@both_precisions
@pytest.mark.parametrize("spread", SPREADS)
def test_cross_entropy_far_from_zero(dtype: Any, spread: float) -> None:
    x = far(dtype, spread)
    classes = np.arange(len(x)) % 7
    value, g = with_gradient(mg.cross_entropy, x, classes)
    assert_close(value, cross_entropy(x, classes), ulp=4, atol=4)
    assert_close(g, (softmax(x) - np.eye(7)[classes]) / len(x), ulp=0, atol=1)


def test_logsumexp_of_the_impossible() -> None:
    assert mg.logsumexp(np.array([-np.inf, 0.0])) == 0.0


# ties and kinks


def slopes(f: Callable[..., Any], *args: Any) -> list[Any]:
    return [np.asarray(g).tolist() for g in mg.grad(lambda *a: mg.sum(f(*a)), tuple(range(len(args))))(*args)]


X = np.array([-1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("f", "args", "expected"),
    [
        (mg.relu, [X], [[0, 0, 1]]),
        (lambda m: mg.relu(m=m), [X], [[0, 0, 1]]),
        (mg.abs, [X], [[-1, 0, 1]]),
        (mg.maximum, [X, np.zeros(3)], [[0, 0.5, 1], [1, 0.5, 0]]),
        (mg.minimum, [X, np.zeros(3)], [[1, 0.5, 0], [0, 0.5, 1]]),
        (lambda x: mg.maximum(x, 0), [X], [[0, 0.5, 1]]),
        (lambda x: mg.maximum(x, x), [X], [[1, 1, 1]]),
        (mg.max, [np.array([2.0, 1.0, 2.0])], [[0.5, 0, 0.5]]),
        (mg.min, [np.zeros(4)], [[0.25] * 4]),
        (lambda x: mg.max(x, axis=1), [np.array([[1.0, 1.0], [3.0, 2.0]])], [[[0.5, 0.5], [1, 0]]]),
        (lambda x: mg.power(x, 0), [X], [[0, 0, 0]]),
        (lambda x: mg.power(x, 1), [X], [[1, 1, 1]]),
        (lambda n: mg.power(np.zeros(2), n), [np.array([1.0, 2.0])], [[0, 0]]),
    ],
)
def test_tie(f: Callable[..., Any], args: list[Any], expected: list[Any]) -> None:
    assert slopes(f, *args) == expected


def test_the_page_of_ops_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it again: python tests/ops_table.py"
    assert all(f"`{name}`" in page() for name in ("mg.linalg.svd", "mg.fft.irfft", "np.add.reduce", "np.argsort"))
