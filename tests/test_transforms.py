"""grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp: against formulas, differences, and each other."""

import collections
import dataclasses
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.mode import mode
from minigrad.trees import leaves

X = np.array([0.5, -1.0, 2.0])
Q = np.array([[2.0, 1.0, 0.0], [-1.0, 3.0, 0.5]])
W = np.array([[0.2, -0.4, 0.1], [0.3, 0.5, -0.2]])


def net(W: Any, x: Any) -> Any:
    """A smooth function of a matrix and a vector, to a vector."""
    return mg.tanh(W @ x) * mg.exp(mg.sum(x * x) / 10) + mg.sigmoid(W[:, 0])


def differences(f: Callable[..., Any], x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """The Jacobian by central differences: shape f's shape + x's shape."""
    columns = []
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        columns.append((np.asarray(f(x + step)) - np.asarray(f(x - step))) / (2 * h))
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


def close(got: Any, expected: Any, tolerance: float = 1e-12) -> bool:
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    return not isinstance(got, mg.Tensor)


# against formulas


def test_grad() -> None:
    assert close(mg.grad(lambda x: mg.sum(x**3))(X), 3 * X**2)
    assert close(mg.grad(lambda x: x @ Q.T @ Q @ x)(X), 2 * Q.T @ Q @ X)
    assert mg.grad(lambda x: 5.0)(X).tolist() == [0.0, 0.0, 0.0]


def test_value_and_grad() -> None:
    value, g = mg.value_and_grad(lambda x: mg.sum(x * x))(X)
    assert type(value) is np.float64 and close(value, X @ X) and close(g, 2 * X)


@pytest.mark.parametrize(
    ("argnums", "expected"), [(0, 3.0), (1, 2.0), (-1, 2.0), ((1, 0), (2.0, 3.0)), ((0,), (3.0,)), ([0, 1], (3.0, 2.0))]
)
def test_argnums(argnums: Any, expected: Any) -> None:
    assert mg.grad(lambda x, y: x * y, argnums)(2.0, 3.0) == expected


def test_keywords_and_constants_pass_through() -> None:
    f = mg.grad(lambda x, how, *, scale, extra=None: mg.sum(x) * scale if how == "scaled" else mg.sum(x))
    assert f(X, "scaled", scale=3.0).tolist() == [3.0] * 3 and f(X, "plain", scale=3, extra=[1]).tolist() == [1.0] * 3


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        return mg.sum(x * x), {"double": x * 2.0, "note": "kept"}

    (value, aux), g = mg.value_and_grad(f, has_aux=True)(X)
    assert value == X @ X and close(g, 2 * X) and close(aux["double"], 2 * X) and aux["note"] == "kept"
    g, aux = mg.grad(f, has_aux=True)(X)
    assert close(g, 2 * X) and close(aux["double"], 2 * X)


def test_vjp() -> None:
    y, pullback = mg.vjp(lambda W, x: W @ x, W, X)
    g = np.array([1.0, -2.0])
    assert close(y, W @ X)
    for _ in range(2):  # as often as you like
        dW, dx = pullback(g)
        assert close(dW, np.outer(g, X)) and close(dx, W.T @ g)


def test_jvp() -> None:
    V, v = np.sin(W), np.cos(X)
    y, tangent = mg.jvp(net, (W, X), (V, v))
    h = 1e-6
    assert close(y, net(W, X)) and close(
        tangent, (net(W + h * V, X + h * v) - net(W - h * V, X - h * v)) / (2 * h), 1e-8
    )


def test_jacobian() -> None:
    assert close(mg.jacobian(lambda x: Q @ x)(X), Q)
    assert close(mg.jacobian(net, 0)(W, X), differences(lambda W: net(W, X), W), 1e-8)
    assert close(mg.jacobian(net, 1)(W, X), differences(lambda x: net(W, x), X), 1e-8)
    assert mg.jacobian(lambda x: x[:2, None] * x)(X).shape == (2, 3, 3)
    assert close(mg.jacobian(lambda x: x * x)(3.0), 6.0)


@pytest.mark.parametrize(
    ("f", "x", "shape"),
    [
        (lambda x: x[:0], X, (0, 3)),
        (lambda x: x * x, X[:0], (0, 0)),
        (lambda x: mg.sum(x), X[:0], (0,)),
        (lambda x: x[:1], X[:1], (1, 1)),
    ],
)
def test_jacobian_of_nothing(f: Any, x: np.ndarray, shape: tuple[int, ...]) -> None:
    assert mg.jacobian(f)(x).shape == shape


def test_hessian_and_hvp() -> None:
    def f(x: Any) -> Any:
        return mg.sum(net(W, x) ** 2) + x[0] * x[1] ** 2

    H = mg.hessian(f)(X)
    assert close(H, differences(mg.grad(f), X), 1e-7) and close(H, H.T)
    assert close(mg.hvp(f)(X, X), H @ X) and close(mg.hessian(lambda x: x @ Q.T @ Q @ x)(X), 2 * Q.T @ Q)
    assert close(
        mg.hessian(lambda W, x: mg.sum(net(W, x)), 1)(W, X),
        differences(lambda x: mg.grad(lambda x: mg.sum(net(W, x)))(x), X),
        1e-7,
    )


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6), st.lists(st.floats(-2, 2), min_size=5, max_size=5))
def test_jvp_and_vjp_are_transposes(numbers: list[float], directions: list[float]) -> None:
    A, x = np.reshape(numbers, (2, 3)), np.array(directions[:3])
    g, v = np.array(directions[3:]), np.array(numbers[:3])
    f = lambda x: net(A, x)  # noqa: E731
    assert close(g @ mg.jvp(f, (x,), (v,))[1], v @ mg.vjp(f, x)[1](g)[0], 1e-10)
    assert close(mg.jvp(f, (x,), (v,))[1], mg.jacobian(f)(x) @ v, 1e-10)


