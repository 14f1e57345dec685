"""A traced program as the source of a Python function that needs nothing but NumPy."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import inspect
import itertools
import keyword
import linecache
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.rules import is_elementwise, number, repeated
from minigrad.sparse import RowSparse
from minigrad.tracer import (
    OPERATORS,
    OPS_OWN,
    UPDATES,
    USERS,
    Value,
    accumulated,
    array_under,
    assigned,
    astype,
    examples,
    made_from,
    mapped,
    values_in,
)
from minigrad.trees import map_leaves

LONGEST = 60  # formula, in signs, that a value used once may become part of
ATOM = 10  # binds more strongly than any operator

# functions that read better, and run faster, as methods
METHODS = {np.sum, np.mean, np.max, np.min, np.any, np.all, np.cumsum, np.reshape, np.prod, np.squeeze, np.swapaxes}
METHODS |= {np.argmax, np.argmin, np.argsort, np.ravel, np.repeat, np.std, np.var, np.copy}

SHORT: dict[Any, str] = {np.exp: "e", np.sum: "total", np.max: "top", np.min: "bottom", operator.getitem: "part"}
SHORT |= {np.reshape: "r", np.broadcast_to: "repeated", np.concatenate: "joined", np.take: "rows"}
SHORT |= {assigned: "padded", accumulated: "sums", np.swapaxes: "swapped", np.moveaxis: "moved"}


class Program(NamedTuple):
    """A function: what it is called, what it takes, computes in which order, writes into and gives."""

    name: str
    parameters: list[str]
    inputs: list[tuple[str, str, Value]]  # of each array in the arguments: its parameter, its path in that, its Value
    captured: list[Value]  # further inputs
    values: list[Value]
    writes: list[tuple[Value, Value]]  # an input that is written into, and what it holds at the end
    output: Any  # a tree of Values, constants, and RowSparse of them


def leaves_of(tree: Any) -> list[Any]:
    """What a program gives, flat: Values and constants."""
    found: list[Any] = []

    def leaf(x: Any) -> None:
        found.extend(e for part in x._parts for e in part) if isinstance(x, RowSparse) else found.append(x)

    map_leaves(leaf, tree)
    return found


def is_view(value: Value) -> Value | None:
    """The argument in whose memory a Value lives, None where it has its own."""
    if isinstance(value.example, np.ndarray) and value.example.base is not None:
        for x in values_in((value.args, value.kwargs)):
            if np.may_share_memory(value.example, x.example):
                return x
    return None


def memory(value: Value) -> Value:
    """The Value whose array a Value is a view of, itself where it is none."""
    while (under := is_view(value)) is not None:
        value = under
    return value


class Writer:
    """Turns a program into source: finds which values have a line and a name, and writes them in a Spelling."""

    def __init__(self, program: Program) -> None:
        self.program, self.spelling = program, Spelling()
        self.outputs = [x for x in leaves_of(program.output) if isinstance(x, Value)]
        self.written = {final: base for base, final in program.writes}  # writes base's memory
        self.needed = made_from([*self.outputs, *self.written])
        self.values = self.in_order([v for v in program.values if v in self.needed])
        self.place = {v: i for i, v in enumerate(self.values)}
        self.users: dict[Value, list[Value]] = {v: [] for v in self.values}
        for v in self.values:
            for x in values_in((v.args, v.kwargs)):
                self.users[x].append(v)
        self.next_write = {memory(array_under(v)): v for v in self.values if v.call in UPDATES}
        self.next_write |= {base: final for final, base in self.written.items() if final.call not in UPDATES}
        self.lines: set[Value] = set()  # the values that have a line of their own
        self.names: dict[Value, str] = {}
        self.helpers = dict.fromkeys(
            v.call for v in self.values if is_ours(v.call) and v.call not in (*UPDATES, astype)
        )
        self.taken = {"np", *keyword.kwlist, *dir(builtins), *map(called, self.helpers)}
        needed = {"np", "bool", "int", "float", "complex", "slice", *map(called, self.helpers)}
        others = set(program.parameters)
        self.parameters = {p: unused(f"{p}_", others) if p in needed else p for p in program.parameters}
        self.choose_lines()
        self.choose_names()

    def in_order(self, values: list[Value]) -> list[Value]:
        """The values as they were made; gradients that nothing else needs at the end, as they are returned."""
        if self.written:
            return values
        used = {x for v in values for x in values_in((v.args, v.kwargs))}
        last = [
            v for v in dict.fromkeys(self.outputs) if v not in used and v.gradient_of and v.call not in (None, *UPDATES)
        ]
        return [v for v in values if v not in last] + last

    # which values have a line of their own

    def choose_lines(self) -> None:
        self.inside: dict[Value, set[Value]] = {}  # what each value is written with, up to the lines before it
        again = True
        while again:
            again = False
            for v in self.values:
                self.inside[v] = {v}.union(
                    *(self.inside[x] if self.is_inlined(x) else {x} for x in values_in((v.args, v.kwargs)))
                )
                if v.call is not None and v not in self.lines and self.deserves_line(v):
                    self.lines.add(v)
                    again = True
            late = {x for v in self.lines for x in self.too_late(v)}
            again |= bool(late)
            self.lines |= late

    def is_inlined(self, v: Value) -> bool:
        return v.call is not None and v not in self.lines

    def deserves_line(self, v: Value) -> bool:
        if self.is_fresh(v):
            return v in self.outputs
        if v.call in UPDATES or v in self.written or any(y.activated for _, y in v.gradient_of):
            return True
        if v.name.rank <= USERS or (v in self.outputs and v.gradient_of):
            return True
        times = len(self.users[v]) + self.outputs.count(v)
        if times > 1:
            return not is_reversed(v)
        return self.length(v) > LONGEST

    def is_fresh(self, v: Value) -> bool:
        """Is it an array made to be written into?"""
        return v.call is np.zeros

    def length(self, v: Value) -> int:
        """About how long the formula of a value is."""

        def written(x: Any) -> int:
            if not isinstance(x, Value):
                return len(constant(x)) if isinstance(x, int | float | np.generic) else 6
            return self.length(x) if self.is_inlined(x) else 5

        sign = 3 if v.call in OPERATORS else 2 if v.call is operator.getitem else len(called(v.call)) + 2
        return sign + sum(written(x) for x in flat((v.args, v.kwargs)))

    def too_late(self, v: Value) -> set[Value]:
        """What the line of v must not be written with, as the memory it reads has changed by then."""
        late = set()
        for x in self.inside[v] - self.lines:
            for read in values_in((x.args, x.kwargs)):
                write = self.next_write.get(memory(read))
                if write is not None and self.place[x] < self.place[write] < self.place[v]:
                    late.add(x)
        return {x for x in late if is_view(x) is None or not late.intersection(self.users[x])}

    # what they are called

    def choose_names(self) -> None:
        self.taken |= set(self.parameters.values())
        for parameter, path, v in self.program.inputs:
            self.names[v] = self.parameters[parameter] if not path else self.fresh_name(v)
        for v in self.program.captured:
            if v in self.needed:
                self.fresh_name(v)
        for v in self.values:
            if v in self.lines and v not in self.names:
                base = self.base(v)
                self.names[v] = self.names[base] if base is not None else self.fresh_name(v)

    def base(self, v: Value) -> Value | None:
        """The value whose array v's line writes into."""
        if v in self.written and v.call not in UPDATES:
            return self.written[v]
        if v.call in UPDATES:
            x = array_under(v)
            if x in self.names and x.written and self.place[v] == self.place[self.next_write[memory(x)]]:
                return x
        return None

    def take(self, v: Value, word: str) -> str:
        self.taken.add(word)
        self.names[v] = word
        return word

    def fresh_name(self, v: Value) -> str:
        word = self.word(v)
        if word in self.taken:
            others = (word + ending for ending in (*self.suffixes(v), *map(str, range(2, len(self.values) + 3))))
            word = next(other for other in others if other not in self.taken)
        return self.take(v, word)

    def word(self, v: Value) -> str:
        if v.name.rank <= USERS:
            return v.name.word
        if v.call is astype and isinstance(v.args[0], Value) and v.args[0] not in self.lines and v.args[0].name.word:
            return v.args[0].name.word
        for _, y in v.gradient_of:
            called = self.names.get(y) or y.name.word
            if y.activated:
                return "delta" + (called[1:] if called[:1] == "z" else "")
            if called:
                return "d" + called
        if v.name.rank == OPS_OWN:
            return v.name.word
        if v.activated:
            return "z"
        word = SHORT.get(v.call) or getattr(v.call, "__name__", "t").strip("_")
        return word if word.isidentifier() and v.call not in OPERATORS and word not in self.taken else "t"

    def suffixes(self, v: Value) -> list[str]:
        """What tells a value from another of its name: the ending of a value that it depends on, as in x_c."""
        words = [self.names[x] for x in made_from([v]) if x in self.names]
        return sorted(
            {
                match[0]
                for word in words
                if not self.word(v).endswith("_" + word[-1]) and (match := re.search(r"(?<=[^_])_[a-z]$", word))
            }
        )

    # the source

    def source(self, spelling: Spelling) -> str:
        """The whole function."""
        p, self.spelling = self.program, spelling
        spelling.begin(self)
        captured = [self.names[v] for v in p.captured if v in self.needed]
        parameters, unpacked = self.spelling.signature(self)
        lines = [(f"def {p.name}({', '.join([*parameters, *captured])}):", "")]
        lines += [(f"    {line}", "") for line in unpacked]
        lines += [(f"    {line}", comment) for v in self.values if v in self.lines for line, comment in self.line(v)]
        lines.append((f"    return {spelling.returned(self)}", ""))
        text = [f"{line}  # {comment}" if comment else line for line, comment in lines]
        text[1:1] = [f"    # {about}" for about in self.about_inputs()]
        brought = [definition(helper) + "\n\n\n" for helper in self.helpers] if spelling.brings_helpers else []
        return "".join(brought) + "\n".join([*spelling.prelude(), *text]) + "\n"

    def about_inputs(self) -> list[str]:
        inputs = [*(v for *_, v in self.program.inputs), *self.program.captured]
        said: dict[str, list[str]] = {}
        for v in inputs:
            if hasattr(v.example, "dtype") and v in self.needed:
                said.setdefault(str(v.dtype), []).append(f"{self.names[v]} {v.shape}")
        return [f"{', '.join(words)}: {dtype}" for dtype, words in said.items()]

    def line(self, v: Value) -> Iterator[tuple[str, str]]:
        name, comment = self.names[v], self.comment(v)
        if v.call in UPDATES:
            ufunc, x, index, new = v.args if v.call is accumulated else (None, *v.args)
            new = new.item() if isinstance(new, np.float64 | np.complex128) and new.dtype == v.dtype else new
            if self.base(v) is None:
                made = self.formula(x)[0] if self.is_fresh(x) else self.text(x)
                alone = x not in self.lines and x.call not in (None, np.broadcast_to) and is_view(x) is None
                own = self.is_fresh(x) or alone
                yield f"{name} = {made if own else made + '.copy()'}", comment
                comment = ""
            if ufunc is None:
                yield f"{name}[{self.index(index)}] = {self.text(new)}", comment
            else:
                alone = type(index) is tuple and len(index) == 1 and not isinstance(index[0], tuple | list)
                index = index[0] if alone else index
                yield self.spelling.at(self, v, name, index, new), comment
        elif v in self.written:
            in_place = v.call in OPERATORS and len(v.args) == 2 and v.args[0] is self.written[v]
            if in_place and v.call in (np.add, np.subtract, np.multiply, np.divide):
                yield f"{name} {OPERATORS[v.call][0]}= {self.text(v.args[1])}", comment
            else:
                yield f"{name}[...] = {self.formula(v)[0]}", comment
        else:
            yield f"{name} = {self.owned(v, self.formula(v)[0])}", comment

    def owned(self, v: Value, text: str) -> str:
        """The formula of a view, copied where the array under it is written into before the last use."""
        write = self.next_write.get(memory(v)) if memory(v) is not v else None
        if write is not None and any(self.place[user] > self.place[write] for user in self.users[v]):
            return f"({text}).copy()"
        return text

    def comment(self, v: Value) -> str:
        told = []
        for y, x in v.gradient_of:
            if x in self.names and y in self.names:
                told.append(f"∂{self.names[y]}/∂{self.names[x]}")
        shape = [f"shape {v.shape}"] if v.ndim and isinstance(v.example, np.ndarray) else []
        return ", ".join([" = ".join(dict.fromkeys(told[:3]))] * bool(told) + shape)

    def returned(self) -> Any:
        """What the function returns, in its containers: the source of each array, a copy where another shares it."""
        roots = [*(v for *_, v in self.program.inputs), *self.program.captured]

        def leaf(x: Any) -> Any:
            if isinstance(x, RowSparse):
                return [(self.text(ids), leaf(rows)) for ids, rows in x._parts]
            if not isinstance(x, Value):
                return self.constant(x)
            if is_number_repeated(x) and x not in self.lines:
                return self.full(x)
            text = self.text(x)
            if isinstance(x.example, np.ndarray):
                root = memory(x)
                if root in roots or not x.example.flags.writeable:
                    text = f"{self.parenthesized(x, ATOM)}.copy()" if x.ndim else f"np.copy({text})"
                roots.append(root)
            return text

        return map_leaves(leaf, self.program.output)

    def full(self, v: Value) -> str:
        """A number repeated."""
        c = number(v)
        dtype = "" if v.dtype == np.float64 else f", dtype=np.{v.dtype}"
        shape = v.shape if v.ndim != 1 else v.shape[0]
        text = self.text(repeated(v)) if c is None else self.constant(c.item() if isinstance(c, np.generic) else c)
        if v.call is np.broadcast_to and v.layout_counts:
            return f"np.broadcast_to({text if v.dtype == np.float64 else self.text(repeated(v))}, {shape})"
        if c is not None and c in (0, 1) and not np.signbit(c.real):
            return f"np.{'ones' if c else 'zeros'}({shape}{dtype})"
        return f"np.full({shape}, {text}{dtype if c is not None else ''})"

    # formulas

    def text(self, x: Any) -> str:
        """An argument: the name of a value that has one, its formula where not; a constant as Python writes it."""
        return self.formula_or_name(x)[0]

    def formula_or_name(self, x: Any) -> tuple[str, int]:
        if not isinstance(x, Value):
            text = self.constant(x)
            return text, 8 if text.startswith("-") else ATOM
        return (self.names[x], ATOM) if x in self.names else self.formula(x)

    def parenthesized(self, x: Any, strength: int) -> str:
        text, binds = self.formula_or_name(x)
        return text if binds >= strength else f"({text})"

    def formula(self, v: Value) -> tuple[str, int]:
        """The formula of a value, and how strongly its last operator binds."""
        return self.written_as(v, self.spelling.arguments(v))

    def written_as(self, v: Value, args: tuple[Any, ...]) -> tuple[str, int]:
        """The same, of other arguments."""
        spelled = self.spelling.formula(self, v, args)
        if spelled is not None:
            return spelled
        if v.call in OPERATORS and not v.kwargs:
            sign, binds = OPERATORS[v.call]
            if len(args) == 1:
                return f"{sign}{self.parenthesized(args[0], binds)}", binds
            left, right = (self.parenthesized(x, binds + (i == (v.call is not np.power))) for i, x in enumerate(args))
            if binds == 1:  # a < b < c would be another thing
                left = self.parenthesized(args[0], 2)
            if right.startswith("-"):
                right = f"({right})"
            close = v.call is np.power and re.fullmatch(r"[\w.]+", left + right)  # as formatters have it: x**2
            return f"{left}{sign}{right}" if close else f"{left} {sign} {right}", binds
        if is_number_repeated(v):
            return self.full(v), ATOM
        if v.call is operator.getitem:
            return f"{self.parenthesized(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if is_reversed(v):
            return f"{self.parenthesized(args[0], ATOM)}.T", ATOM
        if v.call is astype:
            x, dtype = args
            if v.ndim == 0:
                return f"np.{np.dtype(dtype)}({self.text(x)})", ATOM
            return f"{self.parenthesized(x, ATOM)}.astype(np.{np.dtype(dtype)})", ATOM
        if v.call is np.zeros:
            dtype = "" if v.dtype == np.float64 else f", dtype=np.{v.dtype}"
            return f"np.zeros({args[0] if len(args[0]) != 1 else args[0][0]}{dtype})", ATOM
        if v.call in METHODS and isinstance(args[0], Value) and has_methods(args[0]):
            rest = [self.text(a) for a in args[1:]]
            if v.call is np.reshape:
                order = [f"order={args[2]!r}"] if len(args) > 2 else []
                lengths = [int(n) for n in np.atleast_1d(args[1])]
                rest = [*map(str, lengths), *order] if lengths else ["()", *order]
            told = ", ".join([*rest, *(f"{k}={self.text(x)}" for k, x in v.kwargs.items())])
            return f"{self.parenthesized(args[0], ATOM)}.{v.call.__name__}({told})", ATOM
        told = ", ".join([*map(self.text, args), *(f"{k}={self.text(x)}" for k, x in v.kwargs.items())])
        return f"{called(v.call)}({told})", ATOM

    def index(self, x: Any, within: bool = False) -> str:
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
        return constant(mapped(lambda v: Code(self.text(v)), Value, x))


