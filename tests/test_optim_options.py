"""Decay, groups, clipping, schedules and the state of optimizers, beside PyTorch's, where it is installed."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

START = {"W": np.linspace(-1.0, 2.0, 12).reshape(3, 4), "b": np.linspace(0.5, 1.0, 4)}
X = np.random.default_rng(0).normal(size=(6, 3))

MAKERS = {
    "sgd": lambda p, **how: optim.SGD(p, lr=0.05, **how),
    "sgd, decay": lambda p, **how: optim.SGD(p, lr=0.05, weight_decay=0.1, **how),
    "nesterov, decay": lambda p, **how: optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=0.1, **how),
    "adagrad": lambda p, **how: optim.Adagrad(p, lr=0.01, **how),
    "rmsprop": lambda p, **how: optim.RMSprop(p, lr=0.01, **how),
    "adam": lambda p, **how: optim.Adam(p, lr=0.05, **how),
    "adamw": lambda p, **how: optim.AdamW(p, lr=0.05, weight_decay=0.1, **how),
}
every_optimizer = pytest.mark.parametrize("name", MAKERS)


def start():
    return {key: mg.Tensor(value.copy(), name=key) for key, value in START.items()}


def loss(p):
    return mg.mean(mg.tanh(X @ p["W"] + p["b"]) ** 2)


def steps(p, optimizer, n, clip=None, schedule=None):
    norms = []
    for _ in range(n):
        if schedule:
            optimizer.lr = schedule(optimizer.steps)
        optimizer.zero_grad()
        loss(p).backward()
        if clip:
            norms.append(float(optim.clip_grad_norm(p, clip)))
        optimizer.step()
    return norms


@every_optimizer
@pytest.mark.parametrize("clip", [None, 0.05])
def test_as_torch_over_100_steps(name, clip):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its optimizers are not compared")
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
        "sgd, decay": lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.1),
        "nesterov, decay": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    }
    theirs = {key: torch.tensor(value, requires_grad=True) for key, value in START.items()}
    optimizer, x, norms = makers[name](theirs.values()), torch.tensor(X), []
    for _ in range(100):
        optimizer.zero_grad()
        (torch.tanh(x @ theirs["W"] + theirs["b"]) ** 2).mean().backward()
        if clip:
            norms.append(float(torch.nn.utils.clip_grad_norm_(theirs.values(), clip)))
        optimizer.step()
    p = start()
    assert steps(p, MAKERS[name](p), 100, clip) == pytest.approx(norms, rel=1e-12)
    for key, value in p.items():
        np.testing.assert_allclose(value.data, theirs[key].detach(), rtol=1e-12, atol=1e-12)


def test_schedules_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its schedules are not compared")
    schedulers = torch.optim.lr_scheduler
    for schedule, theirs in [
        (optim.cosine(0.1, 40, final=0.01), lambda o: schedulers.CosineAnnealingLR(o, 40, 0.01)),
        (optim.step_decay(0.1, 7, 0.5), lambda o: schedulers.StepLR(o, 7, 0.5)),
        (optim.linear(0.1, 40, final=0.02), lambda o: schedulers.LinearLR(o, 1.0, 0.2, 40)),
    ]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler = theirs(optimizer)
        for t in range(41):
            assert schedule(t) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("make", [optim.cosine, optim.linear])
def test_a_schedule_rises_falls_and_stays(make):
    schedule = make(0.4, 20, warmup=4, final=0.1)
    rates = [schedule(t) for t in range(30)]
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert all(np.diff(rates[4:21]) < 0) and rates[12] == pytest.approx(0.25)
    assert rates[20:] == pytest.approx([0.1] * 10)
    with pytest.raises(ValueError, match="needs more steps than those of the rise, got 4 and 4"):
        make(0.4, 4, warmup=4)(0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_schedule_sets_the_rate_of_every_step(compiled):
    w = mg.Tensor(0.0)
    optimizer, schedule = optim.SGD([w], lr=1.0), optim.cosine(0.5, 10, warmup=2)

    def step():
        optimizer.zero_grad()
        (-1.0 * w).backward()
        optimizer.step()

    run = mg.compile(step) if compiled else step
    for _ in range(12):
        optimizer.lr = schedule(optimizer.steps)
        run()
    assert w.item() == pytest.approx(sum(schedule(t) for t in range(12)), rel=1e-12)


# clipping


@pytest.mark.parametrize("compiled", [False, True])
def test_clipping_a_row_sparse_gradient(compiled):
    table, w, ids = mg.Tensor(np.ones((6, 2))), mg.Tensor(np.ones(2)), np.array([4, 1, 4])

    def step(scale):
        table.grad = w.grad = None
        mg.sum(mg.embedding(table, ids) @ w * scale).backward()
        return optim.clip_grad_norm({"table": table, "w": w}, 2.0)

    run = mg.compile(step) if compiled else step
    for scale in (0.01, 1.0, 3.0, 100.0):
        norm = run(scale)
        dense = np.zeros((6, 2))
        np.add.at(dense, ids, scale)
        expected = math.sqrt(np.sum(dense**2) + np.sum(np.full(2, 3 * scale) ** 2))
        assert norm == pytest.approx(expected, rel=1e-12)
        factor = min(1, 2 / (expected + 1e-6))
        assert table.grad.indices.tolist() == [1, 4]
        np.testing.assert_allclose(np.asarray(table.grad), factor * dense, rtol=1e-12)
        np.testing.assert_allclose(w.grad, factor * 3 * scale, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
def test_clipping_keeps_the_type_and_does_not_overflow(dtype):
    p = mg.Tensor(np.ones(3, dtype))
    p.grad = np.array([3e4, 0, 4e4], dtype)
    assert optim.clip_grad_norm([p, mg.Tensor(1.0)], 5.0) == pytest.approx(5e4, rel=1e-3)
    assert p.grad.dtype == dtype
    np.testing.assert_allclose(p.grad, [3, 0, 4], rtol=1e-3)
    big = mg.Tensor(np.ones(2, np.float32))
    big.grad = np.array([3e30, 4e30], np.float32)
    assert optim.clip_grad_norm([big], 5.0) == pytest.approx(5e30) and big.grad == pytest.approx([3, 4])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_is_seen(bad):
    p, q = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(2))
    p.grad, q.grad = np.array([1.0, bad]), np.ones(2)
    assert not np.isfinite(optim.clip_grad_norm([p, q], 1.0))
    assert np.isnan(p.grad).all() and np.isnan(q.grad).all()


def test_clipping_where_there_is_nothing():
    assert optim.clip_grad_norm([mg.Tensor(1.0)], 1.0) == 0
    with pytest.raises(ValueError, match="needs a max_norm above 0, got 0"):
        optim.clip_grad_norm([mg.Tensor(1.0)], 0)


# decay


def test_only_the_rows_that_move_decay():
    for make in (lambda p: optim.SGD(p, 0.1, weight_decay=0.5), lambda p: optim.AdamW(p, 0.1, weight_decay=0.5)):
        table = mg.Tensor(np.full((4, 2), 2.0))
        optimizer = make([table])
        mg.sum(0.0 * mg.embedding(table, np.array([1, 3, 1]))).backward()
        optimizer.step()
        np.testing.assert_allclose(table.data[:, 0], [2.0, 1.9, 2.0, 1.9], rtol=1e-14)


# groups


@every_optimizer
@pytest.mark.parametrize("compiled", [False, True])
def test_a_group_moves_as_an_optimizer_of_its_own(name, compiled):
    together, apart = start(), start()
    optimizer = MAKERS[name](together, groups={"'b'": {"lr": 0.2}})
    others = MAKERS[name]([apart["W"]]), MAKERS[name]([apart["b"]])
    others[1].lr = 0.2

    def step():
        optimizer.zero_grad()
        loss(together).backward()
        optimizer.step()

    run = mg.compile(step) if compiled else step
    for _ in range(5):
        run()
        apart["W"].grad = apart["b"].grad = None
        loss(apart).backward()
        for other in others:
            other.step()
    for key in START:
        np.testing.assert_allclose(together[key].data, apart[key].data, rtol=1e-14)
    assert optimizer.lr in (0.05, 0.01)


def test_momentum_of_a_group():
    p = [mg.Tensor(0.0), mg.Tensor(0.0)]
    optimizer = optim.SGD(p, lr=1.0, groups={"1": {"momentum": 0.5}})
    for _ in range(3):
        optimizer.zero_grad()
        (p[0] + p[1]).backward()
        optimizer.step()
    assert [x.item() for x in p] == [-3.0, -(1 + 1.5 + 1.75)] and optimizer.momentum == 0.0


def test_groups_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"a path in which '\[.\]bias\$' is found, got \['W'\], \['b'\]"):
        optim.Adam(start(), groups={"[.]bias$": {"lr": 0.1}})
    p = start()
    optimizer = optim.Adam(p, groups={"'b'": {"momentum": 0.1}})
    loss(p).backward()
    with pytest.raises(ValueError, match=r"options of a group among lr, steps, .*eps.*, got momentum"):
        optimizer.step()
    assert np.array_equal(p["W"].data, START["W"])


# the state


@every_optimizer
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_run_goes_on_to_the_bit(name, through_a_file, tmp_path):
    whole = start()
    steps(whole, MAKERS[name](whole), 9)
    p = start()
    optimizer = MAKERS[name](p)
    steps(p, optimizer, 4)
    model, state = mg.stop_gradient(p), optimizer.state_dict()
    steps(p, optimizer, 1)  # the state is a copy
    other = {key: mg.Tensor(value) for key, value in model.items()}
    resumed = MAKERS[name](other)
    if through_a_file:
        mg.save(state, tmp_path / "state.npz")
        state = mg.load(tmp_path / "state.npz", like=resumed.state_dict())
    resumed.load_state_dict(state)
    steps(other, resumed, 5)
    for key in START:
        assert np.array_equal(whole[key].data, other[key].data)


def test_another_state_is_refused_whole():
    p = start()
    adam = optim.Adam(p, lr=0.3)
    with pytest.raises(ValueError, match="the state of the optimizer"):
        adam.load_state_dict(optim.SGD(p, lr=0.1).state_dict())
    with pytest.raises(ValueError, match=r"needs \(3, 4\) at \['means'\]\[0\] of its state, got \(2, 2\)"):
        adam.load_state_dict(optim.Adam({"W": mg.Tensor(np.ones((2, 2))), "b": p["b"]}).state_dict())
    assert adam.lr == 0.3
