"""The source of a program for numba, and what of NumPy numba lacks, as loops.

Numba compiles the very lines that NumPy runs, but for what it is particular about: a number has the dtype of the array
it meets (Python's would widen float32), only arrays in order can be reshaped, a function takes and gives no containers.
"""

from __future__ import annotations

import functools
import linecache
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.compiler.printer import (
    ATOM,
    Code,
    Faster,
    Spelling,
    Writer,
    called,
    column_times_row,
    executable,
    is_number_repeated,
    is_reversed,
)
from minigrad.compiler.rules import is_elementwise
from minigrad.compiler.tracer import Value, examples
from minigrad.sparse import summed
from minigrad.trees import leaves

HELPERS = '''
@njit
def _place(k, n):
    """An index from the start, in bounds."""
    k = k + n if k < 0 else k
    if not 0 <= k < n:
        raise IndexError("an index is out of bounds for an axis of the table")
    return k


@njit
def _rows(x, ids):
    """np.take(x, ids, 0), of a matrix, its rows one below the other."""
    out = np.empty((ids.size, x.shape[1]), x.dtype)
    for i, k in enumerate(ids.flat):
        row = _place(k, x.shape[0])
        for j in range(x.shape[1]):
            out[i, j] = x[row, j]
    return out


@njit
def _add_rows(x, ids, v, scale):
    """np.add.at(x, ids, v * scale), of a matrix."""
    for i, k in enumerate(ids.flat):
        row = _place(k, x.shape[0])
        for j in range(x.shape[1]):
            x[row, j] += v[i, j] * scale


@njit
def _subtract_rows(x, ids, v, scale):
    """np.subtract.at(x, ids, v * scale), of a matrix."""
    for i, k in enumerate(ids.flat):
        row = _place(k, x.shape[0])
        for j in range(x.shape[1]):
            x[row, j] -= v[i, j] * scale


@njit
def _sum_runs(x, starts):
    """np.add.reduceat(x, starts, axis=0), of a matrix."""
    out = np.zeros((starts.size, x.shape[1]), x.dtype)
    for run in range(starts.size):
        for i in range(starts[run], starts[run + 1] if run + 1 < starts.size else x.shape[0]):
            for j in range(x.shape[1]):
                out[run, j] += x[i, j]
    return out


@njit
def _largest(x):
    """np.max(x, axis=-1), of a matrix."""
    out = np.empty(x.shape[0], x.dtype)
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(x.shape[1]):
            if not x[i, j] <= top:
                top = x[i, j]
        out[i] = top
    return out


@njit_sums
def _inner(x, y):
    """x @ y, of vectors."""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit_sums
def _inner_rows(w, x):
    """w @ x, of a matrix and a vector: the products of x with the rows."""
    out = np.empty(w.shape[0], w.dtype)
    for i in range(w.shape[0]):
        out[i] = _inner(w[i], x)
    return out


@njit_sums
def _weighted_rows(x, w):
    """x @ w, of a vector and a matrix: the rows, each times its weight, added up."""
    out = np.zeros(w.shape[1], w.dtype)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            out[j] += x[i] * w[i, j]
    return out
'''

SMALL = 2000  # elements of a matrix: loops over no more are done before BLAS has been called


class Missing(Exception):
    """A call that has no form for numba."""


