"""Optimizers, schedules of the learning rate, clipping. A row-sparse gradient moves, and costs, only its rows."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable, Iterable, Mapping
from itertools import starmap
from operator import call, setitem
from typing import Any

import numpy as np

from minigrad import operands, ranks, text, trees
from minigrad._tensor import Tensor
from minigrad.sparse import RowSparse

Array = Any
Call = tuple[Any, ...]  # a function and its arguments
Groups = Mapping[str, Mapping[str, Any]] | None  # options by a pattern of paths

OWN = "params", "_group", "comm", "_is_checked"  # attributes of an optimizer that are not its state
_on_ranks: weakref.WeakSet[Any] = weakref.WeakSet()  # the optimizers that have a communicator


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
            Tensor in two places, such as a tied weight, is one parameter. None, strings, integers, arrays of
            integers and functions are left alone.
        lr: the learning rate.
        groups: options for some of the parameters, by a regular expression that is looked for in their paths:
            `{"[.]b$": {"weight_decay": 0.0}}`; the first that is found counts. `minigrad.trees.paths` lists the paths.
        comm: an MPI communicator, such as mpi4py's `MPI.COMM_WORLD`. Every rank computes the gradients of its part of a
            minibatch, and `step` moves all ranks by their sum: that is the step of one process whose loss is the sum of
            the ranks' losses. Of losses that are means over equal parts, minimize `J / comm.size`: then it is the step
            for the mean, as in PyTorch's DistributedDataParallel. `p.grad` stays the gradient of the rank itself.

    Raises:
        TypeError: for a bare Tensor, and for anything else that is not a container of Tensors.
        ValueError: for a Tensor that an op computed, for no Tensor at all, and for a learning rate that is not above 0;
            for a pattern that is found in no path; in `step`, for a gradient of another shape than its parameter, and
            for ranks whose parameters, options or state differ.
        RankFailed: in `step`, where it failed on another rank. No rank has moved then.
    """

    _later: list[Call] | None = None  # inside a step: what it will store
    _is_checked = False  # are the ranks known to have started alike?

    def __init__(self, params: Any, lr: float, groups: Groups = None, comm: Any = None) -> None:
        if isinstance(params, Tensor):
            name = text.named(params, "t")
            raise TypeError(f"an optimizer needs a list of Tensors, got the Tensor {name}; write [{name}]")
        if trees.children(params) is None and isinstance(params, Iterable):
            params = list(params)
        found = {id(p): (p, where) for p, where in zip(trees.leaves(params), trees.paths(params)) if _is_moved(p)}
        self.params: list[Tensor] = [p for p, _ in found.values()]
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
        self.groups = {pattern: dict(options) for pattern, options in (groups or {}).items()}
        self._group: dict[int, str] = {}  # the pattern of each parameter in a group, by its number
        for i, (_, where) in enumerate(found.values()):
            for pattern in self.groups:
                if re.search(pattern, where):
                    self._group.setdefault(i, pattern)
        for pattern in self.groups:
            known = ", ".join(where for _, where in found.values())
            _require(pattern in self._group.values(), f"a path in which {pattern!r} is found", known)
        self.comm = comm
        if comm is not None:
            _on_ranks.add(self)

    def __repr__(self) -> str:
        own = vars(self)
        options = [f"{key}={x}" for key, x in own.items() if isinstance(x, float | int | tuple)]
        groups = [f"groups={own['groups']!r}"] if own.get("groups") else []
        sizes = [p.size for p in own.get("params", ())]
        what = f"{type(self).__name__}({', '.join([*options, *groups])})"
        parameters = f"{len(sizes)} parameter{'s' * (len(sizes) != 1)}, {sum(sizes):,} number{'s' * (sum(sizes) != 1)}"
        return text.printable(f"<{what} of {parameters}>")

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
        moving = self._moving() if self.comm is None else self._moving_alike()
        if not all([type(data) is np.ndarray for _, _, data, _ in moving]):  # a traced program is all or nothing
            is_linear = self._is_linear()
            for i, p, data, g in moving:
                at, change = self._change(i, g, is_linear)
                if at is ...:
                    data -= change
                else:
                    data[at] -= change
                p.data = data  # invalidates the graphs that used the old value
        else:
            calls, undo = ranks.together(self.comm, self._planned, moving)
            for _, p, data, _ in moving:
                p.data = data
            _make_all(calls, undo)
        self.steps += 1

    def _moving(self) -> list[tuple[int, Tensor, Array, Array]]:
        """The parameters that have a gradient: their numbers, their data, their gradients."""
        moving = []
        for i, p in enumerate(self.params):
            if (g := p.grad) is not None:
                data = p.data
                moving.append((i, p, data, _fitted(g, p, data)))
        return moving

    def _moving_alike(self) -> list[tuple[int, Tensor, Array, Array]]:
        """The same with the gradients of all ranks."""
        if not self._is_checked:
            self.check_ranks()
        options = {key: x for key, x in vars(self).items() if isinstance(x, float | int | tuple | np.generic)}
        data = [p.data for p in self.params]
        sums = _summed(self.comm, {**options, "groups": self.groups}, self.params)
        return [(i, p, x, g) for i, (p, x, g) in enumerate(zip(self.params, data, sums)) if g is not None]

    def _planned(self, moving: list[tuple[int, Tensor, Array, Array]]) -> tuple[list[Call], list[Call]]:
        """The calls that make a step, and those that undo the ones of them that may fail."""
        calls: list[Call] = []  # that may fail
        undo: list[Call] = []
        then: list[Call] = []
        later: list[Call] = []
        is_linear = self._is_linear()
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
            written = {*_owners([target for _, target, *_ in (*calls, *then, *later)])}
            owners = _owners([value for *_, value in later])
            if not written.isdisjoint(owners):
                later = [(*to, np.copy(v) if x in written else v) for (*to, v), x in zip(later, owners)]
        return [*calls, *then, *later, (len, ())], undo

    def check_ranks(self) -> None:
        """Compare parameters, options and state on all ranks, arrays by their hashes; every rank calls it.

        The first step does so. Afterwards call it from time to time, such as once an epoch.

        Raises:
            ValueError: where ranks differ; it has the first difference.
        """

        def facts() -> dict[str, Any]:
            data = [p.data for p in self.params]
            ranks.require_arrays(data)
            state = {"params": data, **self.state_dict(), "kind": type(self).__name__}
            return dict(zip(trees.names(state), map(ranks.fact, trees.leaves(state))))

        ranks.require_same(ranks.gathered(self.comm, facts))
        self._is_checked = True

    def _change(self, i: int, g: Array, is_linear: bool) -> tuple[Any, Array]:
        """The rows of parameter i that move, `...` for all, and the amount to subtract."""
        at, is_real = ..., g.dtype.char in "fd"
        if type(g) is RowSparse and not (is_real and is_linear):
            at, g = g.merged()
        if i in self._group:
            return at, self._in_group(i, at, g)
        return at, self.update(i, at, g) if is_real else self._in_parts(i, at, g)

    def _in_parts(self, i: int, at: Any, g: Array) -> Array:
        """The amount to subtract for a gradient that `update` does not take as it is."""
        change = self.update(i, at, _as_real(g))
        return change[..., 0] + 1j * change[..., 1] if g.dtype.kind == "c" else change

    def _in_group(self, i: int, at: Any, g: Array) -> Array:
        """The same, by the options of the parameter's group."""
        options = self.groups[self._group[i]]
        known = [key for key in vars(self) if isinstance(getattr(self, key), float | int | tuple)]
        _require({*options} <= {*known}, f"options of a group among {', '.join(known)}", ", ".join(options))
        before = {key: getattr(self, key) for key in options}
        try:
            for key, value in options.items():
                setattr(self, key, value)
            return self._in_parts(i, at, g)
        finally:
            for key, value in before.items():
                setattr(self, key, value)

    def decayed(self, i: int, at: Any, g: Array) -> Array:
        """g + weight_decay * p: the gradient and that of the penalty weight_decay / 2 * sum(p**2), for `update`."""
        return g + self._penalty(i, at) if self.weight_decay else g  # type: ignore[attr-defined]

    def _penalty(self, i: int, at: Any) -> Array:
        return self.weight_decay * _as_real(self.params[i].data[at])  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that a run needs in order to go on, for `save`: the options, the counts, the arrays.

        >>> import minigrad as mg
        >>> optimizer = Adam([mg.Tensor(1.0)])
        >>> optimizer.load_state_dict(optimizer.state_dict())
        """
        state = {key: value for key, value in vars(self).items() if key not in OWN}
        copy: dict[str, Any] = trees.map_leaves(lambda x: operands.copied(x) if hasattr(x, "dtype") else x, state)
        return copy

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of an optimizer of the same kind, for parameters of the same shapes.

        Raises:
            ValueError: for another state; then nothing is loaded.
        """
        own = self.state_dict()
        matching = trees.matched(own, dict(state), "the state of the optimizer")
        for where, mine, other in zip(trees.paths(own), trees.leaves(own), matching):
            _require(np.shape(mine) == np.shape(other), f"{np.shape(mine)} at {where} of its state", np.shape(other))
        self._is_checked = False
        vars(self).update(trees.unflatten(own, [operands.copied(x) if hasattr(x, "dtype") else x for x in matching]))

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
    if not state.flags.writeable:
        _require(False, "a state that can be written to", "a read-only array")
    value = value if type(value) is np.ndarray else np.asarray(value)
    value = value if value.dtype is state.dtype else value.astype(state.dtype)
    shape = state.shape if at is ... else state[at].shape
    if value.shape != shape:
        np.broadcast_to(value, shape)
    return value


