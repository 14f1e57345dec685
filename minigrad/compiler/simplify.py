"""Simplification: a recorded run becomes a Program, by constant folding, the rules, and common subexpressions.

Values that nothing needs stay in the Program: the schedule leaves them out.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad.compiler.examples import layout
from minigrad.compiler.layout import mark_layout_sensitive, same_layout
from minigrad.compiler.program import (
    UPDATES,
    USERS,
    Derivative,
    Program,
    Value,
    assigned,
    examples,
    is_elementwise,
    is_number_repeated,
    is_scatter,
    made_from,
    mapped,
    new_value,
    number,
    operands,
    repeated,
    root,
    stored,
    viewed,
    views_in,
)
from minigrad.compiler.record import Arguments, Recorded
from minigrad.compiler.rules import INEXACT, RULES, Variable, instantiated, matches, parse_rules
from minigrad.compiler.source import bits
from minigrad.compiler.tracer import Tracer
from minigrad.engine import stop_gradient as plain
from minigrad.sparse import RowSparse
from minigrad.trees import leaves, map_leaves


def simplified(name: str, arguments: Arguments, recorded: Recorded, exact: bool) -> Program:
    """The program of a recorded run, simplified.

    Args:
        exact: use only the rules that hold to the last bit.
    """
    rebound = [now for _, now in recorded.rebound]
    kept = tracers_in(rebound)
    ends = [t.value for t in (*kept, *tracers_in(recorded.output))]  # of a view: recorded here
    mark_layout_sensitive(recorded.values, ends[: len(kept)])

    simplifier = Simplifier(exact)
    simplest: dict[Value, Any] = dict(recorded.constants)
    for value in recorded.values:
        if value not in simplest:
            simplest[value] = simplifier(value, simplest)
    wrong = partial_derivatives(recorded.values, simplest)
    for value in simplifier.simple:
        total = [d for d in value.gradient_of if d not in wrong]
        found = [Derivative(simplest[d.of], simplest[d.by], simplest[d.seed] if d.seed else None) for d in total]
        value.gradient_of = [d for d in found if isinstance(d.of, Value) and isinstance(d.by, Value)]

    results = Results(simplest, [*simplifier.simple], {first: last for _, first, last in recorded.written})
    new = [map_leaves(lambda x: results.final(x, results.held), now) for now in rebound]
    output = map_leaves(lambda x: results.final(x, results.returned), recorded.output)
    return Program(
        name=name,
        parameters=[parameter for parameter, _ in arguments.all],
        inputs=recorded.inputs,
        captured=[value for _, value in recorded.captured],
        values=results.values,
        writes=results.writes,
        output=(output, *new) if new else output,
    )


def partial_derivatives(values: list[Value], simplest: dict[Value, Any]) -> set[Derivative]:
    """The derivatives by a variable that was recorded several times and is one now: each is a part of the whole.

    Where all others are computed from one of them (x from x.reshape(3)), the derivative by that one is the whole.
    """
    claims: dict[tuple[Any, ...], dict[Value, Derivative]] = {}
    for value in values:
        for d in value.gradient_of:
            key = tuple(id(simplest[x]) if x is not None else None for x in d)
            claims.setdefault(key, {})[d.by] = d
    wrong: set[Derivative] = set()
    for found in claims.values():
        if len(found) > 1:
            first = next((x for x in found if all(x in made_from([other]) for other in found)), None)
            wrong |= {d for x, d in found.items() if x is not first}
    return wrong


def tracers_in(tree: Any) -> list[Tracer]:
    """The tracers among the leaves of a tree, those in row-sparse gradients too."""
    found = map(plain, leaves(tree))
    inside = (e for x in found for e in ([e for part in x._parts for e in part] if isinstance(x, RowSparse) else [x]))
    return [x for x in inside if isinstance(x, Tracer)]


class Results:
    """The writes and the output of a program: each array in memory of its own, unless the user's shared theirs.

    Args:
        simplest: the simplest form of each recorded Value.
        values: these, in the order in which they are computed; copies and writes are added.
        last: of each input that was written into, the recorded Value that it has at the end.
    """

    def __init__(self, simplest: dict[Value, Any], values: list[Value], last: dict[Value, Value]) -> None:
        self.simplest, self.values = simplest, values
        self.after = {first: first for first in values if first.call is None}  # the inputs as a run leaves them
        self.owners: dict[Value, Any] = {first: first for first in self.after}  # whose memory a value may be in
        for v in values:
            for first in v.versions_of:
                self.owners.setdefault(v, first)
        end = {first: simplest[v] for first, v in last.items() if simplest[v] is not first}
        for first, v in end.items():
            owner = self.owners.get(root(v, self.owners)) if isinstance(v, Value) else None
            if owner in end and v is not end[owner]:  # it will have been written over
                v = self.inserted(new_value(np.copy, v), after=v)
            self.after[first] = new_value(stored, first, v)
        self.writes = [self.after[first] for first in end]
        self.values += self.writes

    def inserted(self, value: Value, after: Value) -> Value:
        self.values.insert(self.values.index(after) + 1, value)
        return value

    def final(self, x: Any, array: Callable[[Tracer], Any]) -> Any:
        """A leaf of the output; `array` makes it where it was traced."""
        x = plain(x)
        if isinstance(x, RowSparse):
            parts = [(mapped(lambda t: self.simplest[t.value], Tracer, ids), rows) for ids, rows in x._parts]
            return RowSparse([(ids, self.final(rows, array)) for ids, rows in parts], x.shape, x._merged)
        return array(x) if isinstance(x, Tracer) else x

    def held(self, x: Tracer) -> Any:
        """An array that is stored where it is found again: an input, or a view of one, if the user's is."""
        first = x.storage.first
        if first not in self.after:
            return self.own(x, x.storage)
        value = self.after[first]
        for step in x.steps:
            step = step._replace(args=mapped(self.simplest.__getitem__, Value, step.args))
            value = step.on(value, lambda call, args, kwargs: new_value(call, *args, **kwargs))
            self.values.append(value)
        return value

    def returned(self, x: Tracer) -> Any:
        """An array that is returned."""
        return self.own(x, object())

    def own(self, x: Tracer, owner: Any) -> Any:
        """The value of an array, in memory that nothing shares but what has the same owner."""
        value, is_array = self.simplest[x.value], isinstance(x.value.example, np.ndarray)
        if not isinstance(value, Value):
            return np.asarray(value) if is_array else value
        if not is_array:
            return value
        is_shared = self.owners.setdefault(root(value, self.owners), owner) is not owner
        if not is_shared and isinstance(value.example, np.ndarray) and 0 not in layout(value.example):
            return value
        copied = new_value(np.full, value.shape, repeated(value)) if is_number_repeated(value) else None
        return self.inserted(copied or new_value(np.copy, value), after=value)


