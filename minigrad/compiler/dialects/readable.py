"""NumPy as people write it: 1 - a, np.outer(delta, x), L[ids]."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.compiler.printer import ATOM, Dialect, Formula, Printer
from minigrad.compiler.program import Value
from minigrad.compiler.source import Code


class ReadableNumPy(Dialect):
    """The listing that is shown."""

    def arguments(self, printer: Printer, v: Value) -> tuple[Any, ...]:
        return tuple(without_point(v, python_number(v, x)) for x in v.args)

    def formula(self, printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
        if v.call is np.take and len(args) == 3 and args[2] == 0 and isinstance(args[1], Value | np.ndarray):
            return f"{printer.parenthesized(args[0], ATOM)}[{printer.index(args[1])}]", ATOM
        return None


def takes_python_numbers(call: Any) -> bool:
    """Does a Python number among the arguments leave the dtype of the result to the arrays?"""
    return isinstance(call, np.ufunc) or call is np.where


def python_number(v: Value, x: Any) -> Any:
    """A NumPy scalar among the arguments of a call as Python's number, where the dtype of the result is the same."""
    if isinstance(x, np.generic) and x.dtype.kind in "fiu" and takes_python_numbers(v.call):
        others = [a for a in (v.args[1:] if v.call is np.where else v.args) if a is not x]
        held = [a.example if isinstance(a, Value) else a for a in others]
        plain, *plainly = x.item(), *(a.item() if isinstance(a, np.generic) else e for a, e in zip(others, held))
        if (
            all(hasattr(e, "dtype") for e in held)
            and held
            and np.result_type(plain, *plainly) == np.result_type(x, *held)
        ):
            short = x.dtype == np.float32 and np.result_type(x, *held) == np.float32 and np.isfinite(x)
            return Code(str(x)) if short else plain  # beside float64 its own digits count
    return x


def without_point(v: Value, x: Any) -> Any:
    """A whole number without its decimal point, where it meets floating-point numbers."""
    if type(x) in (float, Code) and v.dtype.kind in "fcb" and takes_python_numbers(v.call) and float(x).is_integer():
        others = [a for a in v.args if isinstance(a, Value)]
        if abs(float(x)) < 1e6 and any(a.dtype.kind in "fc" for a in others if hasattr(a.example, "dtype")):
            return int(float(x)) if x or not np.signbit(float(x)) else x
    return x
