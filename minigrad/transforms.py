"""Functions of functions: grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp.

They take a function of arrays (or of dicts, lists, tuples and dataclasses of arrays) and give a function of
arrays. Inside another transform, and for Tensors, they give Tensors, so that they nest to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.engine import Array, leaf, mode, op, recording, sweep
from minigrad.tensor import Tensor, seeded
from minigrad.trees import leaves, map_leaves, unflatten

Function = Callable[..., Any]


@op()
def identity(x: Array) -> Array:
    """x itself, as a variable of its own: what a transform inside another differentiates by."""
    return x, lambda g: g


def variable(x: Any) -> Tensor:
    """A fresh variable of the value of x, linked to x where that is a Tensor."""
    if isinstance(x, Tensor):
        return identity(x).retain_grad()
    x = x if hasattr(x, "__array_function__") else np.asarray(x)
    return leaf(Tensor, x) if x.dtype.kind in "fc" else Tensor(x)  # Tensor says what is wrong


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


@contextmanager
def transforming(*trees: Any) -> Iterator[bool]:
    """Run a function on variables; tells whether it is nested, and its gradients must be recorded."""
    nested = mode.transforms > 0 or any(isinstance(x, Tensor) for tree in trees for x in leaves(tree))
    mode.transforms += 1
    try:
        with recording(True):
            yield nested
    finally:
        mode.transforms -= 1


def gradients(outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool) -> list[Any]:
    """The gradient of several outputs with respect to variables: zeros where there is no way from one to the other."""
    found = reached_gradients(outputs, seeds, variables, record)
    return [np.zeros_like(x.data) if g is None else g for x, g in zip(variables, found)]


def reached_gradients(
    outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool
) -> list[Any]:
    """The same, None where there is no way."""
    reached = [(y, g) for y, g in zip(outputs, seeds) if isinstance(y, Tensor)]
    wanted = {x._stamp: i for i, x in enumerate(variables)}
    found: list[Any] = [None] * len(variables)
    oldest = max(wanted, default=0)
    for x, g in sweep([y for y, _ in reached], [g for _, g in reached], record):
        if x._stamp > oldest:
            break
        if x._stamp in wanted:
            found[wanted[x._stamp]] = g if isinstance(g, Tensor) else +g
    return found


def _chosen(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> tuple[Any, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in numbers:
        if not -len(args) <= i < len(args):
            raise TypeError(f"argnums={argnums} needs an argument number {i}, got {len(args)} arguments")
    return tuple(i % len(args) for i in numbers)


def value_and_grad(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that gives f's value and its gradient, in one forward and one backward pass.

    >>> import minigrad as mg
    >>> mg.value_and_grad(lambda x: mg.sum(x * x))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))

    Args:
        f: a function whose value is a scalar.
        argnums: which positional argument to differentiate by; a tuple gives a tuple of gradients.
        has_aux: f returns (value, aux), and the result is ((value, aux), gradient).

    Returns:
        A function of the same arguments. A gradient has the form of its argument: an array for an array, a dict
        for a dict of arrays. The gradient of a table that was looked up by `embedding` is a RowSparse.

    Raises:
        ValueError: where f's value is not a scalar.
        TypeError: where an argument to differentiate by is not floating-point.
    """

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, argnums)
        with transforming(args, kwargs) as nested:
            trees = [map_leaves(variable, args[i]) for i in chosen]
            inner = list(args)
            for i, tree in zip(chosen, trees):
                inner[i] = tree
            value = f(*inner, **kwargs)
            value, aux = value if has_aux else (value, None)
            if np.shape(value) != ():
                raise ValueError(f"grad needs a scalar, got shape {np.shape(value)}; see jacobian")
            variables = leaves(trees)
            found = gradients([value], [_one(value)], variables, nested)
        if not nested:
            value, aux = map_leaves(_plain, value), map_leaves(_plain, aux)
        gradient = unflatten(trees, found)
        value = (value, aux) if has_aux else value
        return value, (gradient[0] if isinstance(argnums, int) else tuple(gradient))

    return value_and_gradient


def _one(value: Any) -> Any:
    return value.dtype.type(1) if isinstance(value, Tensor) else 1.0


