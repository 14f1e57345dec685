"""An array of another library, as small as one can be: what the engine and the ops may rely on, and no more."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np


class Duck(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that speaks NEP 13 and NEP 18 and can be indexed. As CuPy's do, it refuses to meet one of NumPy's."""

    def __init__(self, array: Any) -> None:
        self.array = np.array(array)

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)

    def answer(self, protocol: str, *call: Any) -> Any:
        """What the library says to a call: NotImplemented or an error to refuse it."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        known = Duck | np.ndarray | np.generic | numbers.Number | list | tuple | slice
        if not all(isinstance(x, known) for x in inputs):
            return NotImplemented
        if self.answer("__array_ufunc__", ufunc, method, *inputs, kwargs) is NotImplemented:
            return NotImplemented
        return self.wrapped(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(t, Duck | np.ndarray) for t in types):
            return NotImplemented
        if function is np.asarray:  # it is asked for
            return self.wrapped(function(*args, **kwargs))
        if self.answer("__array_function__", function, args, kwargs) is NotImplemented:
            return NotImplemented
        return self.wrapped(function(*plain(args), **plain(kwargs)))

    def __len__(self) -> int:
        return len(self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def get(self) -> Any:
        """The values as NumPy's array, as CuPy's `get` fetches them from the GPU."""
        return self.array

    def __getitem__(self, index: Any) -> Any:
        return self.wrapped(self.array[plain(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[plain(index)] = plain(value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a duck does not turn into an array")

    def wrapped(self, x: Any) -> Any:
        if isinstance(x, list | tuple):
            parts = map(self.wrapped, x)
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
        return type(self)(x) if isinstance(x, np.ndarray | np.generic) else x


def converted(x: Any, how: Callable[[Duck], Any]) -> Any:
    """Arguments with each duck in them converted; an error where one of NumPy's arrays is among them."""
    if isinstance(x, dict):
        return {key: converted(value, how) for key, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(converted(part, how) for part in x)
    if isinstance(x, np.ndarray):
        raise TypeError(f"a NumPy array of shape {x.shape} beside a duck")
    return how(x) if isinstance(x, Duck) else x


def plain(x: Any) -> Any:
    """What NumPy computes with."""
    return converted(x, lambda duck: duck.array)
