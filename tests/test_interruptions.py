"""A backward pass that does not end changes nothing, whatever ended it."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import engine


def raising(error: BaseException) -> Callable[[Any], Any]:
    """An op whose first backward pass raises an error."""
    errors = [error]

    @mg.op()
    def fragile(x: Any) -> Any:
        def pullback(g: Any) -> Any:
            if errors:
                raise errors.pop()
            return g

        return x * 1.0, pullback

    return fragile


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), ValueError("in a pullback")], ids=repr)
@pytest.mark.parametrize("wrapped", [False, True])
def test_backward_that_fails_in_the_middle_changes_no_gradient(error: BaseException, wrapped: bool) -> None:
    fragile = raising(error)
    f = mg.checkpoint(lambda x, y: fragile(x) * y) if wrapped else lambda x, y: fragile(x) * y
    x, y, fresh = mg.Tensor(2.0, name="x"), mg.Tensor(3.0, name="y"), mg.Tensor(1.0)
    z = (y * 1.0).retain_grad()
    J = f(x, z) * fresh
    x.grad = earlier = np.array(10.0)
    with pytest.raises(type(error)):
        J.backward()
    assert x.grad is earlier and y.grad is None and z.grad is None and fresh.grad is None
    J.backward()
    assert (x.grad, y.grad, z.grad, fresh.grad) == (13.0, 2.0, 2.0, 6.0)


def test_changed_data_that_a_pass_runs_into_late_changes_no_gradient() -> None:
    x, w = mg.Tensor(2.0, name="x"), mg.Tensor(3.0, name="w")
    y = x * 1.0
    J = y * w
    x.data += 1.0
    with pytest.raises(RuntimeError, match="used x and its data was then changed"):
        J.backward()
    assert x.grad is None and w.grad is None


def test_a_sum_that_fails_changes_no_gradient() -> None:
    """The sum with a `.grad` that a user has set in another shape."""
    x, w = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 4.0])
    for wrong in (x, w):
        x.grad = w.grad = None
        wrong.grad = np.ones(3)
        with pytest.raises(ValueError, match="broadcast"):
            mg.sum(x * w).backward()
        assert (x.grad is None) is (wrong is w) and (w.grad is None) is (wrong is x)


def test_ctrl_c_at_any_line_leaves_all_gradients_or_none() -> None:
    """A signal is handled between two steps of the interpreter, and every line that `backward` runs is tried."""
    parameters = [mg.Tensor(np.ones(2)) for _ in range(4)]
    J = mg.sum(mg.stack([p * 2.0 for p in parameters]))
    lines = last = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in (engine.__file__, sys.modules["minigrad._tensor"].__file__):
            return None
        lines += event == "line"
        if lines == last:
            raise KeyboardInterrupt
        return trace

    before, states = sys.gettrace(), set()
    while True:
        lines, last = 0, last + 1
        for p in parameters:
            p.grad = None
        sys.settrace(trace)
        try:
            J.backward()
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        (state,) = {None if p.grad is None else tuple(p.grad) for p in parameters}
        states.add(state)
    assert last > 50 and states == {None} and all(p.grad.tolist() == [2.0, 2.0] for p in parameters)


def test_collecting_the_gradients_takes_no_more_memory_than_keeping_them() -> None:
    size, count = 100_000, 20
    parameters = [mg.Tensor(np.ones(size)) for _ in range(count)]
    J = mg.sum(mg.stack([mg.sum(p * 2.0) for p in parameters]))
    tracemalloc.start()
    J.backward()
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now > size * 8 * count and peak < now + 4 * size * 8
