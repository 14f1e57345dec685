"""The table of cases under vmap: what is batched, what a loop over the examples computes, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import Case
from foreign import dense, floating, of_kind

import minigrad as mg
from minigrad.trees import leaves, map_leaves

SIZE = 2

#: What has a shape that depends on values, so that examples would differ in it: a reason, a pattern of the names of the
#: cases, and which arrays are refused: those of a kind, or by their number.
REFUSED: dict[str, tuple[str, str | int]] = {
    "a mask as an index": (r"(getitem|scatter_add|at\.\w+|compress|extract|insert)-.*", "b"),
    "the elements that a function of `piecewise` is called with": (r"piecewise-.*", 1),
    "how often each element is repeated": (r"repeat-.*", "i"),
    "the numbers that are counted": (r"bincount-.*", "i"),
    "an index of factors, where one may come several times": (r"at\.multiply-.*", "i"),
}

#: The NumPy functions that run example by example: a pattern of the names of the cases, and when that is.
LOOPS = {
    "np.convolve": (r"(convolved?|correlate)-.*", "always"),
    "np.delete": (r"delete-.*", "where examples differ in what is left out"),
    "np.searchsorted": (r"interp-.*", "where examples differ in the sorted array"),
}


def arrays_of(case: Case) -> list[int]:
    """Which leaves of the arguments are arrays."""
    return [k for k, x in enumerate(leaves(case.args)) if isinstance(x, np.ndarray)]


def batches(case: Case) -> Iterator[list[int]]:
    """Which arrays differ between examples: each alone, and all."""
    numbers = arrays_of(case)
    yield from ([k] for k in numbers)
    if len(numbers) > 1:
        yield numbers


def is_refused(case: Case, chosen: list[int]) -> bool:
    words = {word for k in chosen for word in (k, leaves(case.args)[k].dtype.kind)}
    return any(re.fullmatch(names, str(case)) and word in words for names, word in REFUSED.values())


def example(x: Any, i: int) -> Any:
    """The array of example number i: another one, of the same kind."""
    return x if i == 0 else x * (1 - 0.1 * i) if floating(x) else np.roll(x, i)


def weights(y: Any) -> Any:
    return np.cos(np.arange(np.prod(np.shape(y), dtype=int))).reshape(np.shape(y))


def value(case: Case) -> Callable[..., Any]:
    """A case as a function of its arrays."""
    numbers = arrays_of(case)

    def of_arrays(*arrays: Any) -> Any:
        given, places = iter(arrays), iter(range(len(leaves(case.args))))
        return case(*map_leaves(lambda x: next(given) if next(places) in numbers else x, case.args))

    return of_arrays


def derivatives(case: Case) -> Callable[..., tuple[Any, ...]]:
    """A function of the arrays of a case: its value, its first derivatives, and the derivatives of these."""

    def all_of_them(*arrays: Any) -> tuple[Any, ...]:
        def f(*variables: Any) -> Any:
            rest = iter(variables)
            return value(case)(*[next(rest) if floating(x) else x for x in arrays])

        def first(*variables: Any) -> Any:
            y, pullback = mg.vjp(f, *variables)
            return pullback(weights(y))

        variables = [x for x in arrays if floating(x)]
        if not variables:
            return (f(),)
        gradients, pullback = mg.vjp(first, *variables)
        return (f(*variables), *gradients, *pullback(tuple(map(weights, gradients))))

    return all_of_them


def with_numpys(case: Case) -> Case:
    return of_kind(case, np.asarray)


def batch(case: Case, chosen: list[int], size: int) -> list[Any]:
    """The arrays of a case, examples along the first axis of those that are chosen."""
    flat = leaves(case.args)
    return [
        np.stack([example(flat[k], i) for i in range(max(size, 1))])[:size] if k in chosen else flat[k]
        for k in arrays_of(case)
    ]


def looped(case: Case, chosen: list[int], i: int) -> list[Any]:
    """The derivatives of one example."""
    flat = leaves(case.args)
    found = derivatives(case)(*[example(flat[k], i) if k in chosen else flat[k] for k in arrays_of(case)])
    return [dense(x) for x in found]
