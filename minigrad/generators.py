"""The generators of random numbers that a function can draw from, and their states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad._tensor import Tensor
from minigrad.reach import Slot, reach

#: What holds no generator of random numbers.
_OPAQUE = (str, bytes, int, float, complex, bool, type(None), np.ndarray, np.float64, Tensor)


class State:
    """The states of all generators of random numbers that can be reached from a function and its arguments.

    >>> rng = np.random.default_rng(0)
    >>> def f():
    ...     return rng.random()
    >>> state = State(f)
    >>> first = f()
    >>> with state.restored():
    ...     again = f()
    >>> first == again, first == f()
    (True, False)
    """

    def __init__(self, f: Callable[..., Any], *arguments: Any) -> None:
        import random  # here, as only few programs need it

        np.random.get_state()  # loads the module
        kinds = np.random.Generator | np.random.RandomState | random.Random
        starts = [(Slot("", None, i), x) for i, x in enumerate(arguments)]
        held = (x for _, x, _ in reach(f, starts, arguments, skip=_OPAQUE).places)
        everywhere = [np.random.mtrand._rand, random._inst]
        found = {id(x): x for x in [*everywhere, *(x for x in held if isinstance(x, kinds))]}
        self.states = [(x, rng_state(x)) for x in found.values()]

    def forget_unused(self) -> None:
        """Keep the states only of generators that have been drawn from since."""
        self.states = [(x, state) for x, state in self.states if not _equal(state, rng_state(x))]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Run with the generators as they were; afterwards they are as they would have been without."""
        now = [(x, rng_state(x)) for x, _ in self.states]
        for x, state in self.states:
            set_rng_state(x, state)
        try:
            yield
        finally:
            for x, state in now:
                set_rng_state(x, state)


def rng_state(generator: Any) -> Any:
    """The state of a generator of random numbers."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state(legacy=False) if isinstance(generator, np.random.RandomState) else generator.getstate()


def set_rng_state(generator: Any, state: Any) -> None:
    """Put a generator of random numbers back into an earlier state."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, dict):
        return all(_equal(x[key], y[key]) for key in x)
    return bool(np.array_equal(x, y)) if isinstance(x, np.ndarray) else bool(x == y)
