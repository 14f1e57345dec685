"""Layers and losses: their formulas, written out; PyTorch's, where it is installed; models as trees."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.trees import leaves, paths

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


# formulas, a window and a head at a time


def convolved(layer: nn.Conv2d, x: Any) -> Any:
    W, (p, s) = layer.W, (layer.padding, layer.stride)
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    height, width = W.shape[2:]
    rows, columns = ((n - k) // s + 1 for n, k in zip(x.shape[2:], (height, width)))
    y = np.empty((len(x), len(W), rows, columns))
    for at in np.ndindex(y.shape):
        example, out, i, j = at
        y[at] = np.sum(W[out] * x[example, :, i * s : i * s + height, j * s : j * s + width])
    return y if layer.b is None else y + layer.b[:, None, None]


def pooled(x: Any, size: int, stride: int) -> Any:
    rows, columns = ((n - size) // stride + 1 for n in x.shape[-2:])
    y = np.empty((*x.shape[:-2], rows, columns))
    for i, j in np.ndindex(rows, columns):
        y[..., i, j] = x[..., i * stride : i * stride + size, j * stride : j * stride + size].max((-2, -1))
    return y


def attended(layer: nn.Attention, x: Any, mask: Any) -> Any:
    n, heads = x.shape[-1], []
    Q, K, V = np.split(x @ layer.project.W.T + layer.project.b, 3, axis=-1)
    for part in np.split(np.arange(n), layer.heads):
        scores = Q[..., part] @ np.swapaxes(K[..., part], -1, -2) / math.sqrt(len(part))
        weights = np.exp(scores) * (1 if mask is None else mask)
        heads.append(weights / weights.sum(-1, keepdims=True) @ V[..., part])
    return np.concatenate(heads, -1) @ layer.output.W.T + layer.output.b


def normalized(layer: nn.LayerNorm, x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps) * layer.scale + layer.shift


def attention(heads: int, n: int = 6) -> nn.Attention:
    return nn.Attention(nn.Linear(normal(3 * n, n), normal(3 * n)), nn.Linear(normal(n, n), normal(n)), heads)


LAYERS: dict[str, tuple[Any, Any, Any]] = {
    "linear": (nn.Linear(normal(4, 3), normal(4)), lambda layer, x: x @ layer.W.T + layer.b, normal(2, 5, 3)),
    "linear, no bias": (nn.Linear(normal(4, 3)), lambda layer, x: x @ layer.W.T, normal(3)),
    "norm": (nn.LayerNorm(normal(5), normal(5), eps=0.1), normalized, normal(2, 3, 5)),
    "conv": (nn.Conv2d(normal(3, 2, 3, 2), normal(3)), convolved, normal(2, 2, 5, 4)),
    "conv, stride": (nn.Conv2d(normal(3, 2, 2, 2), None, 2, 1), convolved, normal(2, 2, 5, 4)),
    "conv, one place": (nn.Conv2d(normal(1, 1, 4, 4), normal(1)), convolved, normal(1, 1, 4, 4)),
    "attention": (attention(2), lambda layer, x: attended(layer, x, None), normal(2, 4, 6)),
    "attention, one head": (attention(1), lambda layer, x: attended(layer, x, None), normal(3, 6)),
    "sequence": (
        nn.Sequential([nn.Linear(normal(4, 3), normal(4)), mg.tanh, nn.Dropout(0.5), nn.Linear(normal(2, 4))]),
        lambda m, x: np.tanh(x @ m.layers[0].W.T + m.layers[0].b) @ m.layers[3].W.T, normal(2, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "formula", "x"), LAYERS.values(), ids=LAYERS)
def test_layer_and_its_gradients(layer: Any, formula: Any, x: Any) -> None:
    np.testing.assert_allclose(layer(x), formula(layer, x), rtol=1e-12, atol=1e-12)
    mg.gradcheck(lambda layer, x: mg.sum(mg.sin(layer(x))), layer, x)


@pytest.mark.parametrize(("size", "stride", "shape"), [(2, None, (2, 3, 5, 4)), (3, 1, (5, 4)), (2, 3, (1, 8, 9))])
def test_max_pool2d(size: int, stride: int | None, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    np.testing.assert_array_equal(nn.max_pool2d(x, size, stride), pooled(x, size, stride or size))
    mg.gradcheck(lambda x: mg.sum(mg.sin(nn.max_pool2d(x, size, stride))), x)


def test_causal_attention_does_not_look_ahead() -> None:
    layer, x, mask = attention(2), normal(4, 6), np.tri(4, dtype=bool)
    np.testing.assert_allclose(layer(x, mask), attended(layer, x, mask), rtol=1e-12, atol=1e-12)
    J = mg.jacobian(lambda x: layer(x, mask))(x)
    assert all(np.all(J[i, :, j] == 0) == (j > i) for i in range(4) for j in range(4))
    mg.gradcheck(lambda layer, x: mg.sum(mg.sin(layer(x, mask))), layer, x)


LOSSES = {
    "mse": (mg.mse, lambda y, t: np.mean((y - t) ** 2)),
    "huber": (
        lambda y, t: mg.huber(y, t, 0.7),
        lambda y, t: np.mean(np.where(abs(y - t) < 0.7, (y - t) ** 2 / 2, 0.7 * (abs(y - t) - 0.35))),
    ),
    "binary cross entropy": (
        mg.binary_cross_entropy,
        lambda z, t: np.mean(-t * np.log(1 / (1 + np.exp(-z))) - (1 - t) * np.log(1 - 1 / (1 + np.exp(-z)))),
    ),
}


@pytest.mark.parametrize(("loss", "formula"), LOSSES.values(), ids=LOSSES)
def test_loss(loss: Any, formula: Any) -> None:
    y, target = 2 * normal(3, 4), RNG.random((3, 4))
    assert loss(y, target) == pytest.approx(formula(y, target), rel=1e-12)
    mg.gradcheck(lambda y: loss(y, target), y)
    for shape in [(3, 1), (4,), (3, 4, 1)]:
        with pytest.raises(ValueError, match=r"needed a target of the shape \(3, 4\), got"):
            loss(y, np.ones(shape))


def test_binary_cross_entropy_far_out() -> None:
    z = np.array([1e4, -1e4, 1e4, -1e4])
    loss, g = mg.value_and_grad(mg.binary_cross_entropy)(z, np.array([1.0, 0.0, 0.0, 1.0]))
    assert loss == 5e3 and g.tolist() == [0.0, 0.0, 0.25, -0.25]


# initial values


@pytest.mark.parametrize(("init", "expected"), [(nn.glorot, 2 / (300 + 200)), (nn.he, 2 / 200)])
def test_variance_of_initial_weights(init: Any, expected: float) -> None:
    assert init(RNG, (300, 200)).var() == pytest.approx(expected, rel=0.02)
    kernel = init(RNG, (300, 8, 5, 5), np.float32)
    assert kernel.dtype == np.float32 and kernel.var() == pytest.approx(
        2 / (8 * 25 + 300 * 25) if init is nn.glorot else 2 / (8 * 25), rel=0.02
    )


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    W = nn.orthogonal(RNG, shape).reshape(shape[0], -1)
    product = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


# dropout


def test_dropout_draws_in_training_only() -> None:
    layer, x = nn.Dropout(0.25), np.ones((100, 100), np.float32)
    y = layer(x, np.random.default_rng(1))
    assert y.dtype == np.float32 and set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert np.mean(y) == pytest.approx(1, abs=0.02)
    assert layer(x) is x
    mask = layer.mask(np.random.default_rng(1), x)
    np.testing.assert_array_equal(layer(x, mask), y)
    t = mg.Tensor(x)
    mg.sum(layer(t, np.random.default_rng(1))).backward()
    np.testing.assert_array_equal(t.grad, mask)
    for rate in (1.0, -0.1):
        with pytest.raises(ValueError, match="needed a rate of at least 0 and below 1"):
            nn.Dropout(rate)(x, RNG)


def test_compiled_dropout_takes_the_mask() -> None:
    layer, x = nn.Dropout(0.5), np.ones(50)
    step = mg.compile(lambda x, mask: mg.grad(lambda x: mg.sum(layer(x, mask) ** 2))(x))
    for seed in range(4):
        mask = layer.mask(np.random.default_rng(seed), x)
        np.testing.assert_array_equal(step(x, mask), 2 * mask * mask)


# trees


def model(dtype: Any = float) -> nn.Sequential:
    rng = np.random.default_rng(0)
    return nn.Sequential(
        [
            nn.Conv2d.init(rng, 1, 2, 3, padding=1, dtype=dtype), mg.relu, lambda x: mg.reshape(x, (len(x), -1)),
            nn.LayerNorm.init(32, dtype=dtype), nn.Linear.init(rng, 32, 3, dtype=dtype),
        ]
    )  # fmt: skip


def test_what_is_static_is_no_leaf() -> None:
    m = model()
    tensors = [path for path, leaf in zip(paths(m), leaves(m)) if isinstance(leaf, mg.Tensor)]
    assert tensors == [
        ".layers[0].W", ".layers[0].b", ".layers[3].scale", ".layers[3].shift", ".layers[4].W", ".layers[4].b",
    ]  # fmt: skip
    assert not any(isinstance(leaf, float | int) for leaf in leaves(m))
    g = mg.grad(lambda m, x: mg.sum(m(x) ** 2))(mg.stop_gradient(m), normal(5, 1, 4, 4))
    assert (g.layers[3].eps, g.layers[0].padding, g.layers[1]) == (1e-5, 1, None)


@dataclasses.dataclass(frozen=True)
class Scaled:
    w: Any
    rate: float = dataclasses.field(default=2.0, metadata={"static": True})
    made: float = dataclasses.field(default=0.0, init=False, metadata={"static": True})


def test_static_fields_of_a_users_own() -> None:
    scaled = Scaled(np.ones(2), 3.0)
    object.__setattr__(scaled, "made", 5.0)
    g = mg.grad(lambda s: mg.sum(s.w * s.rate * s.made))(scaled)
    assert g.w.tolist() == [15.0, 15.0] and (g.rate, g.made) == (3.0, 5.0)


def test_a_model_learns_eagerly_and_compiled_alike() -> None:
    x, y = normal(6, 1, 4, 4), np.array([0, 1, 2, 0, 1, 2])
    losses = []
    for compiled in (False, True):
        m = model()
        optimizer = mg.optim.Adam(m, lr=0.01)

        def step(x: Any, y: Any, m: Any = m, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            J = mg.cross_entropy(m(x), y)
            J.backward()
            optimizer.step()
            return J.data

        run = mg.compile(step) if compiled else step
        losses.append([float(run(x, y)) for _ in range(30)])
    assert losses[0][-1] < 0.1 * losses[0][0]
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_single_precision_stays() -> None:
    m = model(np.float32)
    assert {leaf.dtype for leaf in leaves(m) if isinstance(leaf, mg.Tensor)} == {np.dtype(np.float32)}
    J = mg.sum(m(normal(2, 1, 4, 4).astype(np.float32)))
    J.backward()
    assert J.dtype == np.float32


def test_embedding_is_row_sparse() -> None:
    layer = nn.Embedding.init(np.random.default_rng(0), 1000, 4)
    mg.sum(layer(np.array([3, 1, 3]))).backward()
    assert sorted(layer.table.grad.indices) == [1, 3]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: nn.Conv2d(normal(3, 2, 3, 3))(normal(2, 5, 5)), r"needed images \(batch, 2, height, width\), got"),
        (lambda: nn.Conv2d(normal(3, 2, 3, 3))(normal(1, 3, 5, 5)), r"needed images \(batch, 2, height, width\), got"),
        (lambda: nn.max_pool2d(normal(2, 1), 2), "a window of 2 does not fit into images"),
        (lambda: nn.Attention.init(RNG, 8, heads=3), "needed a number of heads that divides 8, got 3"),
    ],
)
def test_errors(act: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


# the same in PyTorch


def test_layers_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its layers are not compared")
    double = {"dtype": torch.float64}

    def agree(ours: Any, layer: Any, theirs: Any, x: Any) -> None:
        t = torch.tensor(x, requires_grad=True)
        theirs(t).sin().sum().backward()
        g, dx = mg.grad(lambda layer, x: mg.sum(mg.sin(ours(layer, x))), (0, 1))(layer, x)
        np.testing.assert_allclose(ours(layer, x), theirs(t).detach(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(dx, t.grad, rtol=1e-9, atol=1e-12)
        for mine, other in zip(leaves(g), theirs.parameters()):
            np.testing.assert_allclose(mine, other.grad, rtol=1e-9, atol=1e-12)

    def copied(theirs: Any) -> list[Any]:
        return [p.detach().numpy().copy() for p in theirs.parameters()]

    linear = torch.nn.Linear(5, 3, **double)
    agree(lambda m, x: m(x), nn.Linear(*copied(linear)), linear, normal(2, 5))
    norm = torch.nn.LayerNorm(5, **double)
    agree(lambda m, x: m(x), nn.LayerNorm(*copied(norm)), norm, normal(2, 5))
    for stride, padding in [(1, 0), (2, 1)]:
        conv = torch.nn.Conv2d(2, 3, 3, stride, padding, **double)
        agree(lambda m, x: m(x), nn.Conv2d(*copied(conv), stride, padding), conv, normal(2, 2, 6, 5))
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True, **double)
    W, b, V, c = copied(theirs)
    x = normal(2, 4, 6)
    expected = theirs(*[torch.tensor(x)] * 3, need_weights=False)[0].detach()
    np.testing.assert_allclose(nn.Attention(nn.Linear(W, b), nn.Linear(V, c), 2)(x), expected, rtol=1e-10, atol=1e-12)
    for size, stride in [(2, 2), (3, 1)]:
        x = normal(2, 3, 7, 7)
        expected = torch.nn.functional.max_pool2d(torch.tensor(x), size, stride)
        np.testing.assert_array_equal(nn.max_pool2d(x, size, stride), expected)
    y, target = normal(4, 3), RNG.random((4, 3))
    F = torch.nn.functional
    for ours, loss in [(mg.mse, F.mse_loss), (mg.huber, F.huber_loss),
                       (mg.binary_cross_entropy, F.binary_cross_entropy_with_logits)]:  # fmt: skip
        assert ours(y, target) == pytest.approx(float(loss(torch.tensor(y), torch.tensor(target))), rel=1e-12)


def test_the_gradient_of_a_largest_number_is_computed_in_single_precision() -> None:
    x = np.array([[1, 2], [1, 0]], np.float32)
    source = str(mg.derive(lambda x: mg.sum(mg.max(x, axis=0) * x[0]), x))
    assert ".astype(np.float32), np.where(top == top, 0, top)" in source
    assert mg.grad(lambda x: mg.sum(mg.max(x, axis=0)))(x).tolist() == [[0.5, 1], [0.5, 0]]
