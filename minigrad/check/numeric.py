"""Numeric derivatives: autograd against a derivative computed from the function's values alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad._tensor import Tensor, checked_seed, unit_seed
from minigrad.engine import Array
from minigrad.engine import stop_gradient as plain
from minigrad.operands import moved, read, to_numpy
from minigrad.transforms import Function, gradients, numbers_in, reached_gradients, transforming, variable
from minigrad.trees import leaves, paths, unflatten
from minigrad.viz.formats import columns

#: An argument with more elements is checked along random directions instead of element by element.
MAX_ELEMENTS = 200
DIRECTIONS = 20

COMPLEX, DIFFERENCE = "complex step", "central differences"

#: The accuracy of each method, in ulp of the magnitudes involved.
ACCURACY = {COMPLEX: 200.0, DIFFERENCE: 1e8}

TINY_STEP = 1e-20
EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)


class GradientError(AssertionError):
    """A gradient that is not the derivative; the message is the table of the comparison.

    >>> import minigrad as mg
    >>> twice = mg.op()(lambda x: (2 * x, lambda g: 3 * g))
    >>> try:
    ...     mg.gradcheck(twice, 1.0)
    ... except GradientError as error:
    ...     print(str(error).splitlines()[0].partition(", largest")[0])
    derivatives by complex step in float64: 1 compared, 1 wrong, 0 at a kink
    """


@dataclass(frozen=True)
class Derivative:
    """The derivative of the checked function along one element, or one direction, of one argument."""

    argument: str
    where: str
    autograd: float
    numeric: float
    error: float  # in ulp of the magnitudes summed
    method: str
    verdict: str  # "equal", "kink" or "WRONG"


@dataclass
class Report:
    """The derivatives that `gradcheck` compared. True when none is wrong; prints as a table."""

    order: int
    dtype: str
    rows: list[Derivative] = field(default_factory=list)

    @property
    def method(self) -> str:
        """How the derivatives were computed: by the complex step, or by differences."""
        return " and ".join(dict.fromkeys(row.method for row in self.rows))

    @property
    def wrong(self) -> list[Derivative]:
        """The rows in which the two differ."""
        return [row for row in self.rows if row.verdict == "WRONG"]

    @property
    def kinks(self) -> list[Derivative]:
        """The rows at which the function has a kink, and so no derivative."""
        return [row for row in self.rows if row.verdict == "kink"]

    @property
    def worst(self) -> float:
        """The largest error, in ulp of the magnitudes summed, kinks excluded."""
        return max((row.error for row in self.rows if row.verdict != "kink"), default=0.0)

    def __bool__(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        head = (
            f"{'derivatives' if self.order == 1 else 'second derivatives'} by {self.method} in {self.dtype}: "
            f"{len(self.rows)} compared, {len(self.wrong)} wrong, {len(self.kinks)} at a kink, "
            f"largest error {self.worst:.3g} ulp"
        )
        shown = (self.wrong + self.kinks)[:12]
        if not shown:
            return head
        table = [("argument", "where", "autograd", "numeric", "ulp", "verdict")] + [
            (r.argument, r.where, f"{r.autograd:.17g}", f"{r.numeric:.17g}", f"{r.error:.3g}", r.verdict) for r in shown
        ]
        lines = columns(table)
        if len(self.wrong) + len(self.kinks) > len(shown):
            lines.append(f"... and {len(self.wrong) + len(self.kinks) - len(shown)} more")
        if self.kinks:
            lines.append("at a kink the slopes to the left and right differ: any value between is a subgradient")
        return "\n".join([head, *lines])

    __repr__ = __str__


def gradcheck(f: Function, *args: Any, order: int = 1) -> Report:
    """Check f's gradient at args against a derivative computed from f's values alone.

    >>> import minigrad as mg
    >>> report = mg.gradcheck(lambda W, x: mg.tanh(W @ x), np.ones((2, 2)), np.array([0.1, 0.2]))
    >>> bool(report), report.method, len(report.rows)
    (True, 'complex step', 6)

    Where f accepts complex numbers the derivative is Im f(x + ih) / h with h = 1e-20, which has no cancellation and is
    accurate to a few ulp (Squire and Trapp, SIAM Review 40, 1998); it is used only where a central difference agrees
    with it. Elsewhere the derivative is the central difference of fourth order. Both are computed in double precision
    whatever the dtype of the arguments. A function with several outputs is checked along one random combination of
    them. An argument of up to 200 elements is checked element by element, a larger one along 20 random directions.

    Args:
        f: a function of arrays, or of dicts, lists, tuples of arrays, or an op.
        args: the point at which to check. Floating-point arrays and numbers are variables, all else is constant.
        order: 2 checks the gradient of the gradient too.

    Returns:
        A report, which prints as a table.

    Raises:
        GradientError: for a wrong gradient (with the table), one that is not finite, a function that does not
            depend on an argument, or one that returns another value when called again.
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck checks order 1 or 2, got {order}")
    problem = Problem(f, args)
    report = problem.check()
    if order == 2 and report:
        report = Problem(problem.gradient_function(), args, order=2).check()
    if not report:
        raise GradientError(str(report))
    return report


