"""NumPy as numba compiles it, with loops for the functions it lacks.

numba takes the lines that NumPy runs, with three exceptions: a number needs the dtype of the arrays it meets (Python's
would widen float32), only C-contiguous arrays can be reshaped, and a function takes and returns no containers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.compiler.dialects.fast import column_times_row
from minigrad.compiler.printer import ATOM, Dialect, Formula, Printer
from minigrad.compiler.program import Value, examples, is_elementwise, is_number_repeated, is_reversed
from minigrad.compiler.source import Code, called, dtype_constant
from minigrad.sparse import summed

SMALL_MATRIX = 2000  # elements: with no more, a loop is done before BLAS has been called


class Missing(Exception):
    """A call has no form for numba."""


class Numba(Dialect):
    """A function of the bare arrays that returns a flat tuple."""

    includes_helpers = False

    def arguments(self, printer: Printer, v: Value) -> tuple[Any, ...]:
        if not (is_elementwise(v.call) or v.call is np.where):
            return v.args
        met = (v,) if v.call is np.where else v.args  # both of its numbers may meet no array
        kinds = [x.dtype for x in met if isinstance(x, Value) and hasattr(x.example, "dtype") and x.dtype.kind in "fc"]
        dtype = np.result_type(*kinds) if kinds else None
        args = (typed(x, dtype) for x in v.args)
        return tuple(narrowed(printer, x) for x in args) if v.dtype == np.float32 else tuple(args)

    def formula(self, printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
        x = args[0] if args else None
        if isinstance(x, Value) and not x.ndim and (v.call in (np.cumsum, np.cumprod) or "axis" in v.kwargs):
            raise Missing(f"{called(v.call)} of a number")
        form = FORMS.get(v.call)
        return None if form is None else form(printer, v, args)

    def returned(self, printer: Printer) -> str:
        return printer.flat_output()

    def signature(self, printer: Printer) -> tuple[list[str], list[str]]:
        return [printer.names[v] for *_, v in self.schedule.program.inputs], []

    def scatter(self, printer: Printer, v: Value, name: str, index: Any, new: Any) -> str:
        text = rows_added(printer, v, name, index, new)
        if text is None:
            raise Missing(f"{called(v.args[0])}, but for rows of a matrix,")
        return text


# Numbers


def typed(x: Any, dtype: Any) -> Any:
    """A number in the dtype of the arrays that it meets."""
    if dtype is None or type(x) not in (int, float):
        return x
    return Code(repr(float(x)) if dtype == np.float64 else f"{dtype_constant(dtype)}({x!r})")


def narrowed(printer: Printer, x: Any) -> Any:
    """A Python number that is computed, in single precision."""
    if isinstance(x, Value) and not hasattr(x.example, "dtype"):
        return Code(f"np.float32({printer.text(x)})")
    return x


# The forms of calls that numba lacks, or takes only in part. None: the one that NumPy has


def take(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula:
    x = args[0]
    if x.ndim == 1 and v.ndim == 1:
        return f"{printer.parenthesized(x, ATOM)}[{printer.text(args[1])}]", ATOM
    if x.ndim != 2 or args[2:] != (0,) or not isinstance(args[1], Value):
        raise Missing("np.take, but for rows of a matrix,")
    taken = f"_rows({printer.text(x)}, {printer.text(args[1])})"
    return taken if v.ndim == 2 else f"{taken}.reshape({v.shape})", ATOM


def sum_of_rows(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula:
    rows = f"_rows({printer.text(args[0])}, {printer.text(args[1])})"
    return f"_sum_runs({rows}, {printer.text(args[2])})", ATOM


def product(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
    """The product of a vector with a vector or a small matrix as a loop; BLAS is faster at others."""
    x, y = args
    if max(x.ndim, y.ndim) > 2:
        raise Missing("the product of stacks of matrices")
    if x.dtype != y.dtype or x.dtype.kind not in "fc" or x.ndim + y.ndim > 3:
        return None
    if max(np.size(a) for a in examples(args)) > SMALL_MATRIX:
        return None
    if x.ndim == y.ndim:
        return f"_inner({printer.text(x)}, {printer.text(y)})", ATOM
    matrix, vector = (x, y) if x.ndim == 2 else (y, x)
    by_rows = matrix is x
    if isinstance(matrix, Value) and is_reversed(matrix) and printer.schedule.is_inlined(matrix):
        (matrix,), by_rows = matrix.args, not by_rows
    if by_rows:
        return f"_inner_rows({printer.text(matrix)}, {printer.text(vector)})", ATOM
    return f"_weighted_rows({printer.text(vector)}, {printer.text(matrix)})", ATOM


def reshape(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula:
    if len(args) > 2:
        raise Missing("np.reshape in another order")
    return reshaped(printer, args[0], v.shape), ATOM


def reshaped(printer: Printer, x: Value, shape: tuple[int, ...]) -> str:
    """x in another shape: the layout of x is not known, so it is made C-contiguous."""
    return f"np.ascontiguousarray({printer.text(x)}).reshape({shape})"


def full(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
    if is_number_repeated(v):
        return None
    return f"np.broadcast_to({printer.text(args[1])}, {v.shape}).copy()", ATOM


def concatenate(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula:
    axis = args[1] if args[1:] else v.kwargs.get("axis", 0)
    if isinstance(args[0], Value) or axis is None:
        raise Missing("np.concatenate, but for arrays along an axis,")
    return f"np.concatenate({printer.text(tuple(args[0]))}, axis={axis % v.ndim})", ATOM


def argsort(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula:
    return f"{printer.parenthesized(args[0], ATOM)}.argsort(kind='mergesort')", ATOM


def sum_or_mean(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
    x, axis = args[0], v.kwargs.get("axis")
    if not isinstance(axis, int) or not v.kwargs.keys() <= {"axis", "keepdims"}:
        return None
    text = f"{printer.parenthesized(x, ATOM)}.sum(axis={axis % x.ndim})"
    if v.call is np.mean:
        text = f"({text} / {typed(x.shape[axis], v.dtype)})"
    return (f"{text}.reshape({v.shape})" if "keepdims" in v.kwargs else text), ATOM


def largest(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
    x, axis = args[0], v.kwargs.get("axis")
    if x.ndim != 2 or not isinstance(axis, int):
        return None
    rows = printer.text(x) if axis in (-1, 1) else f"{printer.parenthesized(x, ATOM)}.T"
    return f"_largest({rows}).reshape({v.shape})", ATOM


FORMS: dict[Any, Callable[[Printer, Value, tuple[Any, ...]], Formula | None]] = {
    np.take: take,
    summed: sum_of_rows,
    np.matmul: product,
    np.outer: column_times_row,  # several of them become one loop
    np.reshape: reshape,
    np.full: full,
    np.concatenate: concatenate,
    np.argsort: argsort,
    np.sum: sum_or_mean,
    np.mean: sum_or_mean,
    np.max: largest,
}


# Updates of rows


def rows_added(printer: Printer, v: Value, name: str, index: Any, new: Any) -> str | None:
    """The line that adds a row of a matrix for each index, None for any other update."""
    if not adds_rows(v, index, new):
        return None
    rows, scale = factors(printer, new)
    text = printer.text(rows) if rows.ndim == 2 else reshaped(printer, rows, (index.example.size, v.shape[1]))
    factor = f"{dtype_constant(new.dtype)}({printer.text(scale)})"
    return f"_{v.args[0].__self__.__name__}_rows({name}, {printer.text(index)}, {text}, {factor})"


def adds_rows(v: Value, index: Any, new: Any) -> bool:
    """Does an update add a row of a matrix for each index, or subtract it?"""
    if v.args[0].__self__ not in (np.add, np.subtract) or not isinstance(index, Value) or not isinstance(new, Value):
        return False
    if v.ndim != 2 or new.shape != (*index.shape, v.shape[1]) or not (has_arithmetic(v) and has_arithmetic(new)):
        return False
    return index.dtype.kind in "iu" and np.can_cast(index.dtype, np.int64)


def has_arithmetic(v: Value) -> bool:
    """Has numba arithmetic for its dtype?"""
    return v.dtype.kind in "iu" or v.dtype.char in "fdFD"


def factors(printer: Printer, v: Value) -> tuple[Value, Any]:
    """An array and the number that multiplies it, where the product is inlined."""
    if v.call is np.multiply and printer.schedule.is_inlined(v):
        x, y = v.args
        if np.ndim(examples(x)) == 0:
            return y, x
        if np.ndim(examples(y)) == 0:
            return x, y
    return v, 1
