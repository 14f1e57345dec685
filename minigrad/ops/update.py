"""Choosing among arrays element by element, and the functional update `t.at[index]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, implements
from minigrad.ops.elementwise import where
from minigrad.ops.index import delete, place, take, take_along_axis
from minigrad.ops.shape import broadcast_arrays, broadcast_to, reshape, stack


@implements(np.select)
def select(conditions: Sequence[Array], choices: Sequence[Array], default: Array = 0) -> Array:
    """From the first choice whose condition holds, element by element.

    >>> select([[True, False], [True, True]], [np.ones(2), np.zeros(2)])
    array([1., 0.])
    """
    for condition, choice in zip(conditions[::-1], choices[::-1]):
        default = where(condition, choice, default)
    return default


@implements(np.choose)
def choose(numbers: Array, choices: Sequence[Array]) -> Array:
    """From the choice of each number, element by element.

    >>> choose([1, 0], [np.zeros(2), np.ones(2)])
    array([1., 0.])
    """
    numbers, *choices = broadcast_arrays(numbers, *choices)
    return take_along_axis(stack(choices), numbers[None], 0)[0]


class At:
    """`t.at[index]`: where a functional update of a Tensor goes. Each gives a new Tensor; t stays as it is.

    >>> import minigrad as mg
    >>> t = mg.Tensor([1.0, 2.0, 3.0])
    >>> t.at[0].set(9.0).data, t.at[[1, 1]].add(1.0).data, t.at[1:].multiply(2.0).data
    (array([9., 2., 3.]), array([1., 4., 3.]), array([1., 4., 6.]))

    An index that names an element twice adds or multiplies twice; of several values set, the last stays.
    """

    def __init__(self, x: Array, index: Any = ...) -> None:
        self.x, self.index = x, index
        self.numbers = np.reshape(np.arange(x.size), x.shape)  # each element's own

    def __getitem__(self, index: Any) -> At:
        return At(self.x, index)

    def add(self, v: Array) -> Array:
        """x with v added at the index."""
        return self.x + place(broadcast_to(v, self.numbers[self.index].shape), self.index, self.x.shape)

    def set(self, v: Array) -> Array:
        """x with v at the index."""
        numbers = self.numbers[self.index]
        return self._set(np.reshape(numbers, -1), reshape(broadcast_to(v, numbers.shape), -1), self.x)

    def _set(self, numbers: Array, v: Array, x: Array) -> Array:
        last = np.reshape(np.full_like(self.numbers, -1), -1)
        last[numbers] = np.arange(numbers.size)  # of several, NumPy keeps the last
        here = np.reshape(last >= 0, x.shape)
        v = take(v, np.extract(last >= 0, last))
        return where(here, place(v, (np.flatnonzero(here),), (x.size,)).reshape(x.shape), x)

    def multiply(self, v: Array) -> Array:
        """x multiplied by v at the index."""
        numbers = self.numbers[self.index]
        v, numbers = reshape(broadcast_to(v, numbers.shape), -1), np.reshape(numbers, -1)
        x = self.x
        while True:  # once for each time that an element is named
            first = np.sort(np.unique(numbers, return_index=True)[1])
            x = self._set(numbers[first], take(x, numbers[first]) * take(v, first), x)
            numbers, v = np.delete(numbers, first), delete(v, first)
            if not numbers.size:
                return x
