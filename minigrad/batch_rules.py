"""The rules by which NumPy's functions run on a whole batch: each is one call, derived from where the axes are.

What has no rule is composed by minigrad of what has one, or else runs example by example. To add a rule is to add the
function to a decorator here: most functions broadcast, reduce over axes, work along one, or on the last two.
"""

from __future__ import annotations

import functools
import inspect
import operator
from typing import Any

import numpy as np

from minigrad.batched import (
    Batched,
    Level,
    all_widened,
    called,
    examples_of,
    found_in,
    is_mapped,
    ndim_of,
    one_by_one,
    picked,
    repeated,
    rule,
    under,
    widened,
)
from minigrad.engine import Array


@functools.cache
def _parameters(function: Any) -> dict[str, Any]:
    """The names of a function's parameters in their order, and their defaults."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


def _shifted(axis: Any, ndim: int) -> Any:
    """Axes of an example as axes of the batch."""
    if isinstance(axis, tuple | list):
        return tuple(_shifted(k, ndim) for k in axis)
    k = operator.index(axis)
    if not -ndim <= k < ndim:
        raise np.exceptions.AxisError(k, ndim)
    return k if k < 0 else k + 1


def _in_one(x: Batched) -> Array:
    """The elements of each example in one vector."""
    return np.reshape(x.array, (x.level.size, x.size))


def _others(level: Level, *rest: Any) -> bool:
    """Do further arguments differ between examples?"""
    return bool(found_in(rest, []))


@rule(
    np.where, np.real, np.imag, np.angle, np.sinc, np.i0, np.nan_to_num, np.round, np.around, np.fix, np.copy, np.clip
)
@rule(np.isreal, np.iscomplex, np.isposinf, np.isneginf, np.isclose)
def _elementwise(level: Level, function: Any, *args: Any, **kwargs: Any) -> Any:
    if function is np.where and len(args) == 1:
        return called(np.nonzero, args, {}, args[0])
    return function(*all_widened(level, args, kwargs), **all_widened(level, kwargs, args))


@rule(np.sum, np.prod, np.mean, np.var, np.std, np.max, np.amax, np.min, np.amin, np.any, np.all, np.count_nonzero)
@rule(np.nansum, np.nanprod, np.nanmax, np.nanmin, np.nanmean, np.nanvar, np.nanstd, np.flip)
def _over_axes(level: Level, function: Any, x: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
    if not is_mapped(x, level) or _others(level, args, kwargs):
        return NotImplemented
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = () if x.ndim == 0 and axis in (0, -1) else tuple(_shifted(k, x.ndim) for k in axes)
    axis = axes[0] if len(axes) == 1 else axes
    return function(x.array, axis, *args, **kwargs) if args else function(x.array, axis=axis, **kwargs)


@rule(np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.argmax, np.argmin, np.nanargmax, np.nanargmin)
@rule(np.sort, np.argsort, np.partition, np.argpartition, np.unwrap, np.roll)
@rule(np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft)
def _along_an_axis(level: Level, function: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    parameters = _parameters(function)
    named = dict(zip([*parameters][1:], args)) | kwargs
    if not is_mapped(x, level) or _others(level, named):
        return NotImplemented
    axis = named.get("axis", parameters["axis"])
    if axis is None or (x.ndim == 0 and axis in (0, -1) and parameters["axis"] is None):
        y = function(_in_one(x), **named | {"axis": 1})
        if named.get("keepdims", False) is True:
            return np.reshape(y, (level.size, *(1,) * x.ndim))
        return np.reshape(y, x.array.shape) if function is np.roll else y
    return function(x.array, **named | {"axis": _shifted(axis, x.ndim)})


@rule(np.linalg.norm)
def _norm(level: Level, function: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None or not is_mapped(x, level):
        return NotImplemented
    how = ({} if ord is None else {"ord": ord}) | ({"keepdims": True} if keepdims else {})
    return function(x.array, axis=_shifted(axis, x.ndim), **how)


@rule(np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky, np.linalg.eig, np.linalg.eigvals)
@rule(np.linalg.eigh, np.linalg.eigvalsh, np.linalg.svd, np.linalg.svdvals, np.linalg.qr, np.linalg.pinv)
@rule(np.linalg.matrix_rank, np.tril, np.triu)
def _of_matrices(level: Level, function: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if not is_mapped(x, level) or _others(level, args, kwargs):
        return NotImplemented
    if x.ndim < 2:
        if function not in (np.tril, np.triu):
            return NotImplemented  # NumPy's error
        return function(np.broadcast_to(x.array[:, None], (level.size, *x.shape * 2)), *args, **kwargs)
    return function(x.array, *args, **kwargs)


@rule(np.linalg.solve)
def _solve(level: Level, function: Any, a: Any, b: Any) -> Any:
    is_vector = ndim_of(b) == 1
    columns = b[..., None] if is_vector else b
    ndim = max(ndim_of(a), ndim_of(columns))
    y = function(widened(a, level, ndim), widened(columns, level, ndim))
    return y[..., 0] if is_vector else y


def _core_axes(ufunc: Any) -> list[int]:
    """The number of axes of each operand that a ufunc does not broadcast over: (m,n),(n)->(m) has 2 and 1."""
    inputs, _, _ = ufunc.signature.partition("->")
    return [term.count(",") + 1 if term else 0 for term in inputs.strip("()").split("),(")]


@rule(np.vecdot, np.matvec, np.vecmat, np.linalg.vecdot)
def _over_loops(level: Level, function: Any, *args: Any, **kwargs: Any) -> Any:
    if kwargs.get("axis", -1) != -1 or "axes" in kwargs:
        return NotImplemented
    core = _core_axes(np.vecdot if function is np.linalg.vecdot else function)
    loops = max(ndim_of(x) - n for x, n in zip(args, core))
    return function(*[widened(x, level, loops + n) for x, n in zip(args, core)], **kwargs)


@rule(np.matmul, np.linalg.matmul)
def _matmul(level: Level, function: Any, x: Any, y: Any) -> Any:
    n, m = ndim_of(x), ndim_of(y)
    a, b = is_mapped(x, level), is_mapped(y, level)
    if not n or not m or np.shape(x)[-1] != np.shape(y)[-2:][0]:
        return np.matmul(examples_of(x), examples_of(y))  # NumPy's error
    if a and not b and m <= 2:
        return np.matmul(x.array, under(y, level))
    if b and not a and m == 1 and n <= 2:  # one product of matrices
        x = under(x, level)
        return np.matmul(y.array, x if n == 1 else np.transpose(x))
    if b and not a and n == 1 and m == 2:
        return np.matmul(under(x, level), y.array)
    if n == m == 1:
        return np.sum(x.array * y.array, axis=1)
    ndim = max(n, m, 2)
    rows = widened(x if n > 1 else x[None, :], level, ndim)
    columns = widened(y if m > 1 else y[:, None], level, ndim)
    z = np.matmul(rows, columns)
    return z if n > 1 and m > 1 else z[..., 0, :] if n == 1 else z[..., 0]


@rule(np.einsum)
def _einsum(level: Level, function: Any, formula: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(formula, str) or "->" not in formula or "." in formula:
        return NotImplemented
    terms, _, output = formula.replace(" ", "").partition("->")
    batch = next(c for c in LETTERS if c not in formula)
    inputs = [batch + term if is_mapped(x, level) else term for term, x in zip(terms.split(","), operands)]
    return function(f"{','.join(inputs)}->{batch}{output}", *[under(x, level) for x in operands], **kwargs)


LETTERS = "bcdefghijklmnopqrstuvwxyzaABCDEFGHIJKLMNOPQRSTUVWXYZ"


@rule(np.reshape)
def _reshape(level: Level, function: Any, x: Any, shape: Any, order: Any = "C") -> Any:
    shape = np.reshape(examples_of(x), shape).shape  # with the length that is -1
    if order not in ("C", "F"):
        return one_by_one(level, function, (x, shape, order), {}).array  # as each example is in memory
    if order == "F":  # the first axis changes fastest
        return np.moveaxis(function(np.moveaxis(x.array, 0, -1), (*shape, level.size), order=order), -1, 0)
    return function(x.array, (level.size, *shape))


@rule(np.ravel)
def _ravel(level: Level, function: Any, x: Any, order: Any = "C") -> Any:
    if order in ("A", "K"):
        return NotImplemented  # as each example is in memory
    return _reshape(level, np.reshape, x, -1, order)


@rule(np.transpose, np.permute_dims)
def _transpose(level: Level, function: Any, x: Any, axes: Any = None) -> Any:
    axes = range(x.ndim)[::-1] if axes is None else (axes,) if isinstance(axes, int | np.integer) else axes
    if sorted(k % max(x.ndim, 1) for k in axes) != [*range(x.ndim)]:
        raise ValueError("axes don't match array")
    return np.transpose(x.array, (0, *_shifted(tuple(axes), x.ndim)))


@rule(np.swapaxes, np.moveaxis)
def _axes_moved(level: Level, function: Any, x: Any, source: Any, destination: Any) -> Any:
    return function(x.array, _shifted(source, x.ndim), _shifted(destination, x.ndim))


@rule(np.expand_dims)
def _expand_dims(level: Level, function: Any, x: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return function(x.array, _shifted(axis, x.ndim + len(axes)))


@rule(np.squeeze)
def _squeeze(level: Level, function: Any, x: Any, axis: Any = None) -> Any:
    axes = tuple(k for k, n in enumerate(x.shape) if n == 1) if axis is None else axis
    return function(x.array, () if x.ndim == 0 and axes in (0, -1) else _shifted(axes, x.ndim))


@rule(np.broadcast_to)
def _broadcast_to(level: Level, function: Any, x: Any, shape: Any) -> Any:
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    np.broadcast_to(examples_of(x), shape)  # NumPy's error
    return function(widened(x, level, len(shape)), (level.size, *shape))


@rule(np.rot90)
def _rot90(level: Level, function: Any, x: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    return function(x.array, k, _shifted(axes, x.ndim))


@rule(np.diagonal)
def _diagonal(level: Level, function: Any, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return function(x.array, offset, _shifted(axis1, x.ndim), _shifted(axis2, x.ndim))


@rule(np.pad)
def _pad(level: Level, function: Any, x: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    if _others(level, kwargs) or np.ndim(kwargs.get("constant_values", 0)) or isinstance(pad_width, dict):
        return NotImplemented
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    return function(x.array, [[0, 0], *widths], **({} if mode == "constant" else {"mode": mode}), **kwargs)


@rule(np.concatenate)
def _concatenate(level: Level, function: Any, arrays: Any, axis: Any = 0, **kwargs: Any) -> Any:
    if axis is None:
        return function([np.reshape(repeated(x, level), (level.size, -1)) for x in arrays], axis=1, **kwargs)
    return function([repeated(x, level) for x in arrays], axis=_shifted(axis, ndim_of(arrays[0])), **kwargs)


@rule(np.zeros_like, np.ones_like, np.empty_like)
def _like(level: Level, function: Any, x: Any, dtype: Any = None, *, shape: Any = None, **kwargs: Any) -> Any:
    how = kwargs if dtype is None else {"dtype": dtype, **kwargs}
    if shape is not None:
        how["shape"] = (level.size, *((shape,) if isinstance(shape, int | np.integer) else shape))
    return function(x.array, **how)


@rule(np.full_like)
def _full_like(level: Level, function: Any, x: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    made = np.empty_like(x, *args, **kwargs)
    made[...] = value
    return made.array


@rule(np.take)
def _take(level: Level, function: Any, x: Any, indices: Any, axis: Any = None, *, mode: str = "raise") -> Any:
    if mode != "raise":
        return NotImplemented
    indices = indices if hasattr(indices, "shape") else np.asarray(indices)
    x = x if is_mapped(x, level) else under(x, level)
    if axis is None:
        return picked(level, np.reshape(x, (-1,)), (indices,)).array
    before = (slice(None),) * (_shifted(axis, ndim_of(x)) % (ndim_of(x) + 1) - 1)
    return picked(level, x, (*before, indices)).array


@rule(np.take_along_axis)
def _take_along_axis(level: Level, function: Any, x: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        return function(np.reshape(repeated(x, level), (level.size, -1)), repeated(indices, level), axis=1)
    both = [y.array if is_mapped(y, level) else under(y, level)[None] for y in (x, indices)]
    return function(*both, axis=_shifted(axis, ndim_of(x)))


@rule(np.searchsorted)
def _searchsorted(level: Level, function: Any, x: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
    return NotImplemented if _others(level, x, args, kwargs) else function(x, under(v, level), *args, **kwargs)


@rule(np.digitize)
def _digitize(level: Level, function: Any, x: Any, bins: Any, *args: Any, **kwargs: Any) -> Any:
    return NotImplemented if _others(level, bins, args, kwargs) else function(under(x, level), bins, *args, **kwargs)


@rule(np.lib.stride_tricks.sliding_window_view)
def _sliding_window_view(level: Level, function: Any, x: Any, window_shape: Any, axis: Any = None) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    return function(x.array, window_shape, _shifted(axes, x.ndim))
