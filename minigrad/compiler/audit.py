"""The audit: a function is recorded again, and has to come out as before although no guard failed.

Guards hold what can be seen. What cannot (a variable that no walk finds, a cache, a clock) would be frozen; a second
recording shows it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.program import Value
from minigrad.compiler.record import Recorded
from minigrad.compiler.tracer import Tracer
from minigrad.reach import Slot
from minigrad.sparse import RowSparse
from minigrad.trees import children, leaves

SHARE = 0.02  # of the time that a function takes: the rest of its audits take no more


class Stale(RuntimeError):
    """A compiled function would not do what the function itself does: something changed that no guard saw."""


class Entry(NamedTuple):
    """One step of a recording in a form that can be compared: calls, constants by their bytes, values by number."""

    line: str
    what: Any

    def __str__(self) -> str:
        return f"{describe(self.what)}{self.line}"


def fingerprint(recorded: Recorded) -> list[Entry]:
    """The steps of a recording: its values, and what it writes and returns."""
    for x in leaves([recorded.output, [now for _, now in recorded.rebound]]):
        if isinstance(x, Tracer):
            _ = x.value  # a view of an array that was written into since is taken now, and is a value more
    numbers = {v: i for i, v in enumerate(recorded.values)}
    entries = []
    for v in recorded.values:
        name = getattr(v.call, "__qualname__", getattr(v.call, "__name__", "input"))
        shape = None if v.dynamic else v.shape
        what = (name, encoded((v.args, v.kwargs), numbers), shape, v.dtype.str, v.call)
        entries.append(Entry(v.line, what))
    for slot, _, last in recorded.written:
        entries.append(Entry("", (f"the new data of {place(slot)}", encoded(last, numbers))))
    for slot, now in recorded.rebound:
        entries.append(Entry("", (f"the new {place(slot)}", encoded(now, numbers))))
    entries.append(Entry("", ("the value", encoded(recorded.output, numbers))))
    return entries


def place(slot: Slot) -> str:
    return slot.title("content of a place")


def encoded(x: Any, numbers: dict[Value, int]) -> Any:
    """Arguments with numbers in place of Values, and constants as what they are equal by."""
    if isinstance(x, Tracer):
        return encoded(x.value, numbers)
    if isinstance(x, Value):
        return "value", numbers[x]
    if isinstance(x, RowSparse):
        return RowSparse, encoded(x._parts, numbers)
    if isinstance(x, np.ndarray):
        short = x.tolist() if x.size <= 10 else f"an array of shape {x.shape}"
        data = repr(x.tolist()).encode() if x.dtype.hasobject else x.tobytes()
        return "constant", short, x.dtype.str, x.shape, hashlib.sha256(data).digest()
    if isinstance(x, float | complex | np.generic):
        return "constant", x.item() if isinstance(x, np.generic) else x, type(x), repr(x)
    if type(x) is slice:
        return slice, encoded((x.start, x.stop, x.step), numbers)
    below = children(x)
    if below is not None:
        return type(x), [(key, encoded(e, numbers)) for key, e in below]
    return type(x), x


def difference(before: list[Entry], now: list[Entry]) -> str | None:
    """Where two recordings differ first, None where they are equal."""
    for old, new in itertools.zip_longest(before, now):
        if old is None:
            return f"there is a further step, {new}"
        if new is None:
            return f"a step is missing, {old}"
        if not same(old.what, new.what):
            return f"{old} is now {describe(new.what)}"
    return None


def same(x: Any, y: Any) -> bool:
    """Are two encoded steps equal? A constant that is NaN is equal to itself."""
    if isinstance(x, tuple | list) and isinstance(y, tuple | list):
        return len(x) == len(y) and all(map(same, x, y))
    return x is y or (type(x) is type(y) and (x == y or (x != x and y != y)))


def describe(what: Any) -> str:
    """A step in an error message."""
    return f"{what[0]}({', '.join(described_constants(what[1]))})"


def described_constants(x: Any) -> Iterator[str]:
    """The arguments of a step: constants, and dots for values."""
    match x:
        case ("value", _):
            yield "..."
        case ("constant", short, *_):
            yield repr(short)
        case (type(), [*parts]) | [*parts]:
            for part in parts:
                yield from described_constants(part[1] if isinstance(part, tuple) and len(part) == 2 else part)
        case (type(), constant):
            yield repr(constant)


class Audit:
    """When the recordings of a specialization are compared: at its second call, and then rarely.

    Attributes:
        wait: called at every call; raises StopIteration when an audit is due.
    """

    def __init__(self, expected: list[Entry]) -> None:
        self.expected = expected
        self.good = 1  # the number of the last call that is known to be right
        self.wait_for(1)

    def wait_for(self, calls: int) -> None:
        self.waiting = calls
        self.wait = itertools.repeat(None, calls).__next__

    def passed(self, seconds: float, of_a_call: float) -> None:
        """Take note of an audit: the next is due when it is a small share of the time of all calls."""
        self.good += self.waiting
        self.wait_for(int(seconds / SHARE / of_a_call))

    def is_due(self) -> bool:
        try:
            self.wait()
        except StopIteration:
            return True
        return False
