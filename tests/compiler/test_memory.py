"""Memory: no example is kept, dead arrays are freed and reused, and an example has its content when it is read."""

import gc
import linecache
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from derived import same_bits
from random_steps import outcome, random_step, same

import minigrad as mg
from minigrad.compiler import examples

N = 256


def step_of(layers: int) -> Any:
    rng = np.random.default_rng(0)
    weights = [mg.Tensor(rng.normal(size=(N, N)) / N) for _ in range(layers)]
    optimizer = mg.optim.SGD(weights, lr=0.1)

    def step(x: Any) -> Any:
        for W in weights:
            x = mg.relu(x @ W)
        J = mg.sum(x * x)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J.data

    return step


def test_steady_calls_keep_no_examples_and_peak_below_eager() -> None:
    x, size = np.random.default_rng(1).normal(size=(1024, N)), 1024 * N * 8
    peaks, held = [], []
    for f in (step_of(4), mg.compile(step_of(4), audit=False)):
        tracemalloc.start()
        f(x)
        f(x)  # there are gradients from before: compiled anew
        gc.collect()  # the recording held them
        tracemalloc.reset_peak()
        f(x)
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peaks.append(peak / size)
        held.append(now / size)
    assert held[1] < held[0] + 2  # examples would be ten and more
    # 7.5: four activations, an error signal, gradients of a quarter each, what ops need; and the compiled code itself
    assert peaks[1] < 7.8 < peaks[0]


def test_the_memory_of_a_dead_array_takes_a_result() -> None:
    x = np.random.default_rng(1).normal(size=(N, N))

    def fresh(x: Any) -> Any:
        m = x @ x
        y = np.tanh(m)
        return y + 1, y * 2

    def viewed(x: Any) -> Any:
        m = x @ x
        part = m[0]
        y = np.tanh(m)
        return y + 1, part * 2

    for f, reused in ((fresh, True), (viewed, False)):
        d = mg.compile(f)
        got, wanted = d(x), f(x)
        assert all(same_bits(a, b) for a, b in zip(got, wanted, strict=True))
        source = "".join(linecache.getlines(d.latest.run.__code__.co_filename))
        assert ("np.tanh(m, out=m)" in source) == reused, source
        assert "del m" not in d.source


@pytest.mark.parametrize("seed", [96, *range(7)])
def test_random_steps_with_every_array_large(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "LARGE", 1)
    step = random_step(seed)
    expected, _ = outcome(step, lambda f: f)
    found, _ = outcome(step, mg.compile)
    for ours, wanted in zip(found, expected, strict=True):
        assert all(same(a, b) for a, b in zip(ours, wanted, strict=True))


def test_the_content_of_an_example_is_there_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "LARGE", 1)
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    for f in (
        lambda x: np.linalg.inv(x * 2 + A) @ x,  # zeros are singular
        lambda x: np.max((x * 2)[x * 2 > 2.5]),  # of no elements there is no maximum
        lambda x: x * float((A * 2).sum()),
    ):
        assert same_bits(mg.compile(f)(A), f(A))


def test_nothing_of_an_earlier_call_is_kept_alive() -> None:
    w = mg.Tensor(np.ones(3), name="w")

    @mg.compile
    def step(batch: Any) -> None:
        w.grad = None
        mg.sum(w * batch[0]).backward()
        w.data -= 0.1 * w.grad

    def call() -> tuple[Any, Any]:
        x = np.ones(5)[:3]  # a view, whose memory has to be looked at
        step((x,))
        return weakref.ref(x), weakref.ref(w.grad)

    for _ in range(2):  # recorded
        call()
    gc.collect()
    for _ in range(3):
        x, gradient = call()
        assert x() is None
        call()
        assert gradient() is None
