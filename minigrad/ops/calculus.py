"""Differences, sums and interpolation of samples of a function."""

from typing import Any

import numpy as np

from minigrad.engine import Array, implements, op
from minigrad.ops.elementwise import conjugate, where
from minigrad.ops.index import getitem
from minigrad.ops.reduce import _part, sum
from minigrad.ops.shape import concatenate, flip, moveaxis


@implements(np.diff)
def diff(x: Array, n: int = 1, axis: int = -1, prepend: Array = None, append: Array = None) -> Array:
    """Each element less the one before it along an axis, n times over.

    >>> diff(np.array([1.0, 4.0, 9.0]))
    array([3., 5.])
    """
    first, last = (e if e is None or np.ndim(e) else _stretched(e, x, axis) for e in (prepend, append))
    if first is not None or last is not None:
        x = concatenate([e for e in (first, x, last) if e is not None], axis)
    x = moveaxis(x, axis, -1)
    for _ in range(n):
        x = x[..., 1:] - x[..., :-1]
    return moveaxis(x, -1, axis)


def _stretched(e: Array, x: Array, axis: int) -> Array:
    """A number as one more element of x along an axis."""
    return np.zeros_like(x, shape=[1 if k == axis % np.ndim(x) else n for k, n in enumerate(np.shape(x))]) + e


@implements(np.gradient)
def gradient(x: Array, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The slope of samples along each axis: central differences, at the two ends of first or second order.

    >>> gradient(np.array([1.0, 4.0, 9.0]))
    array([3., 4., 5.])

    Args:
        x: the samples, at least edge_order + 1 along each axis.
        spacing: one distance for all axes, or for each axis a distance or the places of its samples.
        axis: one axis, or several; all by default.
        edge_order: 1 or 2.
    """
    axes = range(np.ndim(x)) if axis is None else (axis,) if isinstance(axis, int | np.integer) else axis
    distances = spacing * len(axes) if len(spacing) == 1 and np.ndim(spacing[0]) == 0 else spacing or (1.0,) * len(axes)
    if len(distances) != len(axes):
        raise TypeError(f"gradient needs one spacing or {len(axes)}, one per axis, got {len(spacing)}")
    slopes = [_slope(x, h, k, edge_order) for h, k in zip(distances, axes)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slope(x: Array, h: Any, axis: int, edge_order: int) -> Array:
    if np.shape(x)[axis] <= edge_order:
        raise ValueError(f"gradient needs {edge_order + 1} samples along axis {axis}, got {np.shape(x)[axis]}")
    f = moveaxis(x, axis, -1)
    d = diff(h) if np.ndim(h) else h
    r, s = (d[1:], d[:-1]) if np.ndim(h) else (d, d)
    inside = (f[..., 2:] * s * s + f[..., 1:-1] * (r * r - s * s) - f[..., :-2] * r * r) / (r * s * (r + s))

    def edge(f: Array, d: Any) -> Array:
        a, b = (d[:1], d[1:2]) if np.ndim(h) else (d, d)
        if edge_order == 1:
            return (f[..., 1:2] - f[..., :1]) / a
        return (f[..., 1:2] * (a + b) ** 2 - f[..., 2:3] * a * a - f[..., :1] * b * (2 * a + b)) / (a * b * (a + b))

    last = -edge(flip(f, -1), flip(d) if np.ndim(h) else d)
    return moveaxis(concatenate([edge(f, d), inside, last], -1), -1, axis)


@implements(np.trapezoid)
def trapezoid(y: Array, x: Array = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral of samples y at places x (or dx apart) by the trapezoidal rule.

    >>> float(trapezoid(np.array([1.0, 2.0, 3.0])))
    4.0
    """
    if x is not None:
        dx = diff(x) if np.ndim(x) == 1 else moveaxis(diff(x, axis=axis), axis, -1)
    y = moveaxis(y, axis, -1)
    return sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


@implements(np.interp)
def interp(x: Array, xp: Array, fp: Array, left: Array = None, right: Array = None) -> Array:
    """The value at x of the line through the points (xp, fp), xp ascending; beyond them left and right.

    >>> float(interp(1.5, np.array([1.0, 2.0]), np.array([10.0, 20.0])))
    15.0
    """
    n = np.size(xp)
    below, above = np.less(x, xp[0]), np.greater(x, xp[-1])
    x = where(below, xp[0], where(above, xp[-1], x))
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(n - 2, 0))
    x0, x1, y0, y1 = (getitem(a, k) for a in (xp, fp) for k in (i, np.minimum(i + 1, n - 1)))
    width = x1 - x0 + (x1 == x0)
    # where two nodes coincide, or there is only one, the value is that of the right one
    y = _part(y0, (x1 - x) / width) + _part(y1, (x - x0 + (x1 == x0)) / width)
    y = where(below, fp[0] if left is None else left, y)
    return where(above, fp[-1] if right is None else right, y)


@implements(np.correlate)
def correlate(x: Array, y: Array, mode: str = "valid") -> Array:
    """The products of x and the conjugate of y, moved along it, summed.

    >>> correlate(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0]))
    array([2., 3.])
    """
    if np.size(x) < np.size(y):
        return conjugate(flip(correlate(y, x, mode)))
    return convolve(x, flip(conjugate(y)), mode)


@op()
def _convolved(x: Array, y: Array) -> Array:
    z = np.convolve(x, y, "full")
    return z, lambda g: np.convolve(g, y[::-1], "valid"), lambda g: np.convolve(g, x[::-1], "valid")


@implements(np.convolve)
def convolve(x: Array, y: Array, mode: str = "full") -> Array:
    """The product of two polynomials by their coefficients; its middle part in the modes same and valid.

    >>> convolve(np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    array([1., 3., 2.])
    """
    n, m = sorted([np.size(x), np.size(y)])
    lengths = {"full": n + m - 1, "same": m, "valid": m - n + 1}
    if mode not in lengths:
        raise ValueError(f"convolve has the modes full, same, valid, got {mode!r}")
    start = (n + m - 1 - lengths[mode]) // 2
    return getitem(_convolved(x, y), slice(start, start + lengths[mode]))
