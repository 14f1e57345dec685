"""The program of a page that computes itself: the forward and the backward pass as a list of a few kinds of op.

The graph's ops run again on tracers, and the passes back through them too. The calls of NumPy that they record are
simplified, as those of `derive` are, and written in the vocabulary of page/arrays.js: elementwise functions,
reductions, sums of products, and moves of elements. A call that is not among them keeps its name, and the page says
that it does not know it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad._tensor import Tensor
from minigrad.compiler.program import (
    UPDATES,
    Value,
    assigned,
    astype,
    changed,
    is_elementwise,
    made_from,
    operands,
    values_in,
)
from minigrad.compiler.record import recording_lock
from minigrad.compiler.simplify import Simplifier
from minigrad.compiler.tracer import Refused, Trace, Tracer
from minigrad.engine import Array, Node, leaf
from minigrad.engine import stop_gradient as plain
from minigrad.errors import not_the_same
from minigrad.generators import State
from minigrad.mode import mode, recording
from minigrad.node import UNCHANGING, is_repeatable
from minigrad.sparse import RowSparse
from minigrad.text import op_name
from minigrad.trees import leaves
from minigrad.viz.graph import Graph, align, build, has_box, shown
from minigrad.walk import ancestors, arguments

MAX_CONSTANTS = 20_000  # elements of the arrays that the program holds itself

#: What a body that is no program of NumPy calls raises on tracers.
FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class NotLive(Exception):
    """Why a page cannot compute its graph."""


class Live:
    """A graph on tracers: for each of its boxes a twin, whose arrays are tracers.

    Raises:
        NotLive: where an op is not made of NumPy calls on its arguments.
    """

    def __init__(self, graph: Graph) -> None:
        with self.tracing():
            self.trace, self.simplify = Trace(), Simplifier()
            self.simplest: dict[Value, Any] = {}
            self.moving: set[Value] = set()  # of the simplest, those that depend on what is given
            twins = self.all_twins(graph)
            self.calls = calls(graph)
            try:
                self.graph = build(twins[id(graph.root.node)], backward=True)
                align(self.graph, graph)
                self.twins = {box.key: box for box in self.graph.boxes}
            except FAILURES as error:
                raise NotLive(f"its backward pass is not made of NumPy calls alone ({first_line(error)})") from error

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Let ops record on tracers, whatever the user's blocks say."""
        with recording_lock, recording(True), np.errstate(all="ignore"):
            before, mode.tracing = mode.tracing, True
            try:
                yield
            finally:
                mode.tracing, Refused.first = before, None

    def all_twins(self, graph: Graph) -> dict[int, Any]:
        """The twins of all Tensors by their ids: leaves that hold tracers, and what the ops compute from them."""
        assert graph.root.node is not None
        twins: dict[int, Any] = {}

        def twin(x: Any) -> Any:
            if id(x) not in twins and has_box(x) and not isinstance(x, Node):
                twins[id(x)] = self.trace.input(x, "c") if np.asarray(x).dtype.kind == "f" else x
            return twins.get(id(x), x)

        for node in reversed(ancestors(graph.root.node)):  # the oldest first
            if node._data.dtype.kind == "c":
                raise NotLive("it has complex numbers")
            if node._op is None:
                twins[id(node)] = leaf(object.__new__(Tensor), self.trace.input(node._data, "x"))
                continue
            try:
                twins[id(node)] = run_again(node, [*map(twin, arguments(node))])
            except FAILURES as error:
                name = op_name(node._op)
                raise NotLive(f"the op {name} is not made of NumPy calls alone ({first_line(error)})") from error
        return twins

    def serves(self, graph: Graph) -> bool:
        """Does another graph of the same boxes compute the same, from other arrays?"""
        return self.calls == calls(graph)

    def total(self, x: Any, y: Any) -> Any:
        """The sum of two gradients of the twins."""
        with self.tracing():
            return x + y

    def value(self, x: Array, traced: Any) -> Value | None:
        """The Value of an array that the page shows, of a row-sparse gradient of its rows; None if fixed.

        Equal calls have one.
        """
        if isinstance(traced, RowSparse):
            with self.tracing():
                first = traced.look_ups[0][1]
                whole = np.zeros_like(first, shape=traced.shape)
                for ids, rows in traced.look_ups:
                    np.add.at(whole, ids, rows)
                traced = whole[x.indices]
        if not isinstance(traced, Tracer):
            return None
        for v in self.trace.values[len(self.simplest) :]:
            known = len(self.simplify.simple)
            self.simplest[v] = self.simplify(v, self.simplest)
            for new in itertools.islice(self.simplify.simple, known, None):
                if new.call is None or not self.moving.isdisjoint(operands(new)):
                    self.moving.add(new)
        found = self.simplest[traced.value]
        return found if isinstance(found, Value) and found in self.moving else None

    def program(self, shown: Sequence[Value | None], inputs: Mapping[Value, Any]) -> dict[str, Any]:
        """The ops, as page/arrays.js reads them, and of each array that the page shows the number of its op.

        Args:
            shown: the Values of these arrays.
            inputs: the ops of the Values that are given.
        """
        needed = made_from([v for v in shown if v is not None])
        ops = Ops(inputs)
        for v in self.simplify.simple:
            if v in needed and not isinstance(v.example, tuple | list):
                ops.add(v)
        return {"values": [None if v is None else ops.number(v) for v in shown], "ops": ops.list}


