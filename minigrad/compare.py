"""A gradient derived by hand beside autograd and the numeric derivative: is it right, where not, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from html import escape
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, fitted, sweep
from minigrad.gradcheck import COMPLEX, TINY_STEP, Problem
from minigrad.ops import softmax
from minigrad.transforms import transforming, variable

Function = Callable[..., Any]

#: Equal is what differs by less, in ulp of the magnitudes summed: room for another order of the same sums.
TOLERANCE = 32.0

#: What central differences can be trusted to.
DIFFERENCE_TOLERANCE = 1e9

#: The smallest derivative that a step of 1e-20 can tell from zero.
RESOLUTION = float(np.finfo(float).smallest_subnormal) / TINY_STEP

#: Elements of an argument that are differentiated numerically; of a larger argument, as many drawn at random.
NUMERIC_ELEMENTS = 200

#: Ops that are sums of products of their arguments, or of the arguments themselves: of the sizes of those they make
#: the size of their terms.
SUMS = {
    "matmul",
    "add",
    "multiply",
    "sum",
    "reshape",
    "transpose",
    "getitem",
    "concatenate",
    "embedding",
    "broadcast_to",
}

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


@dataclass(frozen=True)
class Comparison:
    """One argument: its gradient by hand, by autograd and from values alone.

    Distances are in ulp, of the magnitude of the terms that were summed: a gradient that is the small difference of
    large terms cannot be more exact than those.
    """

    argument: str
    shape: tuple[int, ...]
    verdict: str  # "equal", or what is wrong
    index: tuple[int, ...] | None  # where by hand and autograd are furthest apart
    by_hand: float | None  # there
    autograd: float | None
    numeric: float | None
    absolute: float  # the largest difference between by hand and autograd
    relative: float
    ulp: float  # the largest distance of by hand from autograd
    numeric_ulp: float  # the largest distance of autograd from the numeric derivative
    method: str  # of the numeric derivative

    def __bool__(self) -> bool:
        return self.verdict == "equal"


HEADS = ("argument", "shape", "at", "by hand", "autograd", "numeric", "ulp", "numeric ulp", "verdict")


@dataclass(frozen=True)
class Comparisons:
    """What `compare` found, an argument after the other. True when all are equal; prints as a table."""

    rows: tuple[Comparison, ...]

    def __bool__(self) -> bool:
        return all(self.rows)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.rows)

    def __getitem__(self, argument: str) -> Comparison:
        return next(row for row in self.rows if row.argument == argument)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The same as plain numbers and strings, by argument."""
        return {row.argument: asdict(row) for row in self.rows}

    def cells(self) -> list[tuple[str, ...]]:
        def number(x: float | None) -> str:
            return "" if x is None else f"{x:.9g}"

        return [
            (
                row.argument,
                str(row.shape),
                "" if row.index is None else str(list(row.index)),
                number(row.by_hand),
                number(row.autograd),
                number(row.numeric),
                f"{row.ulp:.3g}",
                f"{row.numeric_ulp:.3g}",
                row.verdict,
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        table = [HEADS, *self.cells()]
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in table)

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(*HEADS, box=SIMPLE_HEAD)
        for row, cells in zip(self.rows, self.cells()):
            table.add_row(*cells[:-1], Text(cells[-1], style="green" if row else "bold red"))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in HEADS)
        body = ""
        for row, cells in zip(self.rows, self.cells()):
            colour = "green" if row else "crimson"
            data = "".join(f"<td>{escape(cell)}</td>" for cell in cells[:-1])
            body += f'<tr>{data}<td style="color:{colour};font-weight:bold">{escape(cells[-1])}</td></tr>'
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def compare(f: Function, by_hand: Function, *args: Any) -> Comparisons:
    """Put a gradient derived by hand next to autograd's and the numeric one, argument by argument.

    >>> import minigrad as mg
    >>> def f(w, x):
    ...     return mg.sigmoid(w @ x)
    >>> def by_hand(w, x):
    ...     a = mg.sigmoid(w @ x)
    ...     return {"w": a * (1 - a) * x, "x": -a * (1 - a) * w}
    >>> report = mg.compare(f, by_hand, np.array([0.5, -1.0]), np.array([2.0, 3.0]))
    >>> bool(report), report["w"].verdict, report["x"].verdict
    (False, 'equal', 'the sign is flipped')

    A wrong gradient is tried against the classic mistakes: transposed, a flipped sign, a factor too many or missing
    (2, 1/N, the derivative of a non-linearity), a sum over the batch not taken, a term counted twice, left out or
    with the wrong sign, the gradient or the value of something else. Each is tested by computing what the mistake
    would give; none is guessed.

    Args:
        f: a function of arrays whose value is a scalar.
        by_hand: a function of the same arguments: the gradients in a dict by the names of f's arguments (of some or
            all), in a tuple or list in their order, or the one gradient of a function of one argument.
        args: where to compare, arrays of floating-point numbers.

    Returns:
        Comparisons: true where all are equal, a table when printed (in colour with rich), HTML in notebooks.

    Raises:
        ValueError: where f's value is not a scalar, or by_hand gives gradients of arguments that f does not have.
        GradientError: where f is random, or has no finite value here.
    """
    problem = Problem(f, args)
    if any(isinstance(x, dict | list | tuple) for x in args):
        raise TypeError("compare needs arrays as arguments, got a container; give its arrays as arguments of their own")
    graph = Graph(problem)
    hands = given_gradients(by_hand(*args), problem.names)
    numbers = {name: k for k, name in enumerate(problem.names)}
    return Comparisons(tuple(compared(problem, graph, numbers[name], h) for name, h in hands.items()))


