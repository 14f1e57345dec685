"""Transforms of containers and of complex functions: structure, kept leaves, the convention of complex derivatives."""

import collections
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.trees import leaves

X = np.array([0.5, -1.0, 2.0])


def product(p: Any) -> Any:
    return mg.sum(p["x"] ** 2) * p["y"]


P = {"x": X, "y": 3.0}


# tangents, cotangents and vectors: matched by key


def test_other_order_of_keys() -> None:
    value, tangent = mg.jvp(product, (P,), ({"y": 1.0, "x": np.zeros(3)},))
    assert value == 3 * (X @ X) and tangent == X @ X
    f = lambda x: {"a": 2 * x, "b": 30 * x}  # noqa: E731
    assert mg.vjp(f, 1.0)[1]({"b": 1.0, "a": 100.0}) == (230.0,)
    v = {"y": 1.0, "x": np.zeros(3)}
    np.testing.assert_array_equal(mg.hvp(product)(P, v)["x"], 2 * X)


class Point(tuple):
    def __new__(cls, x: Any, y: Any) -> "Point":
        return super().__new__(cls, (x, y))


STRUCTURES: list[tuple[Any, str]] = [
    ({"x": X}, "structure of a dict with x, y, got a dict with x"),
    ({"x": X, "y": 1.0, "z": 1.0}, "got a dict with x, y, z"),
    ([X, 1.0], "got a list of 2"),
    ((X, 1.0), "got a tuple of 2"),
    (X, r"got an array \(3,\)"),
    ({"x": [X], "y": 1.0}, r"\['x'\] must have the structure of an array \(3,\), got a list of 1"),
    ({"x": X, "y": {}}, r"\['y'\] must have .* got a dict with nothing"),
    ({"x": np.ones(2), "y": 1.0}, r"must have its shape \(3,\), got \(2,\)"),
]


@pytest.mark.parametrize(("v", "message"), STRUCTURES)
def test_another_structure_is_an_error(v: Any, message: str) -> None:
    for act in (lambda: mg.jvp(product, (P,), (v,)), lambda: mg.hvp(product)(P, v),
                lambda: mg.vjp(lambda p: {"x": p["x"], "y": p["y"]}, P)[1](v)):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            act()


# leaves that are kept


@dataclasses.dataclass
class Layer:
    W: Any
    activation: Any = "tanh"
    width: int = 3
    mask: Any = None
    scale: Any = dataclasses.field(init=False, default=1.0)


KEPT: list[Any] = [
    {"x": X, "how": "square", "n": 2, "which": np.array([0, 2]), "none": None, "flag": True, "f": np.tanh},
    [X, "square", 2, np.array([0, 2]), None, True, np.tanh],
    Layer(X),
]


@pytest.mark.parametrize("tree", KEPT, ids=lambda t: type(t).__name__)
def test_other_leaves_are_kept_and_have_no_gradient(tree: Any) -> None:
    def f(p: Any) -> Any:
        first, *rest = leaves(p)
        assert isinstance(first, mg.Tensor)
        assert all(a is b for a, b in zip(rest, leaves(tree)[1:])) or isinstance(tree, Layer)
        return mg.sum(first**3)

    g = mg.grad(f)(tree)
    flat = leaves(g)
    np.testing.assert_array_equal(flat[0], 3 * X**2)
    assert type(g) is type(tree)
    assert [x is None for x in flat[1:]] == [not isinstance(x, float) for x in leaves(tree)[1:]]
    # and their tangents are None too, or they themselves
    for v in (tree, g):
        np.testing.assert_allclose(leaves(mg.hvp(f)(tree, v))[0], 6 * X * leaves(v)[0])
        assert mg.jvp(f, (tree,), (v,))[1] == pytest.approx(np.sum(3 * X**2 * leaves(v)[0]))
    assert leaves(mg.jacobian(f)(tree))[0].shape == (3,)


def test_a_tangent_of_a_kept_leaf_is_refused() -> None:
    tree = {"x": X, "n": 2}
    for act in (lambda: mg.jvp(lambda p: p["x"] * p["n"], (tree,), ({"x": X, "n": 1.0},)),
                lambda: mg.hvp(lambda p: mg.sum(p["x"] ** 2))(tree, {"x": X, "n": 1.0})):  # fmt: skip
        with pytest.raises(ValueError, match=r"\['n'\] must be None, as .* has no derivative; got 1.0"):
            act()


