"""gradcheck: right gradients accepted, faults found, kinks told apart, and the reports."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.check.numeric import COMPLEX, DIFFERENCE, DIRECTIONS, MAX_ELEMENTS

rng = np.random.default_rng(3)
X, W = rng.normal(size=3), rng.normal(size=(2, 3))


def wrong(by: Callable[[Any], Any]) -> Any:
    """tanh with a fault in its rule."""

    @mg.op()
    def faulty(x: Any) -> Any:
        a = np.tanh(x)
        return a, lambda g: by(g * (1 - a * a))

    return faulty


# accepted, and how


@pytest.mark.parametrize(
    "f", [mg.tanh, lambda x: mg.sum(x * x), lambda x: W @ x, lambda x: mg.softmax(x), lambda x: [x, {"s": mg.exp(x)}]]
)
@pytest.mark.parametrize("order", [1, 2])
def test_complex_step_where_it_works(f: Callable[..., Any], order: int) -> None:
    report = mg.gradcheck(f, X, order=order)
    assert report and (report.method, report.order, len(report.rows), report.kinks) == (COMPLEX, order, 3, [])
    assert report.worst < 20


@pytest.mark.parametrize("f", [mg.abs, lambda x: mg.sum(mg.abs(x) * x)])
def test_differences_elsewhere(f: Callable[..., Any]) -> None:
    report = mg.gradcheck(f, X)
    assert report and report.method == DIFFERENCE and report.worst < 1e7


def test_arguments_of_every_form() -> None:
    def f(p: Any, layers: Any, x: Any, how: str, n: int) -> Any:
        return mg.tanh(p["W"] @ x) * layers[0] ** n + layers[1][0]

    report = mg.gradcheck(f, {"W": W, "name": "first"}, [2.0, (rng.normal(size=2),)], X, "plain", 2, order=2)
    assert list(dict.fromkeys(r.argument for r in report.rows)) == ["p['W']", "layers[0]", "layers[1][0]", "x"]
    assert len(report.rows) == 6 + 1 + 2 + 3


def test_tensors_and_ops_are_arguments_too() -> None:
    assert mg.gradcheck(mg.matmul, mg.Tensor(W), X, order=2)


def test_large_arguments_go_by_random_directions() -> None:
    A = rng.normal(size=(40, 30))
    report = mg.gradcheck(lambda A, x: mg.tanh(A @ x), A, A[0], order=2)
    assert A.size > MAX_ELEMENTS and [r.argument for r in report.rows].count("A") == DIRECTIONS
    assert report.rows[0].where == "random direction 0" and report.worst < 100
    with pytest.raises(mg.GradientError, match="random direction"):
        mg.gradcheck(lambda A: wrong(lambda h: h * 1.001)(A), A)


def test_float32_has_its_own_tolerance() -> None:
    report = mg.gradcheck(lambda W, x: mg.sigmoid(W @ x), W.astype("f"), X.astype("f"), order=2)
    assert report.dtype == "float32" and report.worst < 100
    with pytest.raises(mg.GradientError, match="float32"):
        mg.gradcheck(wrong(lambda h: h * np.float32(1.001)), X.astype("f"))


def test_nothing_to_check_in_an_empty_array() -> None:
    assert mg.gradcheck(mg.exp, X[:0]).rows == []


# kinks


@mg.op()
def steep_abs(x: Any) -> Any:
    """|x|, with the slope of its right side at 0."""
    return np.abs(x), lambda g: g * (np.sign(x) + (x == 0))


@pytest.mark.parametrize("f", [mg.relu, steep_abs, lambda x: mg.relu(-x), lambda x: -mg.relu(x)])
def test_kink_is_told_from_a_wrong_rule(f: Callable[..., Any]) -> None:
    report = mg.gradcheck(f, np.array([-1.0, 0.0, 2.0]))
    assert report and [(r.where, r.verdict) for r in report.kinks] == [("[1]", "kink")]
    assert "1 at a kink" in str(report) and "any value between is a subgradient" in str(report)


@pytest.mark.parametrize("f", [mg.abs, mg.max, lambda x: mg.maximum(x, 0.0), lambda x: mg.minimum(x, -x)])
def test_shared_tie_is_the_mean_of_the_slopes(f: Callable[..., Any]) -> None:
    """Which is what a central difference gives: no kink to report."""
    report = mg.gradcheck(f, np.zeros(2))
    assert report and not report.kinks


def test_kink_excuses_nothing_outside_its_slopes() -> None:
    @mg.op()
    def relu(m: Any) -> Any:
        return np.maximum(m, 0.0), lambda g: g * ((m > 0) + 1.5 * (m == 0))

    with pytest.raises(mg.GradientError, match="1 wrong"):
        mg.gradcheck(relu, np.array([-1.0, 0.0, 2.0]))


# found


@pytest.mark.parametrize(
    "fault",
    [
        lambda h: h * 1.001, lambda h: h * (1 + 1e-9), lambda h: -h, lambda h: 2.0 * h, lambda h: h * 0.0,
        lambda h: h[::-1],
        lambda h: h + 1e-6, lambda h: h * np.array([1.0, 1.0, 1.001]), lambda h: np.broadcast_to(np.sum(h), h.shape),
    ],
)  # fmt: skip
def test_planted_fault_in_a_rule(fault: Callable[[Any], Any]) -> None:
    with pytest.raises(mg.GradientError, match="WRONG"):
        mg.gradcheck(wrong(fault), X)


@pytest.mark.parametrize("fault", [mg.stop_gradient, lambda h: h * h / mg.stop_gradient(h)])
def test_planted_fault_that_only_the_second_order_shows(fault: Callable[[Any], Any]) -> None:
    assert mg.gradcheck(wrong(fault), X)
    with pytest.raises(mg.GradientError, match="second derivatives by"):
        mg.gradcheck(wrong(fault), X, order=2)


def test_planted_transposed_matrix_product() -> None:
    @mg.op()
    def matmul(x: Any, y: Any) -> Any:
        return x @ y, lambda g: y @ g.T, lambda g: x.T @ g

    A = rng.normal(size=(3, 3))
    with pytest.raises(mg.GradientError, match="x "):
        mg.gradcheck(matmul, A, A.T + 1)


def test_table_says_where_and_what() -> None:
    with pytest.raises(mg.GradientError) as error:
        mg.gradcheck(lambda x, y: mg.sum(wrong(lambda h: h * np.array([1, 1, 2.0]))(x) * y), X, X + 1.0)
    lines = str(error.value).splitlines()
    assert lines[0].startswith(
        "derivatives by complex step in float64: 6 compared, 1 wrong, 0 at a kink, largest error "
    )
    assert lines[1].split() == ["argument", "where", "autograd", "numeric", "ulp", "verdict"]
    name, where, ours, numeric, ulp, verdict = lines[2].split()
    assert (name, where, verdict, len(lines)) == ("x", "[2]", "WRONG", 3)
    assert np.isclose(float(ours), 2 * float(numeric), rtol=1e-14) and float(ulp) > 1e14


def test_long_table_is_cut() -> None:
    with pytest.raises(mg.GradientError, match=r"\.\.\. and 18 more"):
        mg.gradcheck(wrong(lambda h: 2 * h), rng.normal(size=30))


# refused, each with a reason


def log(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return mg.log(x)


@mg.op()
def nan_gradient(x: Any) -> Any:
    return x * 1.0, lambda g: g * np.nan


@pytest.mark.parametrize(
    ("f", "args", "kind", "message"),
    [
        (lambda x, y: x * 2.0, (X, X), mg.GradientError, "the function does not depend on its argument y"),
        (lambda x: np.sum(mg.stop_gradient(x)), (X,), mg.GradientError, "does not depend on its argument x"),
        (lambda x: 5.0, (X,), mg.GradientError, "does not depend on its argument x"),
        (lambda x: x * rng.normal(), (X,), mg.GradientError, "returns another value when called again .* random"),
        (log, (-(X**2),), mg.GradientError, "not finite at these arguments"),
        (nan_gradient, (X,), mg.GradientError, "the gradient with respect to x is not finite"),
        (mg.sum, (np.arange(3),), TypeError, "needs a floating-point argument .* write 1.0 for 1"),
    ],
)
def test_refused(f: Callable[..., Any], args: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        mg.gradcheck(f, *args)


def test_order() -> None:
    with pytest.raises(ValueError, match="checks order 1 or 2, got 3"):
        mg.gradcheck(mg.exp, X, order=3)
    assert issubclass(mg.GradientError, AssertionError)


def test_the_numbers_of_a_scalar_are_its_derivatives():
    @mg.op()
    def half(x):
        return np.sum(x**2), lambda g: g * x

    with pytest.raises(mg.GradientError) as wrong:
        mg.gradcheck(half, np.array([1.0, 2.0]))
    assert [line.split()[2:4] for line in str(wrong.value).splitlines()[2:]] == [["1", "2"], ["2", "4"]]