# nesting


def test_derivatives_of_every_order() -> None:
    f: Any = lambda x: mg.sin(x) * mg.exp(x)  # noqa: E731
    for n in range(6):  # the n-th is 2**(n/2) e**x sin(x + n pi / 4)
        assert close(f(0.7), 2 ** (n / 2) * np.exp(0.7) * np.sin(0.7 + n * np.pi / 4))
        f = mg.grad(f)
    assert mg.grad(mg.grad(mg.grad(lambda x: x**5)))(2.0) == 240.0


def test_third_derivatives() -> None:
    T = mg.jacobian(mg.hessian(lambda x: mg.sum(x**4) + x[0] * x[1] * x[2]))(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 1.0
    assert close(T, expected)


CONFUSION = [
    (lambda: mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))(1.0), 1.0),
    (lambda: mg.grad(lambda x: x * mg.grad(lambda y: x * y)(2.0))(3.0), 6.0),
    (lambda: mg.grad(lambda x: mg.grad(lambda y: x * y * y)(x))(3.0), 12.0),  # 2 x**2, derived
    (lambda: mg.grad(lambda x: mg.grad(lambda x: x * x)(x) * x)(3.0), 12.0),  # the inner x hides the outer
    (
        lambda: mg.grad(lambda x: mg.grad(lambda y: mg.grad(lambda z: x * y * z * z)(y))(x))(2.0),
        16.0,
    ),  # 4 x**2, derived
    (lambda: mg.grad(lambda x: mg.jvp(lambda y: x * y * y, (x,), (1.0,))[1])(3.0), 12.0),
    (lambda: mg.jvp(lambda x: mg.grad(lambda y: x * y * y)(x), (3.0,), (1.0,))[1], 12.0),
    (lambda: mg.jvp(lambda x: x * mg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1], 1.0),
    (lambda: mg.grad(lambda x: mg.vjp(lambda y: x * y, 5.0)[1](x)[0])(3.0), 6.0),
    (lambda: mg.grad(lambda x: mg.sum(mg.jacobian(lambda y: y * y * x)(np.ones(2))))(3.0), 4.0),
    (lambda: mg.grad(lambda x: mg.sum(mg.hvp(lambda y: mg.sum(y**3) * x)(np.ones(2), np.ones(2))))(3.0), 12.0),
]


@pytest.mark.parametrize(("act", "expected"), CONFUSION)
def test_levels_are_not_confused(act: Callable[[], Any], expected: float) -> None:
    assert act() == expected


def test_captured_outer_variables() -> None:
    """The gradient of an inner gradient's length, with respect to what the inner function closes over."""

    def outer(w: Any) -> Any:
        return mg.sum(mg.square(mg.grad(lambda x: mg.sum(mg.tanh(w * x)))(X)))

    w = np.array([0.3, 0.7, -0.5])
    assert close(mg.grad(outer)(w), differences(outer, w), 1e-8)
    assert close(mg.hessian(outer)(w), differences(mg.grad(outer), w), 1e-7)