class Simplifier:
    """Rebuilds Values in their simplest form, arguments first. Equal calls become one Value."""

    def __init__(self, exact: bool = True) -> None:
        self.rules = parse_rules(RULES if exact else INEXACT + RULES)
        self.known: dict[Any, Any] = {}  # the simplest form of each call
        self.simple: dict[Value, None] = {}  # the Values in their simplest form, in the order in which they were made

    def __call__(self, old: Value, new: dict[Value, Any]) -> Any:
        """The simplest form of a Value; `new` holds the forms of its arguments."""
        if old.call is None:
            self.simple[old] = None
            return old
        args, kwargs = mapped(new.__getitem__, Value, (old.args, old.kwargs))
        if old.call is not np.power:  # that of an array is not that of a number
            args = tuple(self.rebuilt(symbolic(x)) for x in args)
        example = old.example
        is_view = bool(views_in(old)) and viewed(old) is not None
        if is_view:  # of the new argument's example
            with np.errstate(all="ignore"):
                example = old.call(*examples(args), **examples(kwargs))
        fresh = Value(old.call, *canonical_arguments(old.call, args, kwargs), example)
        fresh.hollow |= old.hollow
        for attribute in "name", "gradient_of", "dynamic", "activated", "versions_of", "layout_sensitive":
            setattr(fresh, attribute, getattr(old, attribute))
        return self.simplest(fresh)

    def simplest(self, value: Value) -> Any:
        """The simplest form of a Value whose arguments are in theirs."""
        key = value.call, frozen(value.args), frozen(value.kwargs)
        if key not in self.known or not same_layout(self.known[key], value):
            better = next((x for x in self.candidates(value) if can_replace(x, value)), None)
            if better is None:
                self.simple[value] = None
            self.known[key] = value if better is None else self.rebuilt(better, value.layout_sensitive)
        result = self.known[key]
        if isinstance(result, Value) and result is not value:
            result.adopt(value.name)
            result.activated |= value.activated
            result.versions_of |= value.versions_of
            result.layout_sensitive |= value.layout_sensitive
            result.gradient_of = result.gradient_of + [of for of in value.gradient_of if of not in result.gradient_of]
        return result

    def rebuilt(self, x: Any, layout_sensitive: bool = False) -> Any:
        """The simplest form of the result of a rewrite."""
        if not isinstance(x, Value) or x in self.simple:
            return x
        args, kwargs = mapped(lambda v: self.rebuilt(v, layout_sensitive), Value, (x.args, x.kwargs))
        fresh = Value(x.call, *canonical_arguments(x.call, args, kwargs), x.example)
        fresh.layout_sensitive, fresh.hollow = layout_sensitive, fresh.hollow or x.hollow
        return self.simplest(fresh)

    def candidates(self, value: Value) -> Iterable[Any]:
        """The forms that the passes and the rules propose for a value."""
        if not value.dynamic:
            yield fold_constants(value)
            yield push_broadcast_out(value)
            yield drop_overwritten_zeros(value)
        for rule in self.rules.get(value.call, ()):
            if value.dynamic and "SHAPE" in rule.text:  # it would spell out the shape of the example
                continue
            bound: dict[str, Any] = {}
            if matches(rule.left, value, bound, top=True, through=isinstance(rule.right, Variable)):
                yield instantiated(rule.right, bound | {"SHAPE": value.shape, "DTYPE": value.dtype})


