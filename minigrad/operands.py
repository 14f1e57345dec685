"""The constants beside Tensors: which objects an op takes as they are, and in which dtype."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minigrad.errors import foreign, library, other_library

#: The types of constants that ops take as they are: these, and those that `constant` has found to be.
known: set[type] = {float, int, complex, bool, tuple, slice, type(None), type(...), str, np.ndarray}


def constant(x: Any, beside: Any = None) -> Any:
    """A constant as ops take it: a list, and what is an array for NumPy alone (pandas, PyTorch), becomes an array.

    >>> constant([1.0, 2.0]), constant(2.0)
    (array([1., 2.]), 2.0)

    A list becomes an array of the library that it is beside, where that refuses NumPy's.
    """
    kind = type(x)
    if kind in known:
        return x
    foreign_array = hasattr(kind, "__array__") and not hasattr(kind, "__array_function__")
    priority = getattr(kind, "__array_priority__", None)
    own_meaning = issubclass(kind, np.ndarray) or not hasattr(kind, "__array__")
    if own_meaning and isinstance(priority, int | float) and priority > 0:  # a matrix, a masked or a sparse array
        raise foreign(kind)
    if kind is list:
        how = {"like": beside} if is_foreign(beside) and not is_lazy(beside) else {}
        return np.asarray(x, None if np.size(x) else int, **how)  # an empty list may be an index
    if foreign_array and not issubclass(kind, np.generic):
        return np.asarray(x)
    known.add(kind)
    return x


def is_foreign(x: Any) -> bool:
    """Is it an array of a library other than NumPy?"""
    kind = type(x)
    return kind is not np.ndarray and hasattr(kind, "__array_function__") and library(x) not in ("numpy", "minigrad")


def is_lazy(x: Any) -> bool:
    """Is it an array that is computed only when that is asked for, as Dask's are?"""
    return hasattr(x, "__dask_graph__")


def in_library_of(data: Any, x: Any, name: str) -> Any:
    """x as an array of the library of data: a number or a list is made one, an array of another library is an error."""
    if not hasattr(x, "__array_function__"):
        return np.asarray(x, like=data) if is_foreign(data) else np.asarray(x)
    if type(x) is not type(data) and library(x) != library(data) and "minigrad" not in (library(x), library(data)):
        raise other_library(name, x, data)
    return x


def to_numpy(x: Any) -> Any:
    """The values of an array, to be read: fetched from a GPU (CuPy's `get`), computed where they are lazy."""
    return x.get() if is_foreign(x) and hasattr(x, "get") else np.asarray(x)


def read(x: Any) -> Any:
    """An array of another library with its values as NumPy's; anything else as it is.

    >>> read([1.0])
    [1.0]
    """
    return to_numpy(x) if is_foreign(x) else x


def copied(x: Any) -> Any:
    """A copy of an array that may be written into: np.copy, for which Dask's arrays would be computed."""
    return +x if is_foreign(x) else np.copy(x)


def moved(x: Any, like: Any) -> Any:
    """An array of NumPy's in the library of another: a seed, or random numbers, which NumPy draws."""
    return np.asarray(x, like=like) if is_foreign(like) else x


def added_up(g: Any, numbers: Any, n: int) -> Any:
    """n zeros with each element of g added at its number, where an index is one array of integers (CuPy, Dask)."""
    if not is_lazy(g):
        out = np.zeros_like(g, shape=(n,))
        np.add.at(out, numbers, g)
        return out
    if g.dtype.kind == "c":
        return added_up(g.real, numbers, n) + 1j * added_up(g.imag, numbers, n)
    weights: Any = np.reshape(g, (-1,))  # Dask has no np.add.at
    which: Any = np.reshape(np.asarray(numbers, like=g), (-1,))
    return np.bincount(which.rechunk(weights.chunks), weights, minlength=n).astype(g.dtype)


#: Elements: np.where of fewer is no slower.
MANY = 4096
CACHED = 1 << 20  # bytes
_BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def selected(condition: Any, x: Any, y: Any, into_x: bool = False) -> Any:
    """np.where(condition, x, y), several times as fast where the condition is as irregular as that of a relu.

    NumPy's loop branches at each element, which no processor foresees then. The same bits without a branch are
    y ^ (x ^ y) * condition. Where that may be slower (float64 beyond the cache), and for whatever else than arrays of
    one shape, dtype and layout, it is np.where.

    Args:
        into_x: may the result take the memory of x?
    """
    if type(x) is np.ndarray is type(y) and x.size >= MANY and type(condition) is np.ndarray:
        bits = _BITS.get(x.dtype)
        if (
            bits is not None
            and x.dtype is y.dtype
            and condition.dtype == bool
            and x.shape == y.shape == condition.shape
            and x.flags.c_contiguous
            and y.flags.c_contiguous
            and (bits is np.int32 or x.nbytes <= CACHED)
        ):
            out = x if into_x else np.empty_like(x)
            mine, other = out.view(bits), y.view(bits)
            np.bitwise_xor(x.view(bits), other, out=mine)
            mine *= condition
            mine ^= other
            return out
    return np.where(condition, x, y)


def unpromoting(values: list[Any], args: tuple[Any, ...], pullbacks: list[Any], dtype: np.dtype[Any]) -> list[Any]:
    """The values, with constants that are integers or lists in the Tensors' dtype: only a floating array promotes."""
    return [
        np.positive(v, dtype=dtype)
        if p is not None and getattr(v, "dtype", dtype).kind in ("iuf" if type(a) is list else "iu")
        else v
        for v, a, p in itertools.zip_longest(values, args, pullbacks)
    ]
