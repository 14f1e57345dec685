"""The terms that a gradient is the sum of, and their magnitudes.

A gradient that is the small difference of large terms cannot be more accurate than those terms. So the distance of two
gradients is measured in units in the last place (ulp) of the total magnitude of the terms, including those of the sums
in the forward pass.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad._tensor import Tensor, unit_seed
from minigrad.check.numeric import Problem
from minigrad.engine import Array, Node, backward_pass
from minigrad.mode import observing_passes
from minigrad.ops import softmax
from minigrad.transforms import transforming, variable
from minigrad.walk import Edge, ancestors, arguments, contribution, edges

#: Ops linear in each argument; applied to magnitudes they return the magnitude of their terms.
MULTILINEAR = {"matmul", "add", "multiply", "sum", "reshape", "transpose", "getitem", "concatenate", "embedding"}

#: Derivatives that are differences, 1 - a or p - y, at a z that is a sum: the magnitude of all those terms, for a
#: gradient of magnitude g at a node, and z of magnitude m.
DIFFERENCES: dict[str, Callable[[Array, Any, Array], Array]] = {
    "sigmoid": lambda g, node, m: g * node.data * (1 + node.data + (1 - node.data) * m),
    "tanh": lambda g, node, m: g * (1 + node.data**2 + 2 * np.abs(node.data) * (1 - node.data**2) * m),
    "cross_entropy": lambda g, node, m: (
        np.abs(edges(node)[0].pullback(g))
        + g * softmax(edges(node)[0].node.data) * (2 + m + np.max(m, axis=-1, keepdims=True)) / m[..., 0].size
    ),
}


class GradientTerms:
    """The computation of a scalar: all gradients in it, the terms that each is the sum of, and their magnitudes."""

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
        """The gradient of a variable."""
        return self._of_variable(self.gradients, k)

    def terms(self, k: int) -> list[tuple[str, Array]]:
        """The terms of the gradient of a variable: one for each use of it, with the name of the op."""
        return [
            (node._op.__name__, np.asarray(contribution(node, edge, self.gradients[node._stamp])))
            for node in self.nodes
            for edge in edges(node)
            if edge.node is self.variables[k]
        ]

    def magnitude(self, k: int) -> Array:
        """The sum of the absolute values of the terms of a variable's gradient, through the whole computation."""
        return self._of_variable(self.magnitudes if self.nodes else {}, k)

    def without_factor(self, op_name: str, k: int) -> Array:
        """The gradient of a variable if the derivative of every op of a name were left out."""

        def remaining(node: Any) -> list[Edge]:
            is_left_out = node._op is not None and node._op.__name__ == op_name
            return [edge._replace(pullback=lambda g: g) if is_left_out else edge for edge in edges(node)]

        return self._of_variable(self.accumulated(unit_seed(self.value), remaining), k)

    @functools.cached_property
    def magnitudes(self) -> dict[int, Array]:
        """The magnitude of every gradient, by its node's stamp: a pass forward over the values, then one back."""
        values: dict[int, Array] = {}
        for node in reversed(self.nodes):
            values[node._stamp] = magnitude_of_value(node, values)
        return self.accumulated(unit_seed(self.value), lambda node: magnitude_edges(node, values), np.abs)

    def accumulated(
        self, seed: Array, edges_of: Callable[[Any], list[Edge]], measure: Callable[[Array], Array] = np.asarray
    ) -> dict[int, Array]:
        """A backward pass with other pullbacks than those of the ops: by stamp, the sums of the measured terms."""
        found: dict[int, Array] = {self.value._stamp: seed}
        for node in self.nodes:
            for edge in edges_of(node):
                term, stamp = measure(np.asarray(contribution(node, edge, found[node._stamp]))), edge.node._stamp
                found[stamp] = found[stamp] + term if stamp in found else term
        return found

    def _of_variable(self, by_stamp: dict[int, Array], k: int) -> Array:
        """The entry of a variable, zero where nothing depends on it."""
        x = self.variables[k]
        return np.asarray(by_stamp.get(x._stamp, np.zeros_like(x.data)))


def magnitude_of_value(node: Any, values: dict[int, Array]) -> Array:
    """The magnitude of the terms that were summed for a value, from those of its arguments."""
    name = node._op.__name__ if node._op is not None else "identity"
    if name == "identity":
        return np.abs(node.data)
    if name in ("subtract", "negative"):
        return sum(map(np.abs, argument_magnitudes(node, values)))
    if name in MULTILINEAR:
        return node._op.body(*argument_magnitudes(node, values), **node._kwargs)[0]
    carried = [np.abs(e.pullback(values[e.node._stamp])) for e in edges(node) if e.node.shape == node.shape]
    return sum(carried, np.abs(node.data))


def magnitude_edges(node: Any, values: dict[int, Array]) -> list[Edge]:
    """The edges of a node with pullbacks that take and return magnitudes."""
    name = node._op.__name__ if node._op is not None else ""
    if name in DIFFERENCES:
        (edge,) = edges(node)
        return [edge._replace(pullback=lambda g: DIFFERENCES[name](g, node, values[edge.node._stamp]))]
    if name in MULTILINEAR:
        pullbacks = node._op.body(*argument_magnitudes(node, values), **node._kwargs)[1:]
        return [edge._replace(pullback=pullbacks[edge.place]) for edge in edges(node)]
    return edges(node)


def argument_magnitudes(node: Any, values: dict[int, Array]) -> list[Any]:
    """The arguments of an op as magnitudes; those that are not floating-point numbers stay as they are."""

    def magnitude(a: Any) -> Any:
        if isinstance(a, Node):
            return values[a._stamp]
        return np.abs(a) if isinstance(a, float) or getattr(a, "dtype", np.dtype(bool)).kind == "f" else a

    return [magnitude(a) for a in arguments(node)]


def distance(x: Array, y: Array, magnitude: Array, eps: float) -> Array:
    """The distance of x from y, element by element, in ulp of a magnitude."""
    unit = np.maximum(np.maximum(magnitude, np.abs(y)) * eps, np.finfo(float).smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x == y, 0.0, np.abs(x - y) / unit)
