"""Mathematics: a program as equations, which LaTeX and browsers set.

Each line of the schedule is an equation. What the programs of sigmoid, softmax and the indicator compute is written as
such, where the program computes it to the last digits and the symbol is clear to the reader; a call without a notation
is written by NumPy's name. A gradient is written as the derivative that it is, or δ where it is an error signal.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from minigrad.compiler.dialects.readable import ReadableNumPy
from minigrad.compiler.identifiers import Identifiers
from minigrad.compiler.printer import Printer, reached
from minigrad.compiler.program import (
    UPDATES,
    USERS,
    Derivative,
    Value,
    array_under,
    assigned,
    astype,
    filled,
    is_number_repeated,
    is_reversed,
    number,
    root,
    stored,
    values_in,
)
from minigrad.compiler.schedule import Schedule
from minigrad.compiler.source import called, constant, has_literal
from minigrad.sparse import RowSparse
from minigrad.text import Identifier
from minigrad.trees import children
from minigrad.viz.formulas import Equations, Fenced, Formula, Fraction, Row, Word, latex, name
from minigrad.viz.mathematics import (
    Term,
    elementwise,
    formula_of,
    indicator,
    listed,
    outer,
    product,
    reduced,
    sign,
    symbol,
    term,
)

#: NumPy's elementwise functions that have a notation of their own, by its sign.
NOTED = (
    "add subtract multiply divide negative power square reciprocal sqrt absolute floor ceil exp log log1p expm1 exp2"
)
NOTED += " log2 log10 sin cos tan sinh cosh tanh sign arctan arcsin arccos arcsinh arccosh arctanh sinc maximum minimum"
RELATIONS = ["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"]
ELEMENTWISE: dict[Any, str] = {getattr(np, how): how for how in [*NOTED.split(), *RELATIONS]}
REDUCTIONS: dict[Any, str] = {np.sum: "sum", np.mean: "mean", np.prod: "prod", np.max: "max", np.min: "min"}
CLAMP = 80  # the exponents that sigmoid clamps are larger: its value has been 1 since 37


class Mathematics:
    """The equations of one schedule."""

    def __init__(self, schedule: Schedule, identifiers: Identifiers, replaced: Sequence[Value | str] = ()) -> None:
        self.replaced = replaced
        self.schedule, self.names = schedule, identifiers.names
        self.printer = Printer(schedule, identifiers, ReadableNumPy)
        self.parameters = identifiers.parameters
        self.sigmoids = {v.args[1]: v for v in schedule.values if sigmoid_of(v) is not None}
        self.taken = {r"\sigma"} if self.sigmoids else set()
        self.symbols: dict[Value, Formula] = {}
        named = [v for v in (*schedule.values, *schedule.program.captured) if v in self.names]
        for v in sorted(named, key=lambda v: bool(v.gradient_of)):  # a derivative is written with the symbols of others
            self.symbols[v] = self.symbol_for(v)
        self.used: set[Value] = set()  # values whose symbols are in the equation that is being written

    # symbols

    def symbol_for(self, v: Value) -> Formula:
        """The symbol of a line or an input, each another one: a gradient as a derivative, or a name."""
        if v in self.symbols:
            return self.symbols[v]
        target = self.schedule.target(v)
        if target is not None:
            self.symbols[target] = self.symbol_for(target)
            return self.symbols[target]
        word = self.names[v]
        own = v.name.rank <= USERS or word.startswith("delta")
        candidates = [] if own else self.labels(v)
        return self.unused([*candidates, name(word)], word)

    def unused(self, candidates: list[Formula], word: Identifier) -> Formula:
        found = next((c for c in candidates if latex(c) not in self.taken), Word(word, "code"))
        self.taken.add(latex(found))
        return found

    def labels(self, v: Value) -> list[Formula]:
        """The derivatives that a value is."""
        if v.dtype.kind != "f":  # the gradient of a complex variable is no derivative, but its conjugate
            return []
        found = [self.label(d) for d in v.gradient_of if d.of in self.names and d.by in self.names]
        return [label for label in dict.fromkeys(found) if label is not None]

    def label(self, d: Derivative) -> Formula | None:
        """dy/dx; for a y that is no scalar the derivative of what it is multiplied by in the seed."""
        above, below = self.part(d.of), self.part(d.by)
        if d.of.dtype.kind == "c" or d.by.dtype.kind == "c":
            return None
        if d.seed is not None:
            if d.seed not in self.names:
                return None
            above = listed([self.part(d.seed), above], "⟨", "⟩")
        elif np.size(d.of.example) != 1:
            return None
        return Fraction(Row((sign("∂"), above)), Row((sign("∂"), below)))

    def part(self, v: Value) -> Formula:
        """A value above or below the bar of a derivative."""
        found = self.symbols.get(v) or name(self.names[v])
        return Fenced(found) if isinstance(found, Fraction) else found

    # the equations

    def equations(self) -> Equations:
        """The lines that are needed, and what is returned."""
        written = [(v, [*self.line(v)], self.taken_in()) for v in self.schedule.values if v in self.schedule.lines]
        ends = [*self.ends()]
        needed = self.taken_in() | {x for x in self.schedule.outputs if x in self.symbols}
        lines: list[tuple[Formula, ...]] = []
        for v, equations, used in reversed(written):
            if v in needed or v in self.schedule.before or v.call in UPDATES or v.name.rank <= USERS:
                lines[:0] = equations
                needed |= used
        inside = [
            (self.symbols[v], sign("="), Word(reached(self.parameters[parameter], path), "code"))
            for parameter, path, v in self.schedule.program.inputs
            if path and v in self.symbols and v in needed
        ]
        return Equations((*inside, *lines, *ends))

    def taken_in(self) -> set[Value]:
        """The values used since the last time."""
        used, self.used = self.used, set()
        return used

    def line(self, v: Value) -> Iterator[tuple[Formula, ...]]:
        """The equation of a line; an assignment where it changes an array."""
        symbol, target = self.symbols[v], self.schedule.target(v)
        if v.call is stored:
            if target is not v.args[1]:
                yield symbol, sign("←"), self.formula(self.term(v.args[1]))
        elif v.call in UPDATES:
            if target is None:
                yield symbol, sign("="), self.formula(self.term(array_under(v)))
            yield self.update(v)
        elif target is not None:
            yield symbol, sign("←"), self.formula(self.expression(v))
        else:
            more = [label for label in self.labels(v) if label != symbol and not self.is_own_line(v, label)]
            parts = [part for label in more[:3] for part in (sign("="), label)]
            yield symbol, *parts, sign("="), self.formula(self.as_number(self.expression(v)))

    def is_own_line(self, v: Value, label: Formula) -> bool:
        """Does a derivative by an argument get an equation at the end, as its value has another symbol?"""
        if v.name.rank > USERS and label == self.labels(v)[0]:
            return False
        inputs = {x for *_, x in self.schedule.program.inputs}
        by_inputs = [
            self.label(d) for d in v.gradient_of if d.by in inputs and d.of in self.names and d.by in self.names
        ]
        return v in self.schedule.outputs and not isinstance(self.symbols[v], Fraction) and label in by_inputs

    def update(self, v: Value) -> tuple[Formula, ...]:
        """The assignment of elements, or the call of a function that writes."""
        symbol = self.symbols[v]
        if v.call is assigned:
            _, index, new = v.args
            items = [self.formula(x) for x in self.index_terms(index)]
            return Row((symbol, listed(items, "[", "]"))), sign("←"), self.formula(self.term(new))
        function, _, *args = v.args
        formulas = [self.formula(self.argument(x)) for x in args]
        formulas += [self.keyword(key, self.argument(x)) for key, x in v.kwargs.items()]
        place = [Row((Word("out=", "code"), symbol))] if v.call is filled else []
        first = [] if v.call is filled else [symbol]
        return (Row((Word(called(function), "code"), listed([*first, *formulas, *place]))),)

    def keyword(self, key: str, x: Term) -> Formula:
        return Row((Word(f"{key}=", "code"), self.formula(x)))

    def ends(self) -> Iterator[tuple[Formula, ...]]:
        """What is returned and has no equation that says so."""
        seen: set[str] = set()
        output = self.schedule.program.output
        if self.replaced:
            output, *new = output
            for place, x in zip(self.replaced, new, strict=True):
                left = self.symbols.get(place) if isinstance(place, Value) else None
                yield left or Word(str(place), "code"), sign("←"), self.formula(self.argument(x))
        for path, x in self.returned(output, ""):
            if isinstance(x, Value) and x in self.symbols:
                for label in self.labels(x):
                    if self.is_own_line(x, label) and latex(label) not in seen and latex(label) not in self.taken:
                        seen.add(latex(label))
                        yield label, sign("="), self.symbols[x]
            elif isinstance(x, Value):
                own = [label for label in self.labels(x) if latex(label) not in self.taken | seen]
                seen |= {latex(label) for label in own[:1]}
                left = own[0] if own else Word(f"output{path}", "code")
                yield left, sign("="), self.formula(self.expression(x))
            elif x is not None:
                yield Word(f"output{path}", "code"), sign("="), self.formula(self.argument(x))

    def returned(self, tree: Any, path: str) -> Iterator[tuple[str, Any]]:
        """The leaves of the output, with their places."""
        below = None if isinstance(tree, RowSparse) else children(tree)
        if below is None:
            yield path, tree
            return
        for place, (key, subtree) in enumerate(below):
            yield from self.returned(subtree, f"{path}[{constant(key) if has_literal(key) else place}]")

    # terms

    def formula(self, x: Term) -> Formula:
        return formula_of(x)

    def term(self, x: Any) -> Term:
        """An argument in arithmetic: the symbol of a line, else its expression; flags as numbers."""
        return self.as_number(self.argument(x))

    def as_number(self, found: Term) -> Term:
        """A condition as its indicator; a flag with a symbol is 0 or 1."""
        return indicator(found) if found.sign in RELATIONS else found

    def argument(self, x: Any) -> Term:
        """An argument of any kind."""
        if isinstance(x, Value):
            if x in self.symbols:
                self.used.add(x)
                return symbol(self.symbols[x], x.shape)
            return self.expression(x)
        if isinstance(x, RowSparse):
            return self.argument([tuple(part) for part in x._parts])
        if type(x) in (tuple, list) and any(True for _ in values_in(x)):
            fences = ("(", ")", len(x) == 1) if type(x) is tuple else ("[", "]")
            return Term("list", tuple(map(self.argument, x)), (), fences)
        if isinstance(x, int | float | np.number) and not isinstance(x, bool) and np.isrealobj(x):
            return term(x.item() if isinstance(x, np.number) else x)
        return Term("code", (), np.shape(x) if isinstance(x, np.ndarray) else (), (self.printer.constant(x),))

    def expression(self, v: Value) -> Term:
        """The expression of a value, by the first notation that fits."""
        for notation in (self.known, self.arithmetic, self.linear, self.reduction, self.structural):
            found = notation(v)
            if found is not None:
                return found
        args = tuple(map(self.argument, (*v.args, *v.kwargs.values())))
        return Term("call", args, v.shape, (called(v.call), tuple(v.kwargs)))

    def known(self, v: Value) -> Term | None:
        """What several calls compute together."""
        args = v.args
        z = sigmoid_of(v)
        if z is not None and self.is_in_time(z, v):
            return Term("sigmoid", (self.term(z),), v.shape)
        if (
            v.call is np.divide
            and isinstance(args[1], Value)
            and (a := self.sigmoids.get(args[1]))
            and a in self.symbols
        ):
            return self.term(args[0]) * (1 - self.term(a))  # 1 / (1 + e) is 1 - e / (1 + e)
        z = softmax_of(v)
        if z is not None and self.is_in_time(z, v):
            return Term("softmax", (self.term(z),), v.shape)
        if v.call is np.where and is_rectified(args[2], args[0]):
            return self.term(args[1]) * self.term(args[0])
        picked = picked_of(v)
        if picked is not None and all(self.is_in_time(x, v) for x in picked):
            scores, classes = picked
            return Term("cross_entropy", (Term("softmax", (self.term(scores),), scores.shape), self.term(classes)), ())
        if v.call is np.equal and (y := classes_of(v)) is not None and self.is_in_time(y, v):
            return Term("one_hot", (self.term(y),), v.shape, (v.shape[-1],))
        return None

    def is_in_time(self, x: Value, v: Value) -> bool:
        """Is a value that v's line will read instead of its operands still there?"""
        at = self.schedule.position[v] if v in self.schedule.lines else len(self.schedule.values)
        until = (self.schedule.until.get(root(y, self.schedule.before)) for y in self.schedule.inlined.get(x, {x}))
        return all(end is None or end >= at for end in until)

    def arithmetic(self, v: Value) -> Term | None:
        """An elementwise function, of numbers that are no flags, and do not wrap around."""
        how = ELEMENTWISE.get(v.call)
        if how is None or v.kwargs or len(v.args) > 2:
            return None
        if how in RELATIONS:
            args = [self.term(x) for x in v.args]
            return (
                None
                if any(is_complex(x) for x in v.args) and how not in ("equal", "not_equal")
                else elementwise(how, *args)
            )
        exact = type(v.example) in (int, float) or (v.dtype.kind == "i" and v.dtype.itemsize == 8)
        if v.dtype.kind not in "fc" and not exact:
            return None
        args = [self.term(x) for x in v.args]
        if how == "maximum" and args[1].sign == "number":  # max(0, m)
            args.reverse()
        found = args[0] * args[1] if how == "multiply" else elementwise(how, *args)
        return found if found.shape == v.shape else None

    def linear(self, v: Value) -> Term | None:
        """Products of matrices and vectors, and what is transposed."""
        if v.kwargs:
            return None
        args = v.args
        ranks = tuple(x.ndim for x in args if isinstance(x, Value))
        if v.call is np.matmul and ranks == (2, 1) and is_number_repeated(args[1]) and number(args[1]) == 1:
            return reduced("sum", self.term(args[0]), [1])  # the sums of the rows, or of the columns of Xᵀ
        if v.call is np.matmul and v.dtype.kind in "fc" and len(ranks) == 2 and (max(ranks) <= 2 or min(ranks) >= 2):
            return product(*map(self.term, args))
        if v.call is np.outer and ranks == (1, 1) and v.dtype.kind in "fc":
            return outer(*map(self.term, args))
        swapped = v.call is np.swapaxes and {args[1] % v.ndim, args[2] % v.ndim} == {v.ndim - 1, v.ndim - 2}
        if (swapped or (is_reversed(v) and v.ndim == 2)) and v.dtype.kind in "fc":
            return self.term(args[0]).T
        return None

    def reduction(self, v: Value) -> Term | None:
        """Σ and its kin, over axes that are written out."""
        how, x = REDUCTIONS.get(v.call), v.args[0] if v.args else None
        if how is None or len(v.args) > 2 or not v.kwargs.keys() <= {"axis", "keepdims"} or not isinstance(x, Value):
            return None
        if x.dtype.kind not in "fc" or not x.example.size:
            return None
        if not x.ndim:  # the only term
            return self.term(x)
        axis = v.args[1] if len(v.args) > 1 else v.kwargs.get("axis")
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        if not all(isinstance(a, int) for a in axes) or not axes or x.ndim > 8:
            return None
        keep = bool(v.kwargs.get("keepdims", False))
        if keep and len(axes) == x.ndim:  # no letter remains that could say so
            return None
        return reduced(how, self.term(x), axes, keep)

    def structural(self, v: Value) -> Term | None:
        """Choices, rows, elements and constants."""
        args = v.args
        if v.call is np.where and len(args) == 3 and not v.kwargs:
            found = Term("where", (self.argument(args[0]), *map(self.term, args[1:])), v.shape)
            return found if v.dtype.kind in "fc" else None
        if v.call is operator.getitem:
            return Term("index", (self.argument(args[0]), *self.index_terms(args[1])), v.shape)
        if v.call is np.take and len(args) == 3 and args[2] == 0 and isinstance(args[1], Value) and not v.kwargs:
            return Term("index", (self.argument(args[0]), self.argument(args[1])), v.shape)
        if (
            v.call is astype
            and isinstance(args[0], Value)
            and v.dtype.kind in "fc"
            and (x := args[0]).dtype.kind in "fcbiu"
        ):
            return self.term(x) if v.dtype.kind == "c" or x.dtype.kind != "c" else None
        if is_number_repeated(v) and number(v) is not None:
            return Term("code", (), v.shape, (self.printer.full(v),))
        return None

    def index_terms(self, index: Any) -> list[Term]:
        """The items of an index: values by their symbols, the others as source."""
        items = index if type(index) is tuple else (index,)
        if not items:
            return [Term("code", (), (), ("()",))]
        return [
            self.argument(x) if isinstance(x, Value) else Term("code", (), (), (self.printer.index(x, within=True),))
            for x in items
        ]