@pytest.mark.parametrize("argument", [3, np.arange(3), True, None, "text", [1, 2], {"n": 1}, np.array(["a"])])
def test_an_argument_without_a_floating_point_number_is_an_error(argument: Any) -> None:
    for act in (lambda: mg.grad(lambda x: 1.0)(argument), lambda: mg.vjp(lambda x: 1.0, argument),
                lambda: mg.jvp(lambda x: 1.0, (argument,), (argument,))):  # fmt: skip
        with pytest.raises(TypeError, match="floating-point"):
            act()


def test_the_same_argument_twice() -> None:
    assert mg.grad(lambda x, y: x * x * y, (0, 0))(3.0, 2.0) == (12.0, 12.0)
    assert mg.grad(lambda x, y: x * x * y, (0, "y", 0, -1))(3.0, 2.0) == (12.0, 9.0, 12.0, 9.0)
    (a, b), (c, d) = mg.hessian(lambda x: x**3, (0, 0))(2.0)
    assert a == b == c == d == 12.0


class Labelled(dict):
    label = ""


class Listed(list):
    label = ""


def labelled(tree: Any) -> Any:
    tree.label = "mine"
    return tree


SUBCLASSES: list[Any] = [
    collections.defaultdict(float, x=X, y=3.0), collections.OrderedDict(x=X, y=3.0), labelled(Labelled(x=X, y=3.0)),
    labelled(Listed([X, 3.0])), Point(X, 3.0),
]  # fmt: skip


@pytest.mark.parametrize("tree", SUBCLASSES, ids=lambda t: type(t).__name__)
def test_subclasses_of_containers(tree: Any) -> None:
    def f(p: Any) -> Any:
        assert type(p) is type(tree) and getattr(p, "label", "") == getattr(tree, "label", "")
        x, y = leaves(p)
        return mg.sum(x**2) * y

    g = mg.grad(f)(tree)
    assert type(g) is type(tree) and tree is not g
    np.testing.assert_array_equal(leaves(g)[0], 6 * X)
    assert leaves(g)[1] == X @ X and leaves(tree)[1] == 3.0
    if isinstance(tree, collections.defaultdict):
        assert g.default_factory is float


def test_dataclass_with_a_field_that_init_does_not_take() -> None:
    layer = Layer(X)
    layer.scale = 5.0
    g = mg.grad(lambda p: mg.sum(p.W) * p.scale)(layer)
    assert g.W.tolist() == [5.0] * 3 and g.scale == np.sum(X) and g.activation is None and layer.scale == 5.0


@dataclasses.dataclass(frozen=True)
class Prepared:
    W: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "transposed", self.W.T)


def test_dataclass_that_prepares_itself() -> None:
    g = mg.grad(lambda p: mg.sum(p.transposed[0] * X[:2]))(Prepared(np.ones((2, 3))))  # type: ignore[attr-defined]
    assert g.W.tolist() == [[0.5, 0.0, 0.0], [-1.0, 0.0, 0.0]]


# complex functions


def by_differences(f: Callable[..., Any], x: Any, step: complex = 1e-6) -> np.ndarray:
    columns = []
    for i in np.ndindex(np.shape(x)):
        e = np.zeros(np.shape(x), complex if np.iscomplexobj(x) else float)
        e[i] = 1
        columns.append((np.asarray(f(x + step * e)) - np.asarray(f(x - step * e))) / (2 * abs(step)))
    return np.stack(columns, -1).reshape(np.shape(columns[0]) + np.shape(x))


REAL_TO_COMPLEX: list[Callable[[Any], Any]] = [
    np.fft.fft, np.fft.rfft, lambda x: np.fft.fft(x, 7), lambda x: np.fft.fft(x)[:1],
    lambda x: x * np.array([1j, 2.0, 3 - 1j]), lambda x: mg.exp(x * 1j), lambda x: mg.sum(mg.exp(x * 1j)),
]  # fmt: skip