def can_replace(x: Any, value: Value) -> bool:
    """Has x the shape and dtype of a value, and its layout where that matters?"""
    if x is None or x is value:
        return False
    example = x.example if isinstance(x, Value) else x
    if isinstance(example, tuple) or isinstance(value.example, tuple):
        return False
    if kind_of_array(example) is not kind_of_array(value.example):
        return False
    one, other = np.asarray(example), np.asarray(value.example)  # np.result_type would not tell byte orders apart
    same_kind = one.shape == other.shape and one.dtype == other.dtype
    return same_kind and same_layout(x, value)


def kind_of_array(x: Any) -> type:
    """An array, a scalar of NumPy's or a number of Python's: functions treat one as they do no other."""
    return next(kind for kind in (np.ndarray, np.generic, object) if isinstance(x, kind))


def symbolic(x: Any, like: Any = None) -> Any:
    """An array that repeats one number, as the call that makes it, in the layout of another if it is given."""
    if isinstance(x, np.ndarray) and x.size and x.dtype.kind in "fc":
        first = x.flat[0]
        if x.ndim == 0:
            return first
        if np.all(x.view() == first) and not np.any(np.signbit(x.real) != np.signbit(first.real)):
            full = new_value(np.full, x.shape, first)
            same = layout(full.example) == layout(x if like is None else like)
            return full if same else new_value(np.broadcast_to, first, x.shape)
    return x


MADE_FROM_A_NUMBER: set[Any] = {np.broadcast_to, np.full, np.zeros, np.zeros_like}


def fold_constants(value: Value) -> Any:
    """The result of a call on constants alone: a number, one number repeated, or one of the constants."""
    if value.call in MADE_FROM_A_NUMBER and not (value.call is np.full and value.ndim == 0):
        return None
    if all(number(v) is not None for v in operands(value)):
        example = content(value)
        result = symbolic(example, value.example)
        unchanged = any(isinstance(x, np.ndarray) and np.array_equal(x, example) for x in value.args)
        return result if unchanged or not isinstance(result, np.ndarray) else None
    return None


