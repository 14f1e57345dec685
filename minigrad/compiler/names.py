"""Names of values, found while a function is traced: the user's variables, and gradients by what they belong to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import numpy as np

from minigrad.compiler.program import OPS_OWN, USERS, Derivative, Name, Value
from minigrad.compiler.tracer import Tracer
from minigrad.engine import Node
from minigrad.mode import observing_passes
from minigrad.origin import is_library, is_minigrad, is_op
from minigrad.walk import NONLINEARITIES, arguments

#: Variables whose names say nothing about their values.
SAYS_NOTHING = {"g", "self"}
OPS_SAY_NOTHING = SAYS_NOTHING | {"x", "y", "z", "h", "p", "i", "r", "value", "first", "result", "out"}


@contextmanager
def names_watched() -> Iterator[None]:
    """While a function runs, name values after the variables that hold them, and gradients after their variables.

    Python's line tracing shows the variables; a debugger or coverage tool that traces already is resumed afterwards.
    """

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        rank = rank_of(frame.f_code)
        if rank is None:
            return None

        def lines(frame: FrameType, event: str, _: Any) -> Any:
            name_variables(frame, rank)
            return lines

        return lines

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        with observing_passes(name_gradients):
            yield
    finally:
        sys.settrace(before)


def rank_of(code: CodeType) -> int | None:
    """The rank of the names of a function's variables, None where they do not count."""
    file = code.co_filename
    if is_op(file):
        return OPS_OWN
    if code.co_name in ("__init__", "__new__"):  # the names a container has for its parts
        return None
    return None if is_minigrad(file) or is_library(file) or file.startswith("<__array_function__") else USERS


def name_variables(frame: FrameType, rank: int) -> None:
    """Propose its variables' names to the values they hold."""
    for key, x in frame.f_locals.items():
        says = key[:1] not in ("", "_", ".") and key not in (SAYS_NOTHING if rank == USERS else OPS_SAY_NOTHING)
        if says and (t := tracer_in(x)) is not None:
            t._value.adopt(Name(rank, key))


def name_gradients() -> Callable[[Any, Any], None]:
    """The observer of one backward pass: it notes of each gradient which derivative it is."""
    root: Value | None = None  # the value that the pass differentiates
    seed: Value | None = None  # the gradient that it starts from, unless that is 1

    def visit(node: Any, g: Any) -> None:
        nonlocal root, seed
        y, dy = tracer_in(node), tracer_in(g)
        if y is None:
            return
        if node._op is not None and node._op.__name__ in NONLINEARITIES:
            x = tracer_in(arguments(node)[0])
            if x is not None and x.ndim:
                x._value.activated = True
        if root is None:
            root = y._value
            seed = dy._value if dy is not None and dy._value.call is not np.ones_like else None
        derivative = Derivative(root, y._value, seed)
        if dy is not None and root is not y._value and derivative not in dy._value.gradient_of:
            dy._value.gradient_of.append(derivative)

    return visit


def tracer_in(x: Any) -> Tracer | None:
    """The tracer that a variable holds, bare or as the data of a Tensor."""
    x = x._data if isinstance(x, Node) else x
    return x if isinstance(x, Tracer) else None
