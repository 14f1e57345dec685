"""Values of a compiled function that backward can start from: their pullback runs the function itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.engine import Node, op, unrecorded
from minigrad.engine import stop_gradient as plain
from minigrad.transforms import gradients
from minigrad.trees import leaves


def is_live(x: Any) -> bool:
    """Is it a Tensor that backward could start from: computed from a variable that has not changed since?"""
    if not isinstance(x, Node) or not x._edges:
        return False
    reached, seen, waiting = False, {x._stamp}, [x]
    while waiting:
        node = waiting.pop()
        args = [] if node._edges is None else [y for y in node._edges[::2] if isinstance(y, Node)]
        if node._edges is None or any(y._stamp < node._stamp for y in args):
            return False
        reached = reached or (node._op is None and node._kwargs is not unrecorded)
        waiting += [y for y in args if y._stamp not in seen]
        seen |= {y._stamp for y in args}
    return reached


def differentiable(value: Any, number: int, variables: Sequence[Any], original: Callable[[], Any] | None) -> Any:
    """A Tensor with a value that a compiled function has computed.

    Args:
        number: of the value among the leaves that the function returns.
        variables: the Tensors that the function reaches.
        original: runs the function itself, with the same arguments; None where it may not run again.
    """

    def compiled(*_: Any) -> Any:
        ready: dict[int, Any] = {}  # gradients computed together, waiting to be asked for

        def pull(i: int, g: Any) -> Any:
            if original is None:
                raise RuntimeError(
                    "backward needs a value that can be computed again, got one of a compiled function that changes "
                    "state; call backward inside of it, or call the function itself in its place"
                )
            if i not in ready:
                y = leaves(original())[number]
                if not np.allclose(plain(y), value, rtol=float(np.finfo(value.dtype).eps) ** 0.5, equal_nan=True):
                    raise RuntimeError(
                        "a compiled function needs to return the same value when its gradient is computed, got another "
                        "one: something that it depends on has changed since; call it again"
                    )
                ready.update(enumerate(gradients([y], [g], variables, isinstance(g, Node))))
            return ready.pop(i)

        return value, *(lambda g, i=i: pull(i, g) for i in range(len(variables)))

    return op()(compiled)(*variables)
