"""Examples: what a Value would be for the arguments of the recorded run.

Tracing, simplification and printing read the shape, the dtype and the layout of an example, hardly ever its content. So
the content of a large one is not kept: zeros stand in for it, in memory whose pages nobody touches. It is then hollow,
as is what is computed from it, until something asks for the content (see `Trace.fill`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

LARGE = 2**18  # bytes: the memory of smaller arrays is not worth the trouble


def is_large(size: int) -> bool:
    return size >= LARGE


def layout(x: Any) -> list[int]:
    """The strides of an array, along each axis that has several elements."""
    return [step for n, step in zip(x.shape, x.strides) if n > 1] if isinstance(x, np.ndarray) and x.size else []


def stand_in(x: Any) -> Any:
    """Zeros of the shape, dtype and layout of a large array; x itself where it is small, a view, or lies otherwise."""
    if type(x) is not np.ndarray or not is_large(x.nbytes) or x.base is not None or x.dtype.kind not in "biufc":
        return x
    zeros = np.zeros(x.shape, x.dtype, "C" if x.flags.c_contiguous else "F")  # zeros_like would touch the pages
    return zeros if layout(zeros) == layout(x) else x


def owner(x: np.ndarray) -> np.ndarray:
    """The array that a view is of."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def shape_only(x: Any) -> Any:
    """An example that holds no memory: enough for a program whose source stands."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, np.ndarray) else x
