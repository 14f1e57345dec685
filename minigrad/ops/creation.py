"""Arrays made of others: grids, windows, elements put in and left out, functions by pieces."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, implements, op, stop_gradient
from minigrad.ops.elementwise import add, astype, divide, multiply, positive, power, real, subtract, where
from minigrad.ops.index import getitem, scatter_add, take
from minigrad.ops.shape import broadcast_arrays, broadcast_to, concatenate, moveaxis, reshape
from minigrad.shorthand import V, beside, composed, made_like


def full(shape: int | tuple[int, ...], value: Array, dtype: Any = None) -> Array:
    """A value broadcast to a shape: np.full of a Tensor, which NumPy does not hand on.

    >>> full((2, 2), 3.0)
    array([[3., 3.],
           [3., 3.]])
    """
    return positive(broadcast_to(value, shape), dtype=dtype, casting="unsafe")


@implements(np.full_like)
def full_like(x: Array, value: Array, dtype: Any = None, **how: Any) -> Array:
    """A value broadcast to the shape of x, in its type; the gradient is that of the value.

    >>> full_like(np.array([1.0, 2.0]), 3.0)
    array([3., 3.])
    """
    x = stop_gradient(x)
    if not hasattr(value, "__array_function__"):
        return np.full_like(x, value, dtype=dtype, **how)
    shape = how.get("shape")
    return full(x.shape if shape is None else shape, value, x.dtype if dtype is None else dtype)


@implements(np.meshgrid)
def meshgrid(*xs: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Array, ...]:
    """The coordinates of the points of a grid: an array for each vector, each along an axis of its own.

    >>> [x.shape for x in meshgrid(np.ones(3), np.ones(2))]
    [(2, 3), (2, 3)]

    Args:
        xs: vectors, or numbers.
        copy: without meaning, as results are never written into; NumPy has it.
        sparse: leave the other axes at length 1, to be broadcast.
        indexing: "xy" has the first vector along the second axis, as pictures have; "ij" along the first.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid has indexing 'xy' and 'ij', got {indexing!r}")
    n = len(xs)
    places = [1 - k if indexing == "xy" and k < 2 <= n else k for k in range(n)]
    grids = [reshape(x, tuple(-1 if axis == k else 1 for axis in range(n))) for x, k in zip(xs, places)]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