def unused(word: str, taken: set[str]) -> str:
    """The word, longer where it is taken."""
    while word in taken:
        word += "_"
    return word


def has_methods(v: Value) -> bool:
    """Is it an array for sure? For an argument of no dimension, Python's numbers may be given."""
    return hasattr(v.example, "dtype") and (v.ndim > 0 or v.call is not None)


def is_number_repeated(v: Value) -> bool:
    """Is it an array, every element of which is one number?"""
    return v.call in (np.broadcast_to, np.full) and np.ndim(examples(repeated(v))) == 0


def is_reversed(v: Value) -> bool:
    """Is it an array with its axes reversed, x.T?"""
    return v.call is np.transpose and len(v.args) == 1 and not v.kwargs


def flat(x: Any) -> Iterator[Any]:
    """What is in tuples, lists, dicts and slices."""
    if isinstance(x, tuple | list):
        for e in x:
            yield from flat(e)
    elif isinstance(x, dict):
        yield from flat(list(x.values()))
    elif isinstance(x, slice):
        yield from flat((x.start, x.stop, x.step))
    elif x is not None:
        yield x


counter = itertools.count()


@functools.lru_cache(64)
def executable(source: str, name: str, brings: Callable[[], dict[str, Any]] = dict) -> Callable[..., Any]:
    """Source as a function, of NumPy and what else is brought; tracebacks and debuggers find its lines."""
    file = f"<derived {name} {next(counter)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    scope: dict[str, Any] = {"np": np} | brings()
    exec(compile(source, file, "exec"), scope)
    return scope[name]


