"""Why a gradient is zero: the factor of its formula that is, with the numbers that make it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minigrad.engine import Array
from minigrad.ops import softmax
from minigrad.viz.formats import number
from minigrad.viz.formulas import Formula, plain
from minigrad.viz.mathematics import Term, ends, formula_of

Known = Mapping[Formula, Array]

#: Signs that are not called as NumPy's function of the same arguments is.
VALUES: dict[str, Callable[..., Any]] = {
    "number": lambda x: x.how[0],
    "ones": lambda x: np.ones(x.shape),
    "indicator": lambda x, condition: np.where(condition, 1.0, 0.0),
    "sigmoid": lambda x, z: 0.5 + 0.5 * np.tanh(0.5 * z),
    "relu": lambda x, z: np.maximum(0, z),
    "transpose": lambda x, a: a if np.ndim(a) < 2 else np.swapaxes(a, -1, -2),
    "inner": lambda x, a, b: np.dot(a, b),
    "dot": lambda x, a, b: np.dot(a, b),
    "outer": lambda x, a, b: np.outer(a, b),
    "where": lambda x, c, a, b: np.where(c, a, b),
    "softmax": lambda x, z: softmax(z),
    "one_hot": lambda x, y: np.eye(x.how[0])[y],
    "total": lambda x, a: np.sum(a),
    **{name: lambda x, a, f=getattr(np, name): f(a, x.how[0], keepdims=x.how[1]) for name in ("sum", "prod", "mean")},
}
OPPOSITES = {"greater": ("<", "not above"), "less": (">", "not below"), "equal": ("≠", "not equal to")}
FACTORS = {"multiply": 2, "matmul": 2, "outer": 2, "inner": 2, "dot": 2, "divide": 1, "negative": 1, "transpose": 1}
FACTORS |= {"sum": 1}


def value(x: Term, known: Known) -> Any:
    """The value of a Term; None where it has a symbol or a sign without one."""
    if x.sign == "symbol":
        return known.get(x.how[0])
    args = [value(arg, known) for arg in x.args]
    function = VALUES.get(x.sign)
    if any(arg is None for arg in args) or not (function or isinstance(getattr(np, x.sign, None), np.ufunc)):
        return None
    with np.errstate(all="ignore"):
        return function(x, *args) if function else getattr(np, x.sign)(*args)


def indicators(x: Term) -> Iterator[Term]:
    """The indicators in a Term, 1 where a condition holds and 0 elsewhere."""
    if x.sign == "indicator":
        yield x
    for arg in x.args:
        yield from indicators(arg)


def is_zero(x: Array | None) -> bool:
    """Is it an array, or a gradient of some rows, that is zero in every element, so that nothing flows back here?"""
    return x is not None and not np.any(getattr(x, "rows", x))


def reason(x: Term, known: Known) -> str:
    """Why a Term is zero.

    >>> from minigrad.viz.mathematics import indicator, symbol
    >>> from minigrad.viz.formulas import name
    >>> m = symbol(name("m"), ())
    >>> reason(indicator(m > 0), {name("m"): np.array(-9.0713)})
    'm = −9.07 < 0, so 1{m > 0} is 0'
    """
    parts = x.args[: FACTORS.get(x.sign, 0)]
    for part in parts:
        if is_zero(value(part, known)):
            return reason(part, known)
    text = plain(formula_of(x))
    if x.sign == "number":
        return "a factor is 0"
    if x.sign == "indicator":
        return f"{_condition(x.args[0], known)}, so {text} is 0"
    if x.sign == "where":
        condition, first, _ = x.args
        return f"{plain(formula_of(condition))} is {is_zero_number(first)} wherever a gradient arrives"
    if x.sign == "multiply":
        first, second = (value(part, known) for part in parts)
        left, right = (plain(formula_of(part)) for part in parts)
        if first is not None and second is not None and np.any((first != 0) & (second != 0)):
            return f"{text} is too small for a number, and rounds to 0"
        return f"{right} is 0 wherever {left} is not"
    if x.sign in ("matmul", "inner", "dot", "sum", "add"):
        return f"the terms of {text} cancel"
    symbols = {plain(formula_of(e)): value(e, known) for e in ends(x) if e.sign == "symbol"}
    because = ", ".join(f"{key} is {_size(v)}" for key, v in symbols.items() if key != text and v is not None)
    return f"{text} is 0" + (f", as {because}" if because else "")


def is_zero_number(x: Term) -> bool:
    return x.sign == "number" and x.how[0] == 0


def _size(x: Array) -> str:
    """A value in a few words."""
    x = np.asarray(x)
    if not x.size:
        return "empty"
    low, high = number(np.min(x)), number(np.max(x))
    return low if low == high else f"between {low} and {high}"


def _condition(x: Term, known: Known) -> str:
    """Why a condition holds nowhere: "m = −9.07 < 0"."""
    left, right = (plain(formula_of(arg)) for arg in x.args)
    a, b = (value(arg, known) for arg in x.args)
    if a is None or b is None or x.sign not in OPPOSITES:
        return f"{plain(formula_of(x))} holds nowhere"
    with_numbers = [
        text if arg.sign == "number" else f"{text} = {_size(v)}" if np.size(v) == 1 else text
        for text, arg, v in ((left, x.args[0], a), (right, x.args[1], b))
    ]
    opposite, words = OPPOSITES[x.sign]
    if np.size(a) == np.size(b) == 1 and x.args[1].sign == "number" and np.all(a == b):
        return with_numbers[0]
    if np.size(a) == np.size(b) == 1:
        return f"{with_numbers[0]} {'=' if np.all(a == b) and opposite != '≠' else opposite} {with_numbers[1]}"
    return f"{left}, {_size(a)}, is {words} {with_numbers[1]} in any element"
