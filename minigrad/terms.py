"""The graph of a value, taken apart: every gradient in it, the terms each is the sum of, and how large those are.

A gradient that is the small difference of large terms cannot be more exact than those terms are. So the distance of two
gradients is measured in units in the last place of the magnitude of all the terms that were summed, down to the sums in
the forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, fitted, sweep
from minigrad.numeric import Problem
from minigrad.ops import softmax
from minigrad.transforms import transforming, variable

#: Ops that are sums of products of their arguments, or of the arguments themselves: of the sizes of those they make
#: the size of their terms.
SUMS = {"matmul", "add", "multiply", "sum", "reshape", "transpose", "getitem", "concatenate", "embedding"}

#: Derivatives that are differences, 1 - a or p - y, at a z that is a sum: the size of all those terms, for a gradient
#: of size g at a node, and z of size m.
DIFFERENCES: dict[str, Callable[[Array, Any, Array], Array]] = {
    "sigmoid": lambda g, node, m: g * node.data * (1 + node.data + (1 - node.data) * m),
    "tanh": lambda g, node, m: g * (1 + node.data**2 + 2 * np.abs(node.data) * (1 - node.data**2) * m),
    "cross_entropy": lambda g, node, m: (
        np.abs(node._edges[1](g))
        + g * softmax(node._edges[0].data) * (2 + m + np.max(m, axis=-1, keepdims=True)) / m[..., 0].size
    ),
}


class Graph:
    """The graph of the value, its gradients, and how large the terms are that were summed for them."""

    def __init__(self, problem: Problem) -> None:
        with transforming():
            self.variables = [variable(x) for x in problem.values]
            self.value = problem.call(self.variables)
        if np.shape(self.value) != ():
            raise ValueError(f"compare needs a scalar, got shape {np.shape(self.value)}; sum it, or take one element")
        self.nodes: list[Any] = []
        seen: set[int] = set()
        waiting = [self.value] if isinstance(self.value, Node) else []
        while waiting:
            node = waiting.pop()
            if node._stamp not in seen:
                seen.add(node._stamp)
                self.nodes.append(node)
                waiting += [x for x, _ in self.edges(node)]
        for node in self.nodes:
            node._retains = True
        self.gradients = self.swept()

    @staticmethod
    def edges(node: Any) -> list[tuple[Any, Any]]:
        """The variables a node was computed from, with their pullbacks."""
        pairs = zip(node._edges[::2], node._edges[1::2])
        return [(x, pullback) for x, pullback in pairs if pullback is not None]

    def swept(self) -> dict[int, Array]:
        """The gradient of every node, by its stamp."""
        if not self.nodes:
            return {}
        return {x._stamp: np.asarray(g) for x, g in sweep([self.value], [self.value.dtype.type(1)])}

    def gradient(self, k: int) -> Array:
        x = self.variables[k]
        return self.gradients.get(x._stamp, np.zeros_like(x.data))

    def terms(self, k: int) -> list[tuple[str, Array]]:
        """What is summed for the gradient of a variable: a term from each op that uses it."""
        found = []
        for node in self.nodes:
            for x, pullback in self.edges(node):
                if x is self.variables[k]:
                    term = fitted(pullback(self.gradients[node._stamp]), x.data, node)
                    found.append((node._op.__name__, np.asarray(term)))
        return found

    def magnitude(self, k: int) -> Array:
        """The sum of the absolute values of the terms of a gradient, as deep as the graph goes."""
        x = self.variables[k]
        return np.asarray(self.sizes.get(x._stamp, np.zeros_like(x.data)))

    @functools.cached_property
    def sizes(self) -> dict[int, Array]:
        """The magnitude of every gradient, by its node's stamp: a pass forward over the values, and one back."""
        oldest_first = sorted(self.nodes, key=lambda node: -node._stamp)
        values: dict[int, Array] = {}
        for node in oldest_first:
            values[node._stamp] = self.size_of_value(node, values)
        sizes: dict[int, Array] = {self.value._stamp: np.float64(1)} if self.nodes else {}
        for node in reversed(oldest_first):
            g, name = sizes[node._stamp], node._op.__name__ if node._op is not None else None
            edges = self.edges_of_sizes(node, values) if name in SUMS else self.edges(node)
            for x, pullback in edges:
                term = DIFFERENCES[name](g, node, values[x._stamp]) if name in DIFFERENCES else pullback(g)
                term = np.abs(np.asarray(fitted(term, x.data, node)))
                sizes[x._stamp] = sizes.get(x._stamp, 0.0) + term
        return sizes

    def size_of_value(self, node: Any, values: dict[int, Array]) -> Array:
        name = node._op.__name__ if node._op is not None else "identity"
        if name == "identity":
            return np.abs(node.data)
        if name in ("subtract", "negative"):
            return sum(map(np.abs, self.arguments_in_size(node, values)))
        if name in SUMS:
            return node._op.body(*self.arguments_in_size(node, values), **node._kwargs)[0]
        carried = [np.abs(pullback(values[x._stamp])) for x, pullback in self.edges(node) if x.shape == node.shape]
        return sum(carried, np.abs(node.data))

    def arguments_in_size(self, node: Any, values: dict[int, Array]) -> list[Any]:
        def size(a: Any) -> Any:
            if isinstance(a, Node):
                return values[a._stamp]
            return np.abs(a) if isinstance(a, float) or getattr(a, "dtype", np.dtype(bool)).kind == "f" else a

        return [size(a) for a in node._edges[::2]]

    def edges_of_sizes(self, node: Any, values: dict[int, Array]) -> list[tuple[Any, Any]]:
        pullbacks = node._op.body(*self.arguments_in_size(node, values), **node._kwargs)[1:]
        return [(x, pullback) for x, pullback in zip(node._edges[::2], pullbacks) if isinstance(x, Node)]

    def without_factor(self, op_name: str, k: int) -> Array:
        """The gradient with the derivative of every op of a name left out, as if it were the identity."""
        kept = [(node, node._edges) for node in self.nodes if node._op is not None and node._op.__name__ == op_name]
        try:
            for node, (x, _) in kept:
                node._edges = (x, lambda g: g)
            return self.swept().get(self.variables[k]._stamp, np.zeros_like(self.variables[k].data))
        finally:
            for node, edges in kept:
                node._edges = edges


def distance(x: Array, y: Array, magnitude: Array, eps: float) -> Array:
    """How far x is from y, element by element, in ulp of a magnitude."""
    unit = np.maximum(np.maximum(magnitude, np.abs(y)) * eps, np.finfo(float).smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x == y, 0.0, np.abs(x - y) / unit)
