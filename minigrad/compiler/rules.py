"""The rewrite rules: each is a line, and each is exact.

A rule holds to the last bit for every value of its variables, NaN, infinities and signed zeros included. Those of
INEXACT do not, and are left out unless asked for. VARIABLES says which values a name in a rule matches. A rule need not
care about dtypes, shapes and layouts: a result with another dtype or shape is rejected, and so is one with another
layout where the value is layout-sensitive. No rule looks into a value that has a name: it stays, for the reader.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.program import USERS, Value, assigned, astype, examples, new_value, number

RULES = """
a * 1 = a
a / 1 = a
a ** 1 = a
a ** 0 = np.full(SHAPE, DTYPE(1))
a - 0 = a
-1 * a = -a
-(-x) = x
(-a) * b = -(a * b)
(-a) / b = -(a / b)
b + (-a) = b - a
(-a) + b = b - a
b - (-a) = b + a
1 * mask = astype(mask, DTYPE)
v[:, None] * w = np.outer(v, w)
v @ M = M.T @ v
v @ M.T = M @ v
np.positive(x) = x
np.positive(x, dtype=dtype) = astype(x, DTYPE)
np.positive(x, dtype=dtype, casting=casting) = astype(x, DTYPE)
np.reshape(-a, shape) = -np.reshape(a, SHAPE)
np.copy(x) = x
np.copy(x, order=order) = x
np.pad(x, width) = x
mask & True = mask
np.real(x) = x
np.conjugate(r) = r
astype(x, dtype) = x
np.reshape(x, shape) = x
np.reshape(np.reshape(x, shape), last) = np.reshape(x, SHAPE)
np.reshape(x[newaxes], shape) = np.reshape(x, SHAPE)
np.reshape(np.sum(x, axis=axis), shape) = np.sum(x, axis=axis, keepdims=True)
np.expand_dims(x, axis) = np.reshape(x, SHAPE)
np.squeeze(x, axis) = np.reshape(x, SHAPE)
np.squeeze(x) = np.reshape(x, SHAPE)
np.broadcast_to(x, shape) = x
np.broadcast_to(np.broadcast_to(x, shape), last) = np.broadcast_to(x, SHAPE)
np.transpose(np.transpose(x)) = x
np.swapaxes(M, -1, -2) = M.T
np.swapaxes(M, 0, 1) = M.T
np.swapaxes(np.swapaxes(x, -1, -2), -1, -2) = x
np.moveaxis(x, axis, axis) = x
np.zeros_like(x) = np.zeros(SHAPE, DTYPE)
np.zeros_like(x, shape=shape) = np.zeros(SHAPE, DTYPE)
np.ones_like(x) = np.full(SHAPE, DTYPE(1))
np.ones_like(x, shape=shape) = np.full(SHAPE, DTYPE(1))
np.take(x, ids, axis=0) = np.take(x, ids, 0)
x[ids] = np.take(x, ids, 0)
x[...] = x
x[()] = x
assigned(x, ..., y) = y
assigned(assigned(x, index, y), index, y) = assigned(x, index, y)
assigned(x, index, x[index]) = x
"""

INEXACT = """
x + 0 = x
0 * x = np.zeros(SHAPE, DTYPE)
-(x - y) = y - x
"""

#: The values that a name in a rule matches, given those of the names before it; any other name matches anything.
VARIABLES: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "mask": lambda x, _: isinstance(x, Value) and x.dtype == bool,
    "r": lambda x, _: isinstance(x, Value) and x.dtype.kind in "fiub",
    "a": lambda x, _: isinstance(x, Value) and x.dtype.kind == "f",
    "b": lambda x, _: isinstance(x, Value | int | float | np.generic) and np.result_type(examples(x)).kind in "fiu",
    "v": lambda x, _: isinstance(x, Value) and x.ndim == 1,
    "w": lambda x, _: isinstance(x, Value) and x.ndim == 1,
    "M": lambda x, known: isinstance(x, Value) and x.ndim == 2 and ("v" not in known or are_for_blas(known["v"], x)),
    "newaxes": lambda x, _: type(x) is tuple and all(e is None or str(e) == str(slice(None)) for e in x),
    "ids": lambda x, _: isinstance(x, Value) and x.ndim > 0 and x.dtype.kind in "iu",
}


def are_for_blas(v: Value, M: Value) -> bool:
    """Have a vector and a matrix one dtype, and is the matrix none that matmul would have to copy first?

    It copies unaligned elements and those of another byte order: v @ M and M.T @ v are then summed in other orders.
    """
    return v.dtype == M.dtype and v.dtype.isnative and M.example.flags.aligned


OPERATOR_OF = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.MatMult: np.matmul,
    ast.BitAnd: np.bitwise_and,
    ast.USub: np.negative,
}
COMMUTATIVE = {np.add, np.multiply}


class Term(NamedTuple):
    """A call in a rule; its arguments are Terms, variables (str), and constants."""

    call: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Rule(NamedTuple):
    """A line, and its two sides."""

    text: str
    left: Term
    right: Any


class Variable(str):
    """A name in a rule."""


def parsed(node: Any) -> Any:
    """One side of a rule, from its syntax tree."""
    match node:
        case ast.BinOp():
            return Term(OPERATOR_OF[type(node.op)], (parsed(node.left), parsed(node.right)), {})
        case ast.UnaryOp(operand=ast.Constant(int(value))):
            return -value
        case ast.UnaryOp():
            return Term(OPERATOR_OF[type(node.op)], (parsed(node.operand),), {})
        case ast.Attribute(attr="T"):
            return Term(np.transpose, (parsed(node.value),), {})
        case ast.Subscript():
            return Term(operator.getitem, (parsed(node.value), parsed(node.slice)), {})
        case ast.Call():
            keywords = {k.arg: parsed(k.value) for k in node.keywords}
            return Term(parsed(node.func), tuple(map(parsed, node.args)), keywords)  # type: ignore[arg-type]
        case ast.Attribute():
            return getattr(parsed(node.value), node.attr)
        case ast.Name(id):
            return {"np": np, "astype": astype, "assigned": assigned}.get(id, Variable(id))
        case ast.Constant(value):
            return value
        case ast.Tuple():
            return tuple(map(parsed, node.elts))
        case ast.Slice():
            return slice(None)


@cache
def parse_rules(text: str) -> dict[Any, list[Rule]]:
    """The rules of a text, by the call that they rewrite."""
    rules: dict[Any, list[Rule]] = {}
    for line in filter(None, text.splitlines()):
        left, right = (parsed(ast.parse(side.strip(), mode="eval").body) for side in line.split(" = "))
        rules.setdefault(left.call, []).append(Rule(line, left, right))
    return rules


def has_a_name(x: Value) -> bool:
    """Is a value named, by the user or as a gradient?"""
    return x.name.rank <= USERS or bool(x.gradient_of and x.ndim > 0)


def matches(pattern: Any, x: Any, bound: dict[str, Any], top: bool = False, through: bool = False) -> bool:
    """Does a value match the left side of a rule? Binds the variables of the rule in `bound`.

    Args:
        through: look into gradients too: for a rule that leaves nothing of them, such as -(-x) = x.
    """
    if isinstance(pattern, Variable):
        if pattern in bound:
            return bound[pattern] is x or (not isinstance(x, Value) and equal_constants(bound[pattern], x))
        bound[pattern] = x
        return pattern not in VARIABLES or VARIABLES[pattern](x, bound)
    if not isinstance(pattern, Term):
        if isinstance(pattern, bool):
            return x is pattern
        if isinstance(pattern, int):
            return number(x) == pattern and (pattern != 0 or not np.signbit(number(x)))
        return equal_constants(pattern, x)
    if not isinstance(x, Value) or x.call != pattern.call:
        return False
    if not top and (x.name.rank <= USERS if through else has_a_name(x)):
        return False
    if len(x.args) != len(pattern.args) or x.kwargs.keys() != pattern.kwargs.keys():
        return False
    orders = [pattern.args, pattern.args[::-1]] if pattern.call in COMMUTATIVE else [pattern.args]
    for args in orders:
        trial = dict(bound)
        pairs = [*zip(args, x.args), *((p, x.kwargs[key]) for key, p in pattern.kwargs.items())]
        if all(matches(p, a, trial, through=through) for p, a in pairs):
            bound |= trial
            return True
    return False


def equal_constants(pattern: Any, x: Any) -> bool:
    """Is a constant the one in a rule?"""
    if isinstance(pattern, tuple):
        return type(x) is tuple and len(x) == len(pattern) and all(map(equal_constants, pattern, x))
    return type(x) is type(pattern) and not isinstance(x, np.ndarray) and x == pattern


def instantiated(term: Any, bound: dict[str, Any]) -> Any:
    """The right side of a rule with its variables replaced by the values they are bound to."""
    if isinstance(term, Variable):
        return bound[term]
    if not isinstance(term, Term):
        return term
    if term.call == "DTYPE":
        return bound["DTYPE"].type(*term.args)
    kwargs = {key: instantiated(x, bound) for key, x in term.kwargs.items()}
    return new_value(instantiated(term.call, bound), *(instantiated(a, bound) for a in term.args), **kwargs)
