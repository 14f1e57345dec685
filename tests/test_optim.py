"""Optimizers: their formulas, and row-sparse gradients that do what dense ones do to the rows they touch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

MAKERS = {
    "sgd": lambda p: mg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adagrad": lambda p: mg.optim.Adagrad(p, lr=0.1),
    "adam": lambda p: mg.optim.Adam(p, lr=0.1),
}


def reference(name, x, gradients):
    """The formulas of the papers, a number at a time."""
    v = m = s = 0.0
    for t, g in enumerate(gradients, start=1):
        if name == "sgd":
            x -= 0.1 * g
        elif name == "momentum":
            v = 0.9 * v + g
            x -= 0.1 * v
        elif name == "adagrad":
            s += g * g
            x -= 0.1 * g / (s**0.5 + 1e-10)
        else:
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            x -= 0.1 * (m / (1 - 0.9**t)) / ((s / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return x


@pytest.mark.parametrize("name", MAKERS)
@given(gradients=st.lists(st.floats(-3, 3).filter(lambda g: abs(g) > 1e-3), min_size=1, max_size=6))
def test_formula(name, gradients):
    x = mg.Tensor(2.0)
    optimizer = MAKERS[name]([x])
    for g in gradients:
        optimizer.zero_grad()
        (g * x).backward()
        optimizer.step()
    assert x.item() == pytest.approx(reference(name, 2.0, gradients), rel=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_a_row_sparse_gradient_moves_its_rows_as_a_dense_one_would(name):
    rng = np.random.default_rng(0)
    start, weights = rng.normal(size=(10, 3)), rng.normal(size=(4, 3))
    ids = np.array([7, 2, 7, 0])
    sparse, dense = mg.Tensor(start), mg.Tensor(start)
    optimizers = MAKERS[name]([sparse]), MAKERS[name]([dense])
    for _ in range(3):
        for optimizer, p, look_up in zip(optimizers, (sparse, dense), (mg.embedding, mg.getitem)):
            optimizer.zero_grad()
            mg.sum(weights * look_up(p, ids) ** 2).backward()
            optimizer.step()
    assert np.allclose(sparse.data, dense.data, rtol=1e-13)
    untouched = np.setdiff1d(np.arange(10), ids)
    assert np.array_equal(sparse.data[untouched], start[untouched])


@pytest.mark.parametrize("name", MAKERS)
def test_float32_stays_float32(name):
    p = mg.Tensor(np.ones((4, 2), np.float32))
    optimizer = MAKERS[name]([p])
    mg.sum(mg.embedding(p, [1, 1])).backward()
    optimizer.step()
    assert p.dtype == np.float32


@pytest.mark.parametrize("name", MAKERS)
def test_minimises(name):
    x = mg.Tensor([3.0, -2.0])
    optimizer = MAKERS[name]([x])
    for _ in range(600):
        optimizer.zero_grad()
        mg.sum((x - 1) ** 2).backward()
        optimizer.step()
    assert np.max(np.abs(x.data - 1)) < 0.5


def test_a_step_is_seen_by_graphs_of_the_old_value():
    x = mg.Tensor(2.0, name="x")
    y = x * x
    y.backward()
    mg.optim.SGD([x], lr=0.1).step()
    with pytest.raises(RuntimeError, match="x and its data was then changed"):
        y.backward()


def test_a_parameter_without_a_gradient_stays():
    x, y = mg.Tensor(2.0), mg.Tensor(3.0)
    (x * x).backward()
    mg.optim.Adam([x, y], lr=0.1).step()
    assert y.item() == 3.0


@pytest.mark.parametrize(
    ("params", "lr", "error", "message"),
    [
        ([np.ones(2)], 0.1, TypeError, "needs Tensors, got ndarray; wrap parameters in mg.Tensor"),
        ([], 0.1, ValueError, "at least one Tensor, got none"),
        ([mg.Tensor(1.0)], 0, ValueError, "learning rate above 0, got 0"),
    ],
)
def test_errors(params, lr, error, message):
    with pytest.raises(error, match=message):
        mg.optim.SGD(params, lr)
