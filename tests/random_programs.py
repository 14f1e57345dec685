"""Random programs: a few NumPy statements in which everything may be used again, differentiated by two engines.

What the oracle gets wrong itself is left out: np.tile of more axes than repetitions, np.diag of what is not square
(autograd 1.9; found here, and settled by differences).

A program is text, so that one that fails can be read, shrunk and run by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import autograd
import autograd.numpy
import numpy as np

import minigrad as mg

INPUTS = {"x": (2, 3), "y": (3,), "z": (2, 2), "w": ()}
LARGEST, MOST = 30.0, 40  # magnitude and number of elements of what a statement may give

UNARY = """np.tanh({a}) | np.sin({a}) | np.cos({a}) | np.exp(-np.square({a})) | np.log(1.5 + np.cos({a})) | np.arctan({a})
np.sqrt(1 + {a} * {a}) | np.log1p(np.square({a})) | np.abs({a}) | np.sinh(np.tanh({a})) | np.expm1(np.sin({a}))
np.maximum({a}, 0.1) | np.where({a} > 0, {a}, 0.1 * {a}) | np.clip({a}, -1.0, 1.5) | {a} ** 2 | {a} ** 3 | 2.0 - {a} | -{a} / 3
np.cosh(np.cos({a})) | np.arcsinh({a}) | np.log2(2 + np.sin({a})) | np.reciprocal(2 + np.cos({a})) | np.sinc(0.3 + {a} ** 2)
np.sum({a}) | np.mean({a}) | np.max({a}) | np.var({a}) | np.ravel({a}) | np.transpose({a}) | np.flipud({a}) | np.roll({a}, 1)
np.sum({a}, axis=0) | np.mean({a}, axis=-1, keepdims=True) | np.max({a}, axis=0) | np.min({a}, axis=-1) | np.cumsum({a}, axis=0)
np.prod(np.cos({a}), axis=0) | np.var({a}, axis=-1) | np.std({a} + np.arange(float({a}.shape[-1])), axis=-1) | np.sort(np.ravel({a}))
np.sum({a}, axis=-1, keepdims=True) | np.reshape({a}, -1) | np.repeat({a}, 2, axis=0) | np.tile(np.ravel({a}), 2) | {a}[::-1] | {a}[0]
{a}[..., -1] | {a}[..., None] | {a}[:, 0] | {a}[1:] | {a}[np.array([0, -1, 0])] | {a}[..., np.array([0, 0, -1])] | {a}.T
{a}[:, ::2] | np.expand_dims({a}, 0) | np.squeeze({a}[None]) | np.swapaxes({a}, 0, 1) | np.moveaxis({a}, 0, -1) | np.diff({a})
np.linalg.norm({a}) | np.linalg.norm({a}, axis=-1) | np.trace({a}) | np.diagonal({a}) | np.tril({a} @ {a}.T) | np.triu({a} @ {a}.T, 1)
np.linalg.inv({a} @ {a}.T + np.eye({a}.shape[0])) | np.linalg.det({a} @ {a}.T + np.eye({a}.shape[0])) | np.diag(np.ravel({a}))
np.linalg.slogdet({a}.T @ {a} + np.eye({a}.shape[1]))[1] | np.linalg.cholesky({a} @ {a}.T + np.eye({a}.shape[0]))
np.einsum("ij->j", {a}) | np.einsum("ij,kj->ik", {a}, {a}) | np.pad({a}[None], 1, "constant") | np.broadcast_to({a}[None], (2,) + {a}.shape)
np.linalg.eigh({a} + {a}.T)[0] | np.real(np.fft.fft({a})) | np.imag(np.fft.ifft(np.fft.fft({a}) * (1 + 2j)))"""

BINARY = """{a} + {b} | {a} - {b} | {a} * {b} | {a} / (1.5 + np.cos({b})) | {a} @ {b} | np.dot({a}, {b}) | np.outer(np.ravel({a}), np.ravel({b}))
np.maximum({a}, {b}) | np.minimum({a}, {b}) | np.logaddexp({a}, {b}) | np.arctan2({a}, 1 + {b} ** 2) | {b} * {a} + {b}
np.concatenate([{a}, {b}]) | np.stack([{a}, {b}]) | np.stack([{a}, {b}], axis=-1) | np.vstack([{a}, {b}]) | np.hstack([{a}, {b}])
np.where({a} > {b}, {a} + 0 * {b}, {b} * 0.5 + 0 * {a}) | np.tensordot({a}, {b}, 1) | np.inner(np.ravel({a}), np.ravel({a})) | (1.5 + np.sin({a})) ** {b}
np.einsum("ij,j->i", {a}, {b}) | np.einsum("i,j", {a}, {b}) | np.einsum("ij,ij->", {a}, {b}) | np.kron(np.ravel({a}), np.ravel({b}))
np.linalg.solve({a} @ {a}.T + np.eye({a}.shape[0]), {b}) | np.append({a}, {b}) | np.concatenate([{a}, {b}], axis=-1)"""

TEMPLATES = [(t.strip(), n) for n, text in ((1, UNARY), (2, BINARY)) for t in text.replace("\n", "|").split("|")]


class Program(NamedTuple):
    """Named expressions, and the names of the outputs."""

    statements: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{name} = {expression}" for name, expression in self.statements]
        value = " + ".join(f"np.sum(np.sin({name} + {k}.0))" for k, name in enumerate(self.outputs))
        return "\n    ".join([f"def f({', '.join(INPUTS)}):", *lines, f"return {value}"])

    def function(self, numpy: Any) -> Callable[..., Any]:
        scope = {"np": numpy}
        exec(compile(str(self), "program", "exec"), scope)
        return scope["f"]


def inputs(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    return [np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in INPUTS.values()]


def program(seed: int) -> Program:
    """The program of a seed: each statement computes on the inputs, so that the next knows what it may use."""
    rng = np.random.default_rng([seed, 0])
    scope: dict[str, Any] = dict(zip(INPUTS, inputs(seed)))
    statements: list[tuple[str, str]] = []
    wanted = int(rng.integers(3, 11))
    while len(statements) < wanted:
        template, _ = TEMPLATES[rng.integers(len(TEMPLATES))]
        names = list(scope)
        recent = np.linspace(1, 4, len(names))  # what was made last is more likely used
        a, b = rng.choice(names, 2, p=recent / recent.sum())
        expression = template.format(a=a, b=b)
        try:
            with np.errstate(all="ignore"):
                value = eval(expression, {"np": np}, scope)
        except (ValueError, IndexError, TypeError, AttributeError, np.linalg.LinAlgError):
            continue
        if 0 < np.size(value) <= MOST and np.ndim(value) <= 3 and np.all(np.abs(value) < LARGEST):
            name = f"v{len(statements)}"
            statements.append((name, expression))
            scope[name] = np.asarray(value)
    made = [name for name, _ in statements]
    others = [str(name) for name in rng.choice(made, min(2, len(made) - 1), replace=False)]
    return Program(tuple(statements), tuple(dict.fromkeys([made[-1], *others])))


def derivatives(engine: Any, f: Callable[..., Any], at: list[np.ndarray]) -> list[Any]:
    """The value, the gradient, and the gradient of the gradient along a direction."""
    numbers = tuple(range(len(at)))
    directions = [np.cos(np.arange(x.size)).reshape(x.shape) for x in at]

    def slope(*xs: Any) -> Any:
        total = 0.0
        for g, d in zip(engine.grad(f, numbers)(*xs), directions, strict=True):
            total = total + autograd.numpy.sum(g * d) if engine is autograd else total + np.sum(g * d)
        return total

    return [f(*at), *engine.grad(f, numbers)(*at), *engine.grad(slope, numbers)(*at)]


#: Ops with a point at which the derivative is chosen (or undecided by rounding), and a derivative of that is NaN.
CHOICES = re.compile(r"np\.(abs|std|linalg\.norm|linalg\.eigh)\(")


class NoOracle(Exception):
    """HIPS autograd has no rule for what the program does, or not for its second derivative."""


def difference(p: Program, at: list[np.ndarray]) -> str | None:
    """What the two engines do not agree on, None where they do."""
    try:
        expected = derivatives(autograd, p.function(autograd.numpy), at)
    except Exception as error:
        raise NoOracle from error
    try:
        found = derivatives(mg, p.function(np), at)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    labels = ["value", *(f"d/d{x}" for x in INPUTS), *(f"second d/d{x}" for x in INPUTS)]
    for label, x, y in zip(labels, found, expected, strict=True):
        if label.startswith("second") and any(CHOICES.search(expression) for _, expression in p.statements):
            x = np.where(np.isnan(x), y, x)
        scale = 1 + np.max(np.abs(y))
        if np.shape(x) != np.shape(y) or not np.all(np.abs(x - y) <= 1e-9 * scale):
            return f"{label}: minigrad {x}, autograd {y}"
    return None


def failing(p: Program, at: list[np.ndarray]) -> bool:
    try:
        return difference(p, at) is not None
    except NoOracle:
        return False


def shrunk(p: Program, at: list[np.ndarray]) -> Program:
    """The program with statements and outputs dropped, as long as it still fails."""
    changed = True
    while changed:
        changed = False
        for smaller in [*without_output(p), *without_statement(p)]:
            if smaller.outputs and failing(smaller, at):
                p, changed = smaller, True
                break
    return p


def without_output(p: Program) -> list[Program]:
    return [p._replace(outputs=tuple(o for o in p.outputs if o != name)) for name in p.outputs if len(p.outputs) > 1]


def without_statement(p: Program) -> list[Program]:
    """One statement dropped with what depends on it, or an input in its place."""
    smaller = []
    for name, _ in p.statements:
        gone, kept = {name}, []
        for other, expression in p.statements:
            if other in gone or any(_uses(expression, used) for used in gone):
                gone.add(other)
            else:
                kept.append((other, expression))
        smaller.append(Program(tuple(kept), tuple(o for o in p.outputs if o not in gone)))
        for x in INPUTS:
            kept = [(o, _renamed(e, name, x)) for o, e in p.statements if o != name]
            smaller.append(Program(tuple(kept), tuple(x if o == name else o for o in p.outputs)))
    return smaller


def _uses(expression: str, name: str) -> bool:
    return _renamed(expression, name, "") != expression


def _renamed(expression: str, name: str, new: str) -> str:
    return re.sub(rf"\b{name}\b", new, expression)
