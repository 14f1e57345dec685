"""Ops that move elements about: shapes, joining, indexing, looking up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Node, implements, op
from minigrad.sparse import RowSparse

Array = Any


@op(np.reshape)
def reshape(x: Array, shape: int | tuple[int, ...]) -> Array:
    """The same elements in another shape; one length may be -1.

    >>> reshape(np.array([1.0, 2.0]), (2, 1))
    array([[1.],
           [2.]])
    """
    return np.reshape(x, shape), lambda g: np.reshape(g, x.shape)


@op(np.transpose)
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order, reversed when none is given.

    >>> transpose(np.ones((2, 3))).shape
    (3, 2)
    """
    back = None if axes is None else sorted(range(x.ndim), key=[a % x.ndim for a in axes].__getitem__)
    return np.transpose(x, axes), lambda g: np.transpose(g, back)


@op(np.swapaxes)
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    >>> swapaxes(np.ones((2, 3)), 0, 1).shape
    (3, 2)
    """
    return np.swapaxes(x, axis1, axis2), lambda g: np.swapaxes(g, axis1, axis2)


@op(np.expand_dims)
def expand_dims(x: Array, axis: int | tuple[int, ...]) -> Array:
    """New axes of size one.

    >>> expand_dims(np.ones(3), 0).shape
    (1, 3)
    """
    return np.expand_dims(x, axis), lambda g: np.reshape(g, x.shape)


@op(np.squeeze)
def squeeze(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Without axes of size one.

    >>> squeeze(np.ones((1, 3))).shape
    (3,)
    """
    return np.squeeze(x, axis), lambda g: np.reshape(g, x.shape)


@op(np.broadcast_to)
def broadcast_to(x: Array, shape: int | tuple[int, ...]) -> Array:
    """Repeated along axes of size one, and along new axes in front.

    >>> broadcast_to(np.ones((3, 1)), (3, 2)).shape
    (3, 2)
    """
    return np.broadcast_to(x, shape), lambda g: g


@op()
def _concatenate(*arrays: Array, axis: int) -> Array:
    stops = np.cumsum([x.shape[axis] for x in arrays]).tolist()

    def pullback(x: Array, stop: int) -> Any:
        part = (slice(None),) * (axis % x.ndim) + (slice(stop - x.shape[axis], stop),)
        return lambda g: g[part]

    return np.concatenate(arrays, axis=axis), *map(pullback, arrays, stops)


@implements(np.concatenate)
def concatenate(arrays: Sequence[Array], axis: int | None = 0) -> Array:
    """Arrays joined along an axis they have; with axis None, flattened and joined.

    >>> concatenate([np.ones(2), np.zeros(1)])
    array([1., 1., 0.])
    """
    if axis is None:
        return _concatenate(*(reshape(x, -1) for x in arrays), axis=0)
    return _concatenate(*arrays, axis=axis)


@implements(np.stack)
def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> stack([np.ones(2), np.zeros(2)])
    array([[1., 1.],
           [0., 0.]])
    """
    return concatenate([expand_dims(x, axis) for x in arrays], axis)


@op()
def getitem(x: Array, index: Any) -> Array:
    """x[index], in each of NumPy's forms: integers, slices, None, ..., masks, integer arrays.

    >>> getitem(np.array([1.0, 2.0, 3.0]), slice(1, None))
    array([2., 3.])
    """
    return x[index], lambda g: place(g, index, x.shape)


@op()
def place(g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with g added at an index: what pulls a gradient back through x[index].

    >>> place(np.array([1.0, 2.0]), [0, 0], (3,))
    array([3., 0., 0.])
    """
    return _placed(g, index, shape), lambda h: h[index]


def _placed(g: Array, index: Any, shape: tuple[int, ...]) -> Array:
    if isinstance(g, Node):
        return place(g, index, shape)
    out = np.zeros_like(g, shape=shape)
    if _repeats(index):
        np.add.at(out, index, g)
    else:
        out[index] = g
    return out


def _repeats(index: Any) -> bool:
    """Can an index name an element twice? Only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        isinstance(p, list | tuple) or (hasattr(p, "dtype") and p.ndim > 0 and p.dtype.kind != "b") for p in parts
    )


@op(np.take)
def take(x: Array, indices: Array, axis: int | None = None) -> Array:
    """Elements along an axis by their numbers; with axis None, of the flattened array.

    >>> take(np.array([1.0, 2.0, 3.0]), [2, 0])
    array([3., 1.])
    """
    y = np.take(x, indices, axis)
    if axis is None:
        return y, lambda g: np.reshape(place(g, (indices,), (x.size,)), x.shape)
    return y, lambda g: place(g, (slice(None),) * (axis % x.ndim) + (indices,), x.shape)


@op(np.take_along_axis)
def take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    """One element or more per position along an axis, by an array of integers of the same ndim.

    >>> take_along_axis(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    y = np.take_along_axis(x, indices, axis)
    here = list(np.indices(x.shape, sparse=True))
    here[axis] = indices
    return y, lambda g: place(g, tuple(here), x.shape)


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
    return np.take(table, ids, axis=0), lambda g: _rows(g, ids, table.shape)


@op()
def rows_of(g: Array, ids: Array, shape: tuple[int, ...]) -> Array:
    """A table that is zero but for the rows g at ids: what pulls a gradient back through `embedding`.

    >>> rows_of(np.ones((1, 2)), np.array([1]), (3, 2)).dense()
    array([[0., 0.],
           [1., 1.],
           [0., 0.]])
    """
    return _rows(g, ids, shape), lambda h: np.take(h, ids, axis=0)


def _rows(g: Array, ids: Array, shape: tuple[int, ...]) -> Array:
    return rows_of(g, ids, shape) if isinstance(g, Node) else RowSparse([(np.positive(ids), g)], shape)