class Code(str):
    """Text that is source already."""


def literal(x: Any) -> str:
    """A tree of source as source."""
    if isinstance(x, tuple):
        return "(" + ", ".join(map(literal, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, list):
        return "[" + ", ".join(map(literal, x)) + "]"
    if dataclasses.is_dataclass(x):
        x = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {literal(e)}" for key, e in x.items()) + "}"
    return x


def constant(x: Any) -> str:
    """A constant as Python writes it."""
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple | list):
        inside = ", ".join(map(constant, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
    if isinstance(x, slice):
        return f"slice({constant(x.start)}, {constant(x.stop)}, {constant(x.step)})"
    if isinstance(x, np.dtype):
        return f"np.{x}"
    if isinstance(x, type) and issubclass(x, np.generic):
        return f"np.{x.__name__}"
    if isinstance(x, np.generic):
        return f"np.{x.dtype}({constant(x.item())})"
    if isinstance(x, np.ndarray):
        return array_constant(x)
    if isinstance(x, float) and not np.isfinite(x):
        return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    if isinstance(x, type):
        return x.__name__
    if callable(x):
        return called(x)
    return "..." if x is ... else repr(x)


def identical(x: Any, y: Any) -> bool:
    """Are these arrays the same to the last bit?"""
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


MOST = 1000  # elements of an array that source spells out


def array_constant(x: np.ndarray) -> str:
    """An array that a function made out of nothing, as the call that makes it."""
    flat = x.reshape(-1)
    if x.size > 2 and x.dtype == int and np.array_equal(flat, np.arange(flat[0], flat[0] + x.size)):
        made = f"np.arange({x.size})" if flat[0] == 0 else f"np.arange({flat[0]}, {flat[0] + x.size})"
        return made if x.ndim == 1 else f"{made}.reshape({', '.join(map(str, x.shape))})"
    if x.size > 2 and x.dtype == float and not np.signbit(flat[0]):
        first, last = float(flat[0]), float(flat[0]) + x.size
        if x.ndim == 1 and first < 2**50 and np.array_equal(x, np.arange(first, last)):
            return f"np.arange({last})" if first == 0 else f"np.arange({first}, {last})"
        if x.ndim == 2 and identical(x, np.eye(*x.shape)):
            return f"np.eye({x.shape[0]})" if x.shape[0] == x.shape[1] else f"np.eye({x.shape[0]}, {x.shape[1]})"
    if not x.size:
        return f"np.zeros({x.shape}, dtype=np.{x.dtype})"
    if x.size > MOST:
        raise TypeError(
            f"a derived function would have to spell out an array of shape {x.shape} that is not computed from its "
            "arguments; pass it as an argument"
        )
    dtype = "" if x.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)) else f", dtype=np.{x.dtype}"
    told = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(x.tolist()))
    return f"np.array({told}{dtype})"


