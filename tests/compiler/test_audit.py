"""The audit: a second recording shows what no guard sees, before anything is written."""

import operator
import sys
import time
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.compiler import audit
from minigrad.compiler.audit import Stale

X = np.array([1.0, 2.0, 3.0])
secret = 2.0


def unseen() -> Any:
    """A value that no walk from a function finds."""
    return vars(sys.modules[__name__])["sec" + "ret"]


def test_a_change_that_no_guard_sees_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    w = mg.Tensor(np.ones(3))

    @mg.compile
    def step(x: Any) -> Any:
        w.data -= x * unseen()
        return w.data * 1.0

    step(X)
    monkeypatch.setitem(globals(), "secret", 5.0)
    before = w.data.copy()
    line = r"multiply\(..., 2.0\) in step, line \d+ of test_audit.py \(`w.data -= x \* unseen\(\)`\) is now"
    with pytest.raises(Stale, match=rf"{line} multiply\(..., 5.0\)\. .* The last call known to be right is number 1"):
        step(X)
    assert same_bits(w.data, before)
    assert same_bits(step(X), before - 5 * X)  # compiled again


def test_a_clock_does_not_survive_the_second_call() -> None:
    f = mg.compile(lambda x: x * time.perf_counter())
    f(X)
    with pytest.raises(Stale):
        f(X)
    d = mg.derive(lambda x: mg.sum(x * time.perf_counter()), X)
    d(X)
    with pytest.raises(Stale):
        d(X)


def test_a_warning_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    warned, unaudited = (mg.compile(lambda x: x * unseen(), audit=how) for how in ("warn", False))
    assert same_bits(warned(X), 2 * X) and same_bits(unaudited(X), 2 * X)
    for value in (3.0, 4.0):
        monkeypatch.setitem(globals(), "secret", value)
        with pytest.warns(RuntimeWarning, match="recorded again and came out different"):
            assert same_bits(warned(X), value * X)
    assert same_bits(unaudited(X), 2 * X)
    with pytest.raises(ValueError, match="audit needs to be True, False or 'warn', got 'loud'"):
        mg.compile(unseen, audit="loud")  # type: ignore[arg-type]


def test_later_audits_take_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0

    def f(x: Any) -> Any:
        nonlocal_count()
        return x * unseen()

    def nonlocal_count() -> None:
        vars(sys.modules[__name__])["run" + "s"] = vars(sys.modules[__name__]).get("runs", 0) + 1

    monkeypatch.setitem(globals(), "runs", 0)
    c = mg.compile(f)
    for _ in range(200):
        c(X)
    runs = globals()["runs"]
    assert runs == 2  # a recording takes longer than 200 calls
    monkeypatch.setattr(audit, "SHARE", 1e9)
    often = mg.compile(f)
    for _ in range(20):
        often(X)
    assert globals()["runs"] > runs + 10
    monkeypatch.setitem(globals(), "secret", 3.0)
    with pytest.raises(Stale):
        for _ in range(3):
            often(X)


@pytest.mark.parametrize(
    ("before", "after"),
    [(0.0, -0.0), (1, 1.0), (np.float32(1), np.float64(1)), (np.ones(3), np.full(3, 2.0)), (2.0, np.nextafter(2.0, 3))],
)
def test_constants_are_compared_by_their_bits(before: Any, after: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "secret", before)
    f = mg.compile(lambda x: x * unseen())
    f(X)
    monkeypatch.setitem(globals(), "secret", after)
    with pytest.raises(Stale):
        f(X)


def test_what_is_returned_and_written_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "secret", False)
    state = {"a": np.ones(3), "b": np.ones(3)}

    def returns(x: Any) -> Any:
        y, z = x * 2, x * 3
        return (y, z) if unseen() else (z, y)

    def writes(x: Any) -> Any:
        y = x * 2
        state["a" if unseen() else "b"] = y
        return y

    for f in (returns, writes):
        monkeypatch.setitem(globals(), "secret", False)
        c = mg.compile(f)
        c(X)
        monkeypatch.setitem(globals(), "secret", True)
        with pytest.raises(Stale):
            c(X)
    assert same_bits(state["a"], np.ones(3))


def test_shapes_that_depend_on_values_are_no_difference() -> None:
    f = mg.compile(lambda x, m: np.sum(x[m]))
    for m in (X > 1, X > 2, X > 0, X > 5):
        assert f(X, m) == np.sum(X[m])
    g = mg.derive(lambda x: mg.sum(x * np.nan), X)
    for _ in range(3):
        g(X)  # NaN is what it was


def test_the_padding_of_long_doubles_is_no_difference() -> None:
    held = [np.arange(3, dtype=np.longdouble) / 7]
    f = mg.compile(lambda x: x * np.asarray(held[0]) + np.arange(3, dtype=np.longdouble) / 3)
    for _ in range(3):
        held[0] = np.concatenate([held[0], held[0]])[:3]  # in other memory
        f(X)
    assert [len(found) for found in f.cache.values()] == [1]


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_comparison_with_a_result_is_no_difference(compare: Any, shape: tuple[int, ...]) -> None:
    w = mg.Tensor(np.full(shape, -1.5))

    def both_ways() -> Any:
        return compare(w * 2, w), compare(w, w % w), np.where(compare(w + w, w), 1.0, 2.0)

    compiled = mg.compile(both_ways)
    for _ in range(3):
        for ours, wanted in zip(compiled(), both_ways(), strict=True):
            assert same_bits(ours, wanted)
