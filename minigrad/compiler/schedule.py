"""The schedule: which values of a program get a line of their own, in which order, and which lines write in place.

It is computed from a Program and never changed. All dialects print the same schedule, unless some arrays are large:
then a lean one is executed, in which no formula waits for the line that uses it where waiting would cost memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.compiler.examples import is_large
from minigrad.compiler.inplace import places, reads
from minigrad.compiler.program import (
    OPERATORS,
    UPDATES,
    USERS,
    Program,
    Value,
    astype,
    is_reversed,
    leaves_of,
    made_from,
    number,
    operands,
    root,
    stored,
    viewed,
)
from minigrad.compiler.source import called, constant, flattened, is_helper

MAX_INLINE_LENGTH = 60  # characters of a formula that may become part of another one


@dataclass(frozen=True, eq=False)
class Dataflow:
    """The needed values of a program in the order of their computation, who uses them, and where they are placed."""

    program: Program
    outputs: tuple[Value, ...]
    needed: frozenset[Value]
    values: tuple[Value, ...]
    position: Mapping[Value, int]  # of each value among them
    users: Mapping[Value, tuple[Value, ...]]  # of each value: those that it is an operand of
    before: Mapping[Value, Value]  # of each value that is placed: the content of its memory until then
    until: Mapping[Value, int]  # of each value whose memory is written into: the position of the next value there

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
    outlived: frozenset[Value]  # lines that would be views of memory that is written into before their last use

    def is_inlined(self, v: Value) -> bool:
        return v.call is not None and v not in self.lines

    def target(self, v: Value) -> Value | None:
        """The value whose array the line of v writes into, None where the line makes a new array."""
        x = self.before.get(v)
        return None if x is None or self.is_inlined(x) else x


def schedule(program: Program, lean: bool = False) -> Schedule:
    """Choose the lines of a program.

    Args:
        lean: keep to the order in which the values were made, and give a line to a formula that would keep what it
            reads, which is larger, in memory until it is used: a mask, a parameter's gradient.
    """
    flow = dataflow(with_masks_of_results(program) if lean else program, lean)
    lines, inlined, outlived = choose_lines(flow, lean)
    return Schedule(
        **vars(flow),
        lines=frozenset(lines),
        inlined=MappingProxyType({v: frozenset(inside) for v, inside in inlined.items()}),
        outlived=frozenset(outlived),
    )


def schedule_to_run(program: Program, listed: Schedule) -> Schedule:
    """The schedule of the source that runs: that of the listing or, where some arrays are large, a lean one."""
    return schedule(program, lean=True) if any(is_large(v.size_in_memory) for v in listed.values) else listed


def with_masks_of_results(program: Program) -> Program:
    """Read m > 0 off y = max(m, 0), as y > 0: so neither m nor a mask waits for the gradient of relu.

    They are equal for NaN and both zeros too. The Values of the masks change: afterwards only lean schedules are right.
    """
    position = {v: i for i, v in enumerate(program.values)}
    first_use: dict[Value, int] = {}
    for v in program.values:
        for x in operands(v):
            first_use.setdefault(x, position[v])
    results: dict[Value, Value] = {}
    for y in program.values:
        if y.call is np.maximum and not y.kwargs and isinstance(m := y.args[0], Value) and number(y.args[1]) == 0:
            results |= {m: y} if (m.shape, m.dtype) == (y.shape, y.dtype) else {}
    moved: dict[Value, Value] = {}
    for v in program.values:
        if v.call is np.greater and not v.kwargs and v.args[0] in results and number(v.args[1]) == 0:
            y = results[v.args[0]]
            if v.shape == y.shape and first_use.get(v, position[y] + 1) > position[y]:
                moved[v], v.args = y, (y, v.args[1])
    after = {y: [v for v in moved if moved[v] is y] for y in moved.values()}
    return program._replace(values=[x for y in program.values if y not in moved for x in (y, *after.get(y, ()))])


def dataflow(program: Program, lean: bool) -> Dataflow:
    outputs = [x for x in leaves_of(program.output) if isinstance(x, Value)]
    needed = made_from([*outputs, *program.writes])
    values = [v for v in program.values if v in needed]
    values = values if lean or program.writes else gradients_last(values, outputs)
    position = {v: i for i, v in enumerate(values)}
    users: dict[Value, list[Value]] = {v: [] for v in values}
    for v in values:
        for x in operands(v):
            users[x].append(v)
    before = places(program, values, users, outputs)
    writes = ((x, v) for v, x in before.items() if v.call is not stored or v.args[1] is not x)
    return Dataflow(
        program=program,
        outputs=tuple(outputs),
        needed=frozenset(needed),
        values=tuple(values),
        position=MappingProxyType(position),
        users=MappingProxyType({v: tuple(using) for v, using in users.items()}),
        before=MappingProxyType(before),
        until=MappingProxyType({x: position[v] for x, v in writes}),
    )


def gradients_last(values: list[Value], outputs: list[Value]) -> list[Value]:
    """The values in the order in which they were made; gradients that are only returned at the end, in that order."""
    used = {x for v in values for x in operands(v)}
    last = [v for v in dict.fromkeys(outputs) if v not in used and v.gradient_of and v.call not in (None, *UPDATES)]
    return [v for v in values if v not in last] + last


def choose_lines(flow: Dataflow, lean: bool) -> tuple[set[Value], dict[Value, set[Value]], set[Value]]:
    """The values with a line of their own, the values in the formula of each value, and the lines that are outlived.

    A line makes formulas shorter, and a formula that is too long makes a line: repeated until nothing changes.
    """
    lines: set[Value] = set()
    inlined: dict[Value, set[Value]] = {}
    outlived: set[Value] = set()
    again = True
    while again:
        again = False
        for v in flow.values:
            inlined[v] = {v}.union(*(inlined[x] if is_inlined(x, lines) else {x} for x in operands(v)))
            if v.call is not None and v not in lines and deserves_line(flow, v, lines):
                lines.add(v)
                again = True
        late, outlived = read_too_late(flow, lines)
        if lean and not (again or late):
            late = costly_to_wait_for(flow, lines, inlined)
        again |= bool(late)
        lines |= late
    return lines, inlined, outlived


def is_inlined(v: Value, lines: set[Value]) -> bool:
    return v.call is not None and v not in lines


def deserves_line(flow: Dataflow, v: Value, lines: set[Value]) -> bool:
    """Does a value get a line: for its name, because it is used several times, or because its formula is long?"""
    if is_fresh(v):
        return v in flow.outputs
    if v.call in UPDATES or v in flow.before or any(d.by.activated for d in v.gradient_of):
        return True
    if v.name.rank <= USERS or (v in flow.outputs and v.gradient_of):
        return True
    if is_reversed(v):
        return times_read(flow, v) == 1 and formula_length(v, lines) > MAX_INLINE_LENGTH
    return times_read(flow, v) > 1 or formula_length(v, lines) > MAX_INLINE_LENGTH


def times_read(flow: Dataflow, v: Value) -> int:
    """How often the formula of a value would be computed: x.T has no line, and is spelled out wherever it is used."""
    return flow.outputs.count(v) + sum(times_read(flow, x) if is_reversed(x) else 1 for x in flow.users[v])


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


def costly_to_wait_for(flow: Dataflow, lines: set[Value], inlined: dict[Value, set[Value]]) -> set[Value]:
    """The inlined arrays that are smaller than what lives longer because they are computed late."""
    last: dict[Value, tuple[int, ...]] = {}  # of each array in memory of its own: the last two lines that read it
    for v in flow.values:
        if v in lines:
            for x in {root(x) for x in inlined[v] - {v} if not is_inlined(x, lines)}:
                last[x] = (*last.get(x, ())[-1:], flow.position[v])
    for x in {x for y in flow.outputs for x in (inlined[y] if is_inlined(y, lines) else {y})}:
        last.pop(root(x), None)
    found = set()
    for line in lines:
        at = flow.position[line]
        for v in inlined[line] - lines:
            between = flow.values[flow.position[v] : at]
            if v.call is None or viewed(v) is not None or lines.isdisjoint(between):
                continue
            others = (y for y in inlined[line] - inlined[v] if y is line or is_inlined(y, lines))
            elsewhere = {root(x) for y in others for x in operands(y)}
            read = {root(x) for x in inlined[v] if not is_inlined(x, lines)} - elsewhere
            freed = [x for x in read if x.call is not None and x in last and last[x][-1] == at]
            size = sum(x.size_in_memory for x in freed)
            if is_large(size) and size > v.size_in_memory:
                found.add(v)
    return found


def read_too_late(flow: Dataflow, lines: set[Value]) -> tuple[set[Value], set[Value]]:
    """The inlined values that would be computed after memory they read was written into, and the outlived lines.

    Where a formula is late, the largest part of it that can be computed in time gets a line.
    """
    end = len(flow.values)
    expiry: dict[Value, int] = {}  # of each value: the first position at which its formula, or its view, has changed
    for v in flow.values:
        if is_inlined(v, lines):
            expiry[v] = min((expiry[x] for x in operands(v)), default=end)
        else:
            owner = root(v, flow.before)
            expiry[v] = end if is_inlined(owner, lines) else flow.until.get(owner, end)

    late: set[Value] = set()
    outlived: set[Value] = set()

    def check(x: Value, at: int) -> None:
        """Is a value still right where it is used?"""
        if expiry[x] >= at:
            return
        if not is_inlined(x, lines):
            outlived.add(x)
        elif flow.position[x] < expiry[x]:
            owner = root(x, flow.before)  # a view of it can be taken late
            late.add(owner if is_inlined(owner, lines) else x)
        else:
            for y in operands(x):
                check(y, flow.position[x])

    for v in flow.values:
        if not is_inlined(v, lines):
            for x in operands(v):
                if reads(v, x):
                    check(x, flow.position[v])
    for x in flow.outputs:
        check(x, end)
    return late, outlived
