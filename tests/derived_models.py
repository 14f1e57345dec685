"""The slides' models with example arguments, as the tests of derive use them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from models import network, neuron, softmax, window
from models.window import Parameters, Windows, hinge, objective, score

rng = np.random.default_rng(11)
U, W, b = rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8)
x, x_c = rng.normal(size=20), rng.normal(size=20)
X = np.array([1.0, 2.0, 3.0])


def J(U, W, b, x, x_c):
    return hinge(score(U, W, b, x), score(U, W, b, x_c))


def layers_of(*widths: int) -> list[Any]:
    return [(V, rng.normal(size=c.shape)) for V, c in network.initial(widths, rng)]


IDS, CASE_IDS = rng.integers(0, 30, (6, 5)), rng.integers(0, 3, (6, 5))
CORRUPT, CORRUPT_CASES = rng.integers(0, 30, (6, 3, 5)), rng.integers(0, 3, (6, 3, 5))
ALL = Parameters(U, rng.normal(size=(8, 30)), b, rng.normal(size=(30, 4)), rng.normal(size=(3, 2)))
TRUE, FALSE = Windows(IDS, CASE_IDS), Windows(CORRUPT, CORRUPT_CASES)

MODELS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "score": (score, (U, W, b, x)),
    "J": (J, (U, W, b, x, x_c)),
    "scores": (lambda U, W, b, X: mg.sum(window.scores(U, W, b, X) ** 2), (U, W, b, rng.normal(size=(5, 20)))),
    "objective": (objective, (ALL, TRUE, FALSE)),
    "neuron": (neuron.neuron, (rng.normal(size=4), np.float64(0.5), rng.normal(size=4))),
    "log loss": (
        lambda w, b, X, y: neuron.log_loss(neuron.neuron(w, b, X), y),
        (rng.normal(size=4), np.float64(0.5), rng.normal(size=(6, 4)), np.arange(6) % 2),
    ),
    "softmax": (softmax.loss, (rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), np.array([0, 1, 2, 2, 0]))),
    **{
        f"network {f}": (
            lambda layers, x, f: mg.sum(network.network(layers, x, f) ** 2),
            (layers_of(4, 5, 3, 2), rng.normal(size=4), f),
        )
        for f in network.activations
    },
    "network of a batch": (
        lambda layers, X: mg.mean(network.network(layers, X) ** 2),
        (layers_of(4, 5, 2), rng.normal(size=(6, 4))),
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)
