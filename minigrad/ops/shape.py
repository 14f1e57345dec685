"""Ops that move elements about: shapes, joining, splitting, repeating, choosing, `t.at[index]`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, implements, op, stop_gradient
from minigrad.ops.elementwise import astype, positive, where
from minigrad.ops.index import _numbers, _within, getitem, scatter_add, take, take_along_axis
from minigrad.shorthand import M, V, beside, composed, made_like


@op(np.reshape)
def reshape(x: Array, shape: int | Sequence[int], order: Any = "C") -> Array:
    """The same elements in another shape; one length may be -1.

    >>> reshape(np.array([1.0, 2.0]), (2, 1))
    array([[1.],
           [2.]])
    """
    if order == "A":
        order = "F" if _by_columns(x) else "C"  # of x: the gradient may lie otherwise in memory
    return _reshaped(x, shape, order), lambda g: _reshaped(g, x.shape, order)


def _by_columns(x: Array) -> bool:
    flags = getattr(stop_gradient(x), "flags", None)
    return flags is not None and flags.f_contiguous and not flags.c_contiguous


def _reshaped(x: Array, shape: int | Sequence[int], order: Any) -> Array:
    # an array's own method is several times as fast as the function, but not every array has one
    return x.reshape(shape) if order == "C" and hasattr(x, "reshape") else np.reshape(x, shape, order=order)


@op(np.transpose, np.permute_dims)
def transpose(x: Array, axes: int | Sequence[int] | None = None) -> Array:
    """The axes in another order, reversed by default.

    >>> transpose(np.ones((2, 3))).shape
    (3, 2)
    """
    axes = (axes,) if isinstance(axes, int | np.integer) else axes
    y = np.transpose(x, axes)
    back = None if axes is None else tuple(sorted(range(x.ndim), key=[a % x.ndim for a in axes].__getitem__))
    return y, lambda g: np.transpose(g, back)


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
def concatenate(arrays: Sequence[Array], axis: int | None = 0, *, dtype: Any = None) -> Array:
    """Arrays joined along an axis they have; with axis None, flattened and joined.

    >>> concatenate([np.ones(2), np.zeros(1)])
    array([1., 1., 0.])
    """
    if dtype is not None:
        arrays = [astype(x, dtype) for x in arrays]
    if axis is None:
        return _concatenate(*(reshape(x, -1) for x in arrays), axis=0)
    return _concatenate(*arrays, axis=axis)


@implements(np.stack)
def stack(arrays: Sequence[Array], axis: int = 0, *, dtype: Any = None) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> stack([np.ones(2), np.zeros(2)])
    array([[1., 1.],
           [0., 0.]])
    """
    return concatenate([expand_dims(x, axis) for x in arrays], axis, dtype=dtype)


@implements(np.ravel)
def ravel(x: Array, order: Any = "C") -> Array:
    """The elements in one vector: by rows (C), by columns (F), by columns if they lie so (A), or as they lie (K).

    >>> ravel(np.array([[1.0, 2.0], [3.0, 4.0]]), "F")
    array([1., 3., 2., 4.])
    """
    if order == "K":
        steps = getattr(stop_gradient(x), "strides", ())
        x, order = transpose(x, sorted(range(len(steps)), key=lambda k: -abs(steps[k])) or None), "C"
    return reshape(x, -1, order)


@op(np.moveaxis)
def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Some axes at other places, the rest in their order.

    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return np.moveaxis(x, source, destination), lambda g: np.moveaxis(g, destination, source)


