"""Where a gradient would be lost without a word: values read as numbers, no_grad, derived functions, wrong values."""

import array
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.mode import mode

X = np.array([0.5, -1.0, 2.0])


def first_cause(error: BaseException) -> BaseException:
    """The error that NumPy has wrapped, as it does in an assignment."""
    return first_cause(error.__cause__) if error.__cause__ is not None else error


# a value that depends on the variables of a running transform is not read as a Python number


def assigned(x: Any) -> Any:
    a = np.zeros(3)
    a[0] = x
    return np.sum(a)


def filled(x: Any) -> Any:
    a = np.zeros(3)
    a.fill(x)
    return np.sum(a)


def filled_flat(x: Any) -> Any:
    a = np.zeros(3)
    a.flat[0] = x
    return np.sum(a)


def assigned_to_integers(x: Any) -> Any:
    a = np.zeros(3, int)
    a[0] = x
    return np.sum(a)


def assigned_slice(x: Any) -> Any:
    a = np.zeros(3)
    a[:] = x
    return np.sum(a)


def assigned_outside_numpy(x: Any) -> Any:
    a = array.array("d", [0.0])
    a[0] = x
    return a[0]


READS: list[Callable[[Any], Any]] = [
    float, int, complex, round, math.sin, math.floor, lambda x: math.hypot(x, x), lambda x: math.fsum([x, x]),
    lambda x: x.item(), lambda x: x.tolist(), lambda x: np.float64(x) * 3, lambda x: np.fromiter([x, x], float).sum(),
    lambda x: np.asarray(x), lambda x: np.sum(np.array([x, x])), lambda x: np.r_[x, x].sum(),
    lambda x: statistics.mean([float(x), 1.0]), assigned, filled, assigned_slice,
    assigned_to_integers, assigned_outside_numpy, lambda x: math.sin(2.0 * (x + 1.0)), lambda x: float(x.reshape(1, 1)),
]  # fmt: skip
TRANSFORMS: list[Callable[[Any], Any]] = [
    lambda f: mg.grad(f)(2.0), lambda f: mg.vjp(f, 2.0), lambda f: mg.jvp(f, (2.0,), (1.0,)),
    lambda f: mg.jacobian(f)(2.0), lambda f: mg.hessian(f)(2.0), lambda f: mg.hvp(f)(2.0, 1.0),
    lambda f: mg.elementwise_grad(f)(2.0), lambda f: mg.gradcheck(f, 2.0),
    lambda f: mg.grad(lambda x: mg.grad(lambda y: y * f(x))(1.0))(2.0),
]  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_reading_a_value_in_a_transform_is_refused(read: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        mg.grad(lambda x: x * read(x))(2.0)
    ours = first_cause(caught.value)
    assert "np.stack" in str(ours) and "line " in str(ours) and "test_lost_gradients.py" in str(ours)
    assert mode.transforms == ()


def test_an_error_that_numpy_replaces() -> None:
    with pytest.raises(ValueError, match="Error setting single item of array"):
        mg.grad(filled_flat)(2.0)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_refuses(transform: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="read as a Python number, and its gradient would be lost"):
        transform(lambda x: x * math.sin(x))


def test_values_that_do_not_depend_on_the_variables_may_be_read() -> None:
    w = mg.Tensor(3.0)

    def f(x: Any) -> Any:
        own = mg.Tensor(2.0) * w
        seen.append(f"{x:.2f} {x * x}")
        seen.append(float(mg.stop_gradient(x)) + float(x.data))
        with mg.no_grad():
            seen.append(float(x * 2.0))
        return x * float(w) * float(own) * math.sqrt(w * 3.0) if x > 0 and x else x

    seen: list[Any] = []
    assert mg.grad(f)(2.0) == pytest.approx(3 * 6 * 3) and w.grad is None
    assert seen == ["2.00 Tensor(4., op=multiply)", 4.0, 4.0]


def test_values_of_an_outer_transform_are_not_read_in_an_inner_one() -> None:
    for inner in (lambda x, y: y * float(x), lambda x, y: y * float(mg.sin(x))):
        with pytest.raises(TypeError, match="read as a Python number"):
            mg.grad(lambda x, inner=inner: mg.grad(lambda y: inner(x, y))(1.0))(2.0)
    # the variable of an inner transform that has ended is linked to the outer one
    with pytest.raises(TypeError, match="read as a Python number"):
        mg.grad(lambda x: float(mg.grad(lambda y: y * y)(x)) * x)(2.0)
    assert mg.grad(lambda x: float(mg.grad(lambda y: y * y)(5.0)) * x)(2.0) == 10.0


def test_outside_of_transforms_values_are_read() -> None:
    J = mg.Tensor(2.567, name="J") * 1.0
    assert (float(J), J.item(), int(J), complex(J), round(J, 1), round(J)) == (2.567, 2.567, 2, 2.567 + 0j, 2.6, 3)
    assert f"{J:.2f} {J:8.3e}|{mg.Tensor([[1.5]]):.1f}" == "2.57 2.567e+00|1.5"
    assert f"{J}" == "Tensor(2.567, op=multiply)" and math.floor(J) == 2
    assert float(mg.Tensor([[4.0]])) == 4.0


def test_assignment_to_an_element_is_told_from_float() -> None:
    t, log = mg.Tensor(2.0) * 1.0, np.zeros(2)
    log[0] = float(t)
    log[1] = t.item()
    assert log.tolist() == [2.0, 2.0]
    with mg.no_grad():
        log[0] = t * 3.0
    assert log[0] == 6.0
    for f in (assigned, assigned_to_integers, assigned_outside_numpy):
        with pytest.raises((TypeError, ValueError)) as caught:
            f(t)
        ours = first_cause(caught.value)
        assert "was assigned to an element of an array" in str(ours) and "array[i] = float(t)" in str(ours)


# what a differentiated function returns

NO_SCALAR = [
    (lambda x: None, TypeError, r"got None \(is its return missing\?\)"),
    (lambda x: {"loss": x}, TypeError, "got a dict; for further values use has_aux=True"),
    (lambda x: (x, x), TypeError, "got a tuple; for further values use has_aux=True"),
    (lambda x: [x], TypeError, "got a list"),
    (lambda x: "loss", TypeError, "got a str 'loss'"),
    (lambda x: x > 0, TypeError, "got a value of dtype bool"),
    (lambda x: True, TypeError, "got a bool"),
    (lambda x: x * 1j, TypeError, "a complex one; take mg.real, mg.imag or mg.abs of it"),
    (lambda x: 1j, TypeError, "a complex one"),
    (lambda x: mg.stack([x, x]), ValueError, r"needs a scalar, got shape \(2,\); see jacobian"),
]


@pytest.mark.parametrize(("f", "kind", "message"), NO_SCALAR)
@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad, mg.hessian, mg.hvp])
def test_a_value_that_is_no_real_scalar(transform: Any, f: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        transform(f)(2.0, 1.0) if transform is mg.hvp else transform(f)(2.0)


@pytest.mark.parametrize("value", [lambda x: x[:2], lambda x: mg.sum(x), lambda x: (x[0],), lambda x: {"a": 1}])
def test_has_aux_needs_a_pair(value: Any) -> None:
    for transform in (lambda: mg.grad(value, has_aux=True)(X), lambda: mg.vjp(value, X, has_aux=True)):
        with pytest.raises(TypeError, match=r"has_aux=True needs a function that returns a pair \(value, aux\), got a"):
            transform()


@pytest.mark.parametrize("value", [None, "text", {"a": None}, [True], True])
def test_values_of_other_transforms_are_numbers(value: Any) -> None:
    for transform in (lambda: mg.vjp(lambda x: value, X), lambda: mg.jacobian(lambda x: value)(X),
                      lambda: mg.jvp(lambda x: value, (X,), (X,))):  # fmt: skip
        with pytest.raises(TypeError, match="needs a function that returns numbers or arrays, got"):
            transform()


def test_one_element_is_a_scalar_everywhere() -> None:
    W, U, x = np.full((8, 20), 0.1), np.linspace(-1, 1, 8).reshape(8, 1), np.ones((20, 1))

    def s(W: Any, U: Any, x: Any) -> Any:
        return U.T @ mg.sigmoid(W @ x)

    def flat(W: Any, U: Any, x: Any) -> Any:
        return s(W, U, x)[0, 0]

    t = mg.Tensor(W)
    value = s(t, U, x)
    value.backward()
    assert value.shape == (1, 1)
    expected = mg.grad(flat)(W, U, x)
    np.testing.assert_array_equal(t.grad, expected)
    np.testing.assert_array_equal(mg.grad(s)(W, U, x), expected)
    np.testing.assert_allclose(mg.hvp(lambda x: s(W, U, x))(x, x), mg.hvp(lambda x: flat(W, U, x))(x, x), rtol=1e-12)
    d = mg.derive(s, W, U, x)
    assert d(W, U, x)[0].shape == (1, 1)
    np.testing.assert_array_equal(d(W, U, x)[1][0], expected)
    report = mg.compare(s, lambda W, U, x: {"W": expected}, W, U, x)
    assert report
    assert mg.draw(value, backward=True).source


# no_grad, and values that no variable leads to


def test_backward_on_a_value_computed_under_no_grad() -> None:
    w = mg.Tensor([1.0, 2.0], name="w")
    with mg.no_grad():
        J = mg.sum(w * w)
        with pytest.raises(RuntimeError, match="computed under no_grad, so nothing leads from it to a variable"):
            J.backward()
    with pytest.raises(RuntimeError, match="computed under no_grad"):
        J.backward()
    assert w.grad is None and J.grad is None


def test_backward_on_a_value_of_constants_only() -> None:
    w = mg.Tensor([1.0, 2.0], name="w")
    with mg.no_grad():
        h = w * w
    with pytest.raises(RuntimeError, match="computed under no_grad"):
        mg.sum(h * 3.0).backward()
    mg.sum(h * w).backward()  # a variable takes part
    assert w.grad.tolist() == [1.0, 4.0]


@pytest.mark.parametrize("transform", [mg.grad, mg.jacobian, lambda f: lambda x: mg.jvp(f, (x,), (x,)),
                                       lambda f: lambda x: mg.vjp(f, x)[1](1.0)])  # fmt: skip
def test_a_function_that_computes_its_value_under_no_grad(transform: Any) -> None:
    def f(x: Any) -> Any:
        with mg.no_grad():
            return x * x

    with pytest.raises(RuntimeError, match="computed under no_grad"):
        transform(f)(3.0)


def test_the_step_that_makes_a_variable_a_result() -> None:
    w = mg.Tensor([1.0, 2.0], name="w")
    mg.sum(w * w).backward()
    w -= 0.1 * w.grad
    mg.sum(w * w).backward()
    with pytest.warns(UserWarning, match=r"keeps no gradient: .grad is None. .* write w.data -= lr \* w.grad"):
        assert w.grad is None
    kept = (w * 2.0).retain_grad()
    assert kept.grad is None  # asked for: no warning, nothing has been computed yet


# derived and compiled functions


@pytest.mark.parametrize("derived", [lambda f: mg.compile(f), lambda f: mg.derive(f, X, wrt=())])
def test_derived_functions_are_differentiated(derived: Any) -> None:
    def f(x: Any) -> Any:
        return mg.sum(x * x)

    g = derived(f)
    assert g(X) == X @ X
    for act in (lambda f: mg.grad(f)(X), lambda f: mg.jacobian(f)(X), lambda f: mg.vjp(f, X)[1](1.0)[0],
                lambda f: mg.jvp(f, (X,), (X,))[1], lambda f: mg.grad(lambda x: x[0] * f(2 * x))(X)):  # fmt: skip
        np.testing.assert_array_equal(act(g), act(f))
    assert mg.grad(lambda x: x[0] * g(X))(X).tolist() == [X @ X, 0.0, 0.0]  # a constant


# where the pass stops


@mg.op()
def once(x: Any) -> Any:
    """An op with one derivative."""
    return np.sin(x), lambda g: g * math.cos(x)


def test_an_inner_gradient_does_not_walk_the_outer_graph() -> None:
    calls: list[int] = []

    @mg.op()
    def counted(x: Any) -> Any:
        calls.append(1)
        return x * 1.0, lambda g: g * 1.0

    def f(x: Any) -> Any:
        y = once(x)
        for _ in range(100):
            y = counted(y)
        calls.clear()
        inner = mg.grad(lambda z: z * z * y)(3.0)
        inside.append(len(calls))
        return inner

    inside: list[int] = []
    assert mg.grad(f)(0.5) == pytest.approx(6 * math.cos(0.5)) and inside == [0]


def test_pullbacks_of_what_is_older_are_not_called() -> None:
    @mg.op()
    def times(x: Any, y: Any) -> Any:
        def refused(g: Any) -> Any:
            raise AssertionError("called for a variable that nobody asked about")

        return x * y, refused, lambda g: g * x

    assert mg.grad(lambda y: times(mg.Tensor(2.0) if y is None else w, y))(3.0) == 2.0


w = mg.Tensor(2.0)


@mg.op()
def solved(a: Any) -> Any:
    """Newton's method inside an op: a root of x**3 = a, and the derivative by the implicit function theorem."""
    x = np.float64(1.0)
    for _ in range(30):
        x = x - (x**3 - a) / mg.grad(lambda x: x**3)(x)
    return x, lambda g: g / mg.grad(lambda x: x**3)(x)


def test_grad_inside_an_op() -> None:
    kinds = []

    @mg.op()
    def looks(x: Any) -> Any:
        kinds.append(type(mg.grad(lambda y: y * y)(x)))
        return x * 1.0, lambda g: (kinds.append(type(mg.grad(lambda y: y * y)(x))), g)[1]

    assert mg.grad(looks)(3.0) == 1.0 and kinds == [np.float64, np.float64]
    assert mg.grad(solved)(8.0) == pytest.approx(1 / 12)
    assert mg.grad(lambda a: solved(a) ** 2)(8.0) == pytest.approx(2 * 2 / 12)


def test_lexsort_and_its_kin_take_lists_of_tensors() -> None:
    a, b = np.array([2.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0])
    assert np.lexsort((mg.Tensor(a), mg.Tensor(b))).tolist() == np.lexsort((a, b)).tolist()
    assert np.isin(mg.Tensor(a), [mg.Tensor(1.0)]).tolist() == [False, True, False]
    assert (
        mg.grad(lambda x: np.sum(x[np.lexsort((x, b))] * X))(a).tolist() == X[np.argsort(np.lexsort((a, b)))].tolist()
    )


def test_stop_gradient_of_a_container() -> None:
    held = mg.stop_gradient({"a": mg.Tensor(1.0), "b": [mg.Tensor(2.0), None]})
    assert held == {"a": 1.0, "b": [2.0, None]} and type(held["a"]) is not mg.Tensor