@pytest.mark.parametrize("f", REAL_TO_COMPLEX)
def test_jacobian_of_complex_values_of_real_arguments(f: Callable[[Any], Any]) -> None:
    J = mg.jacobian(f)(X)
    assert J.dtype == complex
    np.testing.assert_allclose(J, by_differences(f, X), rtol=1e-8, atol=1e-8)
    tangent = mg.jvp(f, (X,), (X,))[1]
    np.testing.assert_allclose(J @ X, tangent, rtol=1e-12, atol=1e-12)


COMPLEX_TO_REAL: list[Callable[[Any], Any]] = [
    lambda z: mg.abs(z) ** 2, lambda z: mg.real(z * z), lambda z: mg.sum(mg.imag(z**3)),
    lambda z: mg.concatenate([mg.real(z), mg.imag(z * z), mg.abs(z)]),
]  # fmt: skip


@pytest.mark.parametrize("f", COMPLEX_TO_REAL)
def test_jacobian_of_real_values_of_complex_arguments(f: Callable[[Any], Any]) -> None:
    z = np.array([1 + 2j, -0.5 + 0.3j])
    expected = by_differences(f, z) + 1j * by_differences(f, z, 1e-6j)
    np.testing.assert_allclose(mg.jacobian(f)(z), expected, rtol=1e-7, atol=1e-7)
    first = mg.grad(lambda z: mg.ravel(f(z))[0])(z)
    np.testing.assert_allclose(np.reshape(mg.jacobian(f)(z), (-1, 2))[0], first, rtol=1e-12)


@pytest.mark.parametrize(
    "f", [lambda z: z**3, lambda z: mg.concatenate([z, mg.exp(z)]), lambda z: mg.sum(z * z), np.fft.fft]
)
def test_holomorphic_functions(f: Callable[[Any], Any]) -> None:
    z = np.array([1 + 2j, -0.5 + 0.3j])
    with pytest.raises(TypeError, match="needs holomorphic=True"):
        mg.jacobian(f)(z)
    np.testing.assert_allclose(mg.jacobian(f, holomorphic=True)(z), by_differences(f, z), rtol=1e-8, atol=1e-8)


def test_holomorphic_derivatives_of_higher_order() -> None:
    assert mg.grad(lambda z: z**3, holomorphic=True)(1 + 2j) == 3 * (1 + 2j) ** 2
    value, g = mg.value_and_grad(lambda z: z * z, holomorphic=True)(1j)
    assert (value, g) == (-1, 2j)
    np.testing.assert_allclose(
        mg.hessian(lambda z: mg.sum(z**3), holomorphic=True)(np.array([1 + 2j, 1j])), np.diag([6 + 12j, 6j])
    )


@pytest.mark.parametrize("f", [lambda z: z * mg.conj(z), lambda z: mg.conj(z), lambda z: mg.abs(z) * z])
def test_what_is_not_holomorphic_is_refused(f: Callable[[Any], Any]) -> None:
    for transform in (mg.grad, mg.jacobian):
        with pytest.raises(TypeError, match="needs a holomorphic function, got one whose derivative depends on"):
            transform(f, holomorphic=True)(1 + 2j)


@pytest.mark.parametrize(("f", "x"), [(lambda z: z**2, 2.0), (lambda z: mg.abs(z), 1j)])
def test_holomorphic_needs_complex_numbers(f: Callable[[Any], Any], x: Any) -> None:
    with pytest.raises(
        TypeError, match="holomorphic=True needs complex arguments and values, got a value of dtype float"
    ):
        mg.grad(f, holomorphic=True)(x)


def test_elementwise_grad_refuses_complex_values() -> None:
    with pytest.raises(TypeError, match="returns real numbers, got complex ones; see jacobian"):
        mg.elementwise_grad(lambda x: x * 1j)(X)


def test_nested_jacobian_of_complex_values() -> None:
    """d/dt of |d exp(i t x) / dx|**2 = t**2, through the Jacobian."""
    assert mg.grad(lambda t: mg.abs(mg.jacobian(lambda x: mg.exp(x * t * 1j))(0.3)) ** 2)(3.0) == pytest.approx(6.0)