def grad(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient of f.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x**3)(2.0), mg.grad(mg.grad(lambda x: x**3))(2.0)
    (np.float64(12.0), np.float64(12.0))

    The arguments and errors are those of `value_and_grad`; with has_aux it gives (gradient, aux).
    """
    both = value_and_grad(f, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def vjp(f: Function, *args: Any) -> tuple[Any, Function]:
    """f's value, and the pullback: the function that takes a gradient of the value to the gradients of the arguments.

    >>> import minigrad as mg
    >>> y, pullback = mg.vjp(lambda W, x: W @ x, np.eye(2), np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (array([[1., 2.],
           [0., 0.]]), array([1., 0.]))

    Raises:
        ValueError: from the pullback, for a gradient of another shape than the value.
    """
    with transforming(args) as nested:
        trees = [map_leaves(variable, tree) for tree in args]
        value = f(*trees)

    def pullback(gradient: Any) -> tuple[Any, ...]:
        outputs, seeds = leaves(value), leaves(gradient)
        if len(outputs) != len(seeds):
            raise ValueError(f"the pullback needs {len(outputs)} gradients, one per output, got {len(seeds)}")
        with transforming(gradient) as nested_now:
            seeds = [_seed(g, y) for g, y in zip(seeds, outputs)]
            found = gradients(outputs, seeds, leaves(trees), nested or nested_now)
        return tuple(unflatten(trees, found))

    return (value if nested else map_leaves(_plain, value)), pullback


def _seed(g: Any, y: Any) -> Any:
    if isinstance(g, Tensor) and g.shape == np.shape(y):
        return g
    return seeded(g, y) if isinstance(y, Tensor) else g


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative along tangents: how it changes when the arguments move that way.

    >>> import minigrad as mg
    >>> mg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 10.0]),))
    (array([1., 4.]), array([ 2., 40.]))

    There is no second set of rules: the pullback is linear in the gradient it is given, so the derivative of the
    pullback is the derivative of f transposed twice.

    Raises:
        ValueError: for a tangent of another shape than its argument.
    """
    with transforming(tuple(args), tuple(tangents)) as nested:
        trees = [map_leaves(variable, tree) for tree in args]
        value = f(*trees)
        outputs, variables, vectors = leaves(value), leaves(trees), leaves(tuple(tangents))
        if len(vectors) != len(variables):
            raise ValueError(f"jvp needs {len(variables)} tangents, one per argument, got {len(vectors)}")
        directions = [_seed(v, x) for v, x in zip(vectors, variables)]
        u = [leaf(Tensor, np.zeros_like(_plain(y))) for y in outputs]
        pulled = gradients(outputs, u, variables, record=True)
        tangent = gradients(pulled, directions, u, nested)
    return (value if nested else map_leaves(_plain, value)), unflatten(value, tangent)


def jacobian(f: Function, argnums: int = 0) -> Function:
    """A function that gives all partial derivatives of f: shape f's shape + x's shape.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])

    One forward pass, and a backward pass for each element of f's value. With containers in or out, the result has
    the form of the value, and in each of its places the form of the argument.
    """

    def all_partials(*args: Any, **kwargs: Any) -> Any:
        (i,) = _chosen(args, (argnums,))
        value, pullback = vjp(lambda x: f(*args[:i], x, *args[i + 1 :], **kwargs), args[i])
        outputs = leaves(value)

        def rows_of_output(k: int) -> Any:
            y = outputs[k]
            shape, dtype = np.shape(y), np.result_type(y)
            rows = []
            for one_hot in np.eye(int(np.prod(shape)), dtype=dtype):
                seeds = [np.zeros(np.shape(o), np.result_type(o)) for o in outputs]
                seeds[k] = one_hot.reshape(shape)
                rows.append(leaves(pullback(seeds)[0]))
            if not rows:
                return map_leaves(lambda x: np.zeros(shape + np.shape(x), dtype), args[i])
            stacked = [np.stack(column).reshape(shape + column[0].shape) for column in zip(*rows)]
            return unflatten(args[i], stacked)

        return unflatten(value, map(rows_of_output, range(len(outputs))))

    return all_partials


def hessian(f: Function, argnums: int = 0) -> Function:
    """A function that gives the second derivatives of a scalar f: shape x's shape twice.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function) -> Function:
    """A function of (x, v) that gives the Hessian of f at x times v, without making the Hessian.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """

    def product(x: Any, v: Any) -> Any:
        return vjp(grad(f), x)[1](v)[0]

    return product
