"""Functions of functions: grad, value_and_grad, elementwise_grad, vjp, jvp, jacobian, hessian, hvp, checkpoint.

They take a function of arrays (or of dicts, lists, tuples and dataclasses of arrays) and return a function of
arrays. Inside another transform, and for Tensors, the results are Tensors, so that transforms nest to any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad._tensor import Tensor, checked_seed, conjugated, unit_seed
from minigrad.engine import Array, backward_pass, leaf, new, op
from minigrad.mode import mode, recording
from minigrad.trees import leaves, map_leaves, unflatten

Function = Callable[..., Any]
Argnums = int | str | Sequence[int | str]


@op()
def identity(x: Array) -> Array:
    """x itself, as a new variable: a nested transform differentiates with respect to it."""
    return x, lambda g: g


def variable(x: Any) -> Tensor:
    """A fresh variable of the value of x, linked to x where that is a Tensor."""
    if isinstance(x, Tensor):
        return identity(x).retain_grad()
    x = x if hasattr(x, "__array_function__") else np.asarray(x)
    return leaf(new(Tensor), x) if x.dtype.kind in "fc" else Tensor(x)  # Tensor says what is wrong


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


@contextmanager
def transforming(*trees: Any) -> Iterator[bool]:
    """Run a function on variables; yields whether it is nested, so that its gradients must be recorded."""
    nested = mode.transforms > 0 or any(isinstance(x, Tensor) for tree in trees for x in leaves(tree))
    mode.transforms += 1
    try:
        with recording(True):
            yield nested
    finally:
        mode.transforms -= 1


def gradients(outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool) -> list[Any]:
    """The gradient of several outputs with respect to variables: zeros for a variable that no output depends on."""
    found = reached_gradients(outputs, seeds, variables, record)
    return [np.zeros_like(x.data) if g is None else g for x, g in zip(variables, found)]


def reached_gradients(
    outputs: Sequence[Any], seeds: Sequence[Any], variables: Sequence[Tensor], record: bool
) -> list[Any]:
    """The same, None for a variable that no output depends on."""
    reached = [(y, g) for y, g in zip(outputs, seeds) if isinstance(y, Tensor)]
    wanted = {x._stamp: i for i, x in enumerate(variables)}
    found: list[Any] = [None] * len(variables)
    oldest = max(wanted, default=0)
    for x, g in backward_pass([y for y, _ in reached], [g for _, g in reached], record):
        if x._stamp > oldest:
            break
        if x._stamp in wanted:
            found[wanted[x._stamp]] = g
    return found


def _chosen(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums) -> list[int | str]:
    """The keys of the arguments to differentiate by: a number for a positional one, a name for a keyword."""
    keys: list[int | str] = []
    for key in [argnums] if isinstance(argnums, int | str) else argnums:
        if isinstance(key, str) and key not in kwargs:
            import inspect  # slow to import where NumPy has not done so, and seldom needed

            names = list(inspect.signature(f).parameters)
            if key not in names:
                raise TypeError(f"argnums={argnums!r} needs an argument {key}, got a function of {', '.join(names)}")
            key = names.index(key)
        if isinstance(key, int):
            if not -len(args) <= key < len(args):
                raise TypeError(f"argnums={argnums!r} needs an argument number {key}, got {len(args)} arguments")
            key %= len(args)
        keys.append(key)
    return keys


def _about(f: Function, transform: str) -> Callable[[Function], Function]:
    """Name a function after the transform and f, and copy the signature of f."""

    def named(g: Function) -> Function:
        g = functools.wraps(f)(g)
        g.__name__ = f"{transform}_{getattr(f, '__name__', 'f')}"
        return g

    return named


def _call(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], instead: dict[int | str, Any]) -> Any:
    """f with some of its arguments replaced."""
    return f(*(instead.get(i, x) for i, x in enumerate(args)), **{k: instead.get(k, x) for k, x in kwargs.items()})


def _on_variables(
    f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums
) -> tuple[list[Any], Any]:
    """Fresh variables in place of the chosen arguments, and f's value on them."""
    given = dict(enumerate(args)) | kwargs
    trees = {key: map_leaves(variable, given[key]) for key in _chosen(f, args, kwargs, argnums)}
    return list(trees.values()), _call(f, args, kwargs, trees)


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns f's value and its gradient, from one forward and one backward pass.

    >>> import minigrad as mg
    >>> mg.value_and_grad(lambda x: mg.sum(x * x))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))

    Args:
        f: a function whose value is a scalar.
        argnums: which argument to differentiate by, its number or its name; a tuple of them for a tuple of gradients.
        has_aux: f returns (value, aux), and the result is ((value, aux), gradient).

    Returns:
        A function of the same arguments. A gradient has the form of its argument: an array for an array, a dict
        for a dict of arrays. For complex arguments a + bi it is df/da + i df/db, as in PyTorch: to step against it is
        to go down. The gradient of a table that was looked up by `embedding` is a RowSparse.

    Raises:
        ValueError: where f's value is not a scalar.
        TypeError: where an argument to differentiate by is not floating-point.
    """

    @_about(f, "value_and_grad")
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        with transforming(args, kwargs) as nested:
            trees, value = _on_variables(f, args, kwargs, argnums)
            value, aux = value if has_aux else (value, None)
            if np.shape(value) != ():
                raise ValueError(f"grad needs a scalar, got shape {np.shape(value)}; see jacobian")
            found = list(map(conjugated, gradients([value], [_one(value)], leaves(trees), nested)))
        if not nested:
            value, aux = map_leaves(_plain, value), map_leaves(_plain, aux)
        gradient = unflatten(trees, found)
        value = (value, aux) if has_aux else value
        return value, (gradient[0] if isinstance(argnums, int | str) else tuple(gradient))

    return value_and_gradient


def _one(value: Any) -> Any:
    return unit_seed(value) if isinstance(value, Tensor) else 1.0


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of f.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x**3)(2.0), mg.grad(mg.grad(lambda x: x**3))(2.0)
    (np.float64(12.0), np.float64(12.0))

    The arguments and errors are those of `value_and_grad`; with has_aux it returns (gradient, aux).
    """
    both = value_and_grad(f, argnums, has_aux)

    @_about(f, "grad")
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def elementwise_grad(f: Function, argnums: int | str = 0) -> Function:
    """A function that returns the derivative of each element, for an f that works element by element.

    >>> import minigrad as mg
    >>> mg.elementwise_grad(np.tanh)(np.array([0.0, 1.0])).round(4)
    array([1.  , 0.42])

    For any other f it returns the sums of the columns of the Jacobian.
    """

    @_about(f, "elementwise_grad")
    def derivative(*args: Any, **kwargs: Any) -> Any:
        (key,) = _chosen(f, args, kwargs, argnums)
        x = (dict(enumerate(args)) | kwargs)[key]
        value, pullback = vjp(lambda x: _call(f, args, kwargs, {key: x}), x)
        return pullback(map_leaves(np.ones_like, value))[0]

    return derivative


