"""The printer: a schedule and its names as the source of a function, in one of several dialects."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from minigrad.compiler.identifiers import Identifiers
from minigrad.compiler.program import (
    OPERATORS,
    UPDATES,
    Derivative,
    Value,
    array_under,
    assigned,
    astype,
    filled,
    is_number_repeated,
    is_reversed,
    is_scatter,
    mapped,
    number,
    repeated,
    returned,
    root,
    scattered,
    stored,
    viewed,
)
from minigrad.compiler.rules import equal_constants
from minigrad.compiler.schedule import Schedule, is_fresh
from minigrad.compiler.source import Code, Step, called, constant, definition, dtype_constant, is_special, literal
from minigrad.sparse import RowSparse
from minigrad.text import is_identifier, printable
from minigrad.trees import map_leaves

IN_PLACE_OPERATORS = {np.add, np.subtract, np.multiply, np.divide}
ATOM = 10  # binds more strongly than any operator

#: Functions that read better, and run faster, as methods.
PRINTED_AS_METHODS = {np.sum, np.mean, np.max, np.min, np.any, np.all, np.cumsum, np.reshape, np.prod, np.squeeze}
PRINTED_AS_METHODS |= {np.swapaxes, np.argmax, np.argmin, np.argsort, np.ravel, np.repeat, np.std, np.var, np.copy}

Formula = tuple[str, int]  # its text, and the precedence of its outermost operator


class Dialect:
    """The parts of a listing that differ between dialects. One instance prints one listing."""

    includes_helpers = True  # does the listing define the functions of minigrad that it calls?
    contiguous: Collection[Value] = frozenset()  # the inputs that it takes to be so

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def arguments(self, printer: Printer, v: Value) -> tuple[Any, ...]:
        """The arguments of a call, with numbers as this dialect writes them."""
        return v.args

    def formula(self, printer: Printer, v: Value, args: tuple[Any, ...]) -> Formula | None:
        """The formula of a value where this dialect has one of its own."""
        return None

    def scatter(self, printer: Printer, v: Value, name: str, index: Any, new: Any) -> str:
        """The line that adds elements to an array in place, as ufunc.at does."""
        return f"{called(v.args[0])}({name}, {printer.text(index)}, {printer.text(new)})"

    def signature(self, printer: Printer) -> tuple[list[str], list[str]]:
        """The parameters, and the lines that take arrays out of containers."""
        program, parameters = self.schedule.program, printer.identifiers.parameters
        unpacked = [
            f"{printer.names[v]} = {reached(parameters[name], path)}"
            for name, path, v in program.inputs
            if path and v in self.schedule.needed
        ]
        return list(parameters.values()), unpacked

    def returned(self, printer: Printer) -> str:
        """The expression that the function returns."""
        tree, output = literal(printer.output()), self.schedule.program.output
        return tree[1:-1] if type(output) is tuple and len(output) > 1 else tree

    def finished(self, printer: Printer, lines: list[tuple[str, str]], returned: str) -> list[tuple[str, str]]:
        """The lines of the function and their comments, called after all of them are printed."""
        return lines

    def prelude(self) -> list[str]:
        """Lines before the function; called after it is printed."""
        return []


class Printer:
    """Prints a schedule once, in one dialect."""

    def __init__(self, schedule: Schedule, identifiers: Identifiers, dialect: type[Dialect]) -> None:
        self.schedule, self.identifiers, self.names = schedule, identifiers, identifiers.names
        self.dialect = dialect(schedule)

    # the function

    def source(self) -> str:
        """The source of the whole function."""
        schedule, program = self.schedule, self.schedule.program
        captured = [self.names[v] for v in program.captured if v in schedule.needed]
        parameters, unpacked = self.dialect.signature(self)
        lines = [(f"def {self.identifiers.function}({', '.join([*parameters, *captured])}):", "")]
        if any(is_special(v.call) for v in schedule.values):
            lines.append(("    import scipy.special", ""))
        lines += [(f"    {line}", "") for line in unpacked]
        body = [of_one for v in schedule.values if v in schedule.lines for of_one in self.line(v)]
        result = self.dialect.returned(self)
        lines += [(f"    {line}", comment) for line, comment in self.dialect.finished(self, body, result)]
        lines.append((f"    return {result}", ""))
        text = [f"{line}  # {comment}" if comment else line for line, comment in lines]
        text[1:1] = [f"    # {about}" for about in self.about_inputs()]
        helpers = schedule.helpers if self.dialect.includes_helpers else []
        definitions = [definition(helper) + "\n\n\n" for helper in helpers]
        return "".join(definitions) + "\n".join([*self.dialect.prelude(), *text]) + "\n"

    def about_inputs(self) -> list[str]:
        """The names and shapes of the inputs, by dtype."""
        program = self.schedule.program
        words: dict[str, list[str]] = {}
        for v in [*(v for *_, v in program.inputs), *program.captured]:
            if hasattr(v.example, "dtype") and v in self.schedule.needed:
                words.setdefault(str(v.dtype), []).append(f"{self.names[v]} {v.shape}")
        return [f"{', '.join(shapes)}: {printable(dtype)}" for dtype, shapes in words.items()]

    def output(self) -> Any:
        """The returned containers, with the source of each leaf."""

        def of(x: Any) -> Any:
            if isinstance(x, RowSparse):
                return [(self.leaf(ids), self.leaf(rows)) for ids, rows in x._parts]
            return self.leaf(x)

        return map_leaves(of, self.schedule.program.output)

    def flat_output(self) -> str:
        """The returned arrays in a flat tuple."""
        return "(" + "".join(f"{self.leaf(x)}, " for x in returned(self.schedule.program)) + ")"

    def leaf(self, x: Any) -> str:
        """The source of a leaf of the output."""
        if isinstance(x, Value) and is_number_repeated(x) and x not in self.schedule.lines:
            return self.full(x)
        return self.text(x)

    # lines

    def line(self, v: Value) -> Iterator[tuple[str, str]]:
        """The line of a value and its comment; two lines for an update of a new array."""
        name, comment = self.names[v], self.comment(v)
        target = self.schedule.target(v)
        if v.call is stored:
            if target is not v.args[1]:  # else it is there already
                yield f"{name}[...] = {self.text(v.args[1])}", comment
        elif v.call in UPDATES:
            if target is None:
                yield f"{name} = {self.writable(v)}", comment
                comment = ""
            yield self.update(v), comment
        elif target is not None:
            if v.call in IN_PLACE_OPERATORS and v.args[0] is target and not self.is_part(v.args[1], target):
                yield f"{name} {OPERATORS[v.call][0]}= {self.text(v.args[1])}", comment
            else:
                yield f"{name}[...] = {self.formula(v)[0]}", comment
        else:
            formula = self.formula(v)[0]
            yield f"{name} = {f'({formula}).copy()' if v in self.schedule.outlived else formula}", comment

    def is_part(self, x: Any, array: Value) -> bool:
        """Is x an array, or a view of one, that is in the memory of another?"""
        return isinstance(x, Value) and self.names.get(root(x, self.schedule.before)) == self.names[array]

    def writable(self, v: Value) -> str:
        """The new array that an update writes into."""
        x = array_under(v)
        if not isinstance(x, Value) or not x.ndim:
            return f"np.copy({self.text(x)})"
        if is_fresh(x):
            return self.formula(x)[0]
        new = x not in self.schedule.lines and x.call not in (None, np.broadcast_to) and viewed(x) is None
        return self.text(x) if new else self.copied(x)

    def update(self, v: Value) -> str:
        """The statement that writes into an array."""
        name = self.names[v]
        if is_scatter(v):
            index, new = scattered(v)
            return self.dialect.scatter(self, v, name, index, self.scalar(v, new))
        if v.call is assigned:
            x, index, new = v.args
            match new:
                case Value(call=call, args=(Value(call=operator.getitem, args=(y, at)), other)) if (
                    call in IN_PLACE_OPERATORS
                    and y is x
                    and equal_constants(at, index)
                    and new not in self.schedule.lines
                    and (new.shape, new.dtype) == (new.args[0].shape, v.dtype)
                    and not self.is_part(other, v)
                ):
                    return f"{name}[{self.index(index)}] {OPERATORS[call][0]}= {self.text(other)}"
            overlaps = self.is_part(new, v)  # NumPy would notice, numba would not
            return f"{name}[{self.index(index)}] = {self.copied(new) if overlaps else self.text(self.scalar(v, new))}"
        function, _, *args = v.args
        first, last = ([], [f"out={name}"]) if v.call is filled else ([name], [])
        return f"{called(function)}({', '.join([*first, *map(self.text, args), *last, *self.keywords(v)])})"

    def scalar(self, v: Value, x: Any) -> Any:
        """A NumPy number of the dtype of the array it is written into, as Python's."""
        return x.item() if isinstance(x, np.float64 | np.complex128) and x.dtype == v.dtype else x

    def copied(self, x: Value) -> str:
        """A copy of an array, in its layout."""
        if x.ndim and getattr(x.example, "flags", np.array(0).flags).c_contiguous and has_methods(x):
            return f"{self.parenthesized(x, ATOM)}.copy()"
        return f"np.copy({self.text(x)})"

    def comment(self, v: Value) -> str:
        """The derivatives that a value is, and its shape."""
        derivatives = [
            f"{self.seed(d)}∂{self.names[d.of]}/∂{self.names[d.by]}"
            for d in v.gradient_of
            if d.by in self.names and d.of in self.names
        ]
        shape = [f"shape {v.shape}"] if v.ndim and isinstance(v.example, np.ndarray) else []
        return ", ".join([" = ".join(dict.fromkeys(derivatives[:3]))] * bool(derivatives) + shape)

    def seed(self, d: Derivative) -> str:
        """The gradient that a derivative is multiplied by, "" where that is 1."""
        return f"{self.text(d.seed)} · " if d.seed is not None else ""

    # formulas

    def text(self, x: Any) -> str:
        """An argument: the name of a value with a line, else its formula; a constant as Python writes it."""
        return self.formula_or_name(x)[0]

    def formula_or_name(self, x: Any) -> Formula:
        if not isinstance(x, Value):
            text = self.constant(x)
            return text, 8 if text.startswith("-") else ATOM
        return (self.names[x], ATOM) if x in self.names else self.formula(x)

    def parenthesized(self, x: Any, strength: int) -> str:
        """An argument, in parentheses where it binds less strongly."""
        text, binds = self.formula_or_name(x)
        return text if binds >= strength else f"({text})"

    def formula(self, v: Value) -> Formula:
        """The formula of a value."""
        return self.formula_of(v, self.dialect.arguments(self, v))

    def formula_of(self, v: Value, args: tuple[Any, ...]) -> Formula:
        """The formula of a value, of other arguments."""
        own = self.dialect.formula(self, v, args)
        if own is not None:
            return own
        if v.call in OPERATORS and not v.kwargs:
            return self.operation(v.call, args)
        if is_number_repeated(v):
            return self.full(v), ATOM
        if v.call is operator.getitem:
            return f"{self.parenthesized(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if is_reversed(v):
            return f"{self.parenthesized(args[0], ATOM)}.T", ATOM
        if v.call is astype:
            x, dtype = args
            if not isinstance(v.example, np.ndarray):
                return f"{self.constant(np.dtype(dtype).type)}({self.text(x)})", ATOM
            return f"{self.parenthesized(x, ATOM)}.astype({dtype_constant(dtype)})", ATOM
        if v.call is np.zeros:
            dtype = "" if v.dtype == np.float64 else f", dtype={dtype_constant(v.dtype)}"
            return f"np.zeros({args[0] if len(args[0]) != 1 else args[0][0]}{dtype})", ATOM
        if v.call is np.copy and len(args) == 1 and not v.kwargs and isinstance(args[0], Value):
            return self.copied(args[0]), ATOM
        if v.call in PRINTED_AS_METHODS and isinstance(args[0], Value) and has_methods(args[0]):
            inside = ", ".join([*self.method_arguments(v, args), *self.keywords(v)])
            return f"{self.parenthesized(args[0], ATOM)}.{v.call.__name__}({inside})", ATOM
        return f"{called(v.call)}({', '.join([*map(self.text, args), *self.keywords(v)])})", ATOM

    def operation(self, ufunc: np.ufunc, args: tuple[Any, ...]) -> Formula:
        """A call that Python writes as an operator."""
        sign, binds = OPERATORS[ufunc]
        if len(args) == 1:
            return f"{sign}{self.parenthesized(args[0], binds)}", binds
        left, right = (self.parenthesized(x, binds + (i == (ufunc is not np.power))) for i, x in enumerate(args))
        if binds == 1:  # a < b < c would be a chain
            left = self.parenthesized(args[0], 2)
        if right.startswith("-"):
            right = f"({right})"
        close = ufunc is np.power and re.fullmatch(r"[\w.]+", left + right)  # as formatters write it: x**2
        return f"{left}{sign}{right}" if close else f"{left} {sign} {right}", binds

    def method_arguments(self, v: Value, args: tuple[Any, ...]) -> list[str]:
        """The positional arguments of a call that is printed as a method of the first."""
        rest = [self.text(a) for a in args[1:]]
        if v.call is not np.reshape:
            return rest
        order = [f"order={constant(args[2])}"] if len(args) > 2 else []
        lengths = [int(n) for n in np.atleast_1d(args[1])]
        return [*map(str, lengths), *order] if lengths else ["()", *order]

    def keywords(self, v: Value) -> list[str]:
        """The keyword arguments of a call."""
        return [
            f"{k}={self.text(x)}" if is_identifier(k) else f"**{{{constant(k)}: {self.text(x)}}}"
            for k, x in v.kwargs.items()
        ]

    def full(self, v: Value) -> str:
        """An array that repeats one number."""
        c = number(v)
        dtype = "" if v.dtype == np.float64 else f", dtype={dtype_constant(v.dtype)}"
        shape = v.shape if v.ndim != 1 else v.shape[0]
        text = self.text(repeated(v)) if c is None else self.constant(c.item() if isinstance(c, np.generic) else c)
        if v.call is np.broadcast_to and v.layout_sensitive:
            return f"np.broadcast_to({text if v.dtype == np.float64 else self.text(repeated(v))}, {shape})"
        if c is not None and c in (0, 1) and not np.signbit(c.real):
            return f"np.{'ones' if c else 'zeros'}({shape}{dtype})"
        return f"np.full({shape}, {text}{dtype if c is not None else ''})"

    def index(self, x: Any, within: bool = False) -> str:
        """The text of an index inside brackets."""
        if isinstance(x, tuple) and x and not within:
            comma = "," if len(x) == 1 and isinstance(x[0], tuple | list) else ""
            return ", ".join(self.index(e, within=True) for e in x) + comma
        if isinstance(x, np.integer):
            return str(x)
        if isinstance(x, slice):
            start, stop, step = ("" if e is None else self.index(e) for e in (x.start, x.stop, x.step))
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return "..." if x is ... else self.text(x)

    def constant(self, x: Any) -> str:
        """A constant, which may be a container of values."""
        return constant(mapped(lambda v: Code(self.text(v)), Value, x))


def reached(container: str, path: tuple[Step, ...]) -> str:
    """The expression for what is at the end of a path."""
    for step in path:
        container = step.source(container)
    return container


def has_methods(v: Value) -> bool:
    """Is it certainly an array? For an argument without dimensions a Python number may be passed."""
    return hasattr(v.example, "dtype") and (v.ndim > 0 or v.call is not None)