def _owners(values: list[Any]) -> list[int]:
    """For each value the id of the array whose memory it is a view of, or its own."""
    return [id(x if (base := getattr(x, "base", None)) is None else base) for x in values]


def _make_all(calls: list[Call], undo: list[Call]) -> None:
    """Make calls, the last of which means nothing, in C, where no signal interrupts; where one fails, undo them all."""
    left = iter(calls)
    try:
        any(starmap(call, left))
    except BaseException:
        if next(left, None):  # else a signal was handled after the last
            any(starmap(call, undo))
        raise


def _is_moved(x: Any) -> bool:
    """Is it something in a model that an optimizer moves, or refuses?"""
    return not (x is None or isinstance(x, str | int) or callable(x) or (hasattr(x, "dtype") and x.dtype.kind in "biu"))


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
    if type(g) in (type(data), RowSparse) and g.dtype is data.dtype and g.shape == data.shape:
        return g
    if isinstance(g, Tensor):
        _require(False, f"an array as the gradient of {text.named(p)}", "a Tensor; use its .data")
    if type(g) is not type(data):
        g = operands.in_library_of(data, g, f"the gradient of {text.named(p)}")
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

    Args:
        nesterov: step along the gradient where the momentum leads to, x -= lr * (g + momentum * v) (Sutskever, Martens,
            Dahl and Hinton, ICML 2013).
        weight_decay: the gradient of weight_decay / 2 * sum(x**2) is added, to the rows that move.
    """

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.0, *, nesterov: bool = False, weight_decay: float = 0.0,
        groups: Groups = None, comm: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, groups, comm)
        _require(momentum >= 0, "a momentum of at least 0", momentum)
        _require(weight_decay >= 0, "a weight_decay of at least 0", weight_decay)
        self.velocity: list[Array] = []
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "momentum" and not self.velocity and value:
            self.velocity = self.memory()
        super().__setattr__(name, value)

    def _is_linear(self) -> bool:
        # a subclass, or whoever replaces `update`, may clip
        is_own = getattr(self.update, "__func__", None) is SGD.update
        return not self.velocity and is_own and not self.weight_decay and not self._group

    def update(self, i: int, at: Any, g: Array) -> Array:
        g = self.decayed(i, at, g)
        if not self.velocity:
            return self.lr * g
        v = self.momentum * self.velocity[i][at] + g
        self.remember(self.velocity[i], at, v)
        return self.lr * (g + self.momentum * v if self.nesterov else v)


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

    def __init__(
        self, params: Any, lr: float = 0.01, eps: float = 1e-10, *, groups: Groups = None, comm: Any = None
    ) -> None:
        super().__init__(params, lr, groups, comm)
        _require(eps >= 0, "an eps of at least 0", eps)
        self.eps = eps
        self.squares = self.memory()

    def update(self, i: int, at: Any, g: Array) -> Array:
        G = self.squares[i][at] + g * g
        self.remember(self.squares[i], at, G)
        return self.lr * g / (np.sqrt(G) + self.eps)


class RMSprop(Optimizer):
    """A learning rate per element: G = alpha * G + (1 - alpha) * g**2, x -= lr * g / (sqrt(G) + eps).

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.RMSprop([w], lr=0.1)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0., 1.])

    Tieleman and Hinton, Coursera, lecture 6.5, 2012.
    """

    def __init__(
        self, params: Any, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8, *, groups: Groups = None,
        comm: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, groups, comm)
        _require(0 <= alpha < 1, "an alpha of at least 0 and below 1", alpha)
        _require(eps >= 0, "an eps of at least 0", eps)
        self.alpha, self.eps = alpha, eps
        self.squares = self.memory()

    def update(self, i: int, at: Any, g: Array) -> Array:
        G = self.alpha * self.squares[i][at] + (1 - self.alpha) * g * g
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
        self, params: Any, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, *,
        groups: Groups = None, comm: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, groups, comm)
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


class AdamW(Adam):
    """Adam with decoupled weight decay: x -= lr * weight_decay * x beside Adam's step, at the rows that move.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.85, 1.8 ])

    Loshchilov and Hutter, ICLR 2019.
    """

    def __init__(
        self, params: Any, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.01, *, groups: Groups = None, comm: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, groups=groups, comm=comm)
        _require(weight_decay >= 0, "a weight_decay of at least 0", weight_decay)
        self.weight_decay = weight_decay

    def update(self, i: int, at: Any, g: Array) -> Array:
        return super().update(i, at, g) + self.lr * self._penalty(i, at)


def clip_grad_norm(params: Any, max_norm: float) -> Array:
    """Scale all gradients by one factor, so that their norm, as of one vector, is at most max_norm; return the norm.

    >>> import minigrad as mg
    >>> w = mg.Tensor([3.0, 4.0])
    >>> mg.sum(w * w / 2).backward()
    >>> float(clip_grad_norm([w], 1.0)), w.grad.round(3)
    (5.0, array([0.6, 0.8]))

    The factor is min(1, max_norm / (norm + 1e-6)), as in PyTorch. Where the norm is not finite, it is NaN.

    Where an optimizer of these parameters has a communicator, the norm is that of the sum over the ranks, which costs
    one more exchange of the gradients, and every rank calls it.

    Args:
        params: Tensors in any container; those without a gradient are left alone. A row-sparse gradient stays one.
        max_norm: above 0.
    """
    tensors = list({id(p): p for p in trees.leaves(params) if isinstance(p, Tensor)}.values())
    comm = _communicator(tensors)
    ranks.together(comm, _require, max_norm > 0, "a max_norm above 0", max_norm)
    moved = [p for p in tensors if p.grad is not None]
    gradients = [p.grad for p in moved]
    if comm is not None:
        facts = {"max_norm": max_norm, "shapes of the parameters": [p.shape for p in tensors]}
        gradients = [g for g in _summed(comm, facts, tensors) if g is not None]
    if not gradients:
        return np.float64(0.0)
    squares = [_sum_of_squares(g) for g in gradients]
    norm = np.sqrt(sum(squares[1:], squares[0]))
    factor = np.where(np.isfinite(norm), np.minimum(1.0, max_norm / (norm + 1e-6)), np.nan)
    for p in moved:
        p.grad = p.grad * np.positive(factor, dtype=p.grad.dtype.type(0).real.dtype)
    return norm


def _communicator(tensors: list[Tensor]) -> Any:
    """The communicator of the optimizers that move some of these Tensors, None where they have none."""
    given = set(map(id, tensors))
    found = {id(o.comm): o.comm for o in _on_ranks if not given.isdisjoint(map(id, o.params))}
    _require(len(found) < 2, "parameters on one communicator", f"{len(found)} communicators")
    return next(iter(found.values()), None)


def _summed(comm: Any, facts: Mapping[str, Any], params: list[Tensor]) -> list[Any]:
    """The gradients of all ranks, summed; None where no rank has one."""
    data = [p.data for p in params]
    return ranks.summed(
        comm, facts, data, lambda: [None if p.grad is None else _fitted(p.grad, p, x) for p, x in zip(params, data)]
    )


def _sum_of_squares(g: Array) -> Array:
    """In double precision, where squares of single precision do not overflow."""
    rows = _as_real(g.rows if isinstance(g, RowSparse) else g)
    return np.sum(np.square(rows, dtype=np.float64))


# Schedules: functions from the number of steps so far to the learning rate, `optimizer.lr = schedule(optimizer.steps)`.

Schedule = Callable[[int], float]


def constant(lr: float, warmup: int = 0) -> Schedule:
    """The same learning rate at every step, after a linear rise.

    >>> [constant(0.4, warmup=4)(t) for t in (0, 1, 3, 4, 100)]
    [0.1, 0.2, 0.4, 0.4, 0.4]

    Args:
        warmup: the number of steps of the rise, the last of which is at the full rate.
    """
    return lambda t: lr * _rise(t, warmup)


def cosine(lr: float, steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Half a cosine, from lr down to a final rate, after a linear rise (Loshchilov and Hutter, ICLR 2017).

    >>> schedule = cosine(0.1, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(200)
    (0.1, 0.05, 0.0, 0.0)

    Args:
        steps: the number of all steps, those of the rise too.
    """
    return lambda t: _falling(t, lr, steps, warmup, final, lambda s: (1 + math.cos(math.pi * s)) / 2)


def linear(lr: float, steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """A straight line, from lr down to a final rate, after a linear rise.

    >>> [linear(0.4, steps=4)(t) for t in range(6)]
    [0.4, 0.30000000000000004, 0.2, 0.1, 0.0, 0.0]
    """
    return lambda t: _falling(t, lr, steps, warmup, final, lambda s: 1 - s)


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """A factor smaller after every so many steps.

    >>> [step_decay(1.0, every=2, factor=0.5)(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _require(every > 0, "a number of steps above 0", every)
    return lambda t: lr * factor ** (t // every)


def _rise(t: int, warmup: int) -> float:
    return min(1.0, (t + 1) / warmup) if warmup else 1.0


def _falling(t: int, lr: float, steps: int, warmup: int, final: float, shape: Callable[[float], float]) -> float:
    _require(steps > warmup >= 0, "more steps than those of the rise", f"{steps} and {warmup}")
    if t < warmup:
        return lr * _rise(t, warmup)
    return final + (lr - final) * shape(min(1.0, (t - warmup) / (steps - warmup)))
