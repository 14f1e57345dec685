"""The schedule: which values of a program get a line of their own, in which order, and which lines write in place.

It is computed once from a Program and never changed. Every dialect prints the same schedule.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.compiler.program import (
    OPERATORS,
    UPDATES,
    USERS,
    Program,
    Value,
    array_under,
    astype,
    is_reversed,
    leaves_of,
    made_from,
    memory,
    operands,
    viewed,
)
from minigrad.compiler.source import called, constant, flattened, is_helper

MAX_INLINE_LENGTH = 60  # characters of a formula that may become part of another one


@dataclass(frozen=True, eq=False)
class Dataflow:
    """The needed values of a program in the order of their computation, and who uses and overwrites them."""

    program: Program
    outputs: tuple[Value, ...]
    needed: frozenset[Value]
    values: tuple[Value, ...]
    position: Mapping[Value, int]  # of each value among them
    users: Mapping[Value, tuple[Value, ...]]  # of each value: those that it is an operand of
    overwrites: Mapping[Value, Value]  # of the final value of an input that is written into: that input
    next_write: Mapping[Value, Value]  # of each value whose memory is written into: the value that does so

    @property
    def helpers(self) -> list[Callable[..., Any]]:
        """The functions of minigrad that the program calls."""
        calls = (v.call for v in self.values if v.call not in (*UPDATES, astype))
        return [*dict.fromkeys(call for call in calls if call is not None and is_helper(call))]


@dataclass(frozen=True, eq=False)
class Schedule(Dataflow):
    """Which values get a line; all others are inlined into the lines that use them."""

    lines: frozenset[Value]
    inlined: Mapping[Value, frozenset[Value]]  # of each value: the values in its formula, down to lines and inputs

    def is_inlined(self, v: Value) -> bool:
        return v.call is not None and v not in self.lines

    def target(self, v: Value) -> Value | None:
        """The value whose array the line of v writes into, None where the line makes a new array."""
        if v in self.overwrites and v.call not in UPDATES:
            return self.overwrites[v]
        if v.call in UPDATES:
            x = array_under(v)
            if not self.is_inlined(x) and x.written and v is self.next_write[memory(x)]:
                return x
        return None

    def is_outlived(self, v: Value) -> bool:
        """Is it a view of memory that is written into before the last use of the view?"""
        write = self.next_write.get(memory(v)) if memory(v) is not v else None
        return write is not None and any(self.position[user] > self.position[write] for user in self.users[v])


def schedule(program: Program) -> Schedule:
    """Choose the lines of a program."""
    flow = dataflow(program)
    lines, inlined = choose_lines(flow)
    return Schedule(
        **vars(flow),
        lines=frozenset(lines),
        inlined=MappingProxyType({v: frozenset(inside) for v, inside in inlined.items()}),
    )


def dataflow(program: Program) -> Dataflow:
    outputs = [x for x in leaves_of(program.output) if isinstance(x, Value)]
    overwrites = {final: base for base, final in program.writes}
    needed = made_from([*outputs, *overwrites])
    values = ordered([v for v in program.values if v in needed], outputs, bool(overwrites))
    users: dict[Value, list[Value]] = {v: [] for v in values}
    for v in values:
        for x in operands(v):
            users[x].append(v)
    next_write = {memory(array_under(v)): v for v in values if v.call in UPDATES}
    next_write |= {base: final for final, base in overwrites.items() if final.call not in UPDATES}
    return Dataflow(
        program=program,
        outputs=tuple(outputs),
        needed=frozenset(needed),
        values=tuple(values),
        position=MappingProxyType({v: i for i, v in enumerate(values)}),
        users=MappingProxyType({v: tuple(using) for v, using in users.items()}),
        overwrites=MappingProxyType(overwrites),
        next_write=MappingProxyType(next_write),
    )


def ordered(values: list[Value], outputs: list[Value], writes: bool) -> list[Value]:
    """The values in the order in which they were made; gradients that are only returned at the end, in that order."""
    if writes:
        return values
    used = {x for v in values for x in operands(v)}
    last = [v for v in dict.fromkeys(outputs) if v not in used and v.gradient_of and v.call not in (None, *UPDATES)]
    return [v for v in values if v not in last] + last


def choose_lines(flow: Dataflow) -> tuple[set[Value], dict[Value, set[Value]]]:
    """The values with a line of their own, and the values in the formula of each value.

    A line makes formulas shorter, and a formula that is too long makes a line: repeated until nothing changes.
    """
    lines: set[Value] = set()
    inlined: dict[Value, set[Value]] = {}
    again = True
    while again:
        again = False
        for v in flow.values:
            inlined[v] = {v}.union(*(inlined[x] if is_inlined(x, lines) else {x} for x in operands(v)))
            if v.call is not None and v not in lines and deserves_line(flow, v, lines):
                lines.add(v)
                again = True
        late = {x for v in lines for x in read_too_late(flow, v, inlined[v] - lines)}
        again |= bool(late)
        lines |= late
    return lines, inlined


def is_inlined(v: Value, lines: set[Value]) -> bool:
    return v.call is not None and v not in lines


def deserves_line(flow: Dataflow, v: Value, lines: set[Value]) -> bool:
    """Does a value get a line: for its name, because it is used several times, or because its formula is long?"""
    if is_fresh(v):
        return v in flow.outputs
    if v.call in UPDATES or v in flow.overwrites or any(y.activated for _, y in v.gradient_of):
        return True
    if v.name.rank <= USERS or (v in flow.outputs and v.gradient_of):
        return True
    times = len(flow.users[v]) + flow.outputs.count(v)
    if times > 1:
        return not is_reversed(v)
    return formula_length(v, lines) > MAX_INLINE_LENGTH


def is_fresh(v: Value) -> bool:
    """Is it an array made to be written into?"""
    return v.call is np.zeros


def formula_length(v: Value, lines: set[Value]) -> int:
    """The approximate length of the formula of a value."""

    def argument_length(x: Any) -> int:
        if not isinstance(x, Value):
            return len(constant(x)) if isinstance(x, int | float | np.generic) else 6
        return formula_length(x, lines) if is_inlined(x, lines) else 5

    sign = 3 if v.call in OPERATORS else 2 if v.call is operator.getitem else len(called(v.call)) + 2
    return sign + sum(argument_length(x) for x in flattened((v.args, v.kwargs)))


def read_too_late(flow: Dataflow, v: Value, inside: set[Value]) -> set[Value]:
    """The inlined values that the line of v would compute after the memory they read was overwritten."""
    late = set()
    for x in inside:
        writes = (flow.next_write.get(memory(read)) for read in operands(x))
        if any(w is not None and flow.position[x] < flow.position[w] < flow.position[v] for w in writes):
            late.add(x)
    return {x for x in late if viewed(x) is None or not late.intersection(flow.users[x])}
