"""Walking a recorded graph: the arguments of a Tensor, their pullbacks, and all that a value was computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minigrad.engine import Array, Node, unbroadcast
from minigrad.node import function_of, node_of

#: The ops a = f(z) of the slides: the gradient at their argument z is the error signal δ.
NONLINEARITIES = {"sigmoid", "tanh", "relu"}


class Edge(NamedTuple):
    """An argument of an op that is a variable."""

    place: int
    node: Any
    pullback: Callable[[Array], Array]


def arguments(node: Any) -> tuple[Any, ...]:
    """The arguments that an op was called with, constants too; none for a leaf."""
    return tuple(map(node_of, (node._edges or ())[::2]))


def pullbacks(node: Any) -> tuple[Callable[[Array], Array] | None, ...]:
    """The pullback of each argument, None for a constant."""
    return tuple(map(function_of, (node._edges or ())[1::2]))


def edges(node: Any) -> list[Edge]:
    """The arguments that are variables."""
    return [Edge(i, x, p) for i, (x, p) in enumerate(zip(arguments(node), pullbacks(node))) if p is not None]


def contribution(node: Any, edge: Edge, g: Array) -> Array:
    """The part of an argument's gradient that comes from this op, for a gradient g of the op's value."""
    return unbroadcast(edge.pullback(g), edge.node._data, node)


def ancestors(root: Node) -> list[Any]:
    """Every Tensor that a value was computed from, the value itself included, the newest first."""
    return list(map(node_of, entries(root)))


def entries(root: Node) -> list[Any]:
    """The same, as the graph has them: of a large Tensor its entry."""
    found, waiting = {id(root): root}, [root]
    while waiting:
        for x in (waiting.pop()._edges or ())[::2]:
            if isinstance(x, Node) and id(x) not in found:
                found[id(x)] = x
                waiting.append(x)
    return sorted(found.values(), key=lambda node: node._stamp)


def depends(root: Any, transforms: Sequence[set[int]]) -> bool:
    """Was a value computed from a variable of one of these transforms, given as the stamps of their variables?"""
    stamps = set().union(*transforms)
    if not isinstance(root, Node) or not stamps:
        return False
    oldest = max(stamps)  # what is older than all of them cannot depend on any
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        if node._stamp in stamps:
            return True
        for x in (node._edges or ())[::2]:
            if isinstance(x, Node) and x._stamp <= oldest and id(x) not in seen:
                seen.add(id(x))
                waiting.append(x)
    return False
