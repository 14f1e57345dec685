"""The graph of a value, taken apart: every gradient in it, the terms each is the sum of, and how large those are.

A gradient that is the small difference of large terms cannot be more exact than those terms are. So the distance of two
gradients is measured in units in the last place of the magnitude of all the terms that were summed, down to the sums in
the forward pass.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad._tensor import Tensor, unit_seed
from minigrad.engine import Array, Node, backward_pass, unbroadcast
from minigrad.mode import observing_passes
from minigrad.numeric import Problem
from minigrad.ops import softmax
from minigrad.transforms import transforming, variable
from minigrad.walk import Edge, ancestors, arguments, contribution, edges

#: Ops that are sums of products of their arguments, or of the arguments themselves: of the sizes of those they make
#: the size of their terms.
SUMS = {"matmul", "add", "multiply", "sum", "reshape", "transpose", "getitem", "concatenate", "embedding"}

#: Derivatives that are differences, 1 - a or p - y, at a z that is a sum: the size of all those terms, for a gradient
#: of size g at a node, and z of size m.
DIFFERENCES: dict[str, Callable[[Array, Any, Array], Array]] = {
    "sigmoid": lambda g, node, m: g * node.data * (1 + node.data + (1 - node.data) * m),
    "tanh": lambda g, node, m: g * (1 + node.data**2 + 2 * np.abs(node.data) * (1 - node.data**2) * m),
    "cross_entropy": lambda g, node, m: (
        np.abs(edges(node)[0].pullback(g))
        + g * softmax(edges(node)[0].node.data) * (2 + m + np.max(m, axis=-1, keepdims=True)) / m[..., 0].size
    ),
}


class Graph:
    """The graph of the value, its gradients, and how large the terms are that were summed for them."""

    def __init__(self, problem: Problem) -> None:
        with transforming():
            self.variables = [variable(x) for x in problem.values]
            self.value = problem.call(self.variables)
        if np.size(self.value) != 1:
            raise ValueError(f"compare needs a scalar, got shape {np.shape(self.value)}; sum it, or take one element")
        self.gradients = self.all_gradients()
        reached = ancestors(self.value) if isinstance(self.value, Node) else []
        self.nodes: list[Any] = [node for node in reached if node._stamp in self.gradients]  # the newest first

    def all_gradients(self) -> dict[int, Array]:
        """The gradient of every node, by its stamp."""
        found: dict[int, Array] = {}

        def visit(node: Node, g: Array) -> None:
            found[node._stamp] = np.asarray(g)

        if isinstance(self.value, Tensor):
            with observing_passes(lambda: visit):
                deque(backward_pass([self.value], [unit_seed(self.value)]), maxlen=0)
        return found

    def gradient(self, k: int) -> Array:
        x = self.variables[k]
        return self.gradients.get(x._stamp, np.zeros_like(x.data))

    def terms(self, k: int) -> list[tuple[str, Array]]:
        """What is summed for the gradient of a variable: a term from each op that uses it."""
        found = []
        for node in self.nodes:
            for edge in edges(node):
                if edge.node is self.variables[k]:
                    term = contribution(node, edge, self.gradients[node._stamp])
                    found.append((node._op.__name__, np.asarray(term)))
        return found

    def magnitude(self, k: int) -> Array:
        """The sum of the absolute values of the terms of a gradient, as deep as the graph goes."""
        x = self.variables[k]
        return np.asarray(self.sizes.get(x._stamp, np.zeros_like(x.data)))

    @functools.cached_property
    def sizes(self) -> dict[int, Array]:
        """The magnitude of every gradient, by its node's stamp: a pass forward over the values, and one back."""
        values: dict[int, Array] = {}
        for node in reversed(self.nodes):
            values[node._stamp] = self.size_of_value(node, values)
        sizes: dict[int, Array] = {self.value._stamp: unit_seed(self.value)} if self.nodes else {}
        for node in self.nodes:
            g, name = sizes[node._stamp], node._op.__name__ if node._op is not None else None
            for edge in self.edges_of_sizes(node, values) if name in SUMS else edges(node):
                x = edge.node
                if name in DIFFERENCES:
                    term = unbroadcast(DIFFERENCES[name](g, node, values[x._stamp]), x.data, node)
                else:
                    term = contribution(node, edge, g)
                sizes[x._stamp] = sizes.get(x._stamp, 0.0) + np.abs(np.asarray(term))
        return sizes

    def size_of_value(self, node: Any, values: dict[int, Array]) -> Array:
        name = node._op.__name__ if node._op is not None else "identity"
        if name == "identity":
            return np.abs(node.data)
        if name in ("subtract", "negative"):
            return sum(map(np.abs, self.arguments_in_size(node, values)))
        if name in SUMS:
            return node._op.body(*self.arguments_in_size(node, values), **node._kwargs)[0]
        carried = [np.abs(e.pullback(values[e.node._stamp])) for e in edges(node) if e.node.shape == node.shape]
        return sum(carried, np.abs(node.data))

    def arguments_in_size(self, node: Any, values: dict[int, Array]) -> list[Any]:
        def size(a: Any) -> Any:
            if isinstance(a, Node):
                return values[a._stamp]
            return np.abs(a) if isinstance(a, float) or getattr(a, "dtype", np.dtype(bool)).kind == "f" else a

        return [size(a) for a in arguments(node)]

    def edges_of_sizes(self, node: Any, values: dict[int, Array]) -> list[Edge]:
        pullbacks = node._op.body(*self.arguments_in_size(node, values), **node._kwargs)[1:]
        return [edge._replace(pullback=pullbacks[edge.place]) for edge in edges(node)]

    def without_factor(self, op_name: str, k: int) -> Array:
        """The gradient with the derivative of every op of a name left out, as if it were the identity."""
        kept = [(node, node._edges) for node in self.nodes if node._op is not None and node._op.__name__ == op_name]
        try:
            for node, (x, _) in kept:
                node._edges = (x, lambda g: g)
            return self.all_gradients().get(self.variables[k]._stamp, np.zeros_like(self.variables[k].data))
        finally:
            for node, edges in kept:
                node._edges = edges


def distance(x: Array, y: Array, magnitude: Array, eps: float) -> Array:
    """How far x is from y, element by element, in ulp of a magnitude."""
    unit = np.maximum(np.maximum(magnitude, np.abs(y)) * eps, np.finfo(float).smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x == y, 0.0, np.abs(x - y) / unit)
