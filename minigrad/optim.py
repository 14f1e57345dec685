"""Optimizers: SGD, Adagrad and Adam. A row-sparse gradient moves, and costs, only its rows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import starmap
from operator import call, setitem
from typing import Any

import numpy as np

from minigrad import text, trees
from minigrad._tensor import Tensor
from minigrad.sparse import RowSparse

Array = Any
Call = tuple[Any, ...]  # a function and its arguments


class Optimizer:
    """Moves parameters against their gradients: a subclass says how far, in `update`.

    >>> import minigrad as mg
    >>> class SignSGD(mg.optim.Optimizer):
    ...     def update(self, i, at, g):
    ...         return self.lr * np.sign(g)
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = SignSGD({"w": w}, lr=0.5)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([0.5, 1.5])

    Args:
        params: the Tensors to move, in any container: a list, a generator, a dict, a dataclass, nested as you like. A
            Tensor in two places, such as a tied weight, is one parameter. None, strings, integers and arrays of
            integers are left alone.
        lr: the learning rate.

    Raises:
        TypeError: for a bare Tensor, and for anything else that is not a container of Tensors.
        ValueError: for a Tensor that an op computed, for no Tensor at all, and for a learning rate that is not above 0;
            in `step`, for a gradient of another shape than its parameter.
    """

    _later: list[Call] | None = None  # inside a step: what it will store

    def __init__(self, params: Any, lr: float) -> None:
        if isinstance(params, Tensor):
            name = text.named(params, "t")
            raise TypeError(f"an optimizer needs a list of Tensors, got the Tensor {name}; write [{name}]")
        if trees.children(params) is None and isinstance(params, Iterable):
            params = list(params)
        self.params: list[Tensor] = list({id(p): p for p in trees.leaves(params) if not _has_no_derivative(p)}.values())
        for p in self.params:
            if not isinstance(p, Tensor):
                raise TypeError(f"an optimizer needs Tensors, got {type(p).__name__}; wrap parameters in mg.Tensor")
            if not p.is_leaf:
                raise ValueError(
                    f"an optimizer needs variables, got {text.named(p)} {p.shape}, which an op computed; pass "
                    f"the variables it was computed from, or {text.named(p, 't')}.detach() as a new one"
                )
        _require(len(self.params) > 0, "at least one Tensor", "none")
        _require(lr > 0, "a learning rate above 0", lr)
        self.lr = lr
        self.steps = 0

    def memory(self) -> list[Array]:
        """Zeros in the form of each gradient that `update` receives, for an optimizer's state."""
        return [np.zeros_like(_as_real(p.data)) for p in self.params]

    def update(self, i: int, at: Any, g: Array) -> Array:
        """The amount to subtract from parameter i at an index (rows, or `...` for all) for a gradient g.

        g is real, and in single precision at least: a half-precision square or eps would vanish. The real and the
        imaginary part of a complex gradient are two real ones, as in PyTorch, stacked along a new last axis. An update
        reads its state as it was before the step, and stores it by `remember`.
        """
        raise NotImplementedError

    def _is_linear(self) -> bool:
        """Is `update` linear in g, and remembers nothing? Then the rows of several look-ups need not be merged."""
        return False

    def remember(self, state: Any, at: Any, value: Any) -> None:
        """Set `state[at] = value`: for `update`, of which a step then stores everything, or nothing."""
        if self._later is None:
            state[at] = value
        else:
            if type(state) is np.ndarray:
                value = _storable(state, at, value)
            self._later.append((setitem, state, at, value))

    def step(self) -> None:
        """Move every parameter that has a gradient; none, where an error or Ctrl-C ends the step."""
        moving, is_plain = [], True
        for i, p in enumerate(self.params):
            if (g := p.grad) is not None:
                data = p.data
                moving.append((i, p, data, _fitted(g, p, data)))
                is_plain = is_plain and type(data) is np.ndarray
        is_linear = self._is_linear()
        if not is_plain:  # a traced program is all or nothing
            for i, p, data, g in moving:
                at, change = self._change(i, g, is_linear)
                if at is ...:
                    data -= change
                else:
                    data[at] -= change
                p.data = data  # invalidates the graphs that used the old value
        else:
            calls: list[Call] = []  # that may fail
            undo: list[Call] = []
            then: list[Call] = []
            later: list[Call] = []
            self._later = later
            try:
                for i, _, data, g in moving:
                    at, change = self._change(i, g, is_linear)
                    if type(change) is RowSparse and change.is_small():
                        for indices, rows in change.look_ups:
                            calls.append((np.subtract.at, data, indices, rows))
                            undo.append((setitem, data, indices, data.take(indices, 0)))
                    else:
                        then.append(_subtraction(data, at, change))
            finally:
                del self._later
            if later and len({(id(state), id(at)) for _, state, at, _ in later}) < len(later):
                raise RuntimeError("an update needs what it remembered: call it once a step for each parameter")
            if later:
                written = {id(_owner(target)) for _, target, *_ in [*calls, *then, *later]}
                later = [(f, s, at, np.copy(v) if id(_owner(v)) in written else v) for f, s, at, v in later]
            for _, p, data, _ in moving:
                p.data = data
            _make_all([*calls, *then, *later, (len, ())], undo)
        self.steps += 1

    def _change(self, i: int, g: Array, is_linear: bool) -> tuple[Any, Array]:
        """The rows of parameter i that move, `...` for all, and the amount to subtract."""
        at, is_real = ..., g.dtype.char in "fd"
        if type(g) is RowSparse and not (is_real and is_linear):
            at, g = g.merged()
        if is_real:
            return at, self.update(i, at, g)
        change = self.update(i, at, _as_real(g))
        return at, change[..., 0] + 1j * change[..., 1] if g.dtype.kind == "c" else change

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None