def run_again(node: Node, args: Sequence[Any]) -> Any:
    """What the op of a value computes from other arguments; generators of random numbers stay as they are."""
    assert node._op is not None
    if is_repeatable(node):
        return node._op(*args, **node._kwargs)
    with State(node._op.body).restored():  # type: ignore[attr-defined]
        return node._op(*args, **node._kwargs)


def require_unchanged(graph: Graph) -> None:
    """Raise an error where a value is no longer the one that its op computes: an array was changed in place."""
    with recording(False), np.errstate(all="ignore"):
        for box in graph.boxes:
            if box.node is None or box.node._op is None or not is_repeatable(box.node):
                continue
            again = shown(plain(run_again(box.node, arguments(box.node))))
            size = np.max(np.abs(box.data), initial=0, where=np.isfinite(box.data))
            digits = 1e-3 if np.real(box.data).dtype.itemsize < 8 else 1e-6
            if not np.allclose(again, box.data, rtol=digits, atol=1e-3 * digits * size, equal_nan=True):
                raise not_the_same(box.node)


def calls(graph: Graph) -> list[Any]:
    """The ops of a graph, each with all that its program depends on: arguments that are not given to it as arrays."""
    found: list[Any] = []
    for node in (box.node for box in graph.boxes if box.node is not None):
        found += [node._op if node._op is None or is_repeatable(node) else object(), node._data.shape, node._data.dtype]
        for x in leaves((arguments(node), node._kwargs)):
            if isinstance(x, Node) or (has_box(x) and np.asarray(x).dtype.kind == "f"):
                found += [x.shape, x.dtype]
            elif isinstance(x, np.ndarray | np.generic):
                found += [x.shape, x.dtype, x.tobytes()]
            else:
                found += [type(x), x if isinstance(x, UNCHANGING) else object()]
    return found


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


#: Functions of NumPy that put the elements of their first argument, or of the arrays listed there, in other places.
MOVES: set[Any] = {operator.getitem, np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.rollaxis}
MOVES |= {np.expand_dims, np.squeeze, np.broadcast_to, np.take, np.take_along_axis, np.flip, np.fliplr, np.flipud}
MOVES |= {np.rot90, np.roll, np.tile, np.repeat, np.concatenate, np.stack, np.vstack, np.hstack, np.column_stack}
MOVES |= {np.dstack, np.diagonal, np.diag, np.diagflat, np.tril, np.triu, np.copy, np.ascontiguousarray, np.delete}
MOVES |= {np.split, np.array_split, np.atleast_1d, np.atleast_2d, np.lib.stride_tricks.sliding_window_view}
#: Those with one result for the elements along some axes.
REDUCTIONS: set[Any] = {np.sum, np.prod, np.mean, np.max, np.min, np.any, np.all, np.argmax, np.argmin, np.var, np.std}
CUMULATIVE: set[Any] = {np.cumsum, np.cumprod}
#: Functions of each element that are no ufuncs, with the number of their arguments.
OF_ELEMENTS: dict[Any, int] = {np.where: 3, np.clip: 3, np.nan_to_num: 1}
#: Functions that return real numbers as they are.
SAME: set[Any] = {np.positive, np.conjugate, np.real}
#: Booleans are 0 and 1 on the page, and these functions treat them as more than numbers.
ON_BOOLEANS = {"add": "logical_or", "invert": "logical_not"}
ON_BOOLEANS |= {f"bitwise_{name}": f"logical_{name}" for name in ("and", "or", "xor")}