def test_through_gradient_descent() -> None:
    """x <- x - r (x - c), n times: x = c + (1 - r)**n (x0 - c)."""

    def descend(rate: Any, c: Any, n: int = 5) -> Any:
        x: Any = 4.0
        for _ in range(n):
            x = x - rate * mg.grad(lambda x: mg.square(x - c) / 2)(x)
        return x

    by_rate, by_c = mg.grad(descend, (0, 1))(0.1, 1.5)
    assert close(by_rate, -5 * 0.9**4 * 2.5) and close(by_c, 1 - 0.9**5)


def test_inside_is_a_tensor_outside_an_array() -> None:
    seen = []

    def f(x: Any) -> Any:
        inner = mg.grad(lambda y: y * y * x)(x)
        seen.append(inner)
        return inner

    assert type(mg.grad(f)(3.0)) is np.float64 and isinstance(seen[0], mg.Tensor)
    assert (
        type(mg.vjp(lambda x: x * x, X)[0]) is np.ndarray and type(mg.jvp(lambda x: x * x, (X,), (X,))[1]) is np.ndarray
    )


def test_tensors_in_tensors_out() -> None:
    """A transform called on a Tensor is an expression like any other."""
    x = mg.Tensor(3.0)
    y = mg.grad(lambda x: x**3)(x)
    assert isinstance(y, mg.Tensor)
    y.backward()
    assert x.grad == 18.0


@pytest.mark.parametrize(
    "transform", [lambda f, x: mg.grad(f)(x), lambda f, x: mg.hessian(f)(x), lambda f, x: mg.jvp(f, (x,), (1.0,))[1]]
)
def test_works_inside_no_grad(transform: Any) -> None:
    with mg.no_grad():
        assert transform(lambda x: x**2, 3.0) in (6.0, 2.0)


def test_leaves_nothing_behind() -> None:
    w = mg.Tensor(2.0)
    mg.grad(lambda x: x * w)(3.0)
    with pytest.raises(ZeroDivisionError):
        mg.grad(lambda x: 1 / 0)(3.0)
    assert w.grad is None and mode.transforms == () and mode.recording


def test_stop_gradient() -> None:
    assert mg.grad(lambda x: x * mg.stop_gradient(x * x))(3.0) == 9.0


def test_float32() -> None:
    x = X.astype(np.float32)
    f = lambda x: mg.sum(mg.tanh(x) ** 2)  # noqa: E731
    results = [
        *mg.value_and_grad(f)(x),
        mg.hessian(f)(x),
        mg.hvp(f)(x, x),
        *mg.jvp(f, (x,), (x,)),
        mg.vjp(f, x)[1](1.0)[0],
    ]
    assert {r.dtype for r in results} == {np.dtype(np.float32)}


# trees


Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Layer:
    W: Any
    b: Any


@pytest.mark.parametrize(
    "tree",
    [
        {"a": X, "b": 2.0},
        [X, 2.0],
        (X, 2.0),
        Pair(X, 2.0),
        Layer(X, 2.0),
        {"in": [Layer(X, 2.0), ()]},
        collections.OrderedDict(b=X, a=2.0),
    ],
)
def test_gradient_has_the_form_of_its_argument(tree: Any) -> None:
    def f(tree: Any) -> Any:
        x, y = leaves(tree)
        return mg.sum(x**3) * y

    for g, expected in [
        (mg.grad(f)(tree), (6 * X**2, np.sum(X**3))),
        (mg.hvp(f)(tree, tree), (12 * X**2 + 6 * X**2, 3 * np.sum(X**3))),
    ]:
        assert type(g) is type(tree)
        for got, wanted in zip(leaves(g), expected, strict=True):
            assert close(got, wanted)


def test_trees_out() -> None:
    def f(p: Any) -> Any:
        return {"sum": p["x"] + p["y"], "product": p["x"] * p["y"]}

    p = {"x": np.array([1.0, 2.0]), "y": np.array(3.0)}
    value, pullback = mg.vjp(f, p)
    (g,) = pullback({"sum": np.ones(2), "product": np.array([1.0, 10.0])})
    assert close(value["sum"], [4.0, 5.0]) and close(g["x"], [4.0, 31.0]) and close(g["y"], 2 + 1 + 20)
    assert close(mg.jvp(f, (p,), (p,))[1]["product"], 2 * p["x"] * p["y"])
    J = mg.jacobian(f)(p)
    assert close(J["sum"]["x"], np.eye(2)) and close(J["product"]["y"], p["x"]) and J["product"]["x"].shape == (2, 2)


