"""Values made by hand, for the tests of the rules and the simplifier."""

from typing import Any

import numpy as np

from minigrad.compiler.program import (
    ARGUMENT,
    Name,
    Value,
    new_value,
    values_in,
)
from minigrad.compiler.simplify import Simplifier

FLOATS = [np.float32, np.float64]

# the values that break rules


def nasty(dtype: Any) -> np.ndarray:
    """NaN, infinities, zeros of both signs, the smallest and the largest numbers, and ordinary ones; twelve in all."""
    if np.dtype(dtype).kind == "b":
        return np.array([True, False] * 6)
    if np.dtype(dtype).kind in "iu":
        ends = np.iinfo(dtype)
        return np.array([ends.min, ends.max, ends.min + 1, ends.max - 1, 0, 1, 2, 3, 5, 7, 100, 127], dtype)
    if np.dtype(dtype).kind == "c":
        parts = nasty(np.float64)
        return np.array([complex(a, b) for a, b in zip(parts, [*parts[5:], *parts[:5]])], dtype)
    kind = np.finfo(dtype)
    few = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        kind.smallest_subnormal,
        -kind.tiny,
        kind.max,
        -kind.max,
        1.0,
        -1 / 3,
        3.7,
    ]
    return np.array(few, dtype)


# what is no line: constants, numbers repeated, zeros that are filled, what is computed twice


def value(call: Any, *args: Any, **kwargs: Any) -> Value:
    return new_value(call, *args, **kwargs)


def argument(x: Any, name: str = "x") -> Value:
    made = Value(None, (), {}, x)
    made.name = Name(ARGUMENT, name)
    return made


def simplest(*values: Value) -> list[Any]:
    """What values become, in a program that makes all they are made of first."""
    order: dict[Value, None] = {}

    def visit(v: Value) -> None:
        for x in values_in((v.args, v.kwargs)):
            visit(x)
        order[v] = None

    for v in values:
        visit(v)
    simplifier, new = Simplifier(), {}
    for v in order:
        new[v] = simplifier(v, new)
    return [new[v] for v in values]
