"""Optimizers: SGD, Adagrad and Adam. A row-sparse gradient moves, and costs, only its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad._tensor import Tensor
from minigrad.sparse import RowSparse

Array = Any


class Optimizer:
    """Moves parameters against their gradients: a subclass says how far, in `update`.

    >>> import minigrad as mg
    >>> class SignSGD(mg.optim.Optimizer):
    ...     def update(self, i, x, g):
    ...         return self.lr * np.sign(g)
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = SignSGD([w], lr=0.5)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([0.5, 1.5])

    Args:
        params: the Tensors to move.
        lr: the learning rate.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        for p in self.params:
            if not isinstance(p, Tensor):
                raise TypeError(f"an optimizer needs Tensors, got {type(p).__name__}; wrap parameters in mg.Tensor")
        if not self.params:
            raise ValueError("an optimizer needs at least one Tensor, got none")
        if not lr > 0:
            raise ValueError(f"an optimizer needs a learning rate above 0, got {lr}")
        self.lr = lr
        self.steps = 0

    def memory(self) -> list[Array]:
        """Zeros in the shape of each parameter, for an optimizer's state."""
        return [np.zeros_like(p.data) for p in self.params]

    def update(self, i: int, at: Any, g: Array) -> Array:
        """The amount to subtract from parameter i at an index (rows, or `...` for all) for a gradient g."""
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            at, g = (p.grad.indices, p.grad.rows) if isinstance(p.grad, RowSparse) else (..., p.grad)
            data = p.data
            data[at] -= self.update(i, at, g)
            p.data = data  # invalidates the graphs that used the old value

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None


class SGD(Optimizer):
    """Stochastic gradient descent: x -= lr * g, or with momentum v = momentum * v + g, x -= lr * v.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> mg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8, 1.6])

    With momentum, a row-sparse gradient moves its own rows only.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = momentum
        self.velocity = self.memory() if momentum else []

    def update(self, i: int, at: Any, g: Array) -> Array:
        if not self.momentum:
            return self.lr * g
        v = self.velocity[i][at] = self.momentum * self.velocity[i][at] + g
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

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01, eps: float = 1e-10) -> None:
        super().__init__(params, lr)
        self.eps = eps
        self.squares = self.memory()

    def update(self, i: int, at: Any, g: Array) -> Array:
        G = self.squares[i][at] = self.squares[i][at] + g * g
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

    A row-sparse gradient moves its own rows and their means only. Kingma and Ba, ICLR 2015.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        self.betas, self.eps = betas, eps
        self.means, self.squares = self.memory(), self.memory()

    def update(self, i: int, at: Any, g: Array) -> Array:
        beta1, beta2 = self.betas
        m = self.means[i][at] = beta1 * self.means[i][at] + (1 - beta1) * g
        v = self.squares[i][at] = beta2 * self.squares[i][at] + (1 - beta2) * g * g
        m = m / (1 - beta1**self.steps)
        v = v / (1 - beta2**self.steps)
        return self.lr * m / (np.sqrt(v) + self.eps)
