"""Random programs under vmap, beside a loop over the examples: values, gradients, and of every other the
gradient of a gradient.

A few dozen run here; `RANDOM_VMAPS=2000` runs more.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from random_programs import INPUTS, inputs, program

import minigrad as mg
from minigrad.batched import RULES

COUNT, GROUPS = int(os.environ.get("RANDOM_VMAPS", 48)), 8
ALL = tuple(range(len(INPUTS)))


def batched_inputs(seed: int) -> tuple[list[np.ndarray], tuple[int | None, ...], int]:
    """The inputs of a seed, some of them for several examples, along any axis; as many as an axis is long."""
    rng = np.random.default_rng([seed, 2])
    size, chosen = int(rng.integers(2, 4)), rng.random(len(ALL)) < 0.6
    chosen[rng.integers(len(ALL))] = True
    arrays: list[np.ndarray] = []
    axes: list[int | None] = []
    for x, is_batched in zip(inputs(seed), chosen, strict=True):
        axis = int(rng.integers(-x.ndim - 1, x.ndim + 1)) if is_batched else None
        arrays.append(x if axis is None else np.stack([x * (1 - 0.2 * i) for i in range(size)], axis))
        axes.append(axis)
    return arrays, tuple(axes), size


def slope(f: Callable[..., Any]) -> Callable[..., Any]:
    """The derivative of f along a direction, by its gradient."""

    def along(*xs: Any) -> Any:
        gradients = mg.grad(f, ALL)(*xs)
        return sum(np.sum(g * np.cos(np.arange(g.size)).reshape(g.shape)) for g in gradients)

    return along


def assert_alike(seed: int) -> None:
    p = program(seed)
    f = p.function(np)
    arrays, axes, size = batched_inputs(seed)
    examples = [
        [x if axis is None else np.take(x, i, axis) for x, axis in zip(arrays, axes, strict=True)] for i in range(size)
    ]

    def total(*xs: Any) -> Any:
        return np.sum(mg.vmap(f, axes)(*xs))

    def derivatives(*xs: Any) -> tuple[Any, ...]:
        value, gradients = mg.value_and_grad(f, ALL)(*xs)
        return (value, *gradients, *(mg.grad(slope(f), ALL)(*xs) if seed % 2 else ()))

    with np.errstate(all="ignore"):
        expected = [derivatives(*xs) for xs in examples]
        each = mg.vmap(derivatives, axes)(*arrays)
        of_all = mg.grad(total, ALL)(*arrays)
    for found, *wanted in zip(each, *expected, strict=True):
        close(found, np.stack(wanted), seed, p)
    for i, (found, axis) in enumerate(zip(of_all, axes, strict=True)):
        rows = [e[1 + i] for e in expected]
        close(found, sum(rows) if axis is None else np.stack(rows, axis), seed, p)


def close(x: Any, y: Any, seed: int, p: Any) -> None:
    assert np.shape(x) == np.shape(y), f"seed {seed}: {np.shape(x)} for {np.shape(y)}\n{p}"
    finite = np.where(np.isfinite(y), y, 0)
    alike = np.isclose(x, y, rtol=1e-8, atol=1e-8 * (1 + np.max(np.abs(finite))), equal_nan=True)
    assert np.all(alike), f"seed {seed}: {x} for {y}\n{p}"


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_programs_equal_a_loop(group: int) -> None:
    for seed in range(group, COUNT, GROUPS):
        assert_alike(seed)


def test_planted_a_wrong_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES[np.sum]
    monkeypatch.setitem(RULES, np.sum, lambda *args, **kwargs: right(*args, **kwargs) * (1 + 1e-6))
    with pytest.raises(AssertionError, match="seed"):
        for seed in range(20):
            assert_alike(seed)
