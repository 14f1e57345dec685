"""The gradient of a table whose rows were looked up: zero except for those rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.mode import MERGE_ROWS_FROM, mode
from minigrad.operands import added_up, is_foreign, is_lazy

Array = Any


class RowSparse(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that is zero except for some rows: the gradient of the table of `embedding`.

    >>> import minigrad as mg
    >>> table = mg.Tensor(np.ones((1000, 2)), name="table")
    >>> mg.sum(mg.embedding(table, [7, 3, 7])).backward()
    >>> table.grad.indices, table.grad.rows
    (array([3, 7]), array([[1., 1.],
           [2., 2.]]))

    Scaling it, adding another RowSparse, and adding it to an array in place cost only its rows
    (`table.data -= 0.1 * table.grad`). Every other NumPy function sees the dense array.

    Attributes:
        indices: the rows that are not zero, ascending, each once.
        rows: their values, `(len(indices), *shape[1:])`.
        shape: the table's shape.
    """

    __slots__ = ("_merged", "_parts", "dtype", "shape")

    base = None  # it is no view: the arrays in the parts are never written to

    def __init__(self, parts: list[tuple[Array, Array]], shape: tuple[int, ...], merged: bool = False) -> None:
        self._parts = parts  # (indices, rows) of each look-up; where an index repeats, its rows are still to be summed
        self._merged = merged  # is there one part, every index in it once?
        self.shape = shape
        self.dtype = parts[0][1].dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._parts, self.shape, self._merged)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements, as of an array."""
        return math.prod(self.shape)

    @property
    def indices(self) -> Array:
        """The numbers of the rows that are not zero, in ascending order."""
        return self.merged()[0]

    @property
    def rows(self) -> Array:
        """The rows at `indices`."""
        return self.merged()[1]

    def merged(self) -> tuple[Array, Array]:
        """The indices and their rows, every index once: sort them, then sum the runs."""
        if not self._merged:
            if _are_few(self._parts):
                self._parts, self._merged = [_few_merged(self._parts, self.shape)], True
                return self._parts[0]
            width, is_numpys = self.shape[1:], not is_foreign(self._parts[0][1])
            how: Any = {"dtype": np.int64} if is_numpys else {}
            if self.is_lazy():
                raise TypeError(
                    f"how many of the {self.shape[0]} rows of a table have a gradient is known only when it is "
                    "computed: compute the numbers of the rows first, or the indices and rows in grad.look_ups"
                )
            indices = np.concatenate([np.reshape(i, (-1,)) for i, _ in self._parts], **how)
            indices = np.where(indices < 0, indices + self.shape[0], indices)
            rows = np.concatenate([np.reshape(r, (math.prod(np.shape(i)), *width)) for i, r in self._parts])
            self._merged = True
            if not is_numpys:
                indices, number = np.unique(indices, return_inverse=True)
                sums = np.zeros_like(rows, shape=(indices.size, *width))
                np.add.at(sums, number, rows)
                self._parts = [(indices, sums)]
                return self._parts[0]
            # With the position in its low bits every key is unique: a plain sort, several times faster than a stable
            # argsort, is then stable, and the low bits are the permutation.
            bits = indices.size.bit_length()
            keys = np.sort(indices << bits | np.arange(indices.size))
            indices, order = keys >> bits, keys & (1 << bits) - 1
            starts = np.flatnonzero(indices != np.concatenate([np.array([-1]), indices[:-1]]))
            self._parts = [(indices[starts], _summed(rows, order, starts))]
        return self._parts[0]

    def dense(self) -> Array:
        """The whole array, zeros included."""
        if not self._merged and any(hasattr(x, "for_each") for part in self._parts for x in part):
            # where examples of a vmap look up different rows, these cannot be merged
            parts = [(i, i.for_each(r) if hasattr(i, "for_each") else r) for i, r in self._parts]
            out: Any = sum(np.zeros_like(r[..., :0], shape=self.shape) for _, r in parts)
            for indices, rows in parts:
                np.add.at(out, indices, rows)
            return out
        if self.is_lazy():
            width = math.prod(self.shape[1:])
            parts = [
                (np.reshape(np.mod(i, self.shape[0]), (-1, 1)) * width + np.arange(width), r) for i, r in self._parts
            ]
            sums = [added_up(rows, numbers, self.size) for numbers, rows in parts]
            return np.reshape(sum(sums[1:], sums[0]), self.shape)
        indices, rows = self.merged()
        out = np.zeros_like(rows, shape=self.shape)
        out[indices] = rows
        return out

    @property
    def look_ups(self) -> list[tuple[Array, Array]]:
        """The indices and rows of each look-up, the same index as often as it was looked up."""
        return self._parts

    def is_lazy(self) -> bool:
        """Are its rows computed only when that is asked for?"""
        return any(is_lazy(x) for part in self._parts for x in part)

    def is_small(self) -> bool:
        """Does it cost less to add these rows look-up by look-up than to merge them first?"""
        if self._merged or is_foreign(self._parts[0][1]):  # a tracer does not know the number of merged rows
            return False
        size = len(self._parts) * self._parts[0][1].size
        return size < MERGE_ROWS_FROM or size < mode.merge_rows_from

    def _into(self, ufunc: np.ufunc, out: Array) -> Array:
        """Add or subtract these rows in place: few row by row, many merged first."""
        if self.is_small():
            for indices, rows in self._parts:
                ufunc.at(out, indices, rows)
        else:
            indices, rows = self.merged()
            out[indices] = ufunc(np.take(out, indices, axis=0), rows)
        return out

    def __add__(self, other: Any) -> Any:
        if isinstance(other, RowSparse):
            both = RowSparse(self._parts + other._parts, self.shape)
            if len(both._parts) > 64 and not both.is_lazy():
                both.merged()  # gradients added up over many calls stay as small as their rows
            return both
        return super().__add__(other)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, float) or np.ndim(other) == 0:
            if not (self._merged or self.is_small() or self.is_lazy()):
                self.merged()
            return RowSparse([(i, r * other) for i, r in self._parts], self.shape, self._merged)
        return super().__mul__(other)

    __rmul__ = __mul__
    __iadd__, __imul__ = __add__, __mul__  # a sum or a product is a new gradient

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            if "out" in kwargs:
                if kwargs["out"][0] is inputs[0] is not self and ufunc in (np.add, np.subtract) and len(kwargs) == 1:
                    return self._into(ufunc, inputs[0])
            elif ufunc in (np.positive, np.conjugate) and not kwargs:
                return RowSparse([(i, ufunc(r)) for i, r in self._parts], self.shape, self._merged)
            elif ufunc is np.multiply and not kwargs:
                scale = inputs[1] if inputs[0] is self else inputs[0]
                if np.ndim(scale) == 0:
                    return self * scale
        return getattr(ufunc, method)(*_densed(inputs), **_densed(kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return function(*_densed(args), **_densed(kwargs))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a row-sparse gradient becomes an array by copying; copy=False cannot be kept")
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def __getitem__(self, index: Any) -> Array:
        return self.dense()[index]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        if not hasattr(self, "dtype"):  # before __init__
            return "<RowSparse without data>"
        is_known = all(type(rows) is np.ndarray for _, rows in self._parts)  # else it may have yet to be computed
        few = len(self.indices) if is_known else "some"
        return f"RowSparse({few} of {self.shape[0]} rows, shape={self.shape}, dtype={self.dtype})"


def _are_few(parts: list[tuple[Array, Array]]) -> bool:
    """Are these plain arrays so small that the calls cost more than what they compute?"""
    size = 0
    for _, rows in parts:
        if type(rows) is not np.ndarray:
            return False
        size += rows.size
    return 0 < size < 2000 and not mode.tracing  # up to 2000 `summed` too adds by one reduceat


def _few_merged(parts: list[tuple[Array, Array]], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The same as `merged`, to the bit, in the calls that cost least."""
    indices = np.concatenate([i.reshape(-1) for i, _ in parts], dtype=np.int64)
    rows = np.concatenate([r.reshape(-1, *shape[1:]) for _, r in parts])
    order = indices.argsort(kind="stable")
    if indices[order[0]] < 0:
        indices = np.where(indices < 0, indices + shape[0], indices)
        order = indices.argsort(kind="stable")
    indices = indices.take(order)
    is_first = np.ones(indices.size, bool)
    np.not_equal(indices[1:], indices[:-1], out=is_first[1:])
    (starts,) = is_first.nonzero()
    return indices.take(starts), np.add.reduceat(rows.take(order, 0), starts)


