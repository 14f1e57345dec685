"""The slides' models: autograd against the gradients by hand, for any sizes and values."""

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigrad as mg
from models import network, neuron, softmax, window
from models.window import Parameters, Windows

EPS = np.finfo(float).eps
sizes = st.integers(1, 6)


def values(*shape, bound=3.0):
    return arrays(float, shape, elements=st.floats(-bound, bound, allow_subnormal=False))


def close(automatic, by_hand, magnitude=1.0, ulp=16):
    """Equal to a few ulp of the magnitudes that were summed."""
    scale = np.maximum(np.max(np.abs(by_hand), initial=0.0), magnitude)
    assert np.shape(automatic) == np.shape(by_hand)
    assert np.max(np.abs(np.asarray(automatic) - by_hand), initial=0.0) <= ulp * EPS * scale


@st.composite
def scorers(draw, pairs=1):
    H, n = draw(sizes), draw(sizes)
    return [draw(values(H)), draw(values(H, n)), draw(values(H)), *(draw(values(n)) for _ in range(pairs))]


@given(scorers())
def test_score(args):
    automatic = mg.grad(window.score, argnums=(0, 1, 2, 3))(*args)
    for a, h in zip(automatic, window.score_by_hand(*args).values(), strict=True):
        close(a, h, magnitude=100)


def test_the_slides_heading_is_wrong_about_b():
    """ds/db is delta, as the slides derive, not a, as one of their headings says."""
    rng = np.random.default_rng(0)
    args = rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8), rng.normal(size=20)
    db = mg.grad(window.score, argnums=2)(*args)
    by_hand = window.score_by_hand(*args)
    close(db, by_hand["b"])
    assert np.max(np.abs(db - by_hand["U"])) > 0.1


def J(U, W, b, x, x_c):
    return window.hinge(window.score(U, W, b, x), window.score(U, W, b, x_c))


@given(scorers(pairs=2))
def test_hinge(args):
    automatic = mg.grad(J, argnums=(0, 1, 2, 3, 4))(*args)
    for a, h in zip(automatic, window.hinge_by_hand(*args).values(), strict=True):
        close(a, h, magnitude=100)


def test_an_inactive_hinge_gives_exact_zeros():
    U, W, b = np.ones(2), np.eye(2), np.zeros(2)
    args = U, W, b, np.full(2, 5.0), np.full(2, -5.0)
    assert J(*args) == 0
    for g in mg.grad(J, argnums=(0, 1, 2, 3, 4))(*args):
        assert not np.any(g)
    assert not any(np.any(g) for g in window.hinge_by_hand(*args).values())


def test_the_hinge_at_the_tie_has_gradient_zero():
    s, s_c = mg.Tensor(1.5), mg.Tensor(0.5)
    window.hinge(s, s_c).backward()
    assert s.grad == s_c.grad == 0
    args = np.full(1, 2.0), np.ones((1, 1)), np.zeros(1), np.full(1, 100.0), np.zeros(1)  # a = 1, a_c = 1/2: exactly
    assert 1 - window.score(*args[:4]) + window.score(*args[:3], args[4]) == 0
    assert not any(np.any(g) for g in mg.grad(J, argnums=(0, 1, 2, 3, 4))(*args))
    assert not any(np.any(g) for g in window.hinge_by_hand(*args).values())


@given(scorers(), st.data())
def test_a_weight_touches_only_its_own_unit(args, data):
    """W_ij appears only in a_i: the derivative of a by W_ij is zero everywhere but at i, where it is f'(z_i) x_j."""
    _, W, b, x = args
    i, j = data.draw(st.integers(0, W.shape[0] - 1)), data.draw(st.integers(0, W.shape[1] - 1))
    da = mg.jacobian(lambda W: mg.sigmoid(W @ x + b))(W)[:, i, j]
    a = mg.sigmoid(W @ x + b)
    expected = np.zeros_like(a)
    expected[i] = a[i] * (1 - a[i]) * x[j]
    assert not np.any(np.delete(da, i))
    close(da, expected)


@st.composite
def objectives(draw):
    N, K, H, d, V, cases = (draw(st.integers(1, 4)) for _ in range(6))
    width = draw(st.sampled_from([1, 3, 5]))
    with_cases = draw(st.booleans())
    n = width * (d + with_cases * cases)
    params = Parameters(
        draw(values(H)),
        draw(values(H, n)),
        draw(values(H)),
        draw(values(V, d)),
        draw(values(3, cases)) if with_cases else None,
    )

    def windows(*shape):  # few words: they repeat within a window and across windows
        words = draw(arrays(np.intp, (*shape, width), elements=st.integers(0, V - 1)))
        cases = draw(arrays(np.intp, (*shape, width), elements=st.integers(0, 2)))
        return Windows(words, cases if with_cases else None)

    return params, windows(N), windows(N, K)


@given(objectives())
@settings(deadline=None)
def test_objective(drawn):
    params, true, corrupt = drawn
    automatic = mg.grad(lambda given: window.objective(Parameters(**given), true, corrupt))(
        {f.name: v for f in fields(params) if (v := getattr(params, f.name)) is not None}
    )
    by_hand = window.objective_by_hand(params, true, corrupt)
    windows = true.words.shape[0] * (1 + corrupt.words.shape[1])
    for name, g in automatic.items():
        close(g, getattr(by_hand, name), magnitude=100.0 * windows)