class ForNumba(Spelling):
    """How numba wants it."""

    brings_helpers = False

    def arguments(self, v: Value) -> tuple[Any, ...]:
        if not (is_elementwise(v.call) or v.call is np.where):
            return v.args
        met = (v,) if v.call is np.where else v.args  # both of its numbers may meet no array
        kinds = [x.dtype for x in met if isinstance(x, Value) and hasattr(x.example, "dtype") and x.dtype.kind in "fc"]
        dtype = np.result_type(*kinds) if kinds else None
        return tuple(self.typed(x, dtype) for x in v.args)

    def typed(self, x: Any, dtype: Any) -> Any:
        """A number in the dtype of the arrays that it meets."""
        if dtype is None or type(x) not in (int, float):
            return x
        return Code(repr(float(x)) if dtype == np.float64 else f"np.{dtype}({x!r})")

    def formula(self, writer: Writer, v: Value, args: tuple[Any, ...]) -> tuple[str, int] | None:
        x: Any = args[0] if args else None
        if (isinstance(v.call, np.ufunc) or v.call is np.where) and v.dtype == np.float32:
            weak = [a for a in args if isinstance(a, Value) and not hasattr(a.example, "dtype")]
            if weak and not isinstance(args, Cast):
                return writer.written_as(
                    v, Cast(Code(f"np.float32({writer.text(a)})") if a in weak else a for a in args)
                )
        if isinstance(x, Value) and not x.ndim and (v.call in (np.cumsum, np.cumprod) or "axis" in v.kwargs):
            raise Missing(f"{called(v.call)} of a number")
        if v.call is np.take:
            if x.ndim == 1 and v.ndim == 1:
                return f"{writer.parenthesized(x, ATOM)}[{writer.text(args[1])}]", ATOM
            if x.ndim != 2 or args[2:] != (0,) or not isinstance(args[1], Value):
                raise Missing("np.take, but for rows of a matrix,")
            taken = f"_rows({writer.text(x)}, {writer.text(args[1])})"
            return taken if v.ndim == 2 else f"{taken}.reshape({v.shape})", ATOM
        if v.call is np.matmul:
            if max(x.ndim, args[1].ndim) > 2:
                raise Missing("the product of stacks of matrices")
            return small_product(writer, x, args[1])
        if v.call is np.reshape:
            if len(args) > 2:
                raise Missing("np.reshape in another order")
            return reshaped(writer, x, v.shape), ATOM
        if v.call is np.full and not is_number_repeated(v):
            return f"np.broadcast_to({writer.text(args[1])}, {v.shape}).copy()", ATOM
        if v.call is summed:
            return f"_sum_runs(_rows({writer.text(x)}, {writer.text(args[1])}), {writer.text(args[2])})", ATOM
        if v.call is np.concatenate:
            axis = args[1] if args[1:] else v.kwargs.get("axis", 0)
            if isinstance(x, Value) or axis is None:
                raise Missing("np.concatenate, but for arrays along an axis,")
            return f"np.concatenate({writer.text(tuple(x))}, axis={axis % v.ndim})", ATOM
        if v.call is np.argsort:
            return f"{writer.parenthesized(x, ATOM)}.argsort(kind='mergesort')", ATOM
        axis = v.kwargs.get("axis")
        if v.call in (np.sum, np.mean) and isinstance(axis, int) and v.kwargs.keys() <= {"axis", "keepdims"}:
            text = f"{writer.parenthesized(x, ATOM)}.sum(axis={axis % x.ndim})"
            if v.call is np.mean:
                text = f"({text} / {self.typed(x.shape[axis], v.dtype)})"
            return (f"{text}.reshape({v.shape})" if "keepdims" in v.kwargs else text), ATOM
        if v.call is np.max and x.ndim == 2 and isinstance(axis, int):
            rows = writer.text(x) if axis in (-1, 1) else f"{writer.parenthesized(x, ATOM)}.T"
            return f"_largest({rows}).reshape({v.shape})", ATOM
        return column_times_row(writer, v, args)  # several of them become one loop

    def returned(self, writer: Writer) -> str:
        return "(" + "".join(f"{text}, " for text in leaves(writer.returned())) + ")"

    def signature(self, writer: Writer) -> tuple[list[str], list[str]]:
        return [writer.names[v] for *_, v in writer.program.inputs], []

    def at(self, writer: Writer, v: Value, name: str, index: Any, new: Any) -> str:
        text = rows_added(writer, v, name, index, new)
        if text is None:
            raise Missing(f"{called(v.args[0])}.at, but for rows of a matrix,")
        return text


def small_product(writer: Writer, x: Any, y: Any) -> tuple[str, int] | None:
    """The product of a vector with a vector or a matrix as a loop, None where BLAS is faster."""
    operands = x, y
    if x.dtype != y.dtype or x.dtype.kind not in "fc" or x.ndim + y.ndim > 3:
        return None
    if max(np.size(a) for a in examples(operands)) > SMALL:
        return None
    if x.ndim == y.ndim:
        return f"_inner({writer.text(x)}, {writer.text(y)})", ATOM
    matrix, vector = operands if x.ndim == 2 else operands[::-1]
    rows = matrix is x
    if isinstance(matrix, Value) and is_reversed(matrix) and writer.is_inlined(matrix):
        (matrix,), rows = matrix.args, not rows
    told = (matrix, vector) if rows else (vector, matrix)
    return f"{'_inner' if rows else '_weighted'}_rows({', '.join(map(writer.text, told))})", ATOM


class Cast(tuple[Any, ...]):
    """Arguments, their numbers cast."""


