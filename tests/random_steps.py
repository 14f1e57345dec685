"""Random training steps with state: what they return, and leave behind, eager and compiled.

A step reads and writes Tensors, arrays and numbers of an object, through views and snapshots of them, in every form in
which NumPy writes in place, and an optimizer moves them too. A program is text, so that one that fails can be read.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

HEAD = """
class State:
    pass

def make():
    rng = np.random.default_rng({seed})
    S = State()
    S.W = mg.Tensor(rng.normal(size=(2, 3)).astype({dtype}), name="W")
    S.w = mg.Tensor(rng.normal(size=3).astype({dtype}), name="w")
    S.b = mg.Tensor(rng.normal(size=()).astype({dtype}), name="b")
    S.L = mg.Tensor(rng.normal(size=(4, 3)).astype({dtype}), name="L")
    S.v, S.m, S.e = np.zeros(3, {dtype}), rng.normal(size=3), S.w.data.copy()
    S.V, S.c = rng.normal(size=(2, 3)){order}, np.zeros(3, int)
    S.n, S.lr = 0, 0.125
    S.tied = [S.w, S.w]
    optimizer = {optimizer}
    def step(x, ids):
        {body}
    return step, S, optimizer
"""

OPTIMIZERS = """mg.optim.SGD([S.W, S.w, S.b], lr=0.1) | mg.optim.SGD([S.W, S.w, S.L], lr=0.1, momentum=0.9)
mg.optim.Adagrad([S.W, S.w, S.L], lr=0.1) | mg.optim.Adam([S.W, S.w, S.L, S.b], lr=0.1)"""

LOSSES = """J = mg.sum(np.tanh(S.W @ S.w + S.b) ** 2) | J = mg.sum(mg.embedding(S.L, ids) * S.w) + S.b * S.b
J = mg.sum((S.w * x) ** 2) + mg.sum(S.W * S.V) | J = mg.sum(mg.sigmoid(S.tied[0] * x) * S.tied[1]) * S.lr"""

#: Arrays of three, and of two by three; the last ones are views.
VECTORS = "S.w.data | S.v | S.m | S.e | x | S.W.data[0] | S.V[1] | S.V.reshape(-1)[2:5] | S.w.data[::-1] | S.L.data[1]"
MATRICES = "S.W.data | S.V | S.L.data[1:3] | S.L.data[::2]"
#: Those that may be written into.
TARGETS = "S.w.data | S.v | S.m | S.e | S.W.data[1] | S.V[0] | S.L.data[2] | S.w.data[::-1] | S.W.data.T[:, 0]"

VALUES = """{a} | {a}.copy() | {a} * 1.0 | {a} + {b} | 0.5 * {a} - {b} | np.tanh({a}) * {b} | np.maximum({a}, {b}) | {a}[::-1]
np.where({a} > {b}, {a}, 0) | {a} / (1 + {b} * {b}) | np.sort({a}) | -{a} | {a} - np.mean({b}) | {a} * S.lr | {A}[0] + {a}
np.sum({A}, axis=0) | {A}.T @ {A}[:, 1] | {a}.astype(np.float32) | np.copy({a}) | {a}[np.array([2, 0, 1])] | +{a}
np.clip({a}, -0.5, 0.5) | {a} * S.b.data | np.cumsum({a}) | S.c + {a} | {a} / (1 + np.sqrt(np.sum({b} ** 2))) | np.full_like({a}, 0.5)"""
NUMBERS = """np.sum({a}) | np.sqrt(np.sum({A} ** 2)) | {a}[1] | np.max({b}) | S.b.data * 1.0 | {a} @ {b} | float(3) | S.lr * 2
np.mean({A}) | S.b.data.copy() | S.b.data[()]"""

WRITES = """{t} += {v} | {t} -= S.lr * {v} | {t} *= 0.5 | {t} /= 2 | {t}[...] = {v} | {t}[:] = {v} | {t}[0] = {k} | {t}[1:] = {v}[:2]
{t}[{t} < 0] = 0 | {t}[{a} > {b}] *= 0.5 | {t}[1:] += {a}[1:] | {t}[::2] -= S.lr * {a}[::2] | {t}[[0, 2]] = {v}[[1, 1]]
np.copyto({t}, {v}, casting="unsafe") | np.copyto({t}, {v}, casting="unsafe", where={a} > 0) | np.put({t}, [0, -1], {k})
np.putmask({t}, {a} > {b}, 1.0 * {a}) | np.place({t}, {a} > {b}, 1.0 * {a}) | np.add({a}, {b}, out={t}, casting="unsafe") | {t}.fill({k}) | {t}.sort()
np.multiply({a}, {b}, out={t}, where={a} > 0, casting="unsafe") | np.divide({a}, 2 + {b} * {b}, out={t}, where={b} > 0, casting="unsafe")
np.sum({A}, axis=0, out={t}) | np.clip({t}, -1, 1, out={t}) | np.add.at({t}, np.array([0, 2, 0]), {v}) | np.subtract.at({t}, 1, {k})
np.cumsum({t}, out={t}) | np.tanh({t}, out={t}) | np.mean({A}, axis=0, out={t}) | np.negative({a}, {t}, casting="unsafe") | {t} -= {t}[::-1]
np.einsum("ij,j->j", 1.0 * {A}, 1.0 * {a}, out={t}, casting="unsafe") | {t}[1:] = {t}[:-1] | {t} *= {k} | np.minimum({t}, {v}, out={t}, casting="unsafe")
{T}[0] = {v} | {T}[:, 1] = {k} | {T} *= 0.5 | {T}[{T} < 0] = 0 | np.fill_diagonal({T}, {k}) | {T}.T[1] += {k} | {T} -= S.lr * {A}
np.put_along_axis({T}, np.array([[0], [2]]), {k}, 1) | np.add({A}, {A}, out={T}, casting="unsafe") | {T}[...] = {T}[::-1] | {T}[:, ::2] += {A}[:, 1:]
np.concatenate([{a}[:1] * 1.0, {b}[1:] * 1.0], out={t}, casting="unsafe") | np.take({T}.copy(), [1, 0], 0, out={T}, mode="clip") | np.matmul({A}[:, :2], {A}, out={T}, casting="unsafe")
S.b.data += {k} | S.b.data[...] = {k} | S.b.data -= S.lr * S.b.data | S.n += 1 | S.lr *= 0.9 | S.c += 1 | S.c[{a} > 0] += 1
S.e[...] = 0.9 * S.e + 0.1 * S.w.data | S.v[...] = 0.9 * S.v + {v} | S.w.data -= S.lr * S.v"""
REBOUND = """S.v = {v} * 0.5 | S.w.data = S.w.data - S.lr * {v} | S.m = {a}.copy() | S.e = S.w.data.copy() | S.w.data = S.w.data
S.W.data = S.W.data * 0.9 | S.b.data = S.b.data - {k} | S.V = {A} + 1 | S.L.data = np.tanh(S.L.data)"""
LOCALS = "s = {v} | s = {a} | s = {a}[:] | s = S.w.data.reshape(3, 1)[:, 0] | s = S.V.T[:, 0] | s = {k} | M = {A} | M = {A}.copy() | M = {A} * 2"
GRADIENTS = """S.w.grad *= np.minimum(1.0, 1 / (0.001 + np.sqrt(np.sum(S.w.grad ** 2)))) | g = S.w.grad; g[g > 0.5] = 0.5
S.w.data -= S.lr * S.w.grad | S.v[...] = 0.9 * S.v + S.w.grad; S.w.data -= S.lr * S.v | optimizer.step() | S.e += S.w.grad
optimizer.step() | np.clip(S.w.grad, -0.5, 0.5, out=S.w.grad) | s = S.w.grad * 2"""
RETURNS = "J | {v} | {a} | {k} | {A} | {a}[1:] | S.n | S.lr | S.c | S.b.data | S.w"


def choices(text: str) -> list[str]:
    return [t.strip() for t in text.replace("\n", "|").split("|")]


class Step(NamedTuple):
    """The source of a step, and its seed."""

    seed: int
    source: str

    def made(self) -> Any:
        """The step on a state of its own, the state, and the optimizer."""
        scope: dict[str, Any] = {"np": np, "mg": mg, "__name__": "random_step"}
        file = f"step {self.seed}"
        linecache.cache[file] = len(self.source), None, self.source.splitlines(True), file  # errors show its lines
        exec(compile(self.source, file, "exec"), scope)
        return scope["make"]()


def random_step(seed: int) -> Step:
    """The first step of a seed that NumPy runs."""
    for attempt in range(1000):
        step = attempted(seed, attempt)
        try:
            outcome(step, lambda f: f)
        except (ValueError, TypeError, IndexError, AttributeError, RuntimeError, UnboundLocalError):
            continue
        return step
    raise AssertionError(f"no step for the seed {seed}")


def attempted(seed: int, attempt: int) -> Step:
    """A step that may fail."""
    rng = np.random.default_rng([seed, attempt])
    vectors, matrices, targets, wide = map(choices, (VECTORS, MATRICES, TARGETS, "S.W.data | S.V | S.L.data[1:3]"))

    def pick(text: str) -> str:
        options = choices(text)
        return options[rng.integers(len(options))]

    def filled(template: str) -> str:
        while "{" in template:
            for key, made in (("v", pick(VALUES)), ("k", pick(NUMBERS))):
                template = template.replace("{" + key + "}", made, 1)
            for key, names in {"a": vectors, "b": vectors, "A": matrices, "t": targets, "T": wide}.items():
                if rng.random() < 0.5 or key in "tT":
                    at = max(len(names) - 3, 0) if rng.random() < 0.3 else 0
                    template = template.replace("{" + key + "}", names[rng.integers(at, len(names))])
        return template

    body: list[str] = []
    number = 0

    def local(template: str) -> None:
        nonlocal number
        number += 1
        kind, _, expression = filled(template).partition(" = ")
        body.append(f"{kind}{number} = {expression}")
        if "{k}" in template:
            return
        (matrices if kind == "M" else vectors).append(f"{kind}{number}")
        (wide if kind == "M" else targets).append(f"{kind}{number}")

    def some(most: int) -> None:
        for _ in range(rng.integers(most + 1)):
            kind = rng.random()
            if kind < 0.3:
                local(pick(LOCALS))
            else:
                body.append(filled(pick(WRITES if kind < 0.92 else REBOUND)))

    some(4)
    body.append(pick(LOSSES))
    body.append("S.L.grad = None; J.backward()")
    for _ in range(rng.integers(1, 3)):
        body.append(pick(GRADIENTS))
    some(6)
    if rng.random() < 0.7:
        body.append("optimizer.zero_grad(); S.w.grad = None")
    returned = ", ".join(filled(pick(RETURNS)) for _ in range(rng.integers(1, 5)))
    body.append(f"return {returned}")
    text = HEAD.format(
        seed=seed,
        dtype="np.float64" if rng.random() < 0.7 else "np.float32",
        order=".T.copy().T" if rng.random() < 0.3 else "",
        optimizer=pick(OPTIMIZERS),
        body="\n        ".join(body),
    )
    return Step(seed, text)


def outcome(step: Step, wrap: Callable[..., Any], calls: int = 3) -> tuple[list[Any], list[bool]]:
    """All that a step returns and leaves behind, by call; and which results share memory with the state."""
    f, state, optimizer = step.made()
    run = wrap(f)
    held = arrays(state, optimizer)  # another holder of the arrays, which stay what they are where new ones are bound
    seen: list[Any] = []
    shared: list[bool] = []
    rng = np.random.default_rng(step.seed)
    for _ in range(calls):
        x, ids = rng.normal(size=3), rng.integers(0, 4, size=2)
        with np.errstate(all="ignore"):
            result = run(x, ids)
        parts = [p.data if isinstance(p, mg.Tensor) else p for p in (result if isinstance(result, tuple) else [result])]
        now = arrays(state, optimizer)
        seen.append([np.copy(a) for a in (*parts, *held, *now)])
        shared += [any(isinstance(p, np.ndarray) and np.shares_memory(p, a) for a in now) for p in parts]
    return seen, shared


def arrays(state: Any, optimizer: Any) -> list[Any]:
    """The arrays and numbers of a state and of an optimizer, in a fixed order."""
    found: list[Any] = []
    for holder in (state, optimizer):
        for _, x in sorted(vars(holder).items()):
            for e in x if isinstance(x, list) else [x]:
                if isinstance(e, mg.Tensor):
                    grad = np.zeros(0) if e.grad is None else e.grad
                    found += [e.data, grad if isinstance(grad, np.ndarray) else np.asarray(grad)]
                elif isinstance(e, np.ndarray | int | float):
                    found.append(e if isinstance(e, np.ndarray) else np.asarray(e))
    return found


def same(x: Any, y: Any) -> bool:
    """Are two arrays equal to the last bit? NaN is NaN."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    numbers = ~np.isnan(x)
    return np.array_equal(numbers, ~np.isnan(y)) and x[numbers].tobytes() == y[numbers].tobytes()