def test_objective_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    params = Parameters(rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8), rng.normal(size=(30, 4)))
    true, corrupt = Windows(rng.integers(0, 30, (6, 5))), Windows(rng.integers(0, 30, (6, 3, 5)))
    total = sum(
        J(params.U, params.W, params.b, params.L[true.words[n]].ravel(), params.L[corrupt.words[n, k]].ravel())
        for n in range(6)
        for k in range(3)
    )
    close(window.objective(params, true, corrupt), total, magnitude=18)


@given(sizes, sizes, st.data())
def test_neuron(N, n, data):
    w, b, X = data.draw(values(n)), data.draw(values()), data.draw(values(N, n))
    y = data.draw(arrays(float, N, elements=st.sampled_from([0.0, 1.0])))
    for a, h in zip(
        mg.grad(neuron.neuron, argnums=(0, 1, 2))(w, b, X[0]), neuron.neuron_by_hand(w, b, X[0]).values(), strict=True
    ):
        close(a, h, magnitude=10)
    automatic = mg.grad(lambda w, b: neuron.log_loss(neuron.neuron(w, b, X), y), argnums=(0, 1))(0.1 * w, 0.1 * b)
    for a, h in zip(automatic, neuron.log_loss_by_hand(0.1 * w, 0.1 * b, X, y).values(), strict=True):
        close(a, h, magnitude=1000 * N)


@given(sizes, st.data())
def test_the_bias_as_a_term_or_as_a_feature_has_the_same_gradient(n, data):
    w, b, X = data.draw(values(n)), data.draw(values()), data.draw(values(4, n))
    dw, db = mg.grad(lambda w, b: mg.sum(neuron.neuron(w, b, X)), argnums=(0, 1))(w, b)
    both = mg.grad(lambda w: mg.sum(neuron.neuron(w, 0.0, neuron.always_on(X))))(np.append(w, b))
    close(both, np.append(dw, db), magnitude=10)


@given(st.lists(sizes, min_size=2, max_size=5), st.sampled_from(["sigmoid", "tanh", "linear"]), st.integers(0, 99))
def test_network(widths, f, seed):
    rng = np.random.default_rng(seed)
    layers = [(W, rng.normal(size=b.shape)) for W, b in network.initial(widths, rng)]
    x, g = rng.normal(size=widths[0]), rng.normal(size=widths[-1])
    _, pullback = mg.vjp(lambda layers, x: network.network(layers, x, f), layers, x)
    automatic, dx = pullback(g)
    by_hand, dx_by_hand = network.network_by_hand(layers, x, g, f)
    close(dx, dx_by_hand, magnitude=10)
    for pair, pair_by_hand in zip(automatic, by_hand, strict=True):
        for a, h in zip(pair, pair_by_hand, strict=True):
            close(a, h, magnitude=10)


def test_network_with_relu():
    rng = np.random.default_rng(0)
    layers = network.initial([20, 30, 10, 1], rng)
    x = rng.normal(size=20)
    automatic, dx = mg.vjp(lambda layers, x: network.network(layers, x, "relu"), layers, x)[1](np.ones(1))
    by_hand, dx_by_hand = network.network_by_hand(layers, x, np.ones(1), "relu")
    close(dx, dx_by_hand)
    assert all(np.allclose(a, h, rtol=1e-14) for p, q in zip(automatic, by_hand) for a, h in zip(p, q))


@given(st.lists(sizes, min_size=2, max_size=5), st.integers(0, 99))
def test_without_f_the_stack_is_one_layer(widths, seed):
    rng = np.random.default_rng(seed)
    layers = [(W, rng.normal(size=b.shape)) for W, b in network.initial(widths, rng)]
    W, b = network.collapse(layers)
    X = rng.normal(size=(3, widths[0]))
    close(network.network(layers, X, "linear"), X @ W.T + b, magnitude=100)


def test_depth_with_f_approximates_and_without_does_not():
    straight = network.approximate(np.sin, "linear")
    assert straight > 0.3
    for f in ("tanh", "sigmoid", "relu"):
        assert network.approximate(np.sin, f) < straight / 4, f


@given(sizes, sizes, sizes, st.data())
def test_softmax(N, k, m, data):
    W, A = data.draw(values(k, m)), data.draw(values(N, m))
    y = data.draw(arrays(np.intp, N, elements=st.integers(0, k - 1)))
    automatic = mg.grad(softmax.loss, argnums=(0, 1))(W, A, y)
    for a, h in zip(automatic, softmax.loss_by_hand(W, A, y).values(), strict=True):
        close(a, h, magnitude=10)
    close(np.sum(softmax.probabilities(W, A), axis=1), np.ones(N))


def test_expressions_run_on_arrays_and_on_tensors_alike():
    rng = np.random.default_rng(0)
    args = rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8), rng.normal(size=20), rng.normal(size=20)
    plain, recorded = J(*args), J(*map(mg.Tensor, args))
    assert not isinstance(plain, mg.Tensor)
    assert recorded.item() == plain
    batch = window.scores(*args[:3], np.stack(args[3:]))
    close(batch, np.array([window.score(*args[:4]), window.score(*args[:3], args[4])]), magnitude=10)