class Ops:
    """The list of ops: [name, the numbers of its operands, what else it needs]; or an array that is given."""

    def __init__(self, inputs: Mapping[Value, Any]) -> None:
        self.list: list[list[Any]] = []
        self.inputs, self.constants = inputs, 0
        self._numbers: dict[Any, int] = {}

    def number(self, x: Any) -> int:
        """The number of a Value, or of a constant."""
        key = x if isinstance(x, Value) else (type(x).__name__, np.shape(x), np.asarray(x).tobytes())
        if key not in self._numbers:
            self._numbers[key] = self.append(*self.constant(x))
        return self._numbers[key]

    def append(self, name: str, *more: Any) -> int:
        self.list.append([name, *more])
        return len(self.list) - 1

    def constant(self, x: Any) -> tuple[Any, ...]:
        x = np.asarray(getattr(x, "example", x))
        if x.dtype.kind not in "biuf":
            raise NotLive(f"it computes with {x.dtype}")
        if x.size and np.array_equal(x.view(), np.broadcast_to(x.flat[0], x.shape), equal_nan=x.dtype.kind == "f"):
            return "constant", x.shape, number(x.flat[0].item())
        self.constants += x.size
        if self.constants > MAX_CONSTANTS:
            raise NotLive(f"it computes with constants of more than {MAX_CONSTANTS:,} elements")
        return "constant", x.shape, [number(v) for v in x.ravel().tolist()]

    def add(self, v: Value) -> None:
        """Add the op of a Value, whose operands are there."""
        if v in self.inputs:
            self._numbers[v] = self.append(*self.inputs[v])
        elif next(operands(v), None) is None or (v.call in (np.zeros_like, np.ones_like, np.full_like)):
            self.number(v)
        elif v.dtype.kind not in "biuf" or v.dtype == np.float16:
            raise NotLive(f"it computes with {v.dtype}")
        elif v.call in SAME or (v.call is astype and v.dtype.kind == "f" and v.args[0].dtype == v.dtype):
            self._numbers[v] = self.number(v.args[0])
        else:
            name, args, more = written(v)
            dtypes = [x.dtype for x in args if isinstance(x, Value)]
            if np.float32 in dtypes and np.float64 not in dtypes:  # beside which NumPy rounds a number of Python's
                args = [np.float32(x) if type(x) is float else x for x in args]
            if v.dtype == np.float32:
                more["single"] = True
            self._numbers[v] = self.append(name, [self.number(x) for x in args], *([more] if more else []))


def number(v: Any) -> Any:
    """A number as JSON has it."""
    return int(v) if isinstance(v, bool) else v if isinstance(v, int) or math.isfinite(v) else str(v)


def written(v: Value) -> tuple[str, Sequence[Any], dict[str, Any]]:
    """The name of an op, its operands, and what else the page needs to know of it."""
    call, args, kwargs = v.call, v.args, v.kwargs
    whole = args[0] if call is operator.getitem else None
    if isinstance(whole, Value) and isinstance(whole.example, tuple | list) and whole.call not in MOVES:
        return written(whole)  # one of several results
    name = name_of(call)
    assert call is not None
    if isinstance(call, np.ufunc) and is_elementwise(call) and set(kwargs) <= {"dtype"} and call.nout == 1:
        return (ON_BOOLEANS.get(name, name) if v.dtype == bool else name), args, {}
    if OF_ELEMENTS.get(call) == len(args) and not kwargs and not any(x is None for x in args):
        return name, args, {}
    if call is astype:
        return "astype", args[:1], {"to": v.dtype.kind}
    if call in (np.broadcast_to, np.full):
        x = args[call is np.full]
        shape = np.shape(getattr(x, "example", x))
        return "gather", [x], {"places": places(np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), v.shape))}
    if call in REDUCTIONS and set(kwargs) <= {"axis", "keepdims", "ddof", "dtype"} and len(args) <= 2:
        return name, args[:1], reduced(v, args[1] if len(args) > 1 else kwargs.get("axis"))
    if call in CUMULATIVE and len(args) <= 2:
        axis = args[1] if len(args) > 1 else kwargs.get("axis")
        return name, args[:1], {} if axis is None else {"axis": axis % v.ndim}
    if call is np.einsum and isinstance(args[0], str) and "->" in args[0] and "." not in args[0]:
        inputs, output = args[0].split("->")
        return "einsum", args[1:], {"of": [[*map(ord, term)] for term in inputs.split(",")], "to": [*map(ord, output)]}
    if (call is np.matmul or (call is np.dot and max(map(np.ndim, shapes(args))) <= 2)) and not kwargs:
        return product(*args)
    if call is np.outer:
        return "einsum", args, {"of": [[0], [1]], "to": [0, 1]}
    if call is assigned and next(values_in(args[1]), None) is None:
        return "set", [args[0], args[2]], {"places": places(numbered(args[:1])[0][args[1]] - 1)}
    if call is changed and args[0] == np.add.at and next(values_in(args[2]), None) is None:
        return "add_at", [args[1], args[3]], {"places": places(numbered(args[1:2])[0][args[2]] - 1)}
    if call in MOVES and next(values_in((args[1:], kwargs)), None) is None:
        sources, numbers = moved(v)
        return "gather", sources, {"places": places(numbers - 1)}
    if call in UPDATES:  # by the name of the function that writes
        name = next((name_of(x) for x in args if callable(x)), name)
    return name, [*values_in((args, kwargs))], {}


