"""The rules by which a traced program is made simpler: each a line, each exact.

A rule holds to the last bit for every value of its variables, NaN, infinities and signed zeros included; those of
INEXACT do not, and are left out unless asked for. What a name in a rule stands for, VARIABLES tells. No rule has to
look after dtypes, shapes and layouts: a result of another is not taken (layouts count where elements are added up, as
BLAS and sums do it in an order that depends on where they lie). And none looks into a value that has a name: what the
user or the slides call something stays.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.tracer import UPDATES, USERS, Value, assigned, astype, examples, mapped, values_in

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
np.positive(t) = t
np.positive(x, dtype=dtype) = astype(x, DTYPE)
np.positive(x, dtype=dtype, casting=casting) = astype(x, DTYPE)
np.reshape(-a, shape) = -np.reshape(a, SHAPE)
np.copy(t) = t
np.pad(t, width) = t
mask & True = mask
np.real(x) = x
np.conjugate(r) = r
astype(x, dtype) = x
np.reshape(x, shape) = x
np.reshape(np.reshape(x, shape), last) = np.reshape(x, SHAPE)
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
"""

INEXACT = """
x + 0 = x
0 * x = np.zeros(SHAPE, DTYPE)
-(x - y) = y - x
"""

#: What a name in a rule stands for, given what others do; every other name for anything.
VARIABLES: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "mask": lambda x, _: isinstance(x, Value) and x.dtype == bool,
    "r": lambda x, _: isinstance(x, Value) and x.dtype.kind in "fiub",
    "a": lambda x, _: isinstance(x, Value) and x.dtype.kind == "f",
    "b": lambda x, _: isinstance(x, Value | int | float | np.generic) and np.result_type(examples(x)).kind in "fiu",
    "v": lambda x, _: isinstance(x, Value) and x.ndim == 1,
    "w": lambda x, _: isinstance(x, Value) and x.ndim == 1,
    "M": lambda x, known: isinstance(x, Value) and x.ndim == 2 and ("v" not in known or x.dtype == known["v"].dtype),
    "ids": lambda x, _: isinstance(x, Value) and x.ndim > 0 and x.dtype.kind in "iu",
    "t": lambda x, _: isinstance(x, Value) and not x.written,
}

