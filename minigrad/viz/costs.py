"""What each op of a page costs: floating point operations, bytes kept for the backward pass, and time.

Operations are those of the calls of NumPy that an op makes, forward and in its pullbacks, by their shapes: 2 m n k for
a product of matrices (m, k) and (k, n), and one for each element of a function of elements (of its result) or of a
reduction (of its argument); moving elements costs none. Sums of several contributions to one gradient are left out.
"""

from __future__ import annotations

import functools
import math
import time
import types
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any

import numpy as np

from minigrad.compiler.program import Value, is_elementwise
from minigrad.engine import Array, Node
from minigrad.engine import stop_gradient as plain
from minigrad.node import is_repeatable
from minigrad.viz.graph import Box, Graph
from minigrad.viz.live import (
    CUMULATIVE,
    FAILURES,
    MOVES,
    REDUCTIONS,
    SAME,
    Live,
    name_of,
    run_again,
    written,
)
from minigrad.walk import arguments, contribution, edges, pullbacks

RUNS = 7
SECONDS = 1.0  # for the time of all ops of a page

#: The names of functions that cost one operation for each element of their argument.
OF_ARGUMENTS = {name_of(call) for call in REDUCTIONS | CUMULATIVE}
FREE = {"gather", "set", "astype", "zeros_like", "ones_like", "full_like", *map(name_of, SAME)}


def costs(graph: Graph, live: Live | None) -> dict[str, list[Any]]:
    """Of each op by the key of its result: operations forward and backward, bytes kept, seconds forward and backward.

    None stands for what is not known: operations of an op that is not made of NumPy calls with a rule here, and time of
    an op of the user's, which is not run again, as it may draw random numbers.
    """
    results = [box for box in reversed(graph.boxes) if box.op]
    kept = bytes_kept(graph)
    end = time.perf_counter() + SECONDS
    return {box.key: [*operations(live, box.key), kept[box.key], *seconds(box, end)] for box in results}


def operations(live: Live | None, key: str) -> list[int | None]:
    """Floating point operations of an op, forward and backward."""
    if live is None:
        return [None, None]
    twin = live.twins[key]
    node = twin.node
    assert node is not None

    def forward() -> None:
        run_again(node, arguments(node))

    def backward() -> None:
        for edge in edges(node):
            contribution(node, edge, twin.grad)

    return [counted(live, forward), counted(live, backward) if twin.grad is not None else 0]


def counted(live: Live, run: Callable[[], None]) -> int | None:
    """The operations of the calls that are recorded; None where there is no rule for one."""
    start = len(live.trace.values)
    try:
        with live.tracing():
            run()
    except FAILURES:
        return None
    found = [operations_of(v) for v in live.trace.values[start:]]
    del live.trace.values[start:]
    return None if None in found else sum(filter(None, found))


def operations_of(v: Value) -> int | None:
    """The operations of one call of NumPy.

    >>> from minigrad.compiler.tracer import Trace
    >>> trace = Trace()
    >>> x, y = trace.input(np.ones((2, 3)), "x"), trace.input(np.ones((3, 4)), "y")
    >>> operations_of((x @ y).value), operations_of(np.exp(x).value), operations_of(np.sort(x).value)
    (48, 6, None)
    """
    if v.call is None:  # an input
        return 0
    if isinstance(v.example, tuple | list):
        return 0 if v.call in MOVES else None  # an array in parts, or several results
    name, args, more = written(v)
    sizes = [np.size(getattr(x, "example", x)) for x in args]
    if name == "einsum":
        lengths: dict[int, int] = {}
        for letters, x in zip(more["of"], args):
            lengths |= {k: n for k, n in zip(letters, np.shape(getattr(x, "example", x))) if lengths.get(k, 1) == 1}
        return math.prod(lengths.values()) * (len(args) - 1 + (len(lengths) > len(more["to"])))
    if name in FREE:
        return 0
    if name == "add_at":
        return sizes[1]
    if name in OF_ARGUMENTS:
        return sizes[0]
    return int(np.size(v.example)) if is_of_elements(v) else None


def is_of_elements(v: Value) -> bool:
    return is_elementwise(v.call) or v.call in (np.where, np.clip, np.nan_to_num)


def bytes_kept(graph: Graph) -> dict[str, int]:
    """The bytes of the arrays that the pullbacks of each op keep alive, each buffer once, at the oldest op.

    The values of variables and constants are alive anyway, and do not count.
    """
    given = (box.constant if box.node is None else box.node._data for box in graph.boxes if not box.op)
    seen = {id(owner(x)) for x in given}
    kept = {}
    for box in reversed(graph.boxes):
        if box.op:
            found = {id(x): x for x in map(owner, arrays_in(pullbacks(box.node))) if id(x) not in seen}
            seen |= found.keys()
            kept[box.key] = sum(x.nbytes for x in found.values())
    return kept


def owner(x: Array) -> Array:
    """The array whose memory an array shows."""
    base = getattr(x, "base", None)
    while base is not None:
        if hasattr(base, "nbytes"):
            x = base
        base = getattr(base, "base", None)  # between windows and their array is an object that is none
    return x


def arrays_in(functions: Iterable[Any]) -> Iterator[Array]:
    """The arrays that functions keep alive."""
    waiting, seen = [*functions], set()
    while waiting:
        x = waiting.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if hasattr(x, "nbytes") and hasattr(x, "shape") and not isinstance(x, Node):
            yield x
        elif isinstance(x, Node):
            waiting.append(x._data)
        elif isinstance(x, types.FunctionType):
            waiting += [cell.cell_contents for cell in x.__closure__ or ()]
            waiting += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
        elif isinstance(x, types.MethodType):
            waiting += [x.__self__, x.__func__]
        elif isinstance(x, functools.partial):
            waiting += [x.func, *x.args, *x.keywords.values()]
        elif isinstance(x, list | tuple | set | frozenset):
            waiting += x
        elif isinstance(x, dict):
            waiting += x.values()


def seconds(box: Box, end: float) -> list[float | None]:
    """The time of an op of the library and of its pullbacks: the median of several runs, of one where time is up."""
    node = box.node
    if node is None or node._op is None or not is_repeatable(node):
        return [None, None]
    body, args, g = node._op.body, [plain(x) for x in arguments(node)], box.grad  # type: ignore[attr-defined]

    def forward() -> None:
        body(*args, **node._kwargs)

    def backward() -> None:
        for pullback in pullbacks(node):
            if pullback is not None and g is not None:
                pullback(g)

    with np.errstate(all="ignore"):
        try:
            return [timed(run, end) for run in (forward, backward)]
        except FAILURES:
            return [None, None]


def timed(run: Callable[[], None], end: float) -> float:
    """The median of several runs, in seconds to three digits."""
    found: list[float] = []
    while len(found) < RUNS and (not found or time.perf_counter() < end):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return float(f"{median(found):.3g}")
