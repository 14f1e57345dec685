"""Random training steps with state do compiled what they do eager, to the last bit, call after call.

Some run here; `RANDOM_STEPS=2000` runs more.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from random_steps import Step, outcome, random_step, same

import minigrad as mg
from minigrad.compiler import inplace
from minigrad.compiler.tracer import Refused

COUNT, GROUPS = int(os.environ.get("RANDOM_STEPS", 96)), 12
WITH_NUMBA = 2
MOST_REFUSED = 0.05  # of the steps: those that write into an argument

pytestmark = pytest.mark.filterwarnings("ignore:.*", "ignore::numpy.exceptions.ComplexWarning")


def assert_alike(step: Step, wrap: Callable[..., Any], equal: Callable[[Any, Any], bool] = same) -> bool:
    """A step does the same compiled; False where it is refused."""
    expected, shared = outcome(step, lambda f: f)
    try:
        found, our_shared = outcome(step, wrap)
    except Refused as refusal:
        assert "the argument x was written into" in str(refusal), f"seed {step.seed}: {refusal}\n{step.source}"
        return False
    for call, (ours, wanted) in enumerate(zip(found, expected, strict=True)):
        for i, (a, b) in enumerate(zip(ours, wanted, strict=True)):
            assert equal(a, b), f"seed {step.seed}, call {call}, array {i}: {a} for {b}\n{step.source}"
    for ours, wanted in zip(our_shared, shared, strict=True):
        assert wanted or not ours, f"seed {step.seed}: a result shares memory with the state\n{step.source}"
    return True


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_steps(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other group without the pass that computes in place."""
    monkeypatch.setattr(inplace, "IN_PLACE", group % 2 == 0)
    seeds = range(group, COUNT, GROUPS)
    refused = sum(not assert_alike(random_step(seed), mg.compile) for seed in seeds)
    assert refused <= max(1, MOST_REFUSED * len(seeds))


@pytest.mark.parametrize("seed", range(WITH_NUMBA))
def test_random_steps_with_numba(seed: int) -> None:
    def close(x: Any, y: Any) -> bool:
        return x.shape == y.shape and np.allclose(x, y, 1e-4, 1e-5, equal_nan=True)

    assert_alike(random_step(10_000 + seed), lambda f: mg.compile(f, backend="numba"), close)


def test_a_step_that_differs_is_found() -> None:
    def without_its_last_write(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, ids: f(x * (1 + 1e-12), ids)

    with pytest.raises(AssertionError, match="seed"):
        for seed in range(5):
            assert_alike(random_step(seed), without_its_last_write)