def _subtraction(data: Array, at: Any, change: Array) -> Call:
    """The call, which cannot fail, that subtracts a change from some rows, or from all."""
    if type(change) is RowSparse:
        at, change = change.merged()
    old = data if at is ... else data.take(at, 0)
    new = old - change
    if new.dtype is not data.dtype or new.shape != old.shape:
        new = np.subtract(old, change, out=np.empty_like(old))  # cast as NumPy does in place
    return setitem, data, at, new


def _storable(state: Array, at: Any, value: Any) -> Array:
    """A value that `state[at] = value` cannot refuse."""
    _require(state.flags.writeable, "a state that can be written to", "a read-only array")
    value = value if type(value) is np.ndarray else np.asarray(value)
    value = value if value.dtype is state.dtype else value.astype(state.dtype)
    if at is not ... or value.shape != state.shape:
        np.broadcast_to(value, np.broadcast_to(False, state.shape)[at].shape)
    return value


def _owner(x: Any) -> Any:
    """The array whose memory an array is a view of."""
    base = getattr(x, "base", None)
    return x if base is None else base


def _make_all(calls: list[Call], undo: list[Call]) -> None:
    """Make calls, the last of which means nothing, in C, where no signal interrupts; where one fails, undo them all."""
    left = iter(calls)
    try:
        any(starmap(call, left))
    except BaseException:
        if next(left, None):  # else a signal was handled after the last
            any(starmap(call, undo))
        raise


def _has_no_derivative(x: Any) -> bool:
    """Is it something in a model that no optimizer moves?"""
    return x is None or isinstance(x, str | int) or (hasattr(x, "dtype") and x.dtype.kind in "biu")


def _require(fine: bool, needed: str, got: Any) -> None:
    if not fine:
        raise ValueError(f"an optimizer needs {needed}, got {got}")


def _as_real(g: Array) -> Array:
    """A gradient as `update` receives it."""
    if g.dtype.kind == "c":
        return np.stack([g.real, g.imag], axis=-1)
    return g.astype(np.float32) if g.dtype == np.float16 else g


