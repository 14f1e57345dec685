"""Optimizers: their formulas, which parameters they take, and row-sparse gradients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from derived import same_bits
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

MAKERS = {
    "sgd": lambda p: mg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: mg.optim.Adagrad(p, lr=0.1),
    "rmsprop": lambda p: mg.optim.RMSprop(p, lr=0.1),
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
        elif name == "nesterov":
            v = 0.9 * v + g
            x -= 0.1 * (g + 0.9 * v)
        elif name == "adagrad":
            s += g * g
            x -= 0.1 * g / (s**0.5 + 1e-10)
        elif name == "rmsprop":
            s = 0.99 * s + 0.01 * g * g
            x -= 0.1 * g / (s**0.5 + 1e-8)
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


# which parameters


@dataclass
class Layer:
    W: Any
    b: Any = None
    f: str = "tanh"
    width: int = 3


def containers(v, w):
    return {
        "tuple": (v, w),
        "dict": {"v": v, "w": w},
        "dataclass": Layer(v, w),
        "nested": [Layer(v), {"more": (w, None, "relu", 3, True, np.arange(3))}],
        "generator": (p for p in (v, w)),
        "values": {"v": v, "w": w}.values(),
        "set": {v, w},
        "tied": {"embedding": v, "hidden": Layer(w), "output": v},
    }


@pytest.mark.parametrize("name", containers(None, None))
def test_parameters_in_any_container(name):
    v, w = mg.Tensor([1.0, 2.0]), mg.Tensor(3.0)
    optimizer = mg.optim.SGD(containers(v, w)[name], lr=0.25, momentum=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        (mg.sum(v) + w).backward()
        optimizer.step()
    assert len(optimizer.params) == 2
    assert v.data.tolist() == [1 - 0.625, 2 - 0.625] and w.data == 3 - 0.625


def test_a_variable_made_from_a_result_is_a_parameter():
    w = (mg.Tensor(1.0) * 0.5).detach()
    optimizer = mg.optim.SGD([w], lr=0.25)
    (w * w).backward()
    optimizer.step()
    assert w.is_leaf and w.data == 0.25


W = mg.Tensor([1.0, 2.0], name="W")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mg.optim.SGD([np.ones(2)], 0.1), TypeError, "got ndarray; wrap parameters in mg.Tensor"),
        (lambda: mg.optim.SGD(np.ones(2), 0.1), TypeError, "needs Tensors, got float64"),
        (lambda: mg.optim.SGD({"w": [W, 0.5]}, 0.1), TypeError, "needs Tensors, got float"),
        (lambda: mg.optim.SGD(W, 0.1), TypeError, r"needs a list of Tensors, got the Tensor W; write \[W\]"),
        (lambda: mg.optim.SGD(mg.Tensor(1.0), 0.1), TypeError, r"got the Tensor t; write \[t\]"),
        (lambda: mg.optim.SGD([W, W * 0.5], 0.1), ValueError, r"needs variables, got a Tensor \(2,\), which an op"),
        (lambda: mg.optim.SGD([], 0.1), ValueError, "at least one Tensor, got none"),
        (lambda: mg.optim.SGD([None], 0.1), ValueError, "at least one Tensor, got none"),
        (lambda: mg.optim.SGD([W], 0), ValueError, "learning rate above 0, got 0"),
        (lambda: mg.optim.Adam([W], float("nan")), ValueError, "learning rate above 0, got nan"),
        (lambda: mg.optim.SGD([W], 0.1, momentum=-0.9), ValueError, "a momentum of at least 0, got -0.9"),
        (lambda: mg.optim.Adagrad([W], eps=-1e-8), ValueError, "an eps of at least 0, got -1e-08"),
        (lambda: mg.optim.Adam([W], eps=-1e-8), ValueError, "an eps of at least 0, got -1e-08"),
        (lambda: mg.optim.Adam([W], betas=(0.9, 1.0)), ValueError, r"below 1, got \(0.9, 1.0\)"),
        (lambda: mg.optim.Adam([W], betas=(1, 0.999)), ValueError, r"below 1, got \(1, 0.999\)"),
        (lambda: mg.optim.Adam([W], betas=(-0.1, 0.999)), ValueError, r"betas of at least 0"),
    ],
)  # fmt: skip
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


# numbers


def trained(name, start, gradients, compiled=False):
    """A parameter and its optimizer after steps along gradients; None is a step without one."""
    p = mg.Tensor(start)
    optimizer = MAKERS[name]([p])

    def step(g):
        optimizer.zero_grad()
        if g is not None:
            mg.sum(mg.real(mg.conj(g) * p)).backward()
        optimizer.step()

    step = mg.compile(step) if compiled else step
    for g in gradients:
        step(g)
    return p, optimizer


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_real_and_imaginary_part_of_a_complex_parameter_move_as_two_real_ones(name, dtype, shape):
    rng = np.random.default_rng(0)
    start, *gradients = (rng.normal(size=(5, *shape)) + 1j * rng.normal(size=(5, *shape))).astype(dtype)
    p, _ = trained(name, start, gradients)
    parts = [trained(name, part(start), map(part, gradients))[0].data for part in (np.real, np.imag)]
    assert p.dtype == dtype
    np.testing.assert_array_equal(p.data, parts[0] + 1j * parts[1])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_as_torch(name, dtype):
    torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs it: pip install torch")
    kinds = {"adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
    drawn = np.random.default_rng(1).normal(size=(2, 8, 3, 2))
    start, *gradients = (drawn[0] + 1j * drawn[1] if dtype().dtype.kind == "c" else drawn[0]).astype(dtype)
    gradients[3] = None  # torch too counts the steps of a parameter
    theirs = torch.tensor(start, requires_grad=True)
    options = {"momentum": 0.9, "nesterov": name == "nesterov"} if name in ("momentum", "nesterov") else {}
    optimizer = kinds.get(name, torch.optim.SGD)([theirs], lr=0.1, **options)
    for g in gradients:
        theirs.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    p, _ = trained(name, start, gradients)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(p.data, theirs.detach().numpy(), rtol=20 * eps, atol=20 * eps)


@pytest.mark.parametrize("name", MAKERS)
def test_complex_rows(name):
    rng = np.random.default_rng(0)
    start, weights = rng.normal(size=(2, 5, 3)) + 1j * rng.normal(size=(2, 5, 3))
    sparse, dense = mg.Tensor(start), mg.Tensor(start)
    for p, look_up in ((sparse, mg.embedding), (dense, mg.getitem)):
        optimizer = MAKERS[name]([p])
        for _ in range(3):
            optimizer.zero_grad()
            mg.sum(mg.abs(weights[:3] * look_up(p, np.array([3, 1, 3]))) ** 2).backward()
            optimizer.step()
    assert type(sparse.grad) is not np.ndarray
    np.testing.assert_allclose(sparse.data, dense.data, rtol=1e-13)


@pytest.mark.parametrize("name", MAKERS)
def test_half_precision_keeps_its_state_in_single(name):
    """The squares of these gradients are 0 in half precision, and so is eps."""
    start = np.array([1.0, 2.0, 0.0], np.float16)
    gradients = [np.array([0.0, 1e-4, 3.0], np.float16)] * 5
    p, _ = trained(name, start, gradients)
    single, _ = trained(name, start.astype(np.float32), [g.astype(np.float32) for g in gradients])
    assert p.dtype == np.float16 and p.data[0] == 1
    np.testing.assert_allclose(p.data, single.data, rtol=5 * 2.0**-11)


def test_adam_counts_the_steps_of_each_parameter():
    late, early = mg.Tensor(2.0), mg.Tensor(2.0)
    optimizer = mg.optim.Adam([late, early], lr=0.1)
    gradients = [0.5, -1.0, 0.25]
    for g in [None] * 20 + [gradients[0], None] + gradients[1:]:
        optimizer.zero_grad()
        (early * 1.0 + (0.0 if g is None else late * g)).backward()
        optimizer.step()
    assert late.item() == pytest.approx(reference("adam", 2.0, gradients), rel=1e-12)
    assert early.item() == pytest.approx(reference("adam", 2.0, [1.0] * 24), rel=1e-12)


def test_a_row_that_joins_late_moves_as_with_a_dense_gradient():
    """A dense gradient is 0 for the rows not looked up: their means stay 0, while the steps are counted."""
    sparse, dense = mg.Tensor(np.ones((3, 2))), mg.Tensor(np.ones((3, 2)))
    for p, look_up in ((sparse, mg.embedding), (dense, mg.getitem)):
        optimizer = mg.optim.Adam([p], lr=0.1)
        for ids in ([0], [0], [2], [1, 2]):
            optimizer.zero_grad()
            mg.sum(look_up(p, np.array(ids)) ** 2).backward()
            optimizer.step()
    np.testing.assert_allclose(sparse.data[1], dense.data[1], rtol=1e-14)


@pytest.mark.parametrize("compiled", [False, True])
def test_momentum_set_between_steps(compiled):
    w = mg.Tensor(1.0)
    optimizer = mg.optim.SGD([w], lr=0.5)

    def step():
        optimizer.zero_grad()
        (1.0 * w).backward()
        optimizer.step()

    step = mg.compile(step) if compiled else step
    moved = []
    for optimizer.momentum in (0.0, 0.5, 0.5, 0.25, 0.0, 0.5):
        before = w.item()
        step()
        moved.append(before - w.item())
    velocity = [1.0, 1.0, 1.5, 1.375, 1.0, 1.5]
    assert moved == [0.5 * v for v in velocity]


STARTS = {
    "0-d": np.array(0.5),
    "float16": np.linspace(-1, 1, 3).astype(np.float16),
    "complex": np.array([1 + 2j, 0.5j, -1.0]),
    "0-d complex": np.array(1 + 2j),
}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", MAKERS)
def test_compiled_to_the_last_bit(name, kind):
    start = STARTS[kind]
    gradients = [start * start + k for k in np.arange(4).astype(start.dtype)]
    p, optimizer = trained(name, start, gradients)
    q, other = trained(name, start, gradients, compiled=True)
    assert same_bits(p.data, q.data) and vars(optimizer).keys() == vars(other).keys()
    for key in {"velocity", "squares", "means"} & vars(optimizer).keys():
        assert all(map(same_bits, getattr(optimizer, key), getattr(other, key)))


def test_compiled_counts_of_each_parameter():
    results = []
    for compiled in (False, True):
        v, w = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(3))
        optimizer = mg.optim.Adam([v, w], lr=0.1)

        def first(x, v=v, optimizer=optimizer):
            optimizer.zero_grad()
            mg.sum(x * v).backward()
            optimizer.step()

        def both(x, v=v, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            (mg.sum(x * v) + mg.sum(w * w)).backward()
            optimizer.step()

        steps = [mg.compile(f) if compiled else f for f in (first, both)]
        for i in (0, 0, 1, 0, 1):
            steps[i](np.ones(2))
        results.append((v.data, w.data, np.array(optimizer.counts)))
    assert all(map(same_bits, *results)) and results[0][2].tolist() == [5, 2]


# data and gradients set by hand


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_a_number_whose_data_was_set(name, compiled):
    w = mg.Tensor(1.0)
    optimizer = MAKERS[name]([w])

    def step():
        optimizer.zero_grad()
        (0.5 * w).backward()
        optimizer.step()

    step = mg.compile(step) if compiled else step
    w.data = 2.0
    step()
    assert type(w.data) is np.ndarray
    assert w.item() == pytest.approx(reference(name, 2.0, [0.5]), rel=1e-14)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("gradient", [2.0, 2, np.float32(2), np.array(2.0), np.int64(2)])
def test_a_number_as_gradient(name, gradient):
    w = mg.Tensor(1.0)
    optimizer = MAKERS[name]([w])
    w.grad = gradient
    optimizer.step()
    assert w.item() == pytest.approx(reference(name, 1.0, [2.0]), rel=1e-14)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("gradient", "got"),
    [
        (np.ones(()), r"float64 of shape \(\)"),
        (1.0, r"float64 of shape \(\)"),
        (np.ones(2), r"float64 of shape \(2,\)"),
        (np.ones((1, 2)), r"float64 of shape \(1, 2\)"),
        (np.ones((3, 2)) * 1j, r"complex128 of shape \(3, 2\)"),
    ],
)
def test_a_gradient_of_another_shape(name, gradient, got):
    W = mg.Tensor(np.ones((3, 2)), name="W")
    optimizer = MAKERS[name]([W])
    W.grad = gradient
    with pytest.raises(ValueError, match=rf"needs the gradient of W to be float64 of shape \(3, 2\), got {got}"):
        optimizer.step()
    assert np.all(W.data == 1)


def test_the_example_of_an_optimizer_of_ones_own_moves_complex_numbers_too():
    class SignSGD(mg.optim.Optimizer):
        def update(self, i, at, g):
            return self.lr * np.sign(g)

    z = mg.Tensor([1 + 2j, -1j])
    optimizer = SignSGD([z], lr=0.5)
    mg.sum(mg.abs(z) ** 2).backward()
    optimizer.step()
    assert z.data.tolist() == [0.5 + 1.5j, -0.5j]


# all or nothing


def frozen(optimizer):
    """All that a step may change, as bytes."""
    state = [vars(optimizer)[key] for key in sorted(vars(optimizer)) if key not in ("params", "lr")]
    return [p.data.tobytes() for p in optimizer.params], repr(state)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("bad", [np.ones(3), np.ones(2) * 1j, np.array(["a", "b"]), "text"], ids=repr)
def test_a_refused_gradient_moves_nothing(name, bad):
    first, second = mg.Tensor([1.0, 2.0], name="first"), mg.Tensor([1.0, 2.0], name="second")
    optimizer = MAKERS[name]([first, second])
    first.grad, second.grad = np.ones(2), bad
    before = frozen(optimizer)
    with pytest.raises(ValueError, match="the gradient of second to be float64 of shape"):
        optimizer.step()
    assert frozen(optimizer) == before
    second.grad = np.ones(2)
    optimizer.step()
    assert first.data.tolist() == second.data.tolist() != [1.0, 2.0]


# rows of several look-ups


def looked_up_twice(make, dtype=np.float64):
    """A table after a step along two look-ups that share rows."""
    table = mg.Tensor(np.linspace(-1, 1, 24).reshape(8, 3).astype(dtype), name="table")
    optimizer = make([table])
    mg.sum(mg.embedding(table, [1, 5, 1]) ** 3 + mg.embedding(table, [5, -3, 0]) ** 2).backward()
    optimizer.step()
    return table


def test_sgd_merges_no_rows():
    table = looked_up_twice(lambda p: mg.optim.SGD(p, lr=0.1))
    assert [len(ids) for ids, _ in table.grad._parts] == [3, 3]


def own(params, received):
    class Clipped(mg.optim.SGD):
        def update(self, i, at, g):
            received.append((at, g))
            return np.clip(super().update(i, at, g), -0.01, 0.01)

    return Clipped(params, lr=0.1)


def replaced(params, received):
    optimizer = mg.optim.SGD(params, lr=0.1)
    optimizer.update = lambda i, at, g: received.append((at, g)) or np.clip(0.1 * g, -0.01, 0.01)
    return optimizer


@pytest.mark.parametrize("make", [own, replaced])
def test_an_update_of_ones_own_receives_each_row_once(make):
    received = []
    table = looked_up_twice(lambda p: make(p, received))
    [(at, g)] = received
    assert at.tolist() == [0, 1, 5] and type(g) is np.ndarray and g.shape == (3, 3)
    assert np.abs(table.data - np.linspace(-1, 1, 24).reshape(8, 3)).max() == pytest.approx(0.01)


@pytest.mark.parametrize("rate", [np.float64(0.1), np.float32(0.1), np.array(0.1), 0.1, 1, np.array([0.1, 0.2, 0.3])])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rate_of_any_kind_on_rows(rate, dtype):
    def make(p):
        optimizer = mg.optim.SGD(p, lr=1.0)
        optimizer.lr = rate
        return optimizer

    table = looked_up_twice(make, dtype)
    g = table.grad.dense()
    start = np.linspace(-1, 1, 24).reshape(8, 3).astype(dtype)
    assert table.dtype == dtype
    np.testing.assert_allclose(table.data, start - rate * g, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_a_step_that_is_refused_moves_nothing():
    for spoil, message in [
        (lambda p: setattr(p, "grad", mg.Tensor(p.grad)), "an array as the gradient of b, got a Tensor"),
        (lambda p: p.data.setflags(write=False), "data of b that can be moved, got a read-only array"),
    ]:
        a, b = mg.Tensor([1.0, 2.0], "a"), mg.Tensor([3.0, 4.0], "b")
        optimizer = mg.optim.Adam([a, b], 0.1)
        mg.sum(a * b).backward()
        spoil(b)
        with pytest.raises(ValueError, match=message):
            optimizer.step()
        assert a.data.tolist() == [1.0, 2.0] and optimizer.steps == 0 and not np.any(optimizer.means[0])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("ids", [None, [8, 2, 8], np.arange(9).repeat(99)], ids=["dense", "few rows", "many rows"])
def test_an_overflow_moves_nothing(name, ids):
    first, second = mg.Tensor([1.0, 2.0]), mg.Tensor(np.zeros((9, 3)))
    optimizer = MAKERS[name]([first, second])
    looked_up = [second, second] if ids is None else [mg.embedding(second, ids), mg.embedding(second, [8])]
    (mg.sum(first) + sum(map(mg.sum, looked_up))).backward()
    second.data[8] = -1.7e308
    optimizer.lr = 1e308
    before = frozen(optimizer)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        optimizer.step()
    assert frozen(optimizer) == before
    optimizer.lr = 0.1
    optimizer.step()
    assert np.all(first.data < [1.0, 2.0]) and np.any(second.data < 0)


def test_an_update_that_fails_moves_nothing():
    class Halting(mg.optim.Adam):
        def update(self, i, at, g):
            change = super().update(i, at, g)
            if i == 1:
                raise KeyboardInterrupt
            return change

    a, b = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 4.0])
    optimizer = Halting([a, b], 0.1)
    mg.sum(a * b).backward()
    before = frozen(optimizer)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert frozen(optimizer) == before


@pytest.mark.parametrize("bad", ["read-only", "shape", "value", "index"])
def test_a_state_that_cannot_be_stored_moves_nothing(bad):
    class Remembering(mg.optim.Adagrad):
        def update(self, i, at, g):
            change = super().update(i, at, g)
            if i == 1 and bad != "read-only":
                state, at = np.zeros(2), 2 if bad == "index" else at
                self.remember(state, at, {"shape": np.ones(3), "value": "text", "index": 1.0}[bad])
            return change

    a, b = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 4.0])
    optimizer = Remembering([a, b], 0.1)
    optimizer.squares[1].flags.writeable = bad != "read-only"
    mg.sum(a * b).backward()
    before = frozen(optimizer)
    with pytest.raises((ValueError, IndexError)):
        optimizer.step()
    assert frozen(optimizer) == before


@pytest.mark.parametrize("rows", [False, True])
def test_an_update_remembers_values_as_they_were_before_the_step(rows):
    class Looking(mg.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, lr)
            self.gradient, self.before, self.place, self.whole = (self.memory() for _ in range(4))

        def update(self, i, at, g):
            old, data = self.gradient[i][at], self.params[i].data
            self.remember(self.gradient[i], at, g)
            self.remember(self.before[i], at, old)
            self.remember(self.place[i], at, data[at])
            self.remember(self.whole[i], ..., data)
            return self.lr * g

    x = mg.Tensor([[1.0, 2.0]])
    optimizer = Looking([x], 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        y = mg.embedding(x, [0]) if rows else x
        mg.sum(y * y).backward()
        before = x.data.copy()
        optimizer.step()
    assert np.allclose(optimizer.gradient[0], 1.6 * np.array([[1.0, 2.0]]))
    assert np.allclose(optimizer.before[0], [[2.0, 4.0]])
    assert np.array_equal(optimizer.place[0], before) and np.array_equal(optimizer.whole[0], before)


def test_an_update_is_called_once_for_a_parameter():
    class Twice(mg.optim.Adagrad):
        def update(self, i, at, g):
            return super().update(i, at, g) + super().update(i, at, g)

    a = mg.Tensor([1.0, 2.0])
    optimizer = Twice([a], 0.1)
    mg.sum(a * a).backward()
    with pytest.raises(RuntimeError, match="call it once a step for each parameter"):
        optimizer.step()
    assert a.data.tolist() == [1.0, 2.0] and not np.any(optimizer.squares[0])


@pytest.mark.parametrize(("is_late", "moved"), [(False, 0.0), (True, 1.0)])
def test_an_interrupt_finds_a_step_made_or_not(is_late, moved):
    """It is handled after the loop in C, in the handler of its errors too."""
    from minigrad.optim import _make_all

    table = np.zeros((2, 1))

    def interrupted(*_):
        raise KeyboardInterrupt

    calls = [(np.add.at, table, [0], 1.0), (len, ()), (interrupted,)]
    calls = calls if not is_late else [*calls[:1], (interrupted,)]
    with pytest.raises(KeyboardInterrupt):
        _make_all(calls if is_late else [*calls, (len, ())], [(table.__setitem__, 0, 0.0)])
    assert table[0] == moved


def test_data_stays_the_same_array():
    w, table = mg.Tensor([1.0, 2.0]), mg.Tensor(np.ones((3, 2)))
    arrays = w.data, table.data
    optimizer = mg.optim.Adam([w, table], 0.1)
    mg.sum(mg.embedding(table, [1, 1]) * w).backward()
    optimizer.step()
    assert w.data is arrays[0] and table.data is arrays[1] and arrays[0][0] != 1 and np.all(arrays[1][1] != 1)