def given_gradients(gradients: Any, names: list[str]) -> dict[str, Array]:
    """What by_hand returned, by the names of the arguments."""
    if isinstance(gradients, Mapping):
        strange = [name for name in gradients if name not in names]
        if strange:
            raise ValueError(f"by_hand needs gradients of {', '.join(names)}, got one of {', '.join(strange)}")
        return {name: np.asarray(gradients[name]) for name in names if name in gradients}
    listed = list(gradients) if isinstance(gradients, tuple | list) else [gradients]
    if len(listed) != len(names):
        raise ValueError(
            f"by_hand needs {len(names)} gradients, of {', '.join(names)}, got {len(listed)}; "
            "a dict by name may leave some out"
        )
    return {name: np.asarray(g) for name, g in zip(names, listed)}


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
        oldest_first = sorted(self.nodes, key=lambda node: -node._stamp)
        values: dict[int, Array] = {}  # the size of the terms of each value, then of each gradient
        for node in oldest_first:
            values[node._stamp] = self.size_of_value(node, values)
        sizes: dict[int, Array] = {self.value._stamp: np.float64(1)} if self.nodes else {}
        for node in reversed(oldest_first):
            g = sizes.get(node._stamp)
            if g is None or not node._edges:
                continue
            edges = self.edges(node)
            if node._op.__name__ in SUMS:
                edges = self.edges_of_sizes(node, values)
            for x, pullback in edges:
                if node._op.__name__ in DIFFERENCES:
                    term = DIFFERENCES[node._op.__name__](g, node, values[x._stamp])
                else:
                    term = pullback(g)
                term = np.abs(np.asarray(fitted(term, x.data, node)))
                sizes[x._stamp] = sizes.get(x._stamp, 0.0) + term
        x = self.variables[k]
        return np.asarray(sizes.get(x._stamp, np.zeros_like(x.data)))

    def size_of_value(self, node: Any, values: dict[int, Array]) -> Array:
        if node._op is None or node._op.__name__ == "identity":
            return np.abs(node.data)
        if node._op.__name__ in SUMS:
            return node._op.body(*self.arguments_in_size(node, values), **node._kwargs)[0]
        carried = [np.abs(pullback(values[x._stamp])) for x, pullback in self.edges(node) if x.shape == node.shape]
        own = 0.0 if node._op.__name__ in ("subtract", "negative") else np.abs(node.data)
        return sum(carried, own)

    def arguments_in_size(self, node: Any, values: dict[int, Array]) -> list[Any]:
        def size(a: Any) -> Any:
            if isinstance(a, Node):
                return values[a._stamp]
            return np.abs(a) if getattr(a, "dtype", np.dtype(int)).kind == "f" or isinstance(a, float) else a

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


#: The derivatives of the non-linearities, as people write them with a = f(z).
FACTORS = {"sigmoid": "a*(1-a)", "tanh": "1-a*a", "relu": "1{m > 0}", "exp": "a", "square": "2*x", "abs": "sign(x)"}


def distance(x: Array, y: Array, magnitude: Array, eps: float) -> Array:
    """How far x is from y, element by element, in ulp of a magnitude."""
    unit = np.maximum(np.maximum(magnitude, np.abs(y)) * eps, np.finfo(float).smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x == y, 0.0, np.abs(x - y) / unit)