def is_complex(x: Any) -> bool:
    return np.iscomplexobj(x.example if isinstance(x, Value) else x)


# what the bodies of ops compute


def is_call(x: Any, call: Any, count: int | None = None) -> TypeGuard[Value]:
    """Is it the value of such a call?"""
    return isinstance(x, Value) and x.call is call and (count is None or (len(x.args) == count and not x.kwargs))


def sigmoid_of(v: Any) -> Value | None:
    """z, where a value is e / (1 + e) with e = exp(min(z, a number so large that it does not matter))."""
    if not is_call(v, np.divide, 2):
        return None
    e, total = v.args
    if not (is_call(e, np.exp, 1) and is_call(total, np.add, 2) and e in total.args and 1 in map(number, total.args)):
        return None
    clamped = e.args[0]
    if is_call(clamped, np.minimum, 2) and isinstance(clamped.args[0], Value) and clamped.dtype.kind == "f":
        bound = number(clamped.args[1])
        return clamped.args[0] if bound is not None and bound >= CLAMP else None
    return None


def along_last(v: Any, call: Any) -> Any:
    """The argument of a reduction along the last axis that keeps it, None for anything else."""
    if not (is_call(v, call) and len(v.args) == 1 and v.kwargs.keys() == {"axis", "keepdims"}):
        return None
    axis, x = v.kwargs["axis"], v.args[0]
    last = isinstance(x, Value) and x.ndim and isinstance(axis, int) and axis % x.ndim == x.ndim - 1
    return x if last and v.kwargs["keepdims"] is True else None