class Problem:
    """A function, and the point at which to differentiate it: its floating-point arguments in a list."""

    def __init__(self, f: Function, args: tuple[Any, ...], order: int = 1, caller: str = "gradcheck") -> None:
        self.f, self.args, self.order = f, args, order
        self.leaves = [x.data if isinstance(x, Tensor) else x for x in leaves(args)]
        self.where = [i for i, x in enumerate(self.leaves) if is_variable(x)]
        self.names = [name for name, i in zip(argument_names(f, args), range(len(self.leaves))) if i in self.where]
        self.values = [to_numpy(self.leaves[i]) for i in self.where]
        if not self.values:
            raise TypeError(f"{caller} needs a floating-point argument to differentiate by, got none; write 1.0 for 1")
        outputs = list(map(read, numbers_in(self.call(self.values), caller)))
        again = list(map(read, leaves(self.call(self.values))))
        if not all(np.array_equal(y, z, equal_nan=True) for y, z in zip(outputs, again)):
            raise GradientError(
                "the function returns another value when called again with the same arguments: is it random?"
            )
        for y in outputs:
            if not np.all(np.isfinite(y)):
                raise GradientError(f"the value of the function is not finite at these arguments: {y}")
        rng = np.random.default_rng(len(outputs))
        self.weights = [rng.choice([-1, 1], np.shape(y)) * rng.uniform(0.5, 1.5, np.shape(y)) for y in outputs]
        if len(outputs) == 1 and np.size(outputs[0]) == 1:  # a scalar is differentiated as it is
            self.weights = [np.ones(np.shape(outputs[0]))]
        self.magnitude = sum(float(np.sum(np.abs(w * y))) for w, y in zip(self.weights, outputs))

    def call(self, values: Sequence[Any]) -> Any:
        new = list(self.leaves)
        for i, value in zip(self.where, values):
            new[i] = self.like_argument(i, value)
        return self.f(*unflatten(self.args, new))

    def like_argument(self, i: int, value: Any) -> Any:
        """A value in the library of the argument that it takes the place of."""
        return value if isinstance(value, Tensor) else moved(value, self.leaves[i])

    def scalar(self, values: Sequence[Array]) -> Any:
        """The number that is differentiated: a fixed random combination of the outputs."""
        outputs = leaves(self.call(values))
        return read(sum(np.sum(w * y) for w, y in zip(self.weights_of(outputs), outputs)))

    def weights_of(self, outputs: Sequence[Any]) -> list[Any]:
        """The weights, each in the library of its output."""
        return [moved(w, plain(y)) for w, y in zip(self.weights, outputs)]

    def autograd(self) -> list[Array]:
        with transforming():
            variables = [variable(self.like_argument(i, x)) for i, x in zip(self.where, self.values)]
            outputs = leaves(self.call(variables))
            weights = self.weights_of(outputs)
            seeds = [checked_seed(w, y) if isinstance(y, Tensor) else w for w, y in zip(weights, outputs)]
            found = reached_gradients(outputs, seeds, variables, record=False)
        for i, (name, g) in enumerate(zip(self.names, found)):
            if g is None and self.order == 1:
                raise GradientError(
                    f"the function does not depend on its argument {name}: no op leads from it to the value "
                    "(or the way is cut, by .data, .detach or float())"
                )
            found[i] = np.zeros_like(self.values[i]) if g is None else to_numpy(g)
            if not np.all(np.isfinite(found[i])):
                raise GradientError(f"the gradient with respect to {name} is not finite:\n{found[i]}")
        return found

    def gradient_function(self) -> Function:
        """The gradient of the scalar as a function of the same arguments, which order 2 checks."""

        @functools.wraps(self.f)  # keeps the names of its arguments
        def gradient(*args: Any) -> Any:
            flat = leaves(args)
            with transforming(args) as nested:
                variables = [variable(flat[i]) for i in self.where]
                value = self.scalar(variables)
                return gradients(
                    [value], [unit_seed(value)], variables, nested(value)
                )  # not conjugated: it stays analytic

        return gradient

    def check(self) -> Report:
        found = self.autograd()
        double = [x.astype(np.float64) for x in self.values]
        report = Report(self.order, str(np.result_type(*self.values)))
        for k, (name, x, g) in enumerate(zip(self.names, double, found)):
            measured = []
            for label, v in directions(x):
                numeric, method = self.derivative(double, k, v)
                measured.append((label, v, float(np.sum(g * v)), numeric, method))
            size = max((max(abs(ours), abs(numeric)) for _, _, ours, numeric, _ in measured), default=0.0)
            scale = max(size, self.magnitude / max(1.0, float(np.max(np.abs(x), initial=0.0))), TINY)
            eps = float(np.finfo(self.values[k].dtype).eps)
            for label, v, ours, numeric, method in measured:
                error = abs(ours - numeric) / (eps * scale)
                allowed = ACCURACY[method] * (self.order if method == COMPLEX else EPS / eps) + ACCURACY[COMPLEX]
                verdict = "equal" if error <= allowed else "WRONG"
                if verdict == "WRONG" and self.between_slopes(double, k, v, ours, 1e-4 * scale):
                    verdict = "kink"
                report.rows.append(Derivative(name, label, ours, numeric, error, method, verdict))
        return report

    def derivative(self, values: list[Array], k: int, v: Array) -> tuple[float, str]:
        """The derivative along v in argument k, and its method."""
        by_difference = self.central_difference(values, k, v)
        try:
            with np.errstate(all="ignore"):
                y = self.scalar(perturbed(values, k, 1j * TINY_STEP * v))
        except (TypeError, ValueError):
            return by_difference, DIFFERENCE
        by_complex = float(np.imag(y)) / TINY_STEP
        agree = abs(by_complex - by_difference) <= 1e-4 * abs(by_difference) + 1e-8 * self.magnitude
        if np.isfinite(by_complex) and (agree or not np.isfinite(by_difference)):
            return by_complex, COMPLEX
        return by_difference, DIFFERENCE

    def central_difference(self, values: list[Array], k: int, v: Array) -> float:
        """The fourth-order central difference, with a step small enough for f to be finite around the point."""
        h = 1e-4 * max(1.0, float(np.max(np.abs(values[k]), initial=0.0)))
        slope = np.nan
        with np.errstate(all="ignore"):
            while not np.isfinite(slope) and h > 1e-9:
                near, far = ([self.scalar(perturbed(values, k, s * n * h * v)) for s in (1, -1)] for n in (1, 2))
                slope = float(8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * h)
                h /= 10
        return slope

    def between_slopes(self, values: list[Array], k: int, v: Array, ours: float, slack: float) -> bool:
        """Is this a kink, with autograd's derivative between the slopes to its left and right?"""
        h = 1e-6
        here, right, left = (float(self.scalar(perturbed(values, k, s * h * v))) for s in (0, 1, -1))
        low, high = sorted([(right - here) / h, (here - left) / h])
        return high - low > 2 * slack and low - slack <= ours <= high + slack


def perturbed(values: list[Array], k: int, by: Array) -> list[Array]:
    """The values with one of them perturbed.

    All become complex if the step is, so that a gradient computed inside f keeps its imaginary part.
    """
    return [x + by if i == k else x + 0 * by.dtype.type(1) for i, x in enumerate(values)]


def directions(x: Array) -> Iterator[tuple[str, Array]]:
    """Labelled directions: every element of a small array, random ones for a large array."""
    if x.size <= MAX_ELEMENTS:
        for index in np.ndindex(x.shape):
            v = np.zeros_like(x)
            v[index] = 1
            yield str(list(index)) if index else "", v
    else:
        rng = np.random.default_rng(x.size)
        for n in range(DIRECTIONS):
            yield f"random direction {n}", rng.choice([-1.0, 1.0], x.shape)


def is_variable(x: Any) -> bool:
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind == "f")


def argument_names(f: Function, args: tuple[Any, ...]) -> list[str]:
    """Names of the leaves of the arguments, from the parameters of f where its signature is known."""
    try:
        names = [p.name if p.kind is not p.VAR_POSITIONAL else None for p in inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):
        names = []
    names = names[: names.index(None)] if None in names else names
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return [path for name, tree in zip(names, args) for path in paths(tree, str(name))]
