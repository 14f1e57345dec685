"""The engine: a node of the graph, `op`, the backward pass.

One idea carries everything. An op is a Python function that calls only NumPy and returns its value and
one *pullback* per argument, a closure that maps the gradient of the value to the gradient of that
argument. Run on arrays, the body computes and its closures are the backward pass. Run on Tensors, the same
body records, and the gradient can itself be differentiated.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from minigrad.errors import changed_since, constant_keyword, explained, no_array, not_again, wrong_shape
from minigrad.mode import mode, vmaps, watched
from minigrad.node import LARGE, entered, function_of, node_of
from minigrad.node import Node as Node
from minigrad.node import tick as tick
from minigrad.operands import constant, known, unpromoting

# The values that the engine and the ops handle: a NumPy array or scalar, or any object that implements
# NEP 13 and NEP 18 (CuPy's arrays, a tracer, a Tensor).
Array = Any

#: The implementation of each NumPy function on Tensors: filled by `op`, `implements` and `constants`.
implementations: dict[Callable[..., Any], Callable[..., Any]] = {}


no_keywords: dict[str, Any] = {}
unrecorded: dict[str, Any] = {}  # the keywords of a result that was computed under no_grad: it is no variable
new: Any = object.__new__
absent: Any = object()


def leaf(node: Any, data: Array, name: str | None = None) -> Any:
    """Make a fresh node a leaf, a variable without a history; its data is not copied."""
    node._data = data
    node._op = node._grad = node._entry = None
    node._edges = ()
    node._kwargs = no_keywords
    node._retains = True  # a leaf keeps its gradient
    node._stamp = tick()
    node._name = name
    return made(node) if watched else node


def made(node: Any) -> Any:
    """A node that was just made, where some context observes that or does not record."""
    for observe in mode.observers():
        observe(node)
    if node._op is not None and not mode.recording:
        if any(node._data is getattr(x, "_data", None) for x in node._edges):
            node._data = node._data[...]  # a view, which does not pass for an array of its own
        node._op, node._edges, node._kwargs, node._retains = None, (), unrecorded, True
    return node


def op(*functions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an op of a function that returns its value and one pullback per positional argument.

    >>> import minigrad as mg
    >>> @mg.op()
    ... def cube(x):
    ...     return x * x * x, lambda g: g * 3 * x * x
    >>> mg.grad(cube)(2.0), mg.grad(mg.grad(cube))(2.0)
    (np.float64(12.0), np.float64(12.0))

    The body receives plain arrays and must call only NumPy (see the module's docstring). A pullback returns the
    gradient in the shape of its argument, before or after broadcasting: the backward pass unbroadcasts it. It may also
    be an array, by which the gradient is multiplied: the derivative of an op that works element by element.
    It may return g itself or a view, but no array that it returns again: a leaf's `.grad` may be changed in place.
    Arguments that have no derivative (an axis, an index) come last, or get None as their pullback.
    Called with no Tensor, an op returns plain arrays. The arguments of `op` are the NumPy functions it implements.
    """

    def define(body: Callable[..., Any]) -> Callable[..., Any]:
        def general(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[type[Node] | None, Any, tuple[Any, ...]]:
            """The type of the result (None: plain), its value and its edges, for any number and kind of arguments."""
            data = next((a._data for a in args if isinstance(a, Node)), None)
            given, args = args, tuple(a if isinstance(a, Node) else constant(a, data) for a in args)
            values = [stop_gradient(a) for a in args]
            if np.float64 in map(type, values):  # which is a float to Python's complex numbers
                values = [np.complex128(v) if type(v) is complex else v for v in values]
            variables = [a for a in args if isinstance(a, Node)]
            if not variables:
                return None, body(*values, **kwargs)[0], ()
            try:
                value, *pullbacks = body(*values, **kwargs)
                if value.dtype != variables[0]._data.dtype:
                    value, *pullbacks = body(
                        *unpromoting(values, given, pullbacks, np.result_type(*(v._data.dtype for v in variables))),
                        **kwargs,
                    )
            except (ValueError, TypeError, IndexError) as error:
                cause = None if body.__module__.startswith("minigrad.") else error  # where a user's own op fails
                raise explained(error, apply, given) from cause
            pullbacks = [p if isinstance(a, Node) else None for a, p in itertools.zip_longest(args, pullbacks)]
            edges = zip((a._entry or a if isinstance(a, Node) else a for a in args), pullbacks)
            return type(variables[0]), value, tuple(itertools.chain.from_iterable(edges))

        @functools.wraps(body)
        def apply(x: Any = absent, y: Any = absent, /, *more: Any, **kwargs: Any) -> Any:
            kind = None
            edges: tuple[Any, ...]
            if not (more or kwargs):
                # One or two arguments: `general` unrolled, at half the cost. A constant's pullback is never called,
                # and need not be kept; a float promotes nothing.
                try:
                    if isinstance(x, Node):
                        if y is absent:
                            value, p = body(x._data)
                            kind, edges = type(x), (x._entry or x, p)
                        elif isinstance(y, Node):
                            value, p, q = body(x._data, y._data)
                            kind, edges = type(x), (x._entry or x, p, y._entry or y, q)
                        elif type(y) in known:
                            result = body(x._data, y)
                            value = result[0]
                            if type(y) is float or value.dtype is x._data.dtype:
                                kind, edges = type(x), (x._entry or x, result[1], y, None)
                    elif isinstance(y, Node) and type(x) in known:
                        value, _, q = body(x, y._data)
                        if type(x) is float or value.dtype is y._data.dtype:
                            kind, edges = type(y), (x, None, y._entry or y, q)
                except (ValueError, TypeError, IndexError, AttributeError):
                    kind = None  # `general` raises it again, explained
            if kind is None:
                args = tuple(a for a in (x, y, *more) if a is not absent)
                if any(isinstance(a, Node) for a in kwargs.values()):
                    import inspect  # slow to import where NumPy has not done so, and seldom needed

                    bound = inspect.signature(body).bind(*args, **kwargs)  # moves a variable to its position
                    if len(bound.args) > len(args):
                        return apply(*bound.args, **bound.kwargs)
                    if body.__module__.startswith("minigrad."):
                        raise constant_keyword(apply, kwargs)
                    return body(*args, **kwargs)[0]  # keyword-only: the ops in the body record it
                kind, value, edges = general(args, kwargs)
                if kind is None:
                    return value
            node = new(kind)
            node._data = value
            node._op = apply
            node._edges = edges
            node._kwargs = kwargs or no_keywords
            node._retains = False
            node._stamp = tick()
            node._grad = node._name = node._entry = None
            if watched:
                return made(node)
            if type(value) is np.ndarray and value.nbytes >= LARGE:
                entered(node, (x, y, *more))
            return node

        apply.body = body  # type: ignore[attr-defined]
        apply.__name__ = body.__name__.strip("_")
        for function in functions:
            implementations[function] = apply
        return apply

    return define


def implements(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the implementation of a NumPy function on Tensors."""
    return lambda ours: implementations.setdefault(function, ours)


def constants(*functions: Callable[..., Any], how: Callable[..., Any] | None = None) -> None:
    """Let NumPy functions without a derivative (comparisons, shapes, argmax) return plain arrays for Tensors."""
    for function in functions:
        implementations[function] = functools.partial(_on_values, how or function)


def _on_values(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*map(_values, args), **{key: stop_gradient(value) for key, value in kwargs.items()})
    except TypeError as error:
        raise explained(error, function, args) from None


def _values(x: Any) -> Any:
    return type(x)(map(_values, x)) if type(x) in (list, tuple) else stop_gradient(x)


def stop_gradient(x: Array) -> Array:
    """The value of x as a constant."""
    return x._data if isinstance(x, Node) else x


def backward_pass(
    outputs: Sequence[Node], seeds: Sequence[Array], record: bool = False, oldest: int = 1
) -> Iterator[tuple[Any, Array]]:
    """The backward pass: yield, newest first, every Tensor that retains its gradient, with its whole gradient.

    Those are the leaves, and the Tensors that `retain_grad` was called on; nobody else holds their gradients. Newest
    first is a topological order, because arguments are always older than results. With `record` each op's body runs
    again, on the Tensors it was called with, and its pullbacks then return gradients that are Tensors too. Nothing is
    computed for a Tensor that is older than the stamp `oldest`.
    """
    heap: list[int] = []
    waiting: dict[int, tuple[Any, Array]] = {}  # by stamp: a Tensor, and the sum of the contributions so far
    for output, seed in zip(outputs, seeds):
        if output._stamp > oldest:
            continue
        seed = mode.aligned(seed, output) if vmaps else seed
        if output._stamp in waiting:
            seed = waiting[output._stamp][1] + seed
        else:
            heappush(heap, output._stamp)
        waiting[output._stamp] = output, seed
    visits, pull = mode.pass_observers() if watched else ((), None)
    while heap:
        stamp = heappop(heap)
        node, g = waiting.pop(stamp)
        if visits:
            for visit in visits:
                visit(node_of(node), g)
        if node._retains:
            # others may hold the array of a view, and the gradient that a result keeps also goes on to its arguments
            yield node, g if getattr(g, "base", g) is None and not node._edges else +g
        if not node._edges:
            if node._edges is None:
                raise changed_since(node, node)
            continue
        pairs = iter(replayed_edges(node) if record else node._edges)
        for x in pairs:
            pullback = next(pairs)
            if pullback is None:
                continue
            older = x._stamp
            if older < stamp:
                raise changed_since(x, node)
            if older > oldest:
                continue
            if pull is None:
                h = pullback(g) if callable(pullback) else g * pullback
            else:
                x, node = node_of(x), node_of(node)
                h = pull(node, x, function_of(pullback), g)
            h = mode.aligned(h, x) if vmaps else h  # of a variable from outside of a vmap: the sum over the batch
            try:
                data = x._data
            except AttributeError:  # of an entry
                x = x if (live := x.live()) is None else live
                data = x if live is None else x._data
            try:
                fits = h.shape == data.shape and h.dtype is data.dtype
            except AttributeError:
                raise no_array(h, data.shape, node) from None
            if not fits:
                h = unbroadcast(h, data, node)
            if older in waiting:
                waiting[older] = x, waiting[older][1] + h
            else:
                waiting[older] = x, +h if h is g and x._retains else h  # others may hold g too
                heappush(heap, older)


def replayed_edges(node: Any) -> list[Any]:
    """The variables of a node, each followed by a pullback that records: its op's body, run on Tensors."""

    def guarded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before, mode.replaying = mode.replaying, True
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise not_again(node, error) from error
        finally:
            mode.replaying = before

    args = node._edges[::2]
    pullbacks = guarded(node._op.body, *map(node_of, args), **node._kwargs)[1:]
    variables = [(x, function_of(p)) for x, p in zip(args, pullbacks) if isinstance(x, Node) and p is not None]
    return [e for x, p in variables for e in (x, functools.partial(guarded, p))]


def unbroadcast(h: Array, data: Array, node: Node) -> Array:
    """A gradient in the shape and dtype of its argument: summed over the axes that were broadcast."""
    shape = data.shape
    if h.shape != shape:
        extra = len(h.shape) - len(shape)
        if extra < 0 or any(n != 1 and n != m for n, m in zip(shape, h.shape[extra:])):
            raise wrong_shape(h, shape, node)
        axes = *range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 != h.shape[extra + i])
        h = np.reshape(np.sum(h, axis=axes), shape)
    if h.dtype != data.dtype:
        h = np.real(h) if h.dtype.kind == "c" != data.dtype.kind else h
        h = np.positive(h, dtype=data.dtype.type)  # in this machine's byte order
    return h


#: Tensors, ops and other modules hold these: they outlive a reload of this module.
_lasting = globals().setdefault("_lasting", (implementations, no_keywords, unrecorded, absent))
implementations, no_keywords, unrecorded, absent = _lasting