def content(value: Value) -> Any:
    """The example of a call on constants and repeated numbers."""
    if not value.hollow:
        return value.example
    args, kwargs = mapped(lambda v: np.full_like(v.example, number(v))[()], Value, (value.args, value.kwargs))
    return new_value(value.call, *args, **kwargs).example  # of constants alone: not hollow


def push_broadcast_out(value: Value) -> Any:
    """An elementwise call on a repeated value: the call on the value itself, and its result repeated if need be."""
    places = value.call is assigned or is_scatter(value)
    if places and isinstance(value.args[-1], Value) and number(value.args[-1]) is not None:
        return new_value(value.call, *value.args[:-1], number(value.args[-1]))
    if not (is_elementwise(value.call) or value.call is np.where) or value.kwargs:
        return None
    once = [repeated(x) if is_repetition(x) else x for x in value.args]
    if all(x is full for x, full in zip(once, value.args)):
        return None
    if value.call is np.power and (once[0] is not value.args[0] or value.args[1].call is np.full):
        return None  # NumPy has other loops for numbers, and for one exponent: -inf ** 0.5 is inf or nan
    result = new_value(value.call, *once)
    return result if result.shape == value.shape else new_value(np.full, value.shape, result)


def is_repetition(x: Any) -> bool:
    """Is it a value repeated to fill an array, which the user has not named?"""
    return isinstance(x, Value) and x.call in (np.broadcast_to, np.full) and x.name.rank > USERS


def drop_overwritten_zeros(value: Value) -> Any:
    """An assignment to every element of zeros: the assigned value, in their shape."""
    if value.call is not assigned or not isinstance(value.args[0], Value) or value.args[0].call is not np.zeros:
        return None
    _, index, new = value.args
    parts = index if isinstance(index, tuple) else (index,)
    if isinstance(new, Value) and all(p is None or p is ... or (type(p) is slice and p == slice(None)) for p in parts):
        return new_value(np.reshape, new, value.shape) if new.example.size == value.example.size else None
    return None


@functools.cache
def defaults(call: Any) -> dict[str, Any]:
    """The defaults of a function's parameters, in their order."""
    try:
        parameters = inspect.signature(call).parameters
    except (ValueError, TypeError):
        return {}
    return {name: p.default for name, p in parameters.items()}


#: Keywords that mean nothing at these values.
NEUTRAL: dict[str, Any] = {"keepdims": False, "where": True, "axis": None, "dtype": None, "order": "C", "ddof": 0}
NEUTRAL |= {"casting": "same_kind", "optimize": False}


def canonical_arguments(
    call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call without those that equal the defaults."""
    if call in UPDATES:
        return args, kwargs
    known = defaults(call) if call is not operator.getitem else {}
    in_order = [*known.values()]
    while 0 < len(args) <= len(known) and type(args[-1]) in (type(None), str) and in_order[len(args) - 1] == args[-1]:
        args = args[:-1]
    given = {k: x[0] if k == "axis" and type(x) is tuple and len(x) == 1 else x for k, x in kwargs.items()}
    default = {k: known.get(k, np._NoValue) for k in given}  # 0 for np.concatenate's axis: None has a meaning there
    given = {
        k: x for k, x in given.items() if not (k in NEUTRAL and x is NEUTRAL[k] and default[k] in (x, np._NoValue))
    }
    if call is np.sum and type(given.get("initial")) is int and given["initial"] == 0:
        del given["initial"]
    return args, given


def frozen(x: Any) -> Any:
    """Arguments as the key of a dict, to find common subexpressions."""
    if isinstance(x, Value):
        return id(x)
    if isinstance(x, tuple | list):
        return type(x), tuple(map(frozen, x))
    if isinstance(x, dict):
        return tuple((key, frozen(value)) for key, value in x.items())
    if isinstance(x, slice):
        return slice, frozen((x.start, x.stop, x.step))
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype, x.shape, bits(x)
    return type(x), repr(x) if isinstance(x, float) else x
