"""An array of another library, as small as one can be: what the engine and the ops may rely on, and no more."""

import numbers
from typing import Any

import numpy as np


class Duck(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that speaks NEP 13 and NEP 18, can be indexed, and does not turn into a NumPy array."""

    def __init__(self, array: Any) -> None:
        self.array = np.array(array)

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not all(
            isinstance(x, Duck | np.ndarray | np.generic | numbers.Number | list | tuple | slice) for x in inputs
        ):
            return NotImplemented
        return wrapped(getattr(ufunc, method)(*plain(inputs), **plain(kwargs)))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(t, Duck | np.ndarray) for t in types):
            return NotImplemented
        return wrapped(function(*plain(args), **plain(kwargs)))

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self.array[plain(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[plain(index)] = plain(value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a duck does not turn into an array")


def plain(x: Any) -> Any:
    """What NumPy computes with."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    return x.array if isinstance(x, Duck) else type(x)(map(plain, x)) if type(x) in (list, tuple) else x


def wrapped(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(*map(wrapped, x)) if hasattr(x, "_fields") else type(x)(map(wrapped, x))
    return Duck(x) if isinstance(x, np.ndarray | np.generic) else x
