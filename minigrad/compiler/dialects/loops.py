"""Fast NumPy, save for rows that are added one by one and long formulas over large arrays: those are compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.compiler.dialects.fast import FastNumPy
from minigrad.compiler.dialects.numba import Numba, rows_added
from minigrad.compiler.printer import ATOM, Formula, Printer
from minigrad.compiler.program import Value
from minigrad.compiler.schedule import Schedule

#: Functions at which numba is no slower than NumPy, in float32 and float64.
IN_ONE_PASS = {np.add, np.subtract, np.multiply, np.divide, np.negative, np.maximum, np.minimum, np.square, np.outer}
LARGE_ARRAY = 100_000  # elements: a loop over fewer is not worth the second that numba takes to compile it


class NumPyWithLoops(FastNumPy):
    """Where numba would lose more on exponentials than it saves, it compiles these parts alone."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.loops: list[str] = []

    def formula(self, printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
        if v not in self.schedule.lines or v in self.parts or not is_loop(self.schedule, v):
            return super().formula(printer, v, args)
        inside = (x for x in self.schedule.inlined[v] if x in printer.names and x is not v)
        parameters = ", ".join(sorted(printer.names[x] for x in inside))
        formula, _ = Printer(self.schedule, printer.identifiers, Numba).formula(v)
        name = f"_loop{len(self.loops)}"
        self.loops.append(f"@njit\ndef {name}({parameters}):\n    return {formula}\n")
        return f"{name}({parameters})", ATOM

    def prelude(self) -> list[str]:
        return super().prelude() + self.loops

    def scatter(self, printer: Printer, v: Value, name: str, index: Any, new: Any) -> str:
        return rows_added(printer, v, name, index, new) or super().scatter(printer, v, name, index, new)


def is_loop(schedule: Schedule, v: Value) -> bool:
    """Is it a formula of several steps over a large array, which numba computes in one pass?"""
    inside = schedule.inlined[v]
    steps = [x for x in inside if x is v or schedule.is_inlined(x)]
    return (
        len(steps) > 1
        and v.dtype.char in "fd"
        and np.size(v.example) >= LARGE_ARRAY
        and all(x.call in IN_ONE_PASS and x.shape == v.shape for x in steps)
        and all(x.ndim and x.dtype == v.dtype for x in inside)
    )