class WithLoops(Faster):
    """NumPy, but for rows that are added one by one, and formulas that numba computes in one go."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: list[str] = []

    def formula(self, writer: Writer, v: Value, args: tuple[Any, ...]) -> tuple[str, int] | None:
        if v in writer.lines and v not in self.places and is_loop(writer, v):
            names = sorted(writer.names[x] for x in writer.inside[v] if x in writer.names and x is not v)
            writer.spelling, told = ForNumba(), ", ".join(names)
            name = f"_loop{len(self.loops)}"
            self.loops.append(f"@njit\ndef {name}({told}):\n    return {writer.formula(v)[0]}\n")
            writer.spelling = self
            return f"{name}({told})", ATOM
        return super().formula(writer, v, args)

    def prelude(self) -> list[str]:
        return super().prelude() + self.loops

    def at(self, writer: Writer, v: Value, name: str, index: Any, new: Any) -> str:
        return rows_added(writer, v, name, index, new) or super().at(writer, v, name, index, new)


def is_loop(writer: Writer, v: Value) -> bool:
    """Is it a formula of several steps over a large array, which numba takes in one pass?"""
    whole = writer.inside[v]
    steps = [x for x in whole if x is v or writer.is_inlined(x)]
    return (
        len(steps) > 1
        and v.dtype.char in "fd"
        and np.size(v.example) >= LARGE
        and all(x.call in IN_ONE_PASS and x.shape == v.shape for x in steps)
        and all(x.ndim and x.dtype == v.dtype for x in whole)
    )


def rows_added(writer: Writer, v: Value, name: str, index: Any, new: Any) -> str | None:
    """The line that adds rows to a matrix, as many as there are indices, None for any other update."""
    ufunc = v.args[0]
    if ufunc not in (np.add, np.subtract) or not isinstance(index, Value) or not isinstance(new, Value):
        return None
    if v.ndim != 2 or new.shape != (*index.shape, v.shape[1]) or not (has_loops(v) and has_loops(new)):
        return None
    if index.dtype.kind not in "iu" or not np.can_cast(index.dtype, np.int64):
        return None
    rows, scale = factors(writer, new)
    text = writer.text(rows) if rows.ndim == 2 else reshaped(writer, rows, (index.example.size, v.shape[1]))
    return f"_{ufunc.__name__}_rows({name}, {writer.text(index)}, {text}, np.{new.dtype}({writer.text(scale)}))"


def has_loops(v: Value) -> bool:
    """Has numba arithmetic for its dtype?"""
    return v.dtype.kind in "iu" or v.dtype.char in "fdFD"


def reshaped(writer: Writer, x: Value, shape: tuple[int, ...]) -> str:
    """x in another shape: it may come in any layout, as may what it is computed from."""
    return f"np.ascontiguousarray({writer.text(x)}).reshape({shape})"


def factors(writer: Writer, v: Value) -> tuple[Value, Any]:
    """An array and the number it is multiplied by, where the product is written down nowhere else."""
    if v.call is np.multiply and writer.is_inlined(v):
        x, y = v.args
        if np.ndim(examples(x)) == 0:
            return y, x
        if np.ndim(examples(y)) == 0:
            return x, y
    return v, 1


#: The nanoseconds that numba, which computes one after the other, takes longer for each element than NumPy's vectors.
VECTORS: dict[Any, int] = dict.fromkeys((np.exp, np.exp2, np.log, np.log2), 2) | dict.fromkeys(
    (np.tanh, np.sinh, np.cosh, np.tan, np.log1p, np.expm1, np.arctan, np.arcsin, np.arccos, np.cbrt), 8
)
#: What numba is no slower at, in float32 and float64.
IN_ONE_PASS = {np.add, np.subtract, np.multiply, np.divide, np.negative, np.maximum, np.minimum, np.square, np.outer}
LARGE = 10_000  # elements: a formula of fewer is left to NumPy, as numba takes a second to compile one
CALL = 500  # nanoseconds that NumPy takes longer for a call


def numpy_is_faster(writer: Writer) -> bool:
    """Is what numba would lose on the elements of exponentials and the like more than it would gain on the calls?"""
    loss = sum(VECTORS.get(v.call, 0) * np.size(v.example) for v in writer.values)
    return loss > CALL * len(writer.values)


def with_loops(writer: Writer) -> Callable[..., Any]:
    """A program in NumPy, its loops compiled."""
    return executable(writer.source(WithLoops()), writer.program.name, _helpers)


def compiled(writer: Writer, given: list[Any]) -> Callable[..., Any]:
    """A program compiled by numba for such arrays: a function of them that gives a flat tuple.

    Raises:
        Missing: where a call has no form for numba.
    """
    import numba

    function = _compiled(writer.source(ForNumba()), writer.program.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", numba.NumbaPerformanceWarning)
        try:
            function.compile(tuple(map(numba.typeof, given)))
        except (numba.core.errors.NumbaError, NotImplementedError) as error:  # of a dtype that it lacks, the latter
            file, at = function.py_func.__code__.co_filename, getattr(error, "loc", None)
            if at is None or at.filename != file:
                raise Missing(f"the program ({str(error).strip().splitlines()[0]})") from error
            raise Missing(f"`{linecache.getline(file, at.line).partition('  #')[0].strip()}`") from error
    return function


@functools.lru_cache(64)
def _compiled(source: str, name: str) -> Any:
    """The function of a source: the same source is compiled once."""
    return njit(executable(source, name, _helpers), boundscheck=True)


@functools.cache
def _helpers() -> dict[str, Any]:
    njit_sums = functools.partial(njit, fastmath={"reassoc", "contract"})  # in any order, as BLAS adds up
    scope: dict[str, Any] = {"np": np, "njit": njit, "njit_sums": njit_sums}
    exec(HELPERS, scope)
    return scope


def njit(function: Callable[..., Any], **options: Any) -> Any:
    import numba

    return numba.njit(error_model="numpy", **options)(function)
