"""A gradient derived by hand against autograd and the numeric derivative: where they differ, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minigrad.check.numeric import COMPLEX, TINY_STEP, Problem
from minigrad.check.terms import GradientTerms, distance
from minigrad.engine import Array
from minigrad.engine import stop_gradient as plain
from minigrad.operands import is_foreign, to_numpy
from minigrad.text import named, op_name, printable
from minigrad.transforms import Function
from minigrad.trees import map_leaves
from minigrad.viz.formats import columns

#: Tolerance in ulp; allows reordered sums.
TOLERANCE = 32.0

#: The accuracy of central differences, in the same ulp.
DIFFERENCE_TOLERANCE = 1e9

#: The smallest derivative that a step of 1e-20 can distinguish from zero.
RESOLUTION = float(np.finfo(float).smallest_subnormal) / TINY_STEP

#: The number of elements of an argument that are differentiated numerically; those of a larger one are random.
NUMERIC_ELEMENTS = 200


@dataclass(frozen=True)
class Comparison:
    """The gradient of one argument: by hand, by autograd and numerically.

    Distances are in ulp of the magnitude of the terms that were summed: a gradient that is the small difference of
    large terms cannot be more accurate than those.
    """

    argument: str
    shape: tuple[int, ...]
    verdict: str  # "equal", or the mistake
    index: tuple[int, ...] | None  # of the element in which by_hand and autograd differ most
    by_hand: float | None  # this element
    autograd: float | None
    numeric: float | None
    absolute: float  # the largest difference between by_hand and autograd
    relative: float
    ulp: float  # the largest distance of by_hand from autograd
    numeric_ulp: float  # the largest distance of autograd from the numeric derivative
    method: str  # of the numeric derivative

    def __bool__(self) -> bool:
        return self.verdict == "equal"


HEADS = ("argument", "shape", "at", "by hand", "autograd", "numeric", "ulp", "numeric ulp", "verdict")


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of all arguments. True when all gradients are equal; prints as a table."""

    rows: tuple[Comparison, ...]

    def __bool__(self) -> bool:
        return all(self.rows)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.rows)

    def __getitem__(self, argument: str) -> Comparison:
        return next(row for row in self.rows if row.argument == argument)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The comparisons as plain numbers and strings, by argument."""
        return {row.argument: asdict(row) for row in self.rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows of the table."""

        def written(x: float | None) -> str:
            return "" if x is None else f"{x:.9g}"

        return [
            (
                row.argument,
                str(row.shape),
                "" if row.index is None else str(list(row.index)),
                written(row.by_hand),
                written(row.autograd),
                written(row.numeric),
                f"{row.ulp:.3g}",
                f"{row.numeric_ulp:.3g}",
                row.verdict,
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        return "\n".join(columns([HEADS, *self.cells()]))

    __repr__ = __str__

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
    """Compare a gradient derived by hand with autograd's and the numeric one, argument by argument.

    >>> import minigrad as mg
    >>> def f(w, x):
    ...     return mg.sigmoid(w @ x)
    >>> def by_hand(w, x):
    ...     a = mg.sigmoid(w @ x)
    ...     return {"w": a * (1 - a) * x, "x": -a * (1 - a) * w}
    >>> report = mg.compare(f, by_hand, np.array([0.5, -1.0]), np.array([2.0, 3.0]))
    >>> bool(report), report["w"].verdict, report["x"].verdict
    (False, 'equal', 'the sign is flipped')

    A wrong gradient is tested for the classic mistakes: transposed, a flipped sign, an extra or a missing factor
    (2, 1/N, the derivative of a nonlinearity), a missing sum over the batch, a term counted twice, left out or with the
    wrong sign, the gradient or the value of another variable. Each test computes the gradient that the mistake would
    produce; none is a guess.

    Args:
        f: a function of arrays whose value is a scalar.
        by_hand: a function of the same arguments that returns the gradients: in a dict by the names of f's arguments
            (some or all of them), in a tuple or list in their order, or alone where f has one argument.
        args: the point at which to compare, arrays of floating-point numbers; those of other libraries become NumPy's.

    Returns:
        Comparisons: true when all are equal, a table when printed (in colour with rich), HTML in notebooks.

    Raises:
        ValueError: if f's value is not a scalar, or by_hand returns gradients of arguments that f does not have.
        GradientError: if f is random, or its value here is not finite.
    """
    args = map_leaves(lambda x: to_numpy(plain(x)) if is_foreign(plain(x)) else x, args)
    problem = Problem(f, args, caller="compare")
    if any(isinstance(x, dict | list | tuple) for x in args):
        raise TypeError("compare needs arrays as arguments, got a container; pass its arrays as separate arguments")
    terms = GradientTerms(problem)
    hands = given_gradients(by_hand(*args), problem.names)
    numbers = {name: k for k, name in enumerate(problem.names)}
    return Comparisons(tuple(compared(problem, terms, numbers[name], h) for name, h in hands.items()))


def given_gradients(gradients: Any, names: list[str]) -> dict[str, Array]:
    """The gradients that by_hand returned, by the names of the arguments."""
    if isinstance(gradients, Mapping):
        strange = [name for name in gradients if name not in names]
        if strange:
            raise ValueError(
                f"by_hand needs gradients of {', '.join(names)}, got one of {', '.join(map(printable, strange))}"
            )
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


#: The derivatives of the nonlinearities as they are usually written, with a = f(z).
FACTORS = {"sigmoid": "a*(1-a)", "tanh": "1-a*a", "relu": "1{m > 0}", "exp": "a", "square": "2*x", "abs": "sign(x)"}


def compared(problem: Problem, terms: GradientTerms, k: int, hand: Array) -> Comparison:
    """The comparison of one argument."""
    auto, size = terms.gradient(k), terms.magnitude(k)
    eps = float(np.finfo(auto.dtype).eps)
    equal = equality(terms, k)
    numeric, numeric_index, method = numeric_gradient(problem, k)
    off = [distance(auto[i], g, np.maximum(size[i], RESOLUTION / eps), eps) for i, g in zip(numeric_index, numeric)]
    numeric_ulp = float(max(off, default=0.0))
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
        results = [(named(node, op_name(node._op)), node) for node in terms.nodes if node._op is not None]
        verdict = mistake(terms, k, hand, [*zip(problem.names, terms.variables), *results])
    at = dict(zip(numeric_index, numeric))
    return Comparison(
        argument=problem.names[k],
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
    """Derivatives by elements of an argument, the indices of those elements, and the method."""
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
        found.append(derivative)
        methods.append(method)
    return found, chosen, " and ".join(dict.fromkeys(methods))


def equality(terms: GradientTerms, k: int) -> Callable[..., bool]:
    """Does an array equal the gradient of a variable, or another array, to the accuracy that this gradient has?"""
    auto, size = terms.gradient(k), terms.magnitude(k)
    eps = float(np.finfo(auto.dtype).eps)

    def equal(x: Array, y: Array = auto) -> bool:
        with np.errstate(invalid="ignore", over="ignore"):
            return x.shape == y.shape and bool(np.all(distance(x, y, size, eps) <= TOLERANCE))

    return equal


FLIPPED = "the sign is flipped"
MULTIPLE = "differs by a factor of exactly "
DIFFERS = "differs"


def is_multiple(verdict: str) -> bool:
    """Is it the verdict on a gradient that a number is missing in?"""
    return verdict == FLIPPED or verdict.startswith(MULTIPLE)


@np.errstate(all="ignore")  # what was returned by hand may be of any size
def mistake(terms: GradientTerms, k: int, hand: Array, others: Sequence[tuple[str, Any]]) -> str:
    """The verdict on a wrong gradient: the first of the classic mistakes that produces it.

    Args:
        others: values by their names, for which it may have been mistaken.
    """
    auto, equal = terms.gradient(k), equality(terms, k)
    if np.any(np.isnan(hand)):
        return "it is not a number in some elements"
    if hand.ndim == auto.ndim == 2 and equal(hand.T):
        return "equals autograd's transpose"
    if hand.shape == auto.shape:
        if equal(-hand):
            return FLIPPED
        if factor := common_factor(hand, auto, equal):
            return f"{MULTIPLE}{factor}"
    return (
        missing_factor(terms, k, hand, equal)
        or wrong_term(terms, k, hand, equal)
        or missing_sum(auto, hand, equal)
        or of_something_else(terms, k, hand, others)
        or (DIFFERS if hand.shape == auto.shape else misfit(auto.shape, hand.shape))
    )


def misfit(needed: tuple[int, ...], has: tuple[int, ...]) -> str:
    """The verdict on a gradient of another shape."""
    return f"needs the shape {needed}, has {has}"


def missing_factor(terms: GradientTerms, k: int, hand: Array, equal: Callable[..., bool]) -> str | None:
    """Is the derivative of a nonlinearity left out?"""
    for name in dict.fromkeys(node._op.__name__ for node in terms.nodes if node._op is not None):
        if name in FACTORS and equal(terms.without_factor(name, k), hand):
            return f"missing the factor {FACTORS[name]}, the derivative of {name}"
    return None


def wrong_term(terms: GradientTerms, k: int, hand: Array, equal: Callable[..., bool]) -> str | None:
    """Is a term counted twice, left out, or of the wrong sign?"""
    auto = terms.gradient(k)
    if hand.shape != auto.shape:
        return None
    for name, term in terms.terms(k):
        for times in TERMS:
            if np.any(term) and equal(hand, auto + times * term):
                return term_verdict(name, times)
    return None


#: The verdicts on a gradient that has a term so many times too often.
TERMS = {1: "is counted twice", -1: "is missing", -2: "has the wrong sign"}


def term_verdict(name: str, times: int) -> str:
    return f"the term that comes through {printable(name)} {TERMS[times]}"


def missing_sum(auto: Array, hand: Array, equal: Callable[..., bool]) -> str | None:
    """Does it still have the axis of the batch?"""
    for axis in range(hand.ndim):
        if hand.ndim == auto.ndim + 1 and equal(np.sum(hand, axis=axis)):
            return f"a missing sum over the batch: equals autograd's when summed over axis {axis}"
    return None


def of_something_else(terms: GradientTerms, k: int, hand: Array, others: Sequence[tuple[str, Any]]) -> str | None:
    """Is it a value, or the gradient of another value?"""
    others = [
        (name, node)
        for name, node in others
        if node is not terms.variables[k] and np.shape(node.data) == hand.shape and np.any(hand)
    ]
    for name, node in others:
        if _same(hand, node.data, np.abs(node.data)):
            return f"equals the value of {name}, not a gradient"
    for name, node in others:
        g = terms.gradients.get(node._stamp)
        if g is not None and _same(hand, g, terms.magnitudes[node._stamp]):
            return f"equals the gradient of {name}"
    return None


def _same(x: Array, y: Array, magnitude: Array) -> bool:
    y = np.asarray(y)
    return bool(np.all(distance(x, y, magnitude, float(np.finfo(y.dtype).eps)) <= TOLERANCE))


def common_factor(hand: Array, auto: Array, equal: Callable[..., bool]) -> str | None:
    """The factor by which hand is a multiple of autograd's, if it is a simple fraction."""
    from fractions import Fraction  # here, as it is slow to import

    i = int(np.argmax(np.abs(auto)))
    if not auto.size or not auto.flat[i] or not hand.flat[i]:
        return None
    quotient = float(hand.flat[i] / auto.flat[i])
    if not np.isfinite(quotient):
        return None
    ratio = Fraction(quotient).limit_denominator(10_000)
    if ratio and abs(ratio) != 1 and equal(hand / float(ratio)):
        return str(ratio)
    return None
