"""Which values are layout-sensitive: sums and BLAS add elements in an order that depends on the memory layout.

Where a value is layout-sensitive, only a value of the same layout may replace it: the results are to be equal to the
last bit, and floating-point addition is not associative.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.compiler.examples import layout
from minigrad.compiler.program import (
    UPDATES,
    Value,
    assigned,
    astype,
    changed,
    examples,
    filled,
    is_elementwise,
    operands,
    stored,
    values_in,
)

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

#: Whether a call succeeds, and the shape of its result, does not depend on the elements of its arguments.
INDIFFERENT: set[Any] = LAYOUT_PRESERVING | C_ORDERED | {np.sum, np.mean, np.prod, np.var, np.std, np.cumprod, np.clip}
INDIFFERENT |= {np.round, np.dot, np.inner, np.einsum, np.tensordot, np.full_like, np.split, np.array_split, np.tile}
INDIFFERENT |= {np.repeat, np.roll, np.diff, np.trace, np.diagonal, np.tril, np.triu, np.matrix_transpose}
INDIFFERENT |= {np.hstack, np.vstack, np.atleast_1d, np.atleast_2d, np.broadcast_arrays, np.rot90, np.flipud, np.fliplr}


def depends_on_content(call: Any, args: tuple[Any, ...]) -> bool:
    """May a call fail, or have a result of another shape, for other elements of its arguments?"""
    if call in (operator.getitem, assigned):
        return any(v.dtype.kind == "b" for v in values_in(args[1]))
    if call is np.where and len(args) == 1:
        return True
    function = args[0] if call in (changed, filled) else call
    is_ufunc = isinstance(getattr(function, "__self__", function), np.ufunc)
    return not (is_ufunc or function in INDIFFERENT or function is stored)


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


def is_in(x: Any, found: set[Value]) -> bool:
    """Is an argument, which may be a constant, one of these Values?"""
    return isinstance(x, Value) and x in found


def c_contiguous(values: Iterable[Value]) -> set[Value]:
    """The values, of some in their order, that are C-contiguous whatever the arguments' layout.

    Elementwise functions preserve the layout of their arguments, and so does np.concatenate where all parts agree.
    """
    found: set[Value] = set()
    for v in values:
        if v.ndim < 2 or (v.call is np.matmul and v.ndim == 2) or (v.call is np.reshape and is_in(v.args[0], found)):
            found.add(v)
        elif (is_elementwise(v.call) or (v.call is np.where and len(v.args) == 3)) and not v.kwargs:
            several = [x for x in v.args if np.ndim(examples(x)) > 1]
            if several and all(isinstance(x, Value) and x in found and x.shape == v.shape for x in several):
                found.add(v)
    return found


#: The result lies in one piece of memory of its own, in C or Fortran order.
DENSE: set[Any] = {np.take, np.outer, np.matmul, astype}


def is_contiguous(x: np.ndarray) -> bool:
    """Does an array lie in one piece, in C or Fortran order, and aligned?"""
    return x.flags.num & 0x103 > 0x100


def contiguous(values: Iterable[Value], inputs: Iterable[Value]) -> set[Value]:
    """The vectors and matrices, of some in the order of the program, that are contiguous where the inputs are."""
    found = {v for v in inputs if isinstance(v.example, np.ndarray) and is_contiguous(v.example)}
    for v in values:
        if not isinstance(v.example, np.ndarray):
            continue
        is_new = is_elementwise(v.call) or v.call in DENSE or (v.call is np.where and len(v.args) == 3)
        if (is_new and not v.kwargs) or (v.call in (np.reshape, np.transpose) and is_in(v.args[0], found)):
            found.add(v)
    return found
