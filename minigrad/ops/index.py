"""Ops that pick elements out and put them back: indexing, looking up."""

import math
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, op
from minigrad.operands import added_up, is_lazy
from minigrad.shorthand import V, beside, composed, indexable, made_like
from minigrad.sparse import RowSparse


@op()
def getitem(x: Array, index: Any) -> Array:
    """x[index], in each of NumPy's forms: integers, slices, None, ..., masks, integer arrays.

    >>> getitem(np.array([1.0, 2.0, 3.0]), slice(1, None))
    array([2., 3.])
    """
    return indexable(x, index)[index], lambda g: scatter_add(g, index, x.shape)


@op()
def scatter_add(g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with g added at an index: the pullback of x[index].

    >>> scatter_add(np.array([1.0, 2.0]), [0, 0], (3,))
    array([3., 0., 0.])
    """
    return _scattered(g, index, shape), lambda h: h[index]


#: The parts of an index that takes every element once, in their order.
_WHOLE = {"None", "Ellipsis", repr(slice(None))}


def _scattered(g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    if isinstance(g, Node):
        return scatter_add(g, index, shape)
    if is_lazy(g) and {*map(repr, index if type(index) is tuple else [index])} <= _WHOLE:
        return np.reshape(g, shape)  # of new axes alone: the zeros below have other chunks
    g = indexable(g, index, written=True)
    out = np.zeros_like(g, shape=shape)
    if not _repeats(index) or not g.size:  # ufunc.at takes no empty list
        if isinstance(index, tuple) and type(None) in map(type, index):  # new axes, which not every library assigns to
            index = tuple(p for p in index if p is not None)
            g = np.reshape(g, out[index].shape)
        out[index] = g
    elif out.__array_ufunc__(np.add, "at", out, index, g) is NotImplemented:  # CuPy: an index is one array of integers
        return np.reshape(added_up(g, _numbers(g, shape)[index], math.prod(shape)), shape)
    return out


def _numbers(x: Array, shape: tuple[int, ...]) -> Array:
    """The numbers of the elements of an array of a shape, by rows."""
    return np.reshape(made_like(x, np.arange, math.prod(shape)), shape)


def _repeats(index: Any) -> bool:
    """Can an index name an element twice? Numbers, slices and masks cannot; arrays and sequences of any kind can."""
    once = (slice, int, np.integer, np.bool, type(None), type(...))
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        not (isinstance(p, once) or (hasattr(p, "dtype") and (p.ndim == 0 or p.dtype.kind == "b"))) for p in parts
    )


def _within(indices: Array, n: int, mode: str) -> Array:
    """Indices of n elements, brought into their range in the modes wrap and clip."""
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"an index beyond the end has the modes raise, wrap, clip, got {mode!r}")
    return indices if mode == "raise" else np.mod(indices, n) if mode == "wrap" else np.clip(indices, 0, n - 1)


@op(np.take)
def take(x: Array, indices: Array, axis: int | None = None, *, mode: str = "raise") -> Array:
    """Elements along an axis by their numbers; with axis None, of the flattened array.

    >>> take(np.array([1.0, 2.0, 3.0]), [2, 0])
    array([3., 1.])

    A number beyond the end is an error; in the mode wrap it counts on from the start, in the mode clip it is the last.
    """
    indices = _within(indices, x.size if axis is None else x.shape[axis], mode)
    y = np.take(indexable(x, indices), indices, axis)
    if axis is None:
        return y, lambda g: np.reshape(scatter_add(g, (indices,), (x.size,)), x.shape)
    return y, lambda g: scatter_add(g, (slice(None),) * (axis % x.ndim) + (indices,), x.shape)


@op(np.take_along_axis)
def take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    """One element or more per position along an axis, by an array of integers of the same ndim.

    >>> take_along_axis(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    here = [np.reshape(made_like(x, np.arange, n), (-1,) + (1,) * k) for n, k in zip(x.shape, range(x.ndim)[::-1])]
    here[axis] = indices
    return np.take_along_axis(x, indices, axis), lambda g: scatter_add(g, tuple(here), x.shape)


@op()
def embedding(table: Array, ids: Array) -> Array:
    """Rows of a table: the word vectors of word numbers.

    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0])
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])

    Its gradient is a RowSparse: it costs the rows looked up, not the table.

    Args:
        table: shape (number of rows, ...).
        ids: integers of any shape; the result is ids.shape + table.shape[1:].
    """
    return _taken(table, ids), lambda g: _rows(g, ids, table.shape)


def _taken(table: Array, ids: Array) -> Array:
    # an array's own method is several times as fast as the function, but not every array has one
    if type(ids) is not np.ndarray:
        table = indexable(table, ids)
    return table.take(ids, 0) if hasattr(table, "take") else np.take(table, ids, 0)


@op()
def scatter_rows(g: Array, ids: Array, shape: tuple[int, ...]) -> Array:
    """A table that is zero but for the rows g at ids: the pullback of `embedding`.

    >>> scatter_rows(np.ones((1, 2)), np.array([1]), (3, 2)).dense()
    array([[0., 0.],
           [1., 1.],
           [0., 0.]])
    """
    return _rows(g, ids, shape), lambda h: _taken(h, ids)


def _rows(g: Array, ids: Array, shape: tuple[int, ...]) -> Array:
    return scatter_rows(g, ids, shape) if isinstance(g, Node) else RowSparse([(np.positive(beside(g, ids)), g)], shape)


compress = composed(
    np.compress, lambda mask, x, axis=None: take(x, np.flatnonzero(beside(x, mask)), axis), [True, False], V
)


extract = composed(np.extract, lambda condition, x: compress(np.ravel(condition), x), [True, False, False], V)
