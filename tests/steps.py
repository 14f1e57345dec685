"""Training steps of a small model, for the tests of compile."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from models import conll
from models.tagger import Settings
from models.training import OPTIMIZERS, Recipe, train

FEW, MANY = (3, 2), (300, 10)  # windows and words in each: rows are added one by one, or merged first


@dataclass
class Model:
    W: Any
    b: Any
    L: Any


def model() -> Model:
    rng = np.random.default_rng(5)
    return Model(*(mg.Tensor(rng.normal(size=shape)) for shape in [(4, 6), (4,), (50, 3)]))


def windows(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(-5, 50, shape)


def loss(m: Model, ids: Any) -> Any:
    x = mg.reshape(mg.embedding(m.L, ids[:, :2]), (-1, 6))
    return mg.sum(np.tanh(x @ m.W.T + m.b) ** 2)


SGD = {"momentum": lambda p: mg.optim.SGD(p, lr=0.01, momentum=0.9)}
MAKERS = SGD | {name: lambda p, make=make: make(p, lr=0.01) for name, (make, _) in OPTIMIZERS.items()}


def trained(make: Any, shape: tuple[int, int], backend: str | None) -> tuple[list[Any], Model, Any]:
    m = model()
    optimizer = make([m.W, m.b, m.L])

    def step(ids):
        J = loss(m, ids)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    run = mg.compile(step, backend=backend) if backend else step
    return [run(windows(shape, i)).item() for i in range(5)], m, optimizer


def losses_of(compile: str | None, **settings: Any) -> list[float]:
    found: list[float] = []
    recipe = Recipe(epochs=4, batch=1000, compile=compile)  # one batch an epoch: numba compiles once
    small = Settings(**{"dim": 8, "hidden": 6, "case_dim": 2} | settings)
    train(conll.embedded("train"), settings=small, recipe=recipe, report=lambda now: found.append(now.loss))
    return found
