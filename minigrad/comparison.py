"""A gradient derived by hand beside autograd and the numeric derivative: is it right, where not, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minigrad.engine import Array
from minigrad.numeric import COMPLEX, TINY_STEP, Problem
from minigrad.show import columns
from minigrad.terms import Graph, distance

Function = Callable[..., Any]

#: Equal is what differs by less, in ulp of the magnitudes summed: room for another order of the same sums.
TOLERANCE = 32.0

#: What central differences can be trusted to.
DIFFERENCE_TOLERANCE = 1e9

#: The smallest derivative that a step of 1e-20 can tell from zero.
RESOLUTION = float(np.finfo(float).smallest_subnormal) / TINY_STEP

#: Elements of an argument that are differentiated numerically; of a larger argument, as many drawn at random.
NUMERIC_ELEMENTS = 200


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
        return "\n".join(columns([HEADS, *self.cells()]))

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(*HEADS, box=SIMPLE_HEAD)
        for row, cells in zip(self.rows, self.cells()):
            table.add_row(*cells[:-1], Text(cells[-1], style="green" if row else "bold red"))
        return table

    def _repr_html_(self) -> str:
        from html import escape

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
    problem = Problem(f, args, caller="compare")
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
    if gradients is None:
        raise TypeError("by_hand needs to return gradients, got None (is its return missing?)")
    listed = list(gradients) if isinstance(gradients, tuple | list) else [gradients]
    if len(listed) != len(names):
        raise ValueError(
            f"by_hand needs {len(names)} gradients, of {', '.join(names)}, got {len(listed)}; "
            "a dict by name may leave some out"
        )
    return {name: np.asarray(g) for name, g in zip(names, listed)}


#: The derivatives of the non-linearities, as people write them with a = f(z).
FACTORS = {"sigmoid": "a*(1-a)", "tanh": "1-a*a", "relu": "1{m > 0}", "exp": "a", "square": "2*x", "abs": "sign(x)"}


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
        found.append(derivative / np.sum(problem.weights[0]))
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
    from fractions import Fraction  # here, as it is slow to import

    i = int(np.argmax(np.abs(auto)))
    if not auto.size or not auto.flat[i] or not np.isfinite(hand.flat[i]) or not hand.flat[i]:
        return None
    ratio = Fraction(float(hand.flat[i] / auto.flat[i])).limit_denominator(10_000)
    if ratio and abs(ratio) != 1 and equal(hand / float(ratio)):
        return str(ratio)
    return None
