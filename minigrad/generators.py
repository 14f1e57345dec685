"""The generators of random numbers that a function can draw from, and their states."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minigrad.engine import Node
from minigrad.origin import holds_users_state, is_library, is_minigrad

#: What holds no generator, or too much to look through.
_OPAQUE = str | bytes | int | float | complex | type | np.ndarray | np.generic | Node | None


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

    def __init__(self, *roots: Any) -> None:
        import random  # here, as only few programs need it

        np.random.get_state()  # loads the module
        everywhere = [np.random.mtrand._rand, random._inst]
        found = {id(x): x for x in [*everywhere, *_reached(roots)]}
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


def _reached(roots: tuple[Any, ...]) -> list[Any]:
    """The generators in closures, globals, defaults, attributes and containers."""
    import random

    kinds = np.random.Generator | np.random.RandomState | random.Random
    found, seen, waiting = [], set(), list(roots)
    while waiting:
        x = waiting.pop()
        if isinstance(x, _OPAQUE) or id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, kinds):
            found.append(x)
        elif isinstance(x, types.FunctionType):
            file = x.__code__.co_filename
            if is_minigrad(file) or is_library(file):
                continue
            with suppress(ValueError):  # a cell that is still empty
                waiting += [cell.cell_contents for cell in x.__closure__ or ()]
            waiting += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
            names = global_names(x.__code__)
            for value in (x.__globals__[name] for name in names if name in x.__globals__):
                if isinstance(value, types.ModuleType):
                    waiting += [vars(value)[name] for name in names if name in vars(value)]
                else:
                    waiting.append(value)
        elif isinstance(x, types.MethodType):
            waiting += [x.__self__, x.__func__]
        elif isinstance(x, functools.partial):
            waiting += [x.func, *x.args, *x.keywords.values()]
        elif isinstance(x, dict):
            waiting += x.values()
        elif isinstance(x, list | tuple | set | frozenset):
            waiting += x
        elif hasattr(x, "__dict__") and not isinstance(x, types.ModuleType) and holds_users_state(type(x)):
            waiting += vars(x).values()
            if callable(x):
                waiting.append(type(x).__call__)
    return found


def global_names(code: types.CodeType) -> set[str]:
    """The globals and attributes that a function names, those of functions inside it too."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(global_names, inner))
