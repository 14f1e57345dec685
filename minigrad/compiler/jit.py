"""The backend numba: programs and loops compiled to machine code. numba is imported only when something is compiled."""

from __future__ import annotations

import functools
import linecache
import re
import warnings
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np

from minigrad.compiler.dialects.fast import GLOBALS, words
from minigrad.compiler.dialects.loops import NumPyWithLoops, is_loop
from minigrad.compiler.dialects.numba import Missing, Numba, adds_rows
from minigrad.compiler.identifiers import Identifiers
from minigrad.compiler.printer import Printer
from minigrad.compiler.program import Program, Value, is_scatter, scattered
from minigrad.compiler.schedule import Schedule, schedule, schedule_to_run
from minigrad.compiler.source import executable, executed
from minigrad.sparse import summed

#: NumPy functions that numba lacks, or is slower at, as loops.
KERNELS = '''
SUMS = {"fastmath": {"reassoc": True, "contract": True}}  # in any order, as in BLAS


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


@njit(**SUMS)
def _inner(x, y):
    """x @ y, of vectors."""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(**SUMS)
def _inner_rows(w, x):
    """w @ x, of a matrix and a vector: the products of x with the rows."""
    out = np.empty(w.shape[0], w.dtype)
    for i in range(w.shape[0]):
        out[i] = _inner(w[i], x)
    return out


@njit(**SUMS)
def _weighted_rows(x, w):
    """x @ w, of a vector and a matrix: the rows, each times its weight, added up."""
    out = np.zeros(w.shape[1], w.dtype)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            out[j] += x[i] * w[i, j]
    return out
'''

#: Extra nanoseconds per element: numba's scalar loop against NumPy's SIMD.
SCALAR_COST: dict[Any, int] = dict.fromkeys((np.exp, np.exp2, np.log, np.log2), 2) | dict.fromkeys(
    (np.tanh, np.sinh, np.cosh, np.tan, np.log1p, np.expm1, np.arctan, np.arcsin, np.arccos, np.cbrt), 8
)
NANOSECONDS = 0.3  # that NumPy and numba take per element
CALL_OVERHEAD = 500  # nanoseconds that a call of NumPy costs more than one in compiled code
ROWS_OVERHEAD, ROW_ELEMENT = 50_000, 2.5  # nanoseconds that adding rows costs NumPy more, once and for each element
IMPORTED, COMPILED = 1e9, 2e8  # nanoseconds that numba takes to be imported, and to compile a line or a loop


def numpy_is_faster(schedule: Schedule) -> bool:
    """Does the work on elements outweigh what numba would save on calls?

    Then whole programs are not worth the seconds that numba takes to compile them: what it saves on calls is a small
    part of the time, and it would lose more on exponentials and the like.
    """
    return saved_on_calls(schedule) < 0


def saved_on_calls(schedule: Schedule) -> float:
    """The nanoseconds that a whole program takes less when it is compiled, estimated."""
    work = sum((SCALAR_COST.get(v.call, 0) + NANOSECONDS) * elements(v) for v in schedule.values)
    return CALL_OVERHEAD * len(schedule.values) - work


def wins_back(program: Program, calls: float) -> bool:
    """Do so many calls win back the seconds that numba takes, where no compiled code is on disk?

    Args:
        program: as NumPy runs it: rows are merged before they are added.
    """
    lines = schedule_to_run(program, schedule(program))
    saved, compiled = saved_on_calls(lines), len(lines.lines)
    if saved < 0:
        rows = [scattered(v)[1] for v in lines.values if is_scatter(v) and adds_rows(v, *scattered(v))]
        rows += [v.args[0] for v in lines.values if v.call is summed]
        formulas = [v for v in lines.lines if is_loop(lines, v)]
        saved = sum(ROWS_OVERHEAD + ROW_ELEMENT * np.size(x.example) for x in rows)
        saved += sum(NANOSECONDS * len(lines.inlined[v]) * np.size(v.example) for v in formulas)
        compiled = bool(rows) + len(formulas)
    return calls * saved > IMPORTED + compiled * COMPILED


def elements(v: Value) -> float:
    """The number of elements of a value; of a product of matrices, of the sums that they are, at BLAS's speed."""
    x = v.args[0] if v.call is np.matmul else None
    return np.size(v.example) * (1 + x.shape[-1] / 8 if isinstance(x, Value) and x.shape else 1)


def with_loops(schedule: Schedule, identifiers: Identifiers) -> Callable[..., Any]:
    """A program in NumPy, its loops compiled."""
    return _with_loops(Printer(schedule, identifiers, NumPyWithLoops).source(), identifiers.function)


def compiled(schedule: Schedule, identifiers: Identifiers, arguments: list[Any]) -> Callable[..., Any]:
    """A program compiled by numba for the types of example arguments: it takes and returns them in a flat tuple.

    Raises:
        Missing: where a call has no form for numba.
    """
    import numba

    if numba.config.DISABLE_JIT:
        raise Missing("with NUMBA_DISABLE_JIT set, the program")
    function = _compiled(Printer(schedule, identifiers, Numba).source(), identifiers.function)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", numba.NumbaPerformanceWarning)
        try:
            function.compile(tuple(map(numba.typeof, arguments)))
        except (numba.core.errors.NumbaError, NotImplementedError) as error:  # the latter for a dtype it lacks
            file, at = function.py_func.__code__.co_filename, getattr(error, "loc", None)
            if at is None or at.filename != file:
                raise Missing(f"the program ({str(error).strip().splitlines()[0]})") from error
            raise Missing(f"`{linecache.getline(file, at.line).partition('  #')[0].strip()}`") from error
    return function


@functools.lru_cache(64)
def _compiled(source: str, name: str) -> Any:
    """The compiled function of a source: the same source is compiled once."""
    return njit_for(source)(executable(source, name, _kernels()), boundscheck=True)


@functools.lru_cache(64)
def _with_loops(source: str, name: str) -> Callable[..., Any]:
    """The function of a source with compiled loops: the same loops are compiled once.

    A source without any runs as NumPy, and numba, which takes a second to import, is not.
    """
    has_loops = "@njit" in source or not words(source).isdisjoint(re.findall(r"(?m)^def (\w+)", KERNELS))
    return executable(source, name, GLOBALS | (_kernels() | {"njit": njit_for(source)} if has_loops else {}))


@functools.cache
def _kernels() -> dict[str, Any]:
    return executed(KERNELS, "kernels", {"njit": njit_for(KERNELS), "__name__": __name__})


def njit_for(source: str) -> Callable[..., Any]:
    """numba's decorator, for the functions of a source: what an earlier process compiled is read from disk."""
    import numba

    from minigrad.compiler.disk_cache import DiskCache

    def njit(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        if function is None:
            return functools.partial(njit, **options)
        options["error_model"] = "numpy"
        origin = sha256(repr((KERNELS, source, function.__name__, options)).encode()).hexdigest()
        function.__qualname__ = f"{origin}.{function.__name__}"  # numba finds machine code by this name
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = DiskCache(origin)  # in place of that of njit(cache=True)
        return dispatcher

    return njit
