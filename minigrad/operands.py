"""The constants beside Tensors: which objects an op takes as they are, and in which dtype."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minigrad.errors import foreign

#: The types of constants that ops take as they are: these, and those that `constant` has found to be.
known: set[type] = {float, int, complex, bool, tuple, slice, type(None), type(...), str, np.ndarray}


def constant(x: Any) -> Any:
    """A constant as ops take it: a list, and what is an array for NumPy alone (pandas, PyTorch), becomes an array.

    >>> constant([1.0, 2.0]), constant(2.0)
    (array([1., 2.]), 2.0)
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
        return np.asarray(x, None if np.size(x) else int)  # an empty list may be an index
    if foreign_array and not issubclass(kind, np.generic):
        return np.asarray(x)
    known.add(kind)
    return x


def unpromoting(values: list[Any], args: tuple[Any, ...], pullbacks: list[Any], dtype: np.dtype[Any]) -> list[Any]:
    """The values, with constants that are integers or lists in the Tensors' dtype: only a floating array promotes."""
    return [
        np.positive(v, dtype=dtype)
        if p is not None and getattr(v, "dtype", dtype).kind in ("iuf" if type(a) is list else "iu")
        else v
        for v, a, p in itertools.zip_longest(values, args, pullbacks)
    ]