def compared(problem: Problem, graph: Graph, k: int, hand: Array) -> Comparison:
    """One argument."""
    name, auto, size = problem.names[k], graph.gradient(k), graph.magnitude(k)
    eps = float(np.finfo(auto.dtype).eps)
    numeric, numeric_index, method = numeric_gradient(problem, k)
    off = [distance(auto[i], g, np.maximum(size[i], RESOLUTION / eps), eps) for i, g in zip(numeric_index, numeric)]
    numeric_ulp = float(max(off, default=0.0))

    def equal(x: Array, y: Array = auto) -> bool:
        with np.errstate(invalid="ignore", over="ignore"):
            return x.shape == y.shape and bool(np.all(distance(x, y, size, eps) <= TOLERANCE))

    if hand.shape == auto.shape:
        ulps = distance(hand, auto, size, eps)
        index = (
            np.unravel_index(int(np.argmax(np.where(np.isnan(ulps), np.inf, ulps))), auto.shape) if auto.size else None
        )
        place = None if index is None else tuple(int(i) for i in index)
        with np.errstate(invalid="ignore", over="ignore"):
            absolute = float(np.max(np.abs(hand - auto), initial=0.0))
        ulp = float(np.max(ulps, initial=0.0))
        largest = float(np.max(np.abs(auto), initial=0.0))
    else:
        place, absolute, ulp, largest = None, float("inf"), float("inf"), 1.0
    trusted = numeric_ulp <= (TOLERANCE if method == COMPLEX else DIFFERENCE_TOLERANCE)
    if not trusted:
        verdict = f"autograd and the {method} disagree: check the ops of f with gradcheck, or move away from a kink"
    elif equal(hand):
        verdict = "equal"
    else:
        verdict = mistake(problem, graph, k, hand, equal)
    at = dict(zip(numeric_index, numeric))
    return Comparison(
        argument=name,
        shape=auto.shape,
        verdict=verdict,
        index=place,
        by_hand=None if place is None else float(hand[place]),
        autograd=None if place is None else float(auto[place]),
        numeric=None if place not in at else float(at[place]),
        absolute=absolute,
        relative=absolute / largest if largest else (float("inf") if absolute else 0.0),
        ulp=ulp,
        numeric_ulp=numeric_ulp,
        method=method,
    )


def numeric_gradient(problem: Problem, k: int) -> tuple[list[float], list[tuple[int, ...]], str]:
    """Derivatives by the elements of an argument, those elements, and how they were taken."""
    x = problem.values[k]
    chosen = list(np.ndindex(x.shape))
    if x.size > NUMERIC_ELEMENTS:
        drawn = np.random.default_rng(x.size).choice(x.size, NUMERIC_ELEMENTS, replace=False)
        chosen = [chosen[i] for i in sorted(drawn)]
    double = [v.astype(np.float64) for v in problem.values]
    found, methods = [], []
    for index in chosen:
        v = np.zeros_like(double[k])
        v[index] = 1
        derivative, method = problem.derivative(double, k, v)
        found.append(derivative / float(problem.weights[0]))
        methods.append(method)
    return found, chosen, " and ".join(dict.fromkeys(methods))


def mistake(problem: Problem, graph: Graph, k: int, hand: Array, equal: Callable[..., bool]) -> str:
    """What is wrong with a gradient by hand: the first of the classic mistakes that gives it."""
    auto = graph.gradient(k)
    if np.any(np.isnan(hand)):
        return "it is not a number in some elements"
    if hand.ndim == auto.ndim == 2 and equal(hand.T):
        return "equals autograd's transpose"
    if hand.shape == auto.shape:
        if equal(-hand):
            return "the sign is flipped"
        if factor := common_factor(hand, auto, equal):
            return f"differs by a factor of exactly {factor}"
    for op_name in dict.fromkeys(node._op.__name__ for node in graph.nodes if node._op is not None):
        if op_name in FACTORS and equal(graph.without_factor(op_name, k), hand):
            return f"missing the factor {FACTORS[op_name]}, the derivative of {op_name}"
    if hand.shape == auto.shape:
        for op_name, term in graph.terms(k):
            for sign, said in (1, "is counted twice"), (-1, "is missing"), (-2, "has the wrong sign"):
                if np.any(term) and equal(hand, auto + sign * term):
                    return f"the term that comes through {op_name} {said}"
    for axis in range(hand.ndim):
        if hand.ndim == auto.ndim + 1 and equal(np.sum(hand, axis=axis)):
            return f"a missing sum over the batch: equals autograd's when summed over axis {axis}"
    arguments = list(zip(problem.names, graph.variables))
    results = [(node.name or node._op.__name__, node) for node in graph.nodes if node._op is not None]
    alike = [
        (called, node)
        for called, node in arguments + results
        if node is not graph.variables[k] and np.shape(node.data) == hand.shape and np.any(hand)
    ]
    for called, node in alike:
        if _same(hand, node.data):
            return f"equals the value of {called}, not a gradient"
    for called, node in alike:
        if _same(hand, graph.gradients.get(node._stamp, np.zeros_like(node.data))):
            return f"equals the gradient of {called}"
    if hand.shape != auto.shape:
        return f"needs the shape {auto.shape}, has {hand.shape}"
    return "differs"


def _same(x: Array, y: Array) -> bool:
    return bool(np.all(distance(x, np.asarray(y), np.abs(y), float(np.finfo(np.asarray(y).dtype).eps)) <= TOLERANCE))


def common_factor(hand: Array, auto: Array, equal: Callable[..., bool]) -> str | None:
    """The one number that hand is autograd's times, where there is one and it is a simple fraction."""
    i = int(np.argmax(np.abs(auto)))
    if not auto.size or not auto.flat[i] or not np.isfinite(hand.flat[i]) or not hand.flat[i]:
        return None
    ratio = Fraction(float(hand.flat[i] / auto.flat[i])).limit_denominator(10_000)
    if ratio and abs(ratio) != 1 and equal(hand / float(ratio)):
        return str(ratio)
    return None