def test_one_result_in_two_places_of_the_output() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return y, [y, 3.0]

    assert mg.vjp(f, 5.0)[1]((1.0, [10.0, 100.0])) == (110.0,) and mg.jvp(f, (5.0,), (1.0,))[1] == (10.0, [10.0, 0.0])


def test_hessian_of_a_tree() -> None:
    H = mg.hessian(lambda p: mg.sum(p["x"] ** 2) * p["y"])({"x": X, "y": 3.0})
    assert (
        close(H["x"]["x"], 6 * np.eye(3))
        and close(H["x"]["y"], 2 * X)
        and close(H["y"]["x"], 2 * X)
        and close(H["y"]["y"], 0.0)
    )


# errors


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda: mg.grad(lambda x: x * x)(X), ValueError, r"grad needs a scalar, got shape \(3,\); see jacobian"),
        (lambda: mg.hessian(lambda x: x * x)(X), ValueError, r"grad needs a scalar, got shape \(3,\)"),
        (lambda: mg.grad(lambda x: x)(3), TypeError, "Tensor needs floating-point data, got int64; .* write 1.0 for 1"),
        (lambda: mg.grad(lambda p: p[0] * p[1])([1, 2]), TypeError, "needed a floating-point leaf .* write 1.0 for 1"),
        (
            lambda: mg.grad(lambda x: x, argnums=2)(1.0),
            TypeError,
            "argnums=2 needs an argument number 2, got 1 arguments",
        ),
        (lambda: mg.grad(lambda x: x, argnums=(0, -2))(1.0), TypeError, "an argument number -2, got 1 arguments"),
        (lambda: mg.vjp(lambda x: x * x, X)[1](np.ones(2)), ValueError, r"must have its shape \(3,\), got \(2,\)"),
        (lambda: mg.vjp(lambda x: x * x, X)[1]([X, X]), ValueError, r"structure of an array \(3,\), got a list of 2"),
        (lambda: mg.jvp(lambda x: x * x, (X,), (np.ones(2),)), ValueError, r"must have its shape \(3,\), got \(2,\)"),
        (lambda: mg.jvp(lambda x: x * x, (X,), (X, X)), ValueError, "structure of a tuple of 1, got a tuple of 2"),
    ],
)
def test_error(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        act()


# arguments by name, derivatives by element, checkpoints


def test_argnums_by_name() -> None:
    def f(w: Any, x: Any, scale: Any = 2.0) -> Any:
        return mg.sum(w * w * x) * scale

    w, x = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_array_equal(mg.grad(f, argnums="x")(w, x), 2 * w * w)
    np.testing.assert_array_equal(mg.grad(f, argnums="x")(w, x=x), 2 * w * w)
    dw, ds = mg.grad(f, argnums=("w", "scale"))(w, x=x, scale=3.0)
    np.testing.assert_array_equal(dw, 6 * w * x)
    assert ds == np.sum(w * w * x)
    np.testing.assert_array_equal(mg.jacobian(lambda a, b: a * b, argnums="b")(w, x), np.diag(w))
    with pytest.raises(TypeError, match="needs an argument y, got a function of w, x, scale"):
        mg.grad(f, argnums="y")(w, x)


def test_elementwise_grad() -> None:
    x = np.linspace(-2, 2, 7).reshape(7, 1)
    np.testing.assert_allclose(mg.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
    second = mg.elementwise_grad(mg.elementwise_grad(np.sin))(x)
    np.testing.assert_allclose(second, -np.sin(x), atol=1e-15)
    np.testing.assert_array_equal(mg.elementwise_grad(lambda a, b: a * b, argnums="b")(x, b=x + 1), x)


def test_vjp_has_aux() -> None:
    value, pullback, aux = mg.vjp(lambda x: (x * x, {"double": 2 * x}), np.arange(3.0), has_aux=True)
    np.testing.assert_array_equal(aux["double"], 2 * np.arange(3.0))
    assert not isinstance(aux["double"], mg.Tensor)
    np.testing.assert_array_equal(pullback(np.ones(3))[0], 2 * np.arange(3.0))
    np.testing.assert_array_equal(value, np.arange(3.0) ** 2)


@pytest.mark.parametrize("rows", [2, 40])  # fewer elements out than in: backward passes; more: forward ones
def test_jacobian_both_ways(rows: int) -> None:
    rng = np.random.default_rng(0)
    A, x, y = rng.normal(size=(rows, 3, 2)), rng.normal(size=3), rng.normal(size=2)

    def f(x: Any, y: Any) -> Any:
        return {"tanh": mg.tanh(A @ y) @ x, "sum": mg.sum(x)}

    dx, dy = (mg.jacobian(f, argnums=(0, 1))(x, y)["tanh"][i] for i in (0, 1))
    np.testing.assert_allclose(dx, np.tanh(A @ y))
    np.testing.assert_allclose(dy, np.einsum("rij,i,ri->rj", A, x, 1 - np.tanh(A @ y) ** 2))
    np.testing.assert_array_equal(mg.jacobian(f)(x, y)["sum"], np.ones(3))
    again = mg.jacobian(lambda x: mg.jacobian(lambda x: mg.tanh(A @ y) @ (x * x))(x))(x)  # nested, either way
    np.testing.assert_allclose(again, 2 * np.tanh(A @ y)[:, :, None] * np.eye(3))


def test_hessian_of_several_arguments() -> None:
    x, y = np.arange(1.0, 3.0), np.arange(1.0, 4.0)
    (xx, xy), (yx, yy) = mg.hessian(lambda x, y: mg.sum(x * x) * mg.sum(y), argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(xx, 2 * np.sum(y) * np.eye(2))
    np.testing.assert_array_equal(xy, np.outer(2 * x, np.ones(3)))
    np.testing.assert_array_equal(yx, xy.T)
    assert not np.any(yy)


def block(x: Any, W: Any) -> Any:
    for _ in range(10):
        x = mg.tanh(x @ W)
    return x


def test_checkpoint_changes_no_gradient_of_any_order() -> None:
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=4), rng.normal(size=(4, 4)) / 2
    for order in (lambda f: mg.grad(f, argnums=(0, 1)), lambda f: mg.hessian(f, argnums=1)):
        plain = order(lambda x, W: mg.sum(block(x, W) ** 2))(x, W)
        kept = order(lambda x, W: mg.sum(mg.checkpoint(block)(x, W) ** 2))(x, W)
        for a, b in zip(plain, kept):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_checkpoint_of_containers_and_twice_backward() -> None:
    p = {"W": mg.Tensor(np.eye(2)), "x": mg.Tensor([1.0, 2.0])}
    y = mg.sum(mg.checkpoint(lambda p, n: p["W"] @ p["x"] * n)(p, 3))
    y.backward()
    once = p["W"].grad
    y.backward()
    np.testing.assert_array_equal(p["W"].grad, 2 * once)
    np.testing.assert_array_equal(once, 3 * np.array([[1.0, 2.0], [1.0, 2.0]]))


def test_checkpoint_trades_memory_for_a_second_forward() -> None:
    x, W = np.ones((2000, 20)), mg.Tensor(np.eye(20))

    def kept(f: Any) -> int:
        y = x
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(8):
            y = f(y, W)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        everything, ends = kept(block), kept(mg.checkpoint(block))
    finally:
        tracemalloc.stop()
    assert ends < everything / 8


def test_checkpoint_needs_its_variables_as_arguments() -> None:
    W = mg.Tensor(np.eye(2))
    with pytest.raises(TypeError, match="checkpoint needs every variable as an argument"):
        mg.checkpoint(lambda x: x @ W)(np.ones(2))


# an op of one's own that cannot be differentiated again says so: never a silent zero


@mg.op()
def reads_in_its_body(x: Any) -> Any:
    return np.float64(math.sin(x)), lambda g: g * np.cos(x)


@mg.op()
def reads_in_its_pullback(x: Any) -> Any:
    return np.sin(x), lambda g: g * math.cos(x)


@mg.op()
def calls_what_has_no_gradient(x: Any) -> Any:
    return np.sin(x), lambda g: g * np.copysign(1.0, x) ** 2 * np.cos(x)


@pytest.mark.parametrize("f", [reads_in_its_body, reads_in_its_pullback, calls_what_has_no_gradient])
def test_an_op_that_cannot_be_differentiated_again(f: Any) -> None:
    assert mg.grad(f)(0.5) == pytest.approx(np.cos(0.5))
    with pytest.raises(TypeError, match=f"{f.__name__} cannot be differentiated again"):
        mg.grad(mg.grad(f))(0.5)
    assert float(mg.Tensor(0.5)) == 0.5 and bool(mg.Tensor(1.0))  # reading a value is fine again


# complex arguments: the convention of PyTorch, under which a step against the gradient goes down


def test_complex_gradients_point_uphill() -> None:
    z = np.array([1 + 2j, -0.5 + 0.3j])

    def f(z: Any) -> Any:
        return mg.sum(mg.real(z * mg.exp(z))) + mg.sum(mg.abs(z) ** 2)

    g, h = mg.grad(f)(z), 1e-6
    for i in range(2):
        for step, part in (h, np.real), (1j * h, np.imag):
            e = np.where(np.arange(2) == i, step, 0)
            assert part(g[i]) == pytest.approx((f(z + e) - f(z - e)) / (2 * h), rel=1e-6)
    assert f(z - 1e-3 * g) < f(z)
    t = mg.Tensor(z)
    f(t).backward()
    np.testing.assert_array_equal(t.grad, g)


def test_complex_vjp_takes_and_gives_the_same_convention() -> None:
    z, w = np.array([1 + 2j, -0.5 + 0.3j]), np.array([0.3 - 1j, 2 + 0.5j])
    _, pullback = mg.vjp(lambda z: z * z, z)
    np.testing.assert_allclose(pullback(w)[0], w * np.conj(2 * z))
    by_backward = mg.Tensor(z)
    (by_backward * by_backward).backward(w)
    np.testing.assert_allclose(by_backward.grad, w * np.conj(2 * z))


def counted(f: Any, *args: Any) -> int:
    """How many ufuncs and functions of NumPy it takes."""
    calls = 0

    class Counting(np.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            plain = [x.view(np.ndarray) if isinstance(x, Counting) else x for x in inputs]
            out = getattr(ufunc, method)(*plain, **kwargs)
            return np.asarray(out).view(Counting) if isinstance(out, np.ndarray | np.generic) else out

    f(*(np.asarray(x).view(Counting) for x in args))
    return calls


def test_the_price_of_a_gradient_and_of_a_second_one() -> None:
    """At most four times the forward pass in operations, and four times the first for a Hessian times a vector."""

    def f(x: Any) -> Any:
        for _ in range(6):
            x = mg.tanh(x * x + x) - mg.sin(x)
        return mg.sum(x)

    x = np.linspace(0.1, 0.9, 5)
    forward, first = counted(f, x), counted(mg.grad(f), x)
    second = counted(lambda x: mg.hvp(f)(x, np.ones(5)), x)
    assert forward > 20
    assert first <= 4 * forward
    assert second <= 4 * first


@pytest.mark.parametrize("f", [lambda z: 1e-9 * np.conj(z), lambda z: z + 1e-4 * np.conj(z)])
def test_a_small_part_that_is_not_holomorphic_is_refused(f: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="needs a holomorphic function"):
        mg.grad(f, holomorphic=True)(1 + 1j)
    assert mg.grad(lambda z: 1e-9 * z**3, holomorphic=True)(1 + 1j) == pytest.approx(6e-9j)


def test_stop_gradient_is_a_copy_that_graphs_do_not_depend_on():
    x = mg.Tensor([1.0, 2.0])
    c = mg.stop_gradient({"c": x})["c"]
    J = mg.sum(x * x * c)
    c += 5.0
    assert x.data.tolist() == [1.0, 2.0]
    target = mg.stop_gradient(x)
    x.data -= 1.0
    assert target.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="was then changed"):
        J.backward()


def test_what_a_transform_returns_may_be_changed():
    a, expected = np.array([1.0, 2.0]), np.exp([1.0, 2.0])
    for value in (
        mg.vjp(lambda q: q.reshape(2, 1), a)[0],
        mg.vjp(lambda q: q, a)[0],
        mg.jvp(lambda q: q.reshape(2, 1), (a,), (a,))[0],
        mg.value_and_grad(lambda q: (mg.sum(q), q.T), has_aux=True)(a)[0][1],
    ):
        value += 5.0
        assert a.tolist() == [1.0, 2.0]
    y, pullback = mg.vjp(mg.exp, a)
    y += 5.0  # which the pullback has to have kept
    np.testing.assert_array_equal(pullback(np.ones(2))[0], expected)
