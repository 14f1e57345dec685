"""What the tests of derive and compile share: equality to the last bit, the shown source run alone, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.sparse import RowSparse
from minigrad.trees import children, leaves


def same_bits(x: Any, y: Any) -> bool:
    """Equal to the last bit, signs of zeros included; any NaN is as good as any."""
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype.kind == "c":
        return same_bits(x.real, y.real) and same_bits(x.imag, y.imag)
    if x.dtype.kind == "f":
        return np.array_equal(x, y, equal_nan=True) and not np.any((np.signbit(x) != np.signbit(y)) & (x == x))
    return np.array_equal(x, y)


def assert_same(got: Any, expected: Any) -> None:
    """Two trees of arrays are equal to the last bit; a list of pairs is what the source gives for row-sparse rows."""
    if isinstance(expected, RowSparse):
        got = got if isinstance(got, RowSparse) else RowSparse(list(got), expected.shape)
        assert got.shape == expected.shape and same_bits(got.dense(), expected.dense())
        return
    below = children(expected)
    if below is None:
        assert same_bits(got, expected), f"{got!r} is not {expected!r}"
        return
    parts = children(got)
    assert parts is not None and [key for key, _ in parts] == [key for key, _ in below]
    for (_, x), (_, y) in zip(parts, below):
        assert_same(x, y)


def compile_follows(f: Callable[..., Any], change: Callable[[], Any], *args: Any, again: int = 3) -> Any:
    """compile does what the function does, also after a change outside."""
    compiled = mg.compile(f)
    for _ in range(again):
        assert same_bits(mg.stop_gradient(compiled(*args)), mg.stop_gradient(f(*args)))
    change()
    for _ in range(again):
        assert same_bits(mg.stop_gradient(compiled(*args)), mg.stop_gradient(f(*args)))
    return compiled


def by_source(d: Any, *args: Any) -> Any:
    """What the shown source gives, with nothing but NumPy around it."""
    scope: dict[str, Any] = {"np": np}
    exec(d.source, scope)
    assert set(scope) - {"np", "__builtins__", d.latest.program.name} <= {h.__name__ for h in helpers(d)}
    return scope[d.latest.program.name](*args, *d.latest.captured(*args))


def helpers(d: Any) -> Iterator[Any]:
    """The functions that a source brings along."""
    return (v.call for v in d.latest.program.values if getattr(v.call, "__module__", "").startswith("minigrad."))


def arrays_in(tree: Any) -> list[np.ndarray]:
    found = []
    for x in leaves(tree):
        found += [part for pair in x._parts for part in pair] if isinstance(x, RowSparse) else [x]
    return [x for x in found if isinstance(x, np.ndarray)]


def share_memory(results: Any, others: Any) -> bool:
    """Does writing into one result change another, or one of the others?"""
    own, foreign = arrays_in(results), arrays_in(others)
    pairs = [*combinations(own, 2), *((x, y) for x in own for y in foreign)]
    return any(np.shares_memory(x, y) for x, y in pairs)


def differentiated(args: tuple[Any, ...]) -> tuple[int, ...]:
    """The arguments that hold floating-point arrays and nothing else."""
    return tuple(i for i, a in enumerate(args) if leaves(a) and all(map(is_floating, leaves(a))))


def is_floating(x: Any) -> bool:
    return isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind in "fc"


def expected(f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What derive has to give, by the engine."""
    numbers = differentiated(args)
    value, found = mg.value_and_grad(f, numbers)(*args)
    return value, found[0] if len(numbers) == 1 else found
