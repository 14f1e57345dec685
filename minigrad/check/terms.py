"""The terms that a gradient is the sum of, and their magnitudes.

A gradient that is the small difference of large terms cannot be more accurate than those terms. So the distance of two
gradients is measured in units in the last place (ulp) of the total magnitude of the terms, including those of the sums
in the forward pass.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad._tensor import Tensor, unit_seed
from minigrad.check.numeric import Problem
from minigrad.engine import Array, Node, backward_pass
from minigrad.mode import observing_passes
from minigrad.node import function_of
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


#: What a gradient is found by: the stamp of its value, or the stamp of an op's result and the place of an argument.
Key = int | tuple[int, int]
Found = dict[Key, Array]


class GradientTerms:
    """The computation of a scalar: all gradients in it, the terms that each is the sum of, and their magnitudes."""

    def __init__(self, problem: Problem) -> None:
        with transforming():
            self.variables: list[Any] = [variable(x) for x in problem.values]
            self.value: Any = problem.call(self.variables)
        if np.size(self.value) != 1:
            raise ValueError(f"compare needs a scalar, got shape {np.shape(self.value)}; sum it, or take one element")
        self.follow([x._stamp for x in self.variables], self.all_gradients())

    def follow(self, keys: Sequence[Key], gradients: Found) -> None:
        """Look at the gradients that have these keys, one for each variable."""
        self.keys, self.gradients = keys, gradients
        reached = ancestors(self.value) if isinstance(self.value, Node) else []
        self.nodes: list[Any] = [node for node in reached if node._stamp in gradients]  # the newest first
        self.left_out: dict[str, Found] = {}  # the gradients without the derivative of an op, by its name

    def all_gradients(self) -> Found:
        """The gradient of every node, by its stamp."""
        found: Found = {}

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
            if self.keys[k] in (edge.node._stamp, (node._stamp, edge.place))
        ]

    def magnitude(self, k: int) -> Array:
        """The sum of the absolute values of the terms of a variable's gradient, through the whole computation."""
        return self._of_variable(self.magnitudes if self.nodes else {}, k)

    def without_factor(self, op_name: str, k: int) -> Array:
        """The gradient of a variable if the derivative of every op of a name were left out."""

        def remaining(node: Any) -> list[Edge]:
            is_left_out = node._op is not None and node._op.__name__ == op_name
            return [edge._replace(pullback=lambda g: g) if is_left_out else edge for edge in edges(node)]

        if op_name not in self.left_out:
            self.left_out[op_name] = self.accumulated(unit_seed(self.value), remaining)
        return self._of_variable(self.left_out[op_name], k)

    @functools.cached_property
    def magnitudes(self) -> Found:
        """The magnitude of every gradient, by its node's stamp: a pass forward over the values, then one back."""
        values: Found = {}
        for node in reversed(self.nodes):
            values[node._stamp] = magnitude_of_value(node, values)
        return self.accumulated(unit_seed(self.value), lambda node: magnitude_edges(node, values), np.abs)

    def accumulated(
        self, seed: Array, edges_of: Callable[[Any], list[Edge]], measure: Callable[[Array], Array] = np.asarray
    ) -> Found:
        """A backward pass with other pullbacks than those of the ops: the measured terms, and by stamp their sums."""
        found: Found = {self.value._stamp: seed}
        for node in self.nodes:
            for edge in edges_of(node):
                term, stamp = measure(np.asarray(contribution(node, edge, found[node._stamp]))), edge.node._stamp
                found[stamp] = found[stamp] + term if stamp in found else term
                found[node._stamp, edge.place] = term
        return found

    def _of_variable(self, found: Found, k: int) -> Array:
        """The entry of a variable, zero where nothing depends on it."""
        return np.asarray(found.get(self.keys[k], np.zeros_like(self.variables[k].data)))


class FlowTerms(GradientTerms):
    """The same for a graph that is there already: each variable is an argument of one op, and its gradient is the part
    that flows back through that op alone."""

    def __init__(self, root: Node, gradients: Found, uses: Sequence[tuple[Any, int]]) -> None:
        """
        Args:
            gradients: by their stamps those of the nodes, but for leaves that are not asked about; by their uses the
                parts that flow to the variables.
            uses: the ops' results and the places of the arguments.
        """
        self.value = root
        self.variables = [arguments(node)[place] for node, place in uses]
        self.follow([(node._stamp, place) for node, place in uses], gradients)

    def accumulated(
        self, seed: Array, edges_of: Callable[[Any], list[Edge]], measure: Callable[[Array], Array] = np.asarray
    ) -> Found:
        """The same, without what flows to leaves that are not asked about."""

        def needed(node: Any) -> list[Edge]:
            return [e for e in edges_of(node) if {e.node._stamp, (node._stamp, e.place)} & self.gradients.keys()]

        return super().accumulated(seed, needed, measure)


def magnitude_of_value(node: Any, values: Found) -> Array:
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


def magnitude_edges(node: Any, values: Found) -> list[Edge]:
    """The edges of a node with pullbacks that take and return magnitudes."""
    name = node._op.__name__ if node._op is not None else ""
    if name in DIFFERENCES:
        (edge,) = edges(node)
        return [edge._replace(pullback=lambda g: DIFFERENCES[name](g, node, values[edge.node._stamp]))]
    if name in MULTILINEAR:
        pullbacks = node._op.body(*argument_magnitudes(node, values), **node._kwargs)[1:]
        return [edge._replace(pullback=function_of(pullbacks[edge.place])) for edge in edges(node)]
    return edges(node)


def argument_magnitudes(node: Any, values: Found) -> list[Any]:
    """The arguments of an op as magnitudes; those that are not floating-point numbers stay as they are."""

    def magnitude(a: Any) -> Any:
        if isinstance(a, Node):
            return values[a._stamp] if a._stamp in values else np.abs(a._data)
        return np.abs(a) if isinstance(a, float) or getattr(a, "dtype", np.dtype(bool)).kind == "f" else a

    return [magnitude(a) for a in arguments(node)]


def distance(x: Array, y: Array, magnitude: Array, eps: float) -> Array:
    """The distance of x from y, element by element, in ulp of a magnitude."""
    unit = np.maximum(np.maximum(magnitude, np.abs(y)) * eps, np.finfo(float).smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x == y, 0.0, np.abs(x - y) / unit)
