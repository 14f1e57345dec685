"""The table of ops as scalars of variables with names, for pictures."""

from typing import Any

import numpy as np
from cases import CASES, Case

import minigrad as mg
from minigrad.trees import leaves, map_leaves


def variables(case: Case) -> list[Any]:
    count = iter(range(100))

    def variable(x: Any) -> Any:
        floating = isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind == "f"
        return mg.Tensor(x, f"x{next(count)}") if floating else x

    return [map_leaves(variable, x) if leaves(x) else x for x in case.args]


def total(case: Case, args: list[Any]) -> Any:
    parts = [part for y in leaves(case(*args)) if isinstance(y, mg.Tensor) for part in [y]]
    return sum((mg.sum(mg.sin(part)) for part in parts), start=mg.Tensor(0.0, "zero"))


EMPTY = "linspace-()-(3,)-0"  # whose formula stands for no element
REAL = [
    case
    for case in CASES
    if str(case) != EMPTY and not any(np.iscomplexobj(x) for a in case.args for x in leaves(a) if x is not None)
]