@implements(np.rollaxis)
def rollaxis(x: Array, axis: int, start: int = 0) -> Array:
    """One axis moved to before another.

    >>> rollaxis(np.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    axis, start = axis % np.ndim(x), start + np.ndim(x) if start < 0 else start
    return moveaxis(x, axis, start - (axis < start))


matrix_transpose = composed(np.matrix_transpose, lambda x: swapaxes(x, -1, -2), M)


implements(np.linalg.matrix_transpose)(matrix_transpose)


@op(np.flip)
def flip(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """The elements in reverse along axes, along all by default.

    >>> flip(np.array([1.0, 2.0]))
    array([2., 1.])
    """
    return np.flip(x, axis), lambda g: np.flip(g, axis)


flipud = composed(np.flipud, lambda x: flip(x, 0), M)


fliplr = composed(np.fliplr, lambda x: flip(x, 1), M)


@op(np.rot90)
def rot90(x: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Turned by k right angles, from the first axis towards the second.

    >>> rot90(np.array([[1.0, 2.0]]))
    array([[2.],
           [1.]])
    """
    return np.rot90(x, k, axes), lambda g: np.rot90(g, -k, axes)


@op(np.roll)
def roll(x: Array, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None) -> Array:
    """Moved along axes, with wrap-around.

    >>> roll(np.array([1.0, 2.0, 3.0]), 1)
    array([3., 1., 2.])
    """
    back = tuple(-n for n in shift) if isinstance(shift, tuple) else -shift
    return np.roll(x, shift, axis), lambda g: np.roll(g, back, axis)


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """Arrays stretched to the shape they have in common.

    >>> [x.shape for x in broadcast_arrays(np.ones(3), np.ones((2, 1)))]
    [(2, 3), (2, 3)]
    """
    return tuple(broadcast_to(x, np.broadcast_shapes(*map(np.shape, arrays))) for x in arrays)


