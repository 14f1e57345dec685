"""The names in a listing: those of the user, each once."""

import re

import numpy as np
from derived import assert_same, by_source, expected
from derived_models import U, W, X, b, x
from listings import walked

import minigrad as mg
from models.window import score


def test_it_is_called_what_the_function_is_called() -> None:
    d = mg.derive(score, U, W, b, x)
    assert d.__name__ == "score" and d.__doc__ == score.__doc__


def test_names_of_variables_are_kept() -> None:
    def f(weights, rate):
        energy = weights @ weights
        cooled = np.exp(-rate * energy)
        return np.log(cooled + 1)

    d = mg.derive(f, X, 0.5)
    for name in ("weights", "rate", "energy", "cooled"):
        assert re.search(rf"\b{name}\b", d.source)
    assert "∂f/∂weights" in d.source and "∂f/∂rate" in d.source


def test_no_name_hides_another() -> None:
    """Variables called like Python's words, like NumPy and like each other."""

    def f(sum, np_, list):
        e = mg.exp(sum)
        d = mg.exp(np_ * e)
        return mg.sum(d * list)

    args = X / 9, X / 8, X / 7
    d = mg.derive(f, *args)
    assert_same(by_source(d, *args), expected(f, args))


def test_reused_names_are_told_apart() -> None:
    def f(x):
        for _ in range(3):
            x = np.sin(x) * x
        return np.sum(x)

    d = mg.derive(f, X)
    assigned = [name for _, name, _ in walked(d, (X,))]
    assert len(assigned) == len(set(assigned)) and "x" not in assigned
    assert_same(by_source(d, X), expected(f, (X,)))


def test_parameters_called_like_what_a_listing_needs() -> None:
    def f(np, bool, np_):
        return mg.sum(mg.exp(np) * bool + mg.sort(np_))

    d = mg.derive(f, X, X, X)
    assert "def f(np__, bool_, np_):" in d.source
    assert_same(by_source(d, X, X + 1, X), expected(f, (X, X + 1, X)))

    def g(x0, *x):
        return np.sum(x0 * x[0] * x[1])

    assert_same(by_source(mg.derive(g, X, X, X), X, X + 1, X), expected(g, (X, X + 1, X)))


def test_new_state_is_called_after_the_old() -> None:
    steps, mean = 0, np.zeros(3)

    @mg.compile
    def step(x):
        nonlocal steps, mean
        steps += 1
        mean = 0.9 * mean + 0.1 * x
        return np.sum(mean) / steps

    step(X)
    assert "mean2 = 0.9 * mean + 0.1 * x" in step.source and "steps2 = steps + 1" in step.source