def _fitted(g: Any, p: Tensor, data: Array) -> Array:
    """A gradient in the dtype of its parameter, where a user has set it; not in its shape, as NumPy would broadcast."""
    if type(data) is np.ndarray and not data.flags.writeable:
        _require(False, f"data of {text.named(p)} that can be moved", "a read-only array")
    if isinstance(g, Tensor):
        _require(False, f"an array as the gradient of {text.named(p)}", "a Tensor; use its .data")
    if getattr(g, "shape", None) == data.shape and g.dtype is data.dtype:
        return g
    g = g if hasattr(g, "dtype") else np.asarray(g)
    if g.shape != p.shape or not np.can_cast(g.dtype, p.dtype, "same_kind"):
        needed = f"the gradient of {text.named(p)} to be {p.dtype} of shape {p.shape}"
        _require(False, needed, f"{g.dtype} of shape {g.shape}")
    return np.positive(g, dtype=p.dtype)


class SGD(Optimizer):
    """Stochastic gradient descent: x -= lr * g, or with momentum v = momentum * v + g, x -= lr * v.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8, 1.6])

    With momentum, a row-sparse gradient moves its own rows only. `lr` and `momentum` may be set between steps; v is 0
    until there is a momentum.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        _require(momentum >= 0, "a momentum of at least 0", momentum)
        self.velocity: list[Array] = []
        self.momentum = momentum

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "momentum" and not self.velocity and value:
            self.velocity = self.memory()
        super().__setattr__(name, value)

    def _is_linear(self) -> bool:
        # a subclass, or whoever replaces `update`, may clip
        return not self.velocity and getattr(self.update, "__func__", None) is SGD.update

    def update(self, i: int, at: Any, g: Array) -> Array:
        if not self.velocity:
            return self.lr * g
        v = self.momentum * self.velocity[i][at] + g
        self.remember(self.velocity[i], at, v)
        return self.lr * v


class Adagrad(Optimizer):
    """A learning rate per element: G += g**2, x -= lr * g / (sqrt(G) + eps).

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.Adagrad([w], lr=0.1)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([0.9, 1.9])

    Duchi, Hazan and Singer, JMLR 12, 2011.
    """

    def __init__(self, params: Any, lr: float = 0.01, eps: float = 1e-10) -> None:
        super().__init__(params, lr)
        _require(eps >= 0, "an eps of at least 0", eps)
        self.eps = eps
        self.squares = self.memory()

    def update(self, i: int, at: Any, g: Array) -> Array:
        G = self.squares[i][at] + g * g
        self.remember(self.squares[i], at, G)
        return self.lr * g / (np.sqrt(G) + self.eps)


class Adam(Optimizer):
    """Running means of g and g**2, their bias towards zero corrected.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.Adam([w], lr=0.1)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.9, 1.9])

    The correction depends on how often a parameter was moved, so one that joins late starts as the others did. A
    row-sparse gradient moves its own rows and their means only. Kingma and Ba, ICLR 2015.
    """

    def __init__(
        self, params: Any, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        beta1, beta2 = betas
        _require(0 <= beta1 < 1 and 0 <= beta2 < 1, "betas of at least 0 and below 1", betas)
        _require(eps >= 0, "an eps of at least 0", eps)
        self.betas, self.eps = betas, eps
        self.means, self.squares = self.memory(), self.memory()
        self.counts = [0.0] * len(self.params)  # floats, because `compile` takes floats as inputs

    def update(self, i: int, at: Any, g: Array) -> Array:
        beta1, beta2 = self.betas
        t = self.counts[i] + 1.0
        m = beta1 * self.means[i][at] + (1 - beta1) * g
        v = beta2 * self.squares[i][at] + (1 - beta2) * g * g
        self.remember(self.counts, i, t)
        self.remember(self.means[i], at, m)
        self.remember(self.squares[i], at, v)
        # The end of the paper's section 2: both corrections as factors of the numbers, not of the arrays.
        correction = (1 - beta2**t) ** 0.5
        return self.lr * correction / (1 - beta1**t) * m / (np.sqrt(v) + self.eps * correction)