def shifted(t: Any) -> Value | None:
    """z, where a value is z less the largest of its row."""
    if not is_call(t, np.subtract, 2):
        return None
    z, top = t.args
    return z if isinstance(z, Value) and along_last(top, np.max) is z else None


def softmax_of(v: Any) -> Value | None:
    """z, where a value is e / Σ e with e = exp(z - max z)."""
    if not is_call(v, np.divide, 2):
        return None
    e, total = v.args
    return shifted(e.args[0]) if is_call(e, np.exp, 1) and along_last(total, np.sum) is e else None


def column_of(x: Any) -> Value | None:
    """A vector, where a value is its column."""
    if not is_call(x, np.reshape, 2):
        return None
    classes = x.args[0]
    column = isinstance(classes, Value) and classes.ndim == 1 and x.shape == (*classes.shape, 1)
    return classes if column and classes.dtype.kind in "iu" else None


def picked_of(v: Any) -> tuple[Value, Value] | None:
    """z and y, where a value is the mean over rows of log Σ exp(t) - t[y], with t = z - max z."""
    difference = v.args[0] if is_call(v, np.mean, 1) else None
    if not is_call(difference, np.subtract, 2):
        return None
    log, chosen = difference.args
    e = along_last(log.args[0], np.sum) if is_call(log, np.log, 1) else None
    t = e.args[0] if is_call(e, np.exp, 1) else None
    z = shifted(t)
    if z is None or z.ndim != 2 or not is_call(chosen, np.take_along_axis) or chosen.kwargs.keys() - {"axis"}:
        return None
    axis = chosen.kwargs.get("axis", chosen.args[2] if len(chosen.args) == 3 else None)
    classes = column_of(chosen.args[1])
    return (z, classes) if chosen.args[0] is t and axis in (-1, 1) and classes is not None else None


def classes_of(v: Any) -> Value | None:
    """y, where a value is arange(n) == y % n, with y as a column."""
    for places, wrapped in (v.args, v.args[::-1]):
        if isinstance(places, np.ndarray) and is_call(wrapped, np.remainder, 2):
            n, column = wrapped.args[1], column_of(wrapped.args[0])
            if column is not None and number(n) == v.shape[-1] and np.array_equal(places, np.arange(v.shape[-1])):
                return column
    return None


def is_rectified(x: Any, condition: Any) -> bool:
    """Is it max(m, 0), and the condition that it, or m, is above 0?"""
    if not (is_call(condition, np.greater, 2) and number(condition.args[1]) == 0 and is_call(x, np.maximum, 2)):
        return False
    return (condition.args[0] is x or condition.args[0] is x.args[0]) and number(x.args[1]) == 0


def equations(schedule: Schedule, identifiers: Identifiers, replaced: Sequence[Value | str]) -> Equations:
    """The equations of a program.

    Args:
        replaced: the inputs, or the names of other places, that take the last values of the output.
    """
    return Mathematics(schedule, identifiers, replaced).equations()
