"""NumPy as it runs fastest: 0-d arrays for numbers, broadcasting instead of outer, take, and concatenation in place."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minigrad.compiler import inplace
from minigrad.compiler.dialects.readable import python_number
from minigrad.compiler.examples import is_large
from minigrad.compiler.layout import c_contiguous, contiguous, is_in
from minigrad.compiler.printer import ATOM, Dialect, Formula, Printer
from minigrad.compiler.program import Value, examples, is_elementwise, operands, root
from minigrad.compiler.schedule import Schedule
from minigrad.compiler.source import Code, called, constant, dtype_constant
from minigrad.operands import MANY, selected

SMALL_MATRIX = 10_000  # elements: of larger ones the product itself takes the time
PAGE = 4096  # bytes: what is smaller is not worth a statement
HUGE = 1 << 22  # bytes: beyond them np.copyto, slower, left a process 30 MB smaller
GLOBALS = {"_selected": selected}  # of the executed source, beside np


class FastNumPy(Dialect):
    """The same results as the readable listing, bit for bit, in cheaper forms."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.zero_dim: dict[str, str] = {}  # the names of the 0-d arrays for constants, by the calls that make them
        self.parts = places_of_parts(schedule)
        self.dots, self.contiguous = small_products(schedule)
        self.reused = dying_operands(schedule)

    def arguments(self, printer: Printer, v: Value) -> tuple[Any, ...]:
        args = tuple(python_number(v, x) for x in v.args)
        if is_choice_of_numbers(self.schedule, v):
            return tuple(x if isinstance(x, Value) else self.as_array(x, v.dtype) for x in args)
        if v.ndim and (dtype := common_dtype(v)) is not None:
            return tuple(self.as_array(x, dtype) if type(x) in (int, float, Code) else x for x in args)
        return args

    def as_array(self, x: Any, dtype: Any) -> Code:
        """A constant as a 0-d array made once, before the function: ufuncs take it faster than a number."""
        made = f"np.array({constant(x)}, {dtype_constant(dtype)})"
        return Code(self.zero_dim.setdefault(made, f"_{len(self.zero_dim)}"))

    def formula(self, printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
        if v.call is np.take and len(args) == 3:
            return f"{printer.parenthesized(args[0], ATOM)}.take({printer.text(args[1])}, {args[2]})", ATOM
        if is_choice_of_numbers(self.schedule, v):
            return f"{printer.text(args[1])} if {printer.text(args[0])} else {printer.text(args[2])}", 0
        if v in self.parts:
            if v.call is np.concatenate:
                return self.parts[v], ATOM
            return f"{called(v.call)}({', '.join(map(printer.text, args))}, out={self.parts[v]})", ATOM
        if v in self.dots:
            return f"{printer.parenthesized(args[0], ATOM)}.dot({printer.text(args[1])})", ATOM
        if (x := self.reused.get(v)) is not None:
            *given, name = *map(printer.text, args), printer.names[x]
            if is_of_many(v) and is_inlined_ufunc(args[1], printer) and v.size_in_memory < HUGE:  # it is in new memory
                return f"_selected({', '.join(given)}, True)", ATOM
            if v.call is np.where:
                return f"np.copyto({name}, {given[1]}, where={given[0]}) or {name}", 0
            return f"{called(v.call)}({', '.join(given)}, out={name})", ATOM
        if is_of_many(v):
            return f"_selected({', '.join(map(printer.text, args))})", ATOM
        return column_times_row(printer, v, args)

    def signature(self, printer: Printer) -> tuple[list[str], list[str]]:
        parameters, unpacked = super().signature(printer)
        for v, name in printer.names.items():
            if v.call is None and type(v.example) is float and (dtype := self.met_often(v)) is not None:
                also = "" if dtype == np.float64 else f", {dtype_constant(dtype)}"
                unpacked.append(f"{name} = np.array({name}{also})")
        return parameters, unpacked

    def met_often(self, v: Value) -> Any:
        """The dtype of the arrays that a number meets, where it meets several and nothing else."""
        users = self.schedule.users.get(v, ())
        kinds = {common_dtype(u) if u.ndim else None for u in users}
        return kinds.pop() if len(users) > 1 and len(kinds) == 1 and v not in self.schedule.outputs else None

    def returned(self, printer: Printer) -> str:
        return printer.flat_output()

    def finished(self, printer: Printer, lines: list[tuple[str, str]], returned: str) -> list[tuple[str, str]]:
        """The lines, each followed by a `del` of the arrays that no later one mentions."""
        own: set[str] = {
            name for v, name in printer.names.items() if v in self.schedule.lines and root(v).size_in_memory >= PAGE
        }
        own |= {place.partition("[")[0] for place in self.parts.values()}
        own -= {name for v, name in printer.names.items() if v.call is None}
        later, backwards = words(returned), []
        for line, comment in reversed(lines):
            if dead := sorted((words(line) & own) - later):
                backwards.append((f"del {', '.join(dead)}", ""))
            backwards.append((line, comment))
            later |= words(line)
        return backwards[::-1]

    def prelude(self) -> list[str]:
        return [f"{name} = {made}" for made, name in self.zero_dim.items()]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def places_of_parts(schedule: Schedule) -> dict[Value, str]:
    """The place in a concatenated array of each value that is only made to be concatenated, and the array itself."""
    places: dict[Value, str] = {}
    by_rows = c_contiguous(schedule.values)
    for v in schedule.values:
        if v.call is np.concatenate and type(parts := v.args[0]) in (tuple, list) and not (v.args[1:] or v.kwargs):
            made = [m for part in parts if (m := made_for(schedule, part)) is not None and m.dtype == v.dtype]
            if len(made) == len(parts) and (not v.layout_sensitive or not by_rows.isdisjoint(parts)):
                whole, end = f"_c{len(places)}", 0
                for m, part in zip(made, parts):
                    start, end = end, end + part.shape[0]
                    places[m] = f"{whole}[{start}:{end}].reshape({m.shape})"
                first = min(made, key=lambda m: schedule.position[m])
                space = f"({whole} := np.empty({v.shape}, {dtype_constant(v.dtype)}))"
                places[first] = space + places[first].removeprefix(whole)
                places[v] = whole
    return places


def dying_operands(schedule: Schedule) -> dict[Value, Value]:
    """The large operand of each line whose memory takes the result: nothing reads it, or a view of it, afterwards.

    Both are C-contiguous whatever the arguments' layout: the result lies as it would in memory of its own.
    """
    last: dict[Value, Value | None] = {}  # of each array in memory of its own: the last line that reads it
    for v in (v for v in schedule.values if v in schedule.lines):
        last |= dict.fromkeys([root(x) for x in schedule.inlined[v] - {v} if not schedule.is_inlined(x)], v)
    for y in schedule.outputs:  # in a line, or in the last one
        last |= dict.fromkeys([root(x) for x in (schedule.inlined[y] if schedule.is_inlined(y) else [y])])
    placed = {*schedule.before, *schedule.before.values(), *places_of_parts(schedule)}
    found: dict[Value, Value] = {}
    by_rows = c_contiguous(schedule.values)
    for v in schedule.lines if inplace.IN_PLACE else ():
        if v in placed or v.kwargs or not (is_elementwise(v.call) or is_choice(v)):
            continue
        for x in v.args[2:] if v.call is np.where else v.args:
            if (
                isinstance(x, Value)
                and x in schedule.lines
                and x not in placed
                and (isinstance(x.call, np.ufunc) or is_choice(x))
                and last[x] is v
                and x.ndim  # else it may be a number
                and is_large(x.size_in_memory)
                and (x.shape, x.dtype) == (v.shape, v.dtype)
                and all(y is x or root(y) is not x for y in operands(v))
                and {v, x} <= by_rows
            ):
                found[v] = x
    return found


def is_choice(v: Value) -> bool:
    return v.call is np.where and len(v.args) == 3 and isinstance(v.args[0], Value) and v.args[0].dtype == bool


def small_products(schedule: Schedule) -> tuple[set[Value], set[Value]]:
    """The products of small vectors and matrices for which x.dot(y) is x @ y to the last bit, at half the cost.

    That is so where both are contiguous and neither has one element only: dot would scale by it, where 0 * nan is 0.
    The inputs that have to be contiguous are the second result.
    """
    inputs = schedule.program.captured
    pieces = contiguous(schedule.values, inputs)
    products, needed = set(), set()
    for v in schedule.values:
        if v.call is not np.matmul or v.kwargs or v.dtype not in (np.float32, np.float64) or not v.dtype.isnative:
            continue
        if all(
            is_in(x, pieces) and x.dtype == v.dtype and x.ndim <= 2 and 1 < np.size(x.example) <= SMALL_MATRIX
            for x in v.args
        ):
            products.add(v)
            needed |= {root(x) for x in v.args}.intersection(inputs)
    return products, needed


def is_choice_of_numbers(schedule: Schedule, v: Value) -> bool:
    """Is it np.where of numbers, of which only numbers and arrays are computed?"""
    return (
        is_choice(v)
        and v.ndim == 0
        and v.dtype.kind == "f"
        and v not in schedule.outputs
        and v not in schedule.before
        and all(is_elementwise(u.call) and not u.kwargs for u in schedule.users[v])
        and all(u.call is not np.power for u in schedule.users[v])  # -inf ** 0.5: of a number inf, of an array nan
        and all(not isinstance(x, Value) or isinstance(x.example, np.generic) for x in v.args)
        and all(x.dtype == v.dtype if isinstance(x, Value) else isinstance(x, float | np.floating) for x in v.args[1:])
    )


def is_inlined_ufunc(x: Value, printer: Printer) -> bool:
    return x not in printer.names and isinstance(x.call, np.ufunc)


def is_of_many(v: Value) -> bool:
    """Is it np.where, of many elements of two arrays?"""
    return is_choice(v) and np.size(v.example) >= MANY and all(isinstance(x, Value) for x in v.args)


def made_for(schedule: Schedule, part: Any) -> Value | None:
    """The value with a line that is used for one part of a concatenation only, perhaps reshaped; None without one."""
    while isinstance(part, Value) and len(schedule.users[part]) == 1 and part not in schedule.outputs:
        if part in schedule.lines:
            into_new = isinstance(part.call, np.ufunc) and not part.kwargs and part not in schedule.before
            return part if into_new else None
        if part.call is not np.reshape or len(part.args) != 2:
            return None
        part = part.args[0]
    return None


def column_times_row(printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
    """np.outer of vectors by broadcasting, which runs faster."""
    if v.call is np.outer and all(np.ndim(examples(x)) == 1 for x in args):
        return f"{printer.parenthesized(args[0], ATOM)}[:, None] * {printer.parenthesized(args[1], 8)}", 7
    return None


def common_dtype(v: Value) -> Any:
    """The floating-point dtype of the arrays in an elementwise call, None where they have several or another."""
    if not is_elementwise(v.call):
        return None
    kinds = {x.dtype for x in v.args if isinstance(x, Value) and hasattr(x.example, "dtype")}
    return kinds.pop() if len(kinds) == 1 and next(iter(kinds)).kind == "f" else None
