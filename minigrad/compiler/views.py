"""Views: how an array follows from the one whose memory it shares, and how a write into it is one into that."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.program import Value, assigned
from minigrad.engine import Array

Record = Callable[[Any, tuple[Any, ...], dict[str, Any]], Value]


class Step(NamedTuple):
    """A call that makes a view of one of its arguments."""

    call: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    at: int  # the position of that argument

    def on(self, whole: Value, record: Record) -> Value:
        """The same view of another array."""
        return record(self.call, (*self.args[: self.at], whole, *self.args[self.at + 1 :]), self.kwargs)

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call, by its position or its name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def written_through(self, whole: Value, part: Value, record: Record) -> Value | None:
        """The whole array after the view was given new content; None for a view that cannot be written into."""
        call = self.call
        if call is operator.getitem and isinstance(whole.example, np.ndarray):
            return record(assigned, (whole, self.args[1], part), {})
        if call in INVOLUTIONS:
            return record(call, (part, *self.args[1:]), self.kwargs)
        if call in RESHAPING:
            position = {np.reshape: 2, np.ravel: 1}.get(call, len(self.args))
            order = self.argument(position, "order", "C")
            return record(np.reshape, (part, whole.shape, order), {}) if order in ("C", "F") else None
        if call is np.transpose:
            axes = self.argument(1, "axes")
            back = None if axes is None else tuple(map(int, np.argsort([axis % whole.ndim for axis in axes])))
            return record(np.transpose, (part, back), {})
        if call is np.moveaxis:
            source, destination = self.argument(1, "source"), self.argument(2, "destination")
            return record(np.moveaxis, (part, destination, source), {})
        if call is np.real and whole.dtype.kind != "c":
            return part
        if call in (np.real, np.imag) and whole.dtype.kind == "c":
            other = record(np.imag if call is np.real else np.real, (whole,), {})
            return record(from_parts, (part, other) if call is np.real else (other, part), {})
        return None


#: Each is its own inverse.
INVOLUTIONS = {np.swapaxes, np.matrix_transpose, np.flip, np.flipud, np.fliplr}
RESHAPING = {np.reshape, np.ravel, np.expand_dims, np.squeeze, np.atleast_1d, np.atleast_2d, np.atleast_3d}


def from_parts(real: Array, imag: Array) -> Array:
    """The complex array of a real and an imaginary part."""
    z = np.empty(np.shape(real), np.result_type(real, np.complex64))
    z.real, z.imag = real, imag
    return z
