"""Threads: a function that several threads call first is right, and a Tensor shows its value to the others."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import minigrad as mg

X = np.array([1.0, 2.0, 3.0])


@contextmanager
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(*work: Callable[[], Any]) -> None:
    """Run functions at the same time; an error in one is an error here."""
    errors: list[BaseException] = []

    def guarded(f: Callable[[], Any]) -> None:
        try:
            f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in work]
    with switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("compiled", [mg.compile, lambda f: mg.compile(lambda x: f(x) * 1.0)])
def test_the_first_calls_from_several_threads(compiled: Any) -> None:
    w = mg.Tensor(np.ones(3))
    for _ in range(3):
        f = compiled(lambda x: mg.sum(w * x[:3]))

        def work(n: int, f: Any = f) -> None:
            for k in range(4, 12):
                a = np.arange(k) * 1.0 + n
                assert float(f(a)) == a[:3].sum()

        in_threads(*(lambda n=n: work(n) for n in range(4)))


def test_a_tensor_shows_its_value_to_other_threads() -> None:
    w, recording, seen = mg.Tensor(X.copy(), name="w"), threading.Event(), threading.Event()
    stamp, graph = w._stamp, mg.sum(w * w)

    def step(x: Any) -> Any:
        J = mg.sum(w * x)
        w.data -= x
        recording.set()
        seen.wait(10)
        J = mg.sum(w * x)
        return J

    found: list[Any] = []

    def look() -> None:
        recording.wait(10)
        try:
            found.extend([w.data.copy(), w._stamp, type(w.data), isinstance(w, mg.Tensor), w.name])
            y = mg.sum(w * 2.0)
            y.backward()
            graph.backward()
            found.extend([y.data, w.grad.copy(), type(y * 1.0), y])
        finally:
            seen.set()

    f = mg.compile(step)
    in_threads(lambda: f(X), look)
    data, at, kind, is_tensor, name, y, grad, _, result = found
    assert np.array_equal(data, X) and at == stamp and kind is np.ndarray and is_tensor and name == "w"
    assert y == 12.0 and np.array_equal(grad, 2 + 2 * X)
    assert type(w) is mg.Tensor and np.array_equal(w.data, 0 * X)
    assert float(result) == 12.0 and type(result) is mg.Tensor


def test_two_functions_that_share_a_tensor() -> None:
    w = mg.Tensor(np.ones(3))
    f, g = (mg.compile(lambda x, k=k: mg.sum(w * x) * k) for k in (1.0, 2.0))

    def call(h: Any, k: float) -> None:
        for n in range(1, 8):
            assert float(h(np.ones((n, 3)))) == 3 * n * k

    for _ in range(2):
        in_threads(lambda: call(f, 1.0), lambda: call(g, 2.0))
        f.cache.clear(), g.cache.clear()
