"""The slides' models, derived: against the engine, and for any values against the gradients by hand."""

from typing import Any

import numpy as np
from derived import assert_same, expected
from derived_models import J
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigrad as mg
from models import network, neuron, softmax, window
from models.window import Parameters, Windows, objective, score

EPS = np.finfo(float).eps


# the slides' models, for any values

sizes = st.integers(1, 4)


def values(*shape, bound=3.0):
    return arrays(float, shape, elements=st.floats(-bound, bound))


def close(found: Any, by_hand: Any, magnitude: float, ulp: float = 16) -> None:
    scale = max(np.max(np.abs(by_hand), initial=0.0), magnitude)
    assert np.shape(found) == np.shape(by_hand)
    assert np.max(np.abs(np.asarray(found) - by_hand), initial=0.0) <= ulp * EPS * scale


@st.composite
def scorers(draw, pairs=1):
    H, n = draw(sizes), draw(sizes)
    return [draw(values(H)), draw(values(H, n)), draw(values(H)), *(draw(values(n)) for _ in range(pairs))]


few = settings(max_examples=12)


@given(scorers())
@few
def test_score(args):
    value, found = mg.derive(score, *args)(*args)
    assert_same((value, found), expected(score, tuple(args)))
    for g, h in zip(found, window.score_by_hand(*args).values(), strict=True):
        close(g, h, magnitude=100)


@given(scorers(pairs=2))
@few
def test_hinge(args):
    value, found = mg.derive(J, *args)(*args)
    assert_same((value, found), expected(J, tuple(args)))
    for g, h in zip(found, window.hinge_by_hand(*args).values(), strict=True):
        close(g, h, magnitude=100)


@given(sizes, sizes, st.data())
@few
def test_neuron(N, n, data):
    w, b, X = data.draw(values(n)), data.draw(values()), data.draw(values(N, n))
    y = data.draw(arrays(float, N, elements=st.sampled_from([0.0, 1.0])))
    found = mg.derive(neuron.neuron, w, b, X[0])(w, b, X[0])
    assert_same(found, expected(neuron.neuron, (w, b, X[0])))
    for g, h in zip(found[1], neuron.neuron_by_hand(w, b, X[0]).values(), strict=True):
        close(g, h, magnitude=10)

    def loss(w, b):
        return neuron.log_loss(neuron.neuron(w, b, X), y)

    args = 0.1 * w, 0.1 * b
    found = mg.derive(loss, *args)(*args)
    assert_same(found, expected(loss, args))
    for g, h in zip(found[1], neuron.log_loss_by_hand(*args, X, y).values(), strict=True):
        close(g, h, magnitude=1000 * N)


@given(st.lists(sizes, min_size=2, max_size=5), st.sampled_from(list(network.activations)), st.integers(0, 99))
@few
def test_network(widths, f, seed):
    rng = np.random.default_rng(seed)
    layers = [(V, rng.normal(size=c.shape)) for V, c in network.initial(widths, rng)]
    x, g = rng.normal(size=widths[0]), rng.normal(size=widths[-1])
    value, (found, dx) = mg.derive(network.network, layers, x, f)(layers, x, f, gradient=g)
    assert_same(value, network.network(layers, x, f))
    assert_same((found, dx), mg.vjp(lambda layers, x: network.network(layers, x, f), layers, x)[1](g))
    by_hand, dx_by_hand = network.network_by_hand(layers, x, g, f)
    close(dx, dx_by_hand, magnitude=10)
    for pair, pair_by_hand in zip(found, by_hand, strict=True):
        for one, other in zip(pair, pair_by_hand, strict=True):
            close(one, other, magnitude=10)


@given(sizes, sizes, sizes, st.data())
@few
def test_softmax(N, k, m, data):
    V, A = data.draw(values(k, m)), data.draw(values(N, m))
    y = data.draw(arrays(np.intp, N, elements=st.integers(0, k - 1)))
    found = mg.derive(softmax.loss, V, A, y)(V, A, y)
    assert_same(found, expected(softmax.loss, (V, A, y)))
    for g, h in zip(found[1], softmax.loss_by_hand(V, A, y).values(), strict=True):
        close(g, h, magnitude=10)


@st.composite
def objectives(draw):
    N, K, H, d, V, cases = (draw(st.integers(1, 3)) for _ in range(6))
    width = draw(st.sampled_from([1, 3]))
    n = width * (d + cases)
    params = Parameters(*(draw(values(*shape)) for shape in [(H,), (H, n), (H,), (V, d), (3, cases)]))

    def windows(*shape):
        words = draw(arrays(np.intp, (*shape, width), elements=st.integers(0, V - 1)))
        return Windows(words, draw(arrays(np.intp, (*shape, width), elements=st.integers(0, 2))))

    return params, windows(N), windows(N, K)


@given(objectives())
@few
def test_objective(drawn):
    found = mg.derive(objective, *drawn)(*drawn)
    assert_same(found, expected(objective, drawn))
    by_hand = window.objective_by_hand(*drawn)
    count = drawn[1].words.shape[0] * (1 + drawn[2].words.shape[1])
    for name in ("U", "W", "b", "L", "C"):
        close(getattr(found[1], name), getattr(by_hand, name), magnitude=100.0 * count)