def name_of(call: Any) -> str:
    """The name of a function of NumPy, of a method of a ufunc with it: add.at."""
    ufunc = getattr(call, "__self__", None)
    name = str(getattr(call, "__name__", call))
    return f"{ufunc.__name__}.{name}" if isinstance(ufunc, np.ufunc) else name


def shapes(args: Sequence[Any]) -> list[Any]:
    return [getattr(x, "example", x) for x in args]


def reduced(v: Value, axis: Any) -> dict[str, Any]:
    """The axes of a reduction; none where it is of all elements."""
    rank = np.ndim(getattr(v.args[0], "example", v.args[0]))
    axes = range(rank) if axis is None else np.atleast_1d(axis).tolist()
    more = {"axes": sorted(k % rank for k in axes) if rank else [], "shape": v.shape}
    return more | ({"ddof": v.kwargs["ddof"]} if v.kwargs.get("ddof") else {})


def product(x: Any, y: Any) -> tuple[str, Sequence[Any], dict[str, Any]]:
    """A matrix product as a sum of products; the axes have numbers, those of a stack from the last, below 0."""
    n, m = map(np.ndim, shapes([x, y]))
    if not n or not m:
        return "multiply", [x, y], {}
    stack = [-k for k in range(max(n, m) - 2, 0, -1)]
    left = [*stack[len(stack) - n + 2 :], 0, 1] if n > 1 else [1]
    right = [*stack[len(stack) - m + 2 :], 1, 2] if m > 1 else [1]
    return "einsum", [x, y], {"of": [left, right], "to": [*stack, *([0] if n > 1 else []), *([2] if m > 1 else [])]}


def numbered(sources: Sequence[Any]) -> list[Any]:
    """Arrays of the numbers of the elements of several arrays, counted from 1 on: 0 is none of them."""
    found, start = [], 1
    for shape in map(np.shape, shapes(sources)):
        size = math.prod(shape)
        found.append(np.arange(start, start + size).reshape(shape))
        start += size
    return found


def moved(v: Value) -> tuple[list[Any], Any]:
    """The arrays whose elements a call moves, and its result on the numbers of these elements."""
    first = v.args[0]
    assert v.call is not None
    if isinstance(first, Value) and isinstance(first.example, tuple | list):  # a part of several arrays
        sources, numbers = moved(first)
    else:
        sources = list(first) if isinstance(first, tuple | list) else [first]
        numbers = numbered(sources) if isinstance(first, tuple | list) else numbered(sources)[0]
    return sources, v.call(numbers, *v.args[1:], **v.kwargs)


def places(at: Any) -> dict[str, Any]:
    """Places of elements: by a start and a step along each axis where that is possible, else one by one."""
    at = np.asarray(at)
    if at.size:
        origin = at[(0,) * at.ndim]
        steps = [
            int(at[(0,) * k + (1,) + (0,) * (at.ndim - k - 1)] - origin) if n > 1 else 0 for k, n in enumerate(at.shape)
        ]
        index = np.indices(at.shape, sparse=True) if at.ndim else ()
        if np.array_equal(at, origin + sum((i * step for i, step in zip(index, steps)), np.zeros(at.shape, int))):
            return {"shape": at.shape, "from": int(origin), "by": steps}
    return {"shape": at.shape, "at": at.ravel().tolist()}