@implements(np.repeat)
def repeat(x: Array, repeats: Any, axis: int | None = None) -> Array:
    """Every element some times in a row along an axis; with axis None, of the flattened array.

    >>> repeat(np.array([1.0, 2.0]), 2)
    array([1., 1., 2., 2.])
    """
    x, axis = (reshape(x, -1), 0) if axis is None or np.ndim(x) == 0 else (x, axis % np.ndim(x))
    shape = np.shape(x)
    if np.ndim(repeats):
        return take(x, np.repeat(made_like(x, np.arange, shape[axis]), repeats), axis)
    many = broadcast_to(expand_dims(x, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return reshape(many, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


@implements(np.tile)
def tile(x: Array, reps: int | Sequence[int]) -> Array:
    """The array repeated along each axis.

    >>> tile(np.array([1.0, 2.0]), 2)
    array([1., 2., 1., 2.])
    """
    times = (reps,) if isinstance(reps, int | np.integer) else tuple(reps)
    n = max(np.ndim(x), len(times))
    shape, times = (1,) * (n - np.ndim(x)) + np.shape(x), (1,) * (n - len(times)) + times
    x = reshape(x, tuple(length for k in shape for length in (1, k)))
    many = broadcast_to(x, tuple(length for pair in zip(times, shape) for length in pair))
    return reshape(many, tuple(k * length for k, length in zip(times, shape)))


@op()
def _pad(x: Array, *, widths: Any, constant_values: Any) -> Array:
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    return np.pad(x, widths, constant_values=constant_values), lambda g: g[inside]


@implements(np.pad)
def pad(x: Array, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Array:
    """Wider along each axis: by a constant, or in the modes edge, reflect, symmetric, wrap by its own elements.

    >>> pad(np.array([1.0, 2.0]), 1)
    array([0., 1., 2., 0.])
    """
    if np.ndim(x) == 0:
        return positive(x)  # it has no sides
    widths = np.broadcast_to(pad_width, (np.ndim(x), 2)).tolist()
    if mode == "constant":
        return _pad(x, widths=widths, constant_values=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad has the modes constant, edge, reflect, symmetric, wrap, got {mode!r}")
    for axis, width in enumerate(widths):
        x = take(x, np.pad(made_like(x, np.arange, np.shape(x)[axis]), width, mode=mode), axis)  # type: ignore[call-overload]
    return x


def _each(f: Any) -> Any:
    """NumPy's atleast_nd: one array for one, a tuple for several."""
    return lambda *arrays: f(arrays[0]) if len(arrays) == 1 else tuple(map(f, arrays))


atleast_1d = composed(np.atleast_1d, _each(lambda x: x if np.ndim(x) else reshape(x, 1)), 1.0)


atleast_2d = composed(np.atleast_2d, _each(lambda x: x if np.ndim(x) > 1 else reshape(x, (1, -1))), [1.0])


atleast_3d = composed(np.atleast_3d, _each(lambda x: x if np.ndim(x) > 2 else expand_dims(atleast_2d(x), -1)), [1.0])


vstack = composed(np.vstack, lambda xs, **how: concatenate(list(map(atleast_2d, xs)), **how), M)


hstack = composed(
    np.hstack, lambda xs, **how: concatenate(list(map(atleast_1d, xs)), 0 if np.ndim(xs[0]) <= 1 else 1, **how), M
)


dstack = composed(np.dstack, lambda xs: concatenate(list(map(atleast_3d, xs)), 2), M)


column_stack = composed(
    np.column_stack, lambda xs: hstack([x if np.ndim(x) > 1 else reshape(x, (-1, 1)) for x in xs]), M
)


@implements(np.block)
def block(arrays: Any) -> Array:
    """Nested lists of blocks put together: the innermost lists along the last axis.

    >>> block([[np.ones((1, 1)), np.zeros((1, 2))]])
    array([[1., 0., 0.]])
    """

    def depth(blocks: Any) -> int:
        return 1 + max(map(depth, blocks)) if isinstance(blocks, list) else 0

    def ndim(blocks: Any) -> int:
        return max(map(ndim, blocks)) if isinstance(blocks, list) else np.ndim(blocks)

    n = max(ndim(arrays), depth(arrays))

    def joined(blocks: Any, axis: int) -> Array:
        if isinstance(blocks, list):
            return concatenate([joined(b, axis + 1) for b in blocks], axis)
        return reshape(blocks, (1,) * (n - np.ndim(blocks)) + np.shape(blocks))

    return joined(arrays, -depth(arrays))


append = composed(np.append, lambda x, values, axis=None: concatenate([x, values], axis), V, [4.0])


@implements(np.array_split)
def array_split(x: Array, sections: Any, axis: int = 0) -> list[Array]:
    """Parts along an axis: a number of them as equal as can be, or cut at the places given.

    >>> array_split(np.array([1.0, 2.0, 3.0]), 2)
    [array([1., 2.]), array([3.])]
    """
    n, cuts = np.shape(x)[axis], sections
    if np.ndim(sections) == 0:
        cuts = [k * (n // sections) + min(k, n % sections) for k in range(1, sections)]
    before = (slice(None),) * (axis % np.ndim(x))
    return [getitem(x, (*before, slice(i, j))) for i, j in zip([0, *cuts], [*cuts, n])]


@implements(np.split)
def split(x: Array, sections: Any, axis: int = 0) -> list[Array]:
    """Equal parts along an axis, or parts cut at the places given.

    >>> split(np.array([1.0, 2.0]), 2)
    [array([1.]), array([2.])]
    """
    if np.ndim(sections) == 0 and np.shape(x)[axis] % sections:
        raise ValueError(f"split needs equal parts, got {sections} of {np.shape(x)[axis]}; see array_split")
    return array_split(x, sections, axis)


vsplit = composed(np.vsplit, lambda x, sections: split(x, sections, 0), M, 2)


hsplit = composed(np.hsplit, lambda x, sections: split(x, sections, 1 if np.ndim(x) > 1 else 0), M, 2)


dsplit = composed(np.dsplit, lambda x, sections: split(x, sections, 2), [[[1.0, 2.0]]], 2)


def _on_diagonal(rows: int, columns: int, offset: int) -> slice:
    """Where a diagonal is among the elements of a matrix, by rows: each element is a row and a column further."""
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    first = max(offset, 0) - min(offset, 0) * columns
    return slice(first, first + length * (columns + 1), columns + 1)


@implements(np.diagonal)
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements whose places along two axes differ by the offset; they become the last axis.

    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *others, n, m = np.shape(x)
    return getitem(reshape(x, (*others, n * m)), (..., _on_diagonal(n, m, offset)))


@implements(np.diag)
def diag(x: Array, k: int = 0) -> Array:
    """A matrix with x on its diagonal, or the diagonal of the matrix x.

    >>> diag(np.array([1.0, 2.0]))
    array([[1., 0.],
           [0., 2.]])
    """
    if np.ndim(x) == 2:
        return diagonal(x, k)
    n = np.shape(x)[0] + abs(k)
    return reshape(scatter_add(x, _on_diagonal(n, n, k), (n * n,)), (n, n))


diagflat = composed(np.diagflat, lambda x, k=0: diag(reshape(x, -1), k), M)


@op(np.tril)
def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle, zeros above the diagonal number k.

    >>> tril(np.ones((2, 2)))
    array([[1., 0.],
           [1., 1.]])
    """
    return np.tril(x, k), lambda g: np.tril(g, k)


@op(np.triu)
def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle, zeros below the diagonal number k.

    >>> triu(np.ones((2, 2)))
    array([[1., 1.],
           [0., 1.]])
    """
    return np.triu(x, k), lambda g: np.triu(g, k)


def _first(masks: Sequence[Array], choices: Sequence[Array], default: Array) -> Array:
    return functools.reduce(lambda y, choice: where(*choice, y), [*zip(masks, choices)][::-1], default)


select = composed(np.select, lambda masks, xs, default=0: _first(masks, xs, default), [[True, True, False]], [V])


@implements(np.choose)
def choose(numbers: Array, choices: Sequence[Array], *, mode: str = "raise") -> Array:
    """From the choice of each number, element by element; mode wrap or clip for numbers beyond, as in `take`.

    >>> choose([1, 0], [np.zeros(2), np.ones(2)])
    array([1., 0.])
    """
    numbers = _within(beside(choices[0], numbers), len(choices), mode)
    numbers, *choices = broadcast_arrays(numbers, *choices)
    return take_along_axis(stack(choices), numbers[None], 0)[0]


class At:
    """`t.at[index]`: functional updates of a Tensor. Each returns a new Tensor; t is unchanged.

    >>> import minigrad as mg
    >>> t = mg.Tensor([1.0, 2.0, 3.0])
    >>> t.at[0].set(9.0).data, t.at[[1, 1]].add(1.0).data, t.at[1:].multiply(2.0).data
    (array([9., 2., 3.]), array([1., 4., 3.]), array([1., 4., 6.]))

    An index that names an element twice adds or multiplies twice; of several values set, the last stays.
    """

    def __init__(self, x: Array, index: Any = None, numbers: Any = None) -> None:
        self.x, self.index, self.numbers = x, index, numbers  # those of the elements at the index

    def __getitem__(self, index: Any) -> At:
        return At(self.x, index, getitem(_numbers(self.x, self.x.shape), index))

    def _values(self, v: Array) -> Array:
        """v for each element at the index."""
        return broadcast_to(beside(self.x, v), self.numbers.shape)

    def add(self, v: Array) -> Array:
        """x with v added at the index."""
        return self.x + scatter_add(self._values(v), self.index, self.x.shape)

    def set(self, v: Array) -> Array:
        """x with v at the index."""
        return _set(self.x, np.reshape(self.numbers, (-1,)), reshape(self._values(v), -1))

    def multiply(self, v: Array) -> Array:
        """x multiplied by v at the index."""
        x, numbers, v = self.x, np.reshape(self.numbers, (-1,)), reshape(self._values(v), -1)
        while True:  # once for each time that an element is named
            first = np.sort(np.unique(numbers, return_index=True)[1])
            x = _set(x, numbers[first], take(x, numbers[first]) * take(v, first))
            rest = np.delete(made_like(x, np.arange, numbers.size), first)
            if not rest.size:
                return x
            numbers, v = numbers[rest], take(v, rest)


def _set(x: Array, numbers: Array, v: Array) -> Array:
    # which element of x, then v, is at each place: of several in v the last, as NumPy has it
    last = np.zeros_like(numbers, shape=(x.size,)) + made_like(x, np.arange, x.size)
    np.maximum.at(last, numbers, made_like(x, np.arange, numbers.size) + x.size)
    return reshape(take(concatenate([reshape(x, -1), v]), last, 0), x.shape)