def is_ours(function: Any) -> bool:
    """Is it a function that source has to bring along?"""
    return (getattr(function, "__module__", None) or "").startswith("minigrad.")


def definition(function: Any) -> str:
    """The source of a function of ours, without annotations and docstring."""
    (tree,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(tree, ast.FunctionDef)
    tree.name, tree.returns, tree.body = called(function), None, tree.body[1:]
    for argument in tree.args.args:
        argument.annotation = None
    return ast.unparse(tree)


def called(function: Any) -> str:
    """A NumPy function by its full name."""
    name, owner = function.__name__, getattr(function, "__self__", None)
    if is_ours(function):
        return name.strip("_")
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{name}"
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{name}".replace("numpy", "np", 1)


def weakest(v: Value, x: Any) -> Any:
    """A NumPy number as Python's, where that leaves the dtype of the result as it is."""
    if isinstance(x, np.generic) and x.dtype.kind in "fiu" and (isinstance(v.call, np.ufunc) or v.call is np.where):
        others = [a.example if isinstance(a, Value) else a for a in v.args if a is not x]
        plain = x.item()
        if (
            all(hasattr(o, "dtype") for o in others)
            and others
            and np.result_type(plain, *others) == np.result_type(x, *others)
        ):
            return Code(str(x)) if x.dtype == np.float32 and np.isfinite(x) else plain
    return x


class Spelling:
    """How people write: 1 - a, np.outer(delta, x), L[ids]."""

    brings_helpers = True

    def begin(self, writer: Writer) -> None:
        """Look at the whole program first."""

    def arguments(self, v: Value) -> tuple[Any, ...]:
        return tuple(self.whole(v, weakest(v, x)) for x in v.args)

    def whole(self, v: Value, x: Any) -> Any:
        """A whole number without its point, where it meets floating-point numbers."""
        if (
            type(x) in (float, Code)
            and v.dtype.kind in "fcb"
            and (isinstance(v.call, np.ufunc) or v.call is np.where)
            and float(x).is_integer()
        ):
            others = [a for a in v.args if isinstance(a, Value)]
            if abs(float(x)) < 1e6 and any(a.dtype.kind in "fc" for a in others if hasattr(a.example, "dtype")):
                return int(float(x)) if x or not np.signbit(float(x)) else x
        return x

    def formula(self, writer: Writer, v: Value, args: tuple[Any, ...]) -> tuple[str, int] | None:
        if v.call is np.take and len(args) == 3 and args[2] == 0 and isinstance(args[1], Value | np.ndarray):
            return f"{writer.parenthesized(args[0], ATOM)}[{writer.index(args[1])}]", ATOM
        return None

    def at(self, writer: Writer, v: Value, name: str, index: Any, new: Any) -> str:
        return f"{called(v.args[0])}.at({name}, {writer.text(index)}, {writer.text(new)})"

    def prelude(self) -> list[str]:
        """Lines before the function."""
        return []

    def returned(self, writer: Writer) -> str:
        """What the function returns, as Python writes it."""
        tree = literal(writer.returned())
        return tree[1:-1] if type(writer.program.output) is tuple and len(writer.program.output) > 1 else tree

    def signature(self, writer: Writer) -> tuple[list[str], list[str]]:
        """The parameters, and the lines that take arrays out of containers."""
        inputs = writer.program.inputs
        known = writer.parameters
        unpacked = [
            f"{writer.names[v]} = {known[name]}{path}" for name, path, v in inputs if path and v in writer.needed
        ]
        return list(known.values()), unpacked


class Faster(Spelling):
    """The same for NumPy to run: arrays of no dimension for numbers, a column times a row, and take, cost it less.

    What is concatenated is computed where it will lie.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, str] = {}  # the names of the arrays that stand for numbers, by how these are made
        self.places: dict[Value, str] = {}

    def begin(self, writer: Writer) -> None:
        self.places = places_of_parts(writer)

    def arguments(self, v: Value) -> tuple[Any, ...]:
        args = tuple(weakest(v, x) for x in v.args)
        if v.ndim and (dtype := meets(v)) is not None:
            return tuple(self.number(x, dtype) if type(x) in (int, float, Code) else x for x in args)
        return args

    def number(self, x: Any, dtype: Any) -> Code:
        made = f"np.array({constant(x)}, np.{dtype})"
        return Code(self.numbers.setdefault(made, f"_{len(self.numbers)}"))

    def formula(self, writer: Writer, v: Value, args: tuple[Any, ...]) -> tuple[str, int] | None:
        if v.call is np.take and len(args) == 3:
            return f"{writer.parenthesized(args[0], ATOM)}.take({writer.text(args[1])}, {args[2]})", ATOM
        if v in self.places:
            if v.call is np.concatenate:
                return self.places[v], ATOM
            return f"{called(v.call)}({', '.join(map(writer.text, args))}, out={self.places[v]})", ATOM
        return column_times_row(writer, v, args)

    def signature(self, writer: Writer) -> tuple[list[str], list[str]]:
        parameters, unpacked = super().signature(writer)
        for v in writer.names:
            kinds = {meets(u) if u.ndim else None for u in writer.users.get(v, [])} if v.call is None else {None}
            often = len(writer.users.get(v, [])) > 1 and v not in writer.outputs
            if type(v.example) is float and often and len(kinds) == 1 and None not in kinds:
                unpacked.append(f"{writer.names[v]} = np.array({writer.names[v]}, np.{kinds.pop()})")
        return parameters, unpacked

    def prelude(self) -> list[str]:
        return [f"{name} = {made}" for made, name in self.numbers.items()]


def places_of_parts(writer: Writer) -> dict[Value, str]:
    """Where to compute what is only made to be concatenated; and the concatenated arrays, which are there by then."""
    places: dict[Value, str] = {}
    for v in writer.values:
        if v.call is np.concatenate and type(parts := v.args[0]) in (tuple, list) and not (v.args[1:] or v.kwargs):
            made = [m for part in parts if (m := made_for(writer, part)) is not None and m.dtype == v.dtype]
            if len(made) == len(parts) and (not v.layout_counts or any(map(is_in_order, parts))):
                whole, end = f"_c{len(places)}", 0
                for m, part in zip(made, parts):
                    start, end = end, end + part.shape[0]
                    places[m] = f"{whole}[{start}:{end}].reshape({m.shape})"
                first = min(made, key=lambda m: writer.place[m])
                space = f"({whole} := np.empty({v.shape}, np.{v.dtype}))"
                places[first] = space + places[first].removeprefix(whole)
                places[v] = whole
    return places


def made_for(writer: Writer, part: Any) -> Value | None:
    """The value on a line of its own that is only made to be a part, perhaps in another shape; None if it is not."""
    while isinstance(part, Value) and len(writer.users[part]) == 1 and part not in writer.outputs:
        if part in writer.lines:
            return part if isinstance(part.call, np.ufunc) and not part.kwargs and part not in writer.written else None
        if part.call is not np.reshape or len(part.args) != 2:
            return None
        part = part.args[0]
    return None


def is_in_order(v: Value) -> bool:
    """Do its elements lie in C's order, in whatever order those of the arguments lie?

    Elementwise functions keep that of what they are given, and so does np.concatenate where all parts agree.
    """
    return v.ndim < 2 or (v.call is np.matmul and v.ndim == 2) or (v.call is np.reshape and is_in_order(v.args[0]))


def column_times_row(writer: Writer, v: Value, args: tuple[Any, ...]) -> tuple[str, int] | None:
    """np.outer of vectors, in the form that runs faster."""
    if v.call is np.outer and all(x.ndim == 1 for x in args):
        return f"{writer.parenthesized(args[0], ATOM)}[:, None] * {writer.parenthesized(args[1], 8)}", 7
    return None


def meets(v: Value) -> Any:
    """The floating-point dtype of the arrays that an elementwise call takes, None where they differ or are others."""
    if not is_elementwise(v.call):
        return None
    kinds = {x.dtype for x in v.args if isinstance(x, Value) and hasattr(x.example, "dtype")}
    return kinds.pop() if len(kinds) == 1 and next(iter(kinds)).kind == "f" else None