SIGNS = {
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
    words: str
    left: Term
    right: Any


class Variable(str):
    """A name in a rule."""


def parsed(node: Any) -> Any:
    """A side of a rule, from Python's own parser."""
    match node:
        case ast.BinOp():
            return Term(SIGNS[type(node.op)], (parsed(node.left), parsed(node.right)), {})
        case ast.UnaryOp(operand=ast.Constant(int(value))):
            return -value
        case ast.UnaryOp():
            return Term(SIGNS[type(node.op)], (parsed(node.operand),), {})
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


def read(text: str) -> dict[Any, list[Rule]]:
    """Rules by the call that they rewrite."""
    rules: dict[Any, list[Rule]] = {}
    for line in filter(None, text.splitlines()):
        left, right = (parsed(ast.parse(side.strip(), mode="eval").body) for side in line.split(" = "))
        rules.setdefault(left.call, []).append(Rule(line, left, right))
    return rules


def number(x: Any) -> Any:
    """The number that a constant is, or is a repetition of; None for anything else."""
    if isinstance(x, Value):
        return number(repeated(x)) if x.call in (np.broadcast_to, np.full) else None
    return x if isinstance(x, int | float | complex | np.number) and not isinstance(x, bool) else None


def repeated(x: Value) -> Any:
    """What np.broadcast_to and np.full repeat."""
    return x.args[1 if x.call is np.full else 0]


def has_a_name(x: Value) -> bool:
    return x.name.rank <= USERS or bool(x.gradient_of and x.ndim > 0)


def matches(pattern: Any, x: Any, bound: dict[str, Any], top: bool = False) -> bool:
    """Is x what a side of a rule says? What its variables stand for goes into `bound`."""
    if isinstance(pattern, Variable):
        if pattern in bound:
            return bound[pattern] is x or (not isinstance(x, Value) and same(bound[pattern], x))
        bound[pattern] = x
        return pattern not in VARIABLES or VARIABLES[pattern](x, bound)
    if not isinstance(pattern, Term):
        if isinstance(pattern, bool):
            return x is pattern
        if isinstance(pattern, int):
            return number(x) == pattern and (pattern != 0 or not np.signbit(number(x)))
        return same(pattern, x)
    if not isinstance(x, Value) or x.call != pattern.call or (has_a_name(x) and not top):
        return False
    if len(x.args) != len(pattern.args) or x.kwargs.keys() != pattern.kwargs.keys():
        return False
    orders = [pattern.args, pattern.args[::-1]] if pattern.call in COMMUTATIVE else [pattern.args]
    for args in orders:
        trial = dict(bound)
        pairs = [*zip(args, x.args), *((p, x.kwargs[key]) for key, p in pattern.kwargs.items())]
        if all(matches(p, a, trial) for p, a in pairs):
            bound |= trial
            return True
    return False


def same(pattern: Any, x: Any) -> bool:
    """Is a constant of a rule this one?"""
    if isinstance(pattern, tuple):
        return type(x) is tuple and len(x) == len(pattern) and all(map(same, pattern, x))
    return type(x) is type(pattern) and not isinstance(x, np.ndarray) and x == pattern


def made(term: Any, bound: dict[str, Any]) -> Any:
    """The other side of a rule, as a Value."""
    if isinstance(term, Variable):
        return bound[term]
    if not isinstance(term, Term):
        return term
    if term.call == "DTYPE":
        return bound["DTYPE"].type(*term.args)
    kwargs = {key: made(x, bound) for key, x in term.kwargs.items()}
    return make(made(term.call, bound), *(made(a, bound) for a in term.args), **kwargs)


def make(call: Any, *args: Any, **kwargs: Any) -> Value:
    """A call, its example computed."""
    with np.errstate(all="ignore"):
        return Value(call, args, kwargs, call(*examples(args), **examples(kwargs)))


class Simplifier:
    """Rebuilds Values, arguments first, in simpler form; what is computed twice becomes one Value."""

    def __init__(self, exact: bool = True) -> None:
        self.rules = read(RULES if exact else INEXACT + RULES)
        self.known: dict[Any, Any] = {}  # the simplest form of each call
        self.simple: dict[Value, None] = {}  # the Values that are as simple as they get, in the order of their making

    def __call__(self, old: Value, new: dict[Value, Any]) -> Any:
        """The simplest form of a Value; `new` holds that of what came before it."""
        if old.call is None:
            self.simple[old] = None
            return old
        args, kwargs = mapped(new.__getitem__, Value, (old.args, old.kwargs))
        args = tuple(self.built(symbolic(x)) for x in args)
        example = old.example
        if isinstance(example, np.ndarray) and example.base is not None:  # a view now of what its argument is now
            with np.errstate(all="ignore"):
                example = old.call(*examples(args), **examples(kwargs))
        fresh = Value(old.call, *usual(old.call, args, kwargs), example)
        for attribute in "name", "gradient_of", "dynamic", "activated", "written", "layout_counts":
            setattr(fresh, attribute, getattr(old, attribute))
        return self.simplest(fresh)

    def simplest(self, value: Value) -> Any:
        """The simplest form of a Value whose arguments are as simple as they get."""
        key = value.call, frozen(value.args), frozen(value.kwargs)
        if key not in self.known or not lies(self.known[key], value):
            better = next((x for x in self.candidates(value) if fits(x, value)), None)
            if better is None:
                self.simple[value] = None
            self.known[key] = value if better is None else self.built(better, value.layout_counts)
        result = self.known[key]
        if isinstance(result, Value) and result is not value:
            result.adopt(value.name)
            result.activated |= value.activated
            result.layout_counts |= value.layout_counts
            result.gradient_of = result.gradient_of + [of for of in value.gradient_of if of not in result.gradient_of]
        return result

    def built(self, x: Any, layout_counts: bool = False) -> Any:
        """The simplest form of what a rule has made."""
        if not isinstance(x, Value) or x in self.simple:
            return x
        args, kwargs = mapped(lambda v: self.built(v, layout_counts), Value, (x.args, x.kwargs))
        fresh = Value(x.call, *usual(x.call, args, kwargs), x.example)
        fresh.layout_counts = layout_counts
        return self.simplest(fresh)

    def candidates(self, value: Value) -> Iterable[Any]:
        """What a value might be instead."""
        yield folded(value)
        yield spread(value)
        yield filled(value)
        for rule in self.rules.get(value.call, ()):
            bound: dict[str, Any] = {}
            if matches(rule.left, value, bound, top=True):
                yield made(rule.right, bound | {"SHAPE": value.shape, "DTYPE": value.dtype})


#: how their results lie depends on how their arguments do
PASSING: set[Any] = {
    np.where,
    np.transpose,
    np.reshape,
    np.broadcast_to,
    np.swapaxes,
    np.moveaxis,
    np.expand_dims,
    np.squeeze,
}
PASSING |= {np.copy, np.real, np.imag, np.flip, np.ravel, np.zeros_like, np.ones_like, operator.getitem, astype}
PASSING |= {np.concatenate, np.stack, np.pad, np.cumsum, np.sort, np.max, np.min, np.any, np.all, np.take_along_axis}
#: they compute the same wherever elements lie, and their results lie in order
ORDERLY: set[Any] = {np.take, np.outer, np.argsort, np.argmax, np.argmin, np.zeros, np.full}


def let_layouts_count(values: Iterable[Value], kept: list[Any]) -> None:
    """Mark the Values that something adds up, now or, where they are kept, the next time."""
    for x in kept:
        if hasattr(x, "trace"):
            x.value.layout_counts = True
    for v in reversed(list(values)):
        if v.call in ORDERLY:
            continue
        if v.layout_counts or not (is_elementwise(v.call) or v.call in PASSING or v.call in UPDATES):
            for x in values_in((v.args, v.kwargs)):
                x.layout_counts = True


def is_elementwise(call: Any) -> bool:
    return isinstance(call, np.ufunc) and call.signature is None


def fits(x: Any, value: Value) -> bool:
    """Can x stand where value stands?"""
    if x is None or x is value:
        return False
    example = x.example if isinstance(x, Value) else x
    if isinstance(example, tuple) or isinstance(value.example, tuple):
        return False
    same_kind = np.shape(example) == value.shape and np.result_type(example) == np.result_type(value.example)
    return same_kind and lies(x, value)


def lies(x: Any, value: Value) -> bool:
    """Do the elements of x lie as those of value do, where that counts?"""
    return not value.layout_counts or layout(examples(x)) == layout(value.example)


def layout(x: Any) -> list[int]:
    """How far apart the elements are, along each axis that has several."""
    return [step for n, step in zip(x.shape, x.strides) if n > 1] if isinstance(x, np.ndarray) and x.size else []


def symbolic(x: Any) -> Any:
    """An array in which one number is repeated, as that."""
    if isinstance(x, np.ndarray) and x.size and x.dtype.kind in "fc":
        first = x.flat[0]
        if x.ndim == 0:
            return first
        if np.all(x.view() == first) and not np.any(np.signbit(x.real) != np.signbit(first.real)):
            full = make(np.full, x.shape, first)
            return full if layout(full.example) == layout(x) else make(np.broadcast_to, first, x.shape)
    return x


MADE_OF_A_NUMBER: set[Any] = {np.broadcast_to, np.full, np.zeros, np.zeros_like}


def folded(value: Value) -> Any:
    """What is computed from constants alone, if it is a number, one number repeated, or an array that stands there."""
    if value.call in MADE_OF_A_NUMBER and not (value.call is np.full and value.ndim == 0):
        return None
    if all(number(v) is not None for v in values_in((value.args, value.kwargs))):
        result = symbolic(value.example)
        same = any(isinstance(x, np.ndarray) and np.array_equal(x, value.example) for x in value.args)
        return result if same or not isinstance(result, np.ndarray) else None
    return None


def spread(value: Value) -> Any:
    """An elementwise call of something repeated: of that itself, repeated as far as need be."""
    if value.call in UPDATES and number(value.args[-1]) is not None and isinstance(value.args[-1], Value):
        return make(value.call, *value.args[:-1], number(value.args[-1]))
    if not (is_elementwise(value.call) or value.call is np.where) or value.kwargs:
        return None
    once = [repeated(x) if is_repetition(x) else x for x in value.args]
    if all(x is full for x, full in zip(once, value.args)):
        return None
    result = make(value.call, *once)
    return result if result.shape == value.shape else make(np.full, value.shape, result)


def is_repetition(x: Any) -> bool:
    """Is it something repeated to fill an array, and has the user no name for it?"""
    return isinstance(x, Value) and x.call in (np.broadcast_to, np.full) and x.name.rank > USERS


def filled(value: Value) -> Any:
    """Zeros of which every element is assigned: what is assigned, in their shape."""
    if value.call is not assigned or not isinstance(value.args[0], Value) or value.args[0].call is not np.zeros:
        return None
    _, index, new = value.args
    parts = index if isinstance(index, tuple) else (index,)
    if isinstance(new, Value) and all(p is None or p is ... or (type(p) is slice and p == slice(None)) for p in parts):
        return make(np.reshape, new, value.shape) if new.example.size == value.example.size else None
    return None


@functools.cache
def defaults(call: Any) -> dict[str, Any]:
    """The defaults of a function's parameters, in their order."""
    try:
        parameters = inspect.signature(call).parameters
    except (ValueError, TypeError):
        return {}
    return {name: p.default for name, p in parameters.items()}


USUAL: dict[str, Any] = {"keepdims": False, "where": True, "axis": None, "dtype": None, "order": "C", "ddof": 0}
USUAL |= {"casting": "same_kind", "optimize": False}


def usual(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments without those that say what goes without saying."""
    known = defaults(call) if call is not operator.getitem else {}
    in_order = [*known.values()]
    while 0 < len(args) <= len(known) and type(args[-1]) in (type(None), str) and in_order[len(args) - 1] == args[-1]:
        args = args[:-1]
    says = {k: x[0] if k == "axis" and type(x) is tuple and len(x) == 1 else x for k, x in kwargs.items()}
    usually = {k: known.get(k, np._NoValue) for k in says}  # 0 for np.concatenate's axis: there None says something
    says = {k: x for k, x in says.items() if not (k in USUAL and x is USUAL[k] and usually[k] in (x, np._NoValue))}
    if call is np.sum and type(says.get("initial")) is int and says["initial"] == 0:
        del says["initial"]
    return args, says


def frozen(x: Any) -> Any:
    """Arguments as the key of a dict."""
    if isinstance(x, Value):
        return id(x)
    if isinstance(x, tuple | list):
        return type(x), tuple(map(frozen, x))
    if isinstance(x, dict):
        return tuple((key, frozen(value)) for key, value in x.items())
    if isinstance(x, slice):
        return slice, frozen((x.start, x.stop, x.step))
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype, x.shape, x.tobytes()
    return type(x), repr(x) if isinstance(x, float) else x