@implements(np.linspace)
def linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Numbers at equal distances from start to stop, along a new axis.

    >>> linspace(0.0, 1.0, 3)
    array([0. , 0.5, 1. ])

    Args:
        start: the first number, or an array of them.
        stop: the last one; without endpoint, the one that would come next.
        num: how many.
        endpoint: is stop one of them?
        retstep: return their distance too.
        dtype: a floating-point type.
        axis: where the new axis is.
    """
    many, delta = operator.index(num), subtract(stop, start)
    n = many - bool(endpoint)  # the number of steps
    k = made_like(delta, np.arange, many, dtype=getattr(delta, "dtype", float))
    k = np.reshape(k, (-1,) + (1,) * np.ndim(delta))
    step = divide(delta, n) if n > 0 else delta
    y = add(start, multiply(k, step))
    y = where(k == n, stop, y) if endpoint and n > 0 else y  # exactly, whatever the rounding
    y = moveaxis(y if dtype is None else astype(y, dtype), 0, axis)
    return (y, step if n > 0 else multiply(delta, np.nan)) if retstep else y


@implements(np.logspace)
def logspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    base: Array = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """Powers of a base at equal ratios, from base**start to base**stop.

    >>> logspace(0.0, 2.0, 3)
    array([  1.,  10., 100.])
    """
    n = linspace(start, stop, num, endpoint)
    n = reshape(n, (num,) + (1,) * (np.ndim(base) - np.ndim(n) + 1) + np.shape(n)[1:])
    y = moveaxis(power(base, n), 0, axis)
    return y if dtype is None else astype(y, dtype)


delete = composed(
    np.delete,
    lambda x, index, axis=None: take(*_in_line(x, axis, lambda numbers: np.delete(numbers, index))),
    V,
    1,
)


def _in_line(x: Array, axis: int | None, chosen: Any) -> tuple[Array, Any, int]:
    """x, flattened where axis is None, which of the numbers of its elements along the axis are chosen, and the axis."""
    x, axis = (reshape(x, -1), 0) if axis is None else (x, axis)
    return x, chosen(made_like(x, np.arange, np.shape(x)[axis])), axis


@implements(np.insert)
def insert(x: Array, index: Any, values: Array, axis: int | None = None) -> Array:
    """x with values before the elements at an index along an axis; with axis None, of the flattened array.

    >>> insert(np.array([1.0, 3.0]), 1, 2.0)
    array([1., 2., 3.])
    """
    x, axis = (reshape(x, -1), 0) if axis is None else (x, axis % np.ndim(x))
    n = np.shape(x)[axis]
    places = _places(made_like(x, np.arange, n), index)
    many = places.shape[0]
    if many == 1:  # before one element as many as there are values; along the first of their axes for a bare number
        values = reshape(values, (1,) * (np.ndim(x) - np.ndim(values)) + np.shape(values))
        values = moveaxis(values, 0, axis) if isinstance(index, int | np.integer) else values
        many = np.shape(values)[axis]
    values = broadcast_to(values, tuple(many if k == axis else length for k, length in enumerate(np.shape(x))))
    # what comes where, sorted by the element that it comes before; the element itself is the last
    here = [places * (many + 1) + made_like(x, np.arange, many), made_like(x, np.arange, n) * (many + 1) + many]
    return take(concatenate([values, x], axis), np.argsort(np.concatenate(here)), axis)


def _places(numbers: Array, index: Any) -> Array:
    """The numbers of the elements that an index names, or one more, before which `insert` inserts."""
    index = operator.index(index) if isinstance(index, int) else index
    n = numbers.shape[0]
    if isinstance(index, slice) or np.size(index) == 0:
        return numbers[index if isinstance(index, slice) else slice(0)]
    index = np.reshape(beside(numbers, index), (-1,))
    if index.dtype.kind == "b":
        return numbers[index]
    if np.bincount(np.abs(index), minlength=n + 1).shape[0] > n + 1:
        raise IndexError(f"insert into {n} elements needs indices from {-n} to {n}, got {index!r}")
    return np.where(index < 0, index + n, index)


@implements(np.piecewise)
def piecewise(x: Array, conditions: Any, functions: Sequence[Any], *args: Any, **kwargs: Any) -> Array:
    """By each function or number where its condition holds; one more is for where none does, else it is 0.

    >>> piecewise(np.array([-2.0, 3.0]), [np.array([True, False])], [lambda x: -x, 1.0])
    array([2., 1.])

    A function is called with the elements where its condition holds, and args and kwargs; where several do, the last
    counts. Elsewhere it is not evaluated, so that a slope that is infinite there does no harm.
    """
    depth = 1 + np.ndim(conditions[0]) if isinstance(conditions, list | tuple) else np.ndim(conditions)
    masks = [beside(x, mask) for mask in ([conditions] if depth == np.ndim(x) else conditions)]
    if len(functions) == len(masks) + 1:
        masks.append(np.logical_not(functools.reduce(np.logical_or, masks)))
    if len(functions) != len(masks):
        raise ValueError(f"piecewise needs {len(masks)} functions, or one more, got {len(functions)}")
    y = np.zeros_like(x)
    for mask, f in zip(masks, functions):
        mask = np.broadcast_to(mask, np.shape(x))
        if callable(f):
            inside = getitem(x, mask)
            if np.size(inside) == 0:
                continue
            f = scatter_add(broadcast_to(f(inside, *args, **kwargs), np.shape(inside)), mask, np.shape(x))
        y = where(mask, f, y)
    return y


@implements(np.bincount)
def bincount(x: Array, weights: Array = None, minlength: int = 0) -> Array:
    """For each number the sum of the weights of the elements that are this number; without weights, how many.

    >>> bincount(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]))
    array([1., 0., 5.])
    """
    if weights is None:
        return np.bincount(stop_gradient(x), minlength=minlength)
    x = beside(weights, x)
    return scatter_add(weights, (x,), np.bincount(x, minlength=minlength).shape)  # an error for negative numbers


@op(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(x: Array, window_shape: Any, axis: Any = None) -> Array:
    """Every window of a shape that fits into x; the axes of the window come last.

    >>> sliding_window_view(np.array([1.0, 2.0, 3.0]), 2)
    array([[1., 2.],
           [2., 3.]])
    """
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    windows = np.lib.stride_tricks.sliding_window_view(x, window_shape, axes)
    return windows, lambda g: scatter_windows(g, axes, x.shape)


@op()
def scatter_windows(g: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with every window added at its place: the pullback of `sliding_window_view`.

    >>> scatter_windows(np.ones((2, 2)), (0,), (3,))
    array([1., 2., 1.])
    """
    return _summed(g, axes, shape), lambda h: sliding_window_view(h, np.shape(g)[len(shape) :], axes)


def _summed(g: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    if isinstance(g, Node):
        return scatter_windows(g, axes, shape)
    out, places = np.zeros_like(g, shape=shape), g.shape[: len(shape)]
    for offsets in np.ndindex(g.shape[len(shape) :]):
        at = [slice(None)] * len(shape)
        for axis, offset in zip(axes, offsets):
            start = (at[axis].start or 0) + offset
            at[axis] = slice(start, start + places[axis])
        out[tuple(at)] += g[(..., *offsets)]
    return out


@op(np.unwrap)
def unwrap(x: Array, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi) -> Array:
    """Angles without jumps: periods are added, which the gradient does not see.

    >>> unwrap(np.array([0.0, 6.0]), period=6.0)
    array([0., 0.])
    """
    return np.unwrap(x, discont, axis, period=period), lambda g: g


@implements(np.real_if_close)
def real_if_close(x: Array, tol: float = 100) -> Array:
    """The real part where every imaginary part is below tol machine epsilons (an absolute limit for tol <= 1); else x.

    >>> real_if_close(np.array([1 + 1e-16j]))
    array([1.])
    """
    if not np.iscomplexobj(x):
        return x
    limit = tol * np.finfo(x.dtype).eps if tol > 1 else tol
    return real(x) if np.all(np.abs(np.imag(stop_gradient(x))) < limit) else x
