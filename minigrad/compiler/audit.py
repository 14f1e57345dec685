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

from minigrad.compiler.program import Value, leaves_of
from minigrad.compiler.record import Recorded
from minigrad.compiler.source import bits
from minigrad.compiler.tracer import Tracer
from minigrad.reach import Slot
from minigrad.sparse import RowSparse
from minigrad.trees import children

SHARE = 0.02  # of the time that a function takes: the rest of its audits take no more


class Stale(RuntimeError):
    """A compiled function would not do what the function itself does: something changed that no guard saw."""


class Step(NamedTuple):
    """A value of a recording, or a result: its number in a table of all that was ever computed, and its description."""

    number: int
    text: str
    line: str = ""

    def __str__(self) -> str:
        return self.text + self.line


class Steps(NamedTuple):
    """A recording in a form that can be compared."""

    values: list[Step]
    results: list[Step]  # the value, and each new content of a place


#: The number of each call on numbered arguments; constants are equal by their bits.
Table = dict[Any, int]


def steps(recorded: Recorded, table: Table) -> Steps:
    """Number the values of a recording: two are equal where the same calls on equal arguments compute them.

    The order of the calls is no matter: a backward pass reaches variables in the order in which they were set.
    """
    results = [("the value", (), recorded.output)]
    for slot, _, last in recorded.written:
        results.append((f"the new data of {slot.title('an array')}", place_key(slot), last))
    for slot, now in recorded.rebound:
        results.append((f"the new {slot.title('content of a place')}", place_key(slot), now))
    for x in leaves_of([x for _, _, x in results]):
        if isinstance(x, Tracer):
            _ = x.value  # a view of an array that was written into since is taken now, and is a value more
    numbers: dict[Value, int] = {}
    values = []
    for v in recorded.values:
        shape = None if v.dynamic else v.shape
        own = v.call if v.call is not None else ("input", len(numbers))
        key = own, key_of((v.args, v.kwargs), numbers), shape, v.dtype.str
        numbers[v] = table.setdefault(key, len(table))
        name = getattr(v.call, "__name__", "an input")
        values.append(Step(numbers[v], f"{name}({', '.join(described((v.args, v.kwargs)))})", v.line))
    compared = []
    for name, place, x in results:
        number = table.setdefault((place, key_of(x, numbers)), len(table))
        compared.append(Step(number, f"{name}({', '.join(described(x))})"))
    return Steps(values, compared)


def place_key(slot: Slot) -> Any:
    """A key that is the same for the same place in two recordings."""
    if slot.holder is None:
        return slot.key
    return place_key(slot.holder) if isinstance(slot.holder, Slot) else id(slot.holder), slot.key, slot.is_attribute


def key_of(x: Any, numbers: dict[Value, int]) -> Any:
    """Arguments as a key: numbers in place of Values, and constants as what they are equal by."""
    if isinstance(x, Tracer):
        return key_of(x.value, numbers)
    if isinstance(x, Value):
        return Value, numbers[x]
    if isinstance(x, RowSparse):
        return RowSparse, key_of(x._parts, numbers)
    if type(x) is slice:
        return slice, key_of((x.start, x.stop, x.step), numbers)
    below = children(x)
    if below is not None:
        return type(x), tuple([(key, key_of(e, numbers)) for key, e in below])
    if isinstance(x, np.ndarray):
        data = repr(x.tolist()).encode() if x.dtype.hasobject else bits(x)
        return np.ndarray, x.dtype.str, x.shape, hashlib.sha256(data).digest()
    return type(x), repr(x) if isinstance(x, float | complex | np.generic) or x.__hash__ is None else x


def described(x: Any) -> Iterator[str]:
    """The arguments of a call: constants, and dots for values."""
    if isinstance(x, Tracer | Value | RowSparse):
        yield "..."
    elif (below := children(x)) is not None:
        for _, e in below:
            yield from described(e)
    elif isinstance(x, np.ndarray) and x.size > 10:
        yield f"an array {x.shape}"
    else:
        yield str(x.tolist()) if isinstance(x, np.ndarray | np.generic) else repr(x)


def difference(before: Steps, now: Steps) -> str | None:
    """Where two recordings differ first, None where they compute the same."""
    if [step.number for step in before.results] == [step.number for step in now.results]:
        return None
    return f"{first_other(before, now)} is now {first_other(now, before).text}"


def first_other(steps: Steps, others: Steps) -> Step:
    """The first step that another recording has not."""
    known = {step.number for step in others.values + others.results}
    everything = steps.values + steps.results
    return next((step for step in everything if step.number not in known), everything[-1])


class Audit:
    """When the recordings of a specialization are compared: at its second call, and then rarely.

    Attributes:
        wait: called at every call; raises StopIteration when an audit is due.
    """

    def __init__(self, recorded: Recorded) -> None:
        self.table: Table = {}
        self.expected = steps(recorded, self.table)
        self.good = 1  # the number of the last call that is known to be right
        self.wait_for(1)

    def wait_for(self, calls: int) -> None:
        self.waiting = calls
        self.wait = itertools.repeat(None, calls).__next__

    def compare(self, recorded: Recorded) -> str | None:
        """Where another recording differs, None where it does not."""
        return difference(self.expected, steps(recorded, self.table))

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