def _summed(rows: Array, order: Array, starts: Array) -> Array:
    """`summed`, dispatched as NEP 18 dispatches NumPy's functions: a tracer records the call, not its steps."""
    if type(rows) is not np.ndarray and hasattr(rows, "__array_function__"):
        result = rows.__array_function__(summed, (type(rows),), (rows, order, starts), {})
        if result is not NotImplemented:
            return result
    return summed(rows, order, starts)


def summed(rows: Array, order: Array, starts: Array) -> Array:
    """The sum of each run of rows[order]; a run ends where the next one starts."""
    if rows.size < 2000:
        return np.add.reduceat(np.take(rows, order, axis=0), starts, axis=0)
    # reduceat sums each run column by column, which is slow for short runs: runs of a common length are placed side by
    # side and added row by row.
    lengths = np.concatenate([starts[1:], np.array([order.size])]) - starts
    common = np.bincount(lengths) * rows[0].size > 2000
    common[1] = True
    sums = np.take(rows, order[starts], axis=0)
    for length in np.flatnonzero(common)[1:]:
        (runs,) = np.nonzero(lengths == length)
        places = order[starts[runs] + np.arange(length)[:, None]]
        sums[runs] = np.add.reduce(np.take(rows, places, axis=0), axis=0)
    (runs,) = np.nonzero(~common[lengths])
    counts = lengths[runs]
    first = np.cumsum(counts) - counts
    places = order[np.repeat(starts[runs] - first, counts) + np.arange(np.sum(counts))]
    taken = np.take(rows, places, axis=0)
    pairs = rows.ndim > 1 and rows.shape[-1] % 2 == 0 and rows.dtype.char in "fd"
    if pairs:  # two columns are summed as one complex column
        taken = taken.view(np.result_type(rows, np.complex64))
    sums[runs] = np.add.reduceat(taken, first, axis=0).view(rows.dtype)
    return sums


def _densed(x: Any) -> Any:
    if isinstance(x, RowSparse):
        return x.dense()
    if isinstance(x, dict):
        return {key: _densed(value) for key, value in x.items()}
    return type(x)(map(_densed, x)) if type(x) in (list, tuple) else x


#: Other modules and gradients hold it: it outlives a reload of this module.
RowSparse = globals().setdefault("_RowSparse", RowSparse)  # type: ignore[misc]