def vjp(f: Function, *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f's value, and the pullback: the function that takes a gradient of the value to the gradients of the arguments.

    >>> import minigrad as mg
    >>> y, pullback = mg.vjp(lambda W, x: W @ x, np.eye(2), np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (array([[1., 2.],
           [0., 0.]]), array([1., 0.]))

    With has_aux, f returns (value, aux), and the result is (value, pullback, aux).

    Raises:
        ValueError: from the pullback, for a gradient of another shape than the value.
    """
    with transforming(args) as nested:
        trees = [map_leaves(variable, tree) for tree in args]
        value, aux = f(*trees) if has_aux else (f(*trees), None)

    def pullback(gradient: Any) -> tuple[Any, ...]:
        outputs, seeds = leaves(value), leaves(gradient)
        if len(outputs) != len(seeds):
            raise ValueError(f"the pullback needs {len(outputs)} gradients, one per output, got {len(seeds)}")
        with transforming(gradient) as nested_now:
            seeds = [conjugated(_seed(g, y)) for g, y in zip(seeds, outputs)]
            found = list(map(conjugated, gradients(outputs, seeds, leaves(trees), nested or nested_now)))
        return tuple(unflatten(trees, found))

    if not nested:
        return map_leaves(_plain, value), pullback, *([map_leaves(_plain, aux)] if has_aux else [])
    return value, pullback, *([aux] if has_aux else [])


def _seed(g: Any, y: Any) -> Any:
    if isinstance(g, Tensor) and g.shape == np.shape(y):
        return g
    return checked_seed(g, y) if isinstance(y, Tensor) else g


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative along tangents: how it changes when the arguments move that way.

    >>> import minigrad as mg
    >>> mg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 10.0]),))
    (array([1., 4.]), array([ 2., 40.]))

    There is no second set of rules: the pullback is linear in its argument, so the derivative of the
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
        u = [leaf(new(Tensor), np.zeros_like(_plain(y))) for y in outputs]
        pulled = gradients(outputs, u, variables, record=True)
        tangent = gradients(pulled, directions, u, nested)
    return (value if nested else map_leaves(_plain, value)), unflatten(value, tangent)


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns all partial derivatives of f: shape f's shape + x's shape.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])

    One forward pass, and a backward pass for each element of f's value; or, where the arguments have fewer elements, a
    pass forward (as in `jvp`) for each of those. With containers in or out, the result has the form of the value, and
    in each of its places the form of the argument.
    """

    @_about(f, "jacobian")
    def all_partials(*args: Any, **kwargs: Any) -> Any:
        with transforming(args, kwargs) as nested:
            trees, value = _on_variables(f, args, kwargs, argnums)
            outputs, variables = leaves(value), leaves(trees)
            if sum(map(np.size, outputs)) <= sum(map(np.size, variables)):
                passes = [gradients(outputs, seeds, variables, nested) for seeds in _basis(outputs)]
                rows = [
                    _stacked(column, x)
                    for column, x in zip(zip(*passes) if passes else [()] * len(variables), variables)
                ]
                blocks = [
                    [_block(row, place, y, x) for row, x in zip(rows, variables)] for place, y in _places(outputs)
                ]
            else:
                u = [leaf(new(Tensor), np.zeros_like(_plain(y))) for y in outputs]
                pulled = gradients(outputs, u, variables, record=True)
                passes = [gradients(pulled, directions, u, nested) for directions in _basis(variables)]
                columns = [_stacked(row, y) for row, y in zip(zip(*passes) if passes else [()] * len(outputs), outputs)]
                blocks = [
                    [_behind(_block(column, place, x, y), np.ndim(x)) for place, x in _places(variables)]
                    for column, y in zip(columns, outputs)
                ]
        rows_by_output = [unflatten(trees, row) for row in blocks]
        return unflatten(value, [row[0] if isinstance(argnums, int | str) else tuple(row) for row in rows_by_output])

    return all_partials


def _basis(arrays: Sequence[Any]) -> Iterator[list[Array]]:
    """All the ways to have a single 1 among zeros in the shapes of arrays."""
    for k, y in enumerate(arrays):
        for i in range(np.size(y)):
            zeros = [np.zeros(np.shape(o), np.result_type(o)) for o in arrays]
            zeros[k].flat[i] = 1
            yield zeros


def _stacked(passes: Sequence[Any], x: Any) -> Any:
    return np.stack(list(passes)) if passes else np.zeros((0, *np.shape(x)), np.result_type(x))


def _places(arrays: Sequence[Any]) -> Iterator[tuple[slice, Any]]:
    """The slice of each array when all are concatenated."""
    start = 0
    for y in arrays:
        yield slice(start, start + np.size(y)), y
        start += np.size(y)


def _block(stacked: Any, place: slice, y: Any, x: Any) -> Any:
    return np.reshape(stacked[place], np.shape(y) + np.shape(x))


def _behind(block: Any, n: int) -> Any:
    """The first n axes moved behind the others."""
    return np.transpose(block, (*range(n, np.ndim(block)), *range(n)))


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns the second derivatives of a scalar f: shape x's shape twice.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function) -> Function:
    """A function of (x, v) that returns the Hessian of f at x times v, without computing the Hessian.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: mg.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """

    def product(x: Any, v: Any) -> Any:
        return vjp(grad(f), x)[1](v)[0]

    return product


def checkpoint(f: Function) -> Function:
    """The same function, whose inside is not remembered: the backward pass computes it a second time.

    >>> import minigrad as mg
    >>> block = mg.checkpoint(lambda x, W: mg.tanh(mg.tanh(x @ W) @ W))
    >>> x, W = np.ones(2), mg.Tensor(np.eye(2))
    >>> mg.sum(block(x, W)).backward()
    >>> W.grad.shape
    (2, 2)

    Memory for time: of a chain of n checkpointed blocks only the n values between them are kept. The arguments may be
    containers of arrays; the value is one array. Everything that is differentiated by has to come as an argument.

    Raises:
        TypeError: where f uses a Tensor that is not an argument.
    """

    def remembered_at_its_ends(*args: Any) -> Any:
        flat = leaves(args)

        @op()
        def checkpointed(*values: Any) -> Any:
            value = f(*unflatten(args, values))
            if isinstance(value, Tensor) and not any(isinstance(x, Tensor) for x in values):
                raise TypeError("checkpoint needs every variable as an argument, got a Tensor from outside; pass it in")
            ready: dict[int, Any] = {}  # gradients computed together, waiting to be asked for

            def pullback(i: int) -> Function:
                def pull(g: Any) -> Any:
                    if i not in ready:
                        with recording(True):
                            fresh = {k: variable(x) for k, x in enumerate(values) if np.result_type(x).kind in "fc"}
                            again = f(*unflatten(args, [fresh.get(k, x) for k, x in enumerate(values)]))
                            nested = any(isinstance(x, Tensor) for x in (g, *values))
                            ready.update(zip(fresh, gradients([again], [g], list(fresh.values()), nested)))
                    return ready.pop(i)

                return pull

            return value, *map(pullback, range(len(values)))

        return checkpointed(*flat)

    return remembered_at_its_ends
