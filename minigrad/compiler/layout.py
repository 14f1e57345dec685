"""Which values are layout-sensitive: sums and BLAS add elements in an order that depends on the memory layout.

Where a value is layout-sensitive, only a value of the same layout may replace it: the results are to be equal to the
last bit, and floating-point addition is not associative.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.compiler.program import UPDATES, Value, astype, examples, is_elementwise, operands

#: The layout of the result depends on the layout of the arguments.
LAYOUT_PRESERVING: set[Any] = {
    np.where,
    np.transpose,
    np.reshape,
    np.broadcast_to,
    np.swapaxes,
    np.moveaxis,
    np.expand_dims,
    np.squeeze,
}
LAYOUT_PRESERVING |= {np.copy, np.real, np.imag, np.flip, np.ravel, np.zeros_like, np.ones_like, operator.getitem}
LAYOUT_PRESERVING |= {np.concatenate, np.stack, np.pad, np.cumsum, np.sort, np.max, np.min, np.any, np.all}
LAYOUT_PRESERVING |= {np.take_along_axis, astype}
#: The result is C-contiguous and the same for any layout of the arguments.
C_ORDERED: set[Any] = {np.take, np.outer, np.argsort, np.argmax, np.argmin, np.zeros, np.full}


def mark_layout_sensitive(values: Iterable[Value], kept: Iterable[Value]) -> None:
    """Mark the Values whose elements something adds up, in this call or, where they are kept, in the next."""
    for v in kept:
        v.layout_sensitive = True
    for v in reversed(list(values)):
        if v.call in C_ORDERED:
            continue
        if v.layout_sensitive or not (is_elementwise(v.call) or v.call in LAYOUT_PRESERVING or v.call in UPDATES):
            for x in operands(v):
                x.layout_sensitive = True


def same_layout(x: Any, value: Value) -> bool:
    """Has x the layout of a value that it may replace? Always true where the value is not layout-sensitive."""
    return not value.layout_sensitive or layout(examples(x)) == layout(value.example)


def layout(x: Any) -> list[int]:
    """The strides of an array, along each axis that has several elements."""
    return [step for n, step in zip(x.shape, x.strides) if n > 1] if isinstance(x, np.ndarray) and x.size else []


def is_c_contiguous(v: Value) -> bool:
    """Is a value C-contiguous whatever the arguments' layout?

    Elementwise functions preserve the layout of their arguments, and so does np.concatenate where all parts agree.
    """
    return v.ndim < 2 or (v.call is np.matmul and v.ndim == 2) or (v.call is np.reshape and is_c_contiguous(v.args[0]))
