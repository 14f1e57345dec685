r"""A reader of the formulas that `derive` prints: it computes what a mathematician would, from the LaTeX alone.

It knows nothing of the printer. Factors side by side are a product of matrices in which a vector is a column, ∘ and
fractions apply to each element, Σ names the axes it runs over. What has no meaning there is an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

TOKEN = re.compile(
    r"\\texttt\{(?:\\.|[^{}\\]|\{\})*\}|\\(?:mathrm|operatorname|mathbf|text)\{[^{}]*\}|\\(?:begin|end)\{\w+\}"
    r"|\\[A-Za-z]+|\\[,{}\\]|\d+\.?\d*|[^\s]"
)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"\\{name}": getattr(np, name) for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"\\{name}": getattr(np, name) for name in ("arctan", "arcsin", "arccos")},
    **{f"\\operatorname{{{name}}}": getattr(np, name) for name in ("arcsinh", "arccosh", "arctanh", "sinc")},
    **{f"\\operatorname{{{name}}}": getattr(np, name) for name in ("abs", "sign")},
    r"\sigma": lambda z: 1 / (1 + np.exp(-z)),
    r"\operatorname{softmax}": lambda z: (
        np.exp(z - z.max(-1, keepdims=True)) / np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)
    ),
}
REDUCTIONS = {r"\sum": np.sum, r"\prod": np.prod, r"\max": np.max, r"\min": np.min}
RELATIONS = {
    ">": np.greater, "<": np.less, "=": np.equal, r"\ge": np.greater_equal, r"\le": np.less_equal, r"\ne": np.not_equal,
}  # fmt: skip
ENDS = {"+", "-", r"\circ", ",", "&", r"\\", r"\right", "}", r"\end{cases}", r"\leftarrow", *RELATIONS}


class Transposed(NamedTuple):
    """A vector as a row."""

    vector: Any


class Indexed(NamedTuple):
    """An array with a letter or a dot for each axis."""

    array: Any
    letters: list[str]


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def unescaped(token: str) -> str:
    r"""The characters inside \texttt{...}."""
    inside = token[token.index("{") + 1 : -1]
    for command, character in ((r"\textbackslash{}", "\\"), (r"\textless{}", "<"), (r"\textgreater{}", ">")):
        inside = inside.replace(command, character)
    return re.sub(r"\\([#$%&_{}])", r"\1", inside)


class Reader:
    """Reads equations one after the other; `symbols` holds their values so far, by their LaTeX."""

    def __init__(self, symbols: Mapping[str, Any], scope: Mapping[str, Any]) -> None:
        self.symbols = {tuple(tokens(text)): value for text, value in symbols.items()}
        self.scope = {"np": np, **({"scipy": import_module("scipy")} if "scipy" in sys.modules else {}), **scope}
        self.waiting: list[str] = []

    def __getitem__(self, symbol: str) -> Any:
        return self.symbols[tuple(tokens(symbol))]

    def __contains__(self, symbol: str) -> bool:
        return tuple(tokens(symbol)) in self.symbols

    def read(self, latex: str) -> None:
        """All lines of an aligned environment."""
        body = latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
        for line in body.split(" \\\\\n"):
            with np.errstate(all="ignore"):
                self.line(tokens(line))

    def line(self, line: list[str]) -> None:
        line = [t for i, t in enumerate(line) if not (t == "&" and depth(line[:i]) == 0)]
        sides, signs = split(line)
        if not signs:
            return self.statement(line)
        value = self.value(sides[-1])
        assert not isinstance(value, Transposed | Indexed), line
        for side in sides[:-1]:
            if signs[0] == r"\leftarrow" and side[-2:] == [r"\right", "]"]:
                start = max(i for i in range(len(side)) if side[i : i + 2] == [r"\left", "["] and depth(side[:i]) == 0)
                self.waiting = side[start + 2 :]
                index = tuple(self.items("]"))
                changed = np.copy(self.symbols[tuple(side[:start])])
                changed[index] = value
                self.symbols[tuple(side[:start])] = changed
            else:
                assert signs[0] == r"\leftarrow" or tuple(side) not in self.symbols, f"{side} has two values"
                self.symbols[tuple(side)] = value

    def statement(self, line: list[str]) -> None:
        """The call of a function that writes into its first argument, or into out=."""
        function = eval(unescaped(line[0]), self.scope)
        self.waiting = line[3:]
        start = self.waiting.index(r"\texttt{out=}") + 1 if r"\texttt{out=}" in self.waiting else 0
        key = next(key for key in self.longest() if tuple(self.waiting[start : start + len(key)]) == key)
        changed = np.copy(self.symbols[key])
        self.symbols[key] = changed
        args, keywords = self.arguments()
        function(*args, **keywords)

    def value(self, line: list[str]) -> Any:
        """The value of an expression, all of which has to be read."""
        self.waiting = line
        value = self.relation()
        assert not self.waiting, f"not understood: {self.waiting} in {line}"
        return value

    # the grammar

    def next(self) -> str:
        return self.waiting[0] if self.waiting else ""

    def take(self, *expected: str) -> str:
        token = self.waiting[0]
        assert not expected or token in expected, f"needed {expected}, got {self.waiting}"
        self.waiting = self.waiting[1:]
        return token

    def relation(self) -> Any:
        left = self.sum()
        if self.next() in RELATIONS:
            return RELATIONS[self.take()](left, self.sum())
        return left

    def sum(self) -> Any:
        negative = self.next() == "-" and bool(self.take())
        value = self.hadamard()
        value = elementwise(np.negative, value) if negative else value
        while self.next() in ("+", "-"):
            value = elementwise(np.add if self.take() == "+" else np.subtract, value, self.hadamard())
        return value

    def hadamard(self) -> Any:
        value = self.product()
        while self.next() == r"\circ":
            self.take()
            value = elementwise(np.multiply, value, self.product())
        return value

    def product(self) -> Any:
        value = self.factor()
        while self.next() and self.next() not in ENDS:
            dot = self.next() == r"\cdot"
            if self.next() in (r"\,", r"\cdot"):
                self.take()
            value = multiplied(value, self.factor(), dot)
        return value

    def factor(self) -> Any:
        value = self.atom()
        while self.next() in ("^", "_") or self.waiting[:2] == [r"\left", "["]:
            if self.next() == "_":
                self.take()
                value = self.indexed(value)
            elif self.take() == r"\left":
                self.take("[")
                index = self.items("]")
                value = value[index[0] if isinstance(value, tuple) else tuple(index)]
            elif self.waiting[:3] == ["{", r"\top", "}"]:
                self.waiting = self.waiting[3:]
                value = Transposed(value) if np.ndim(value) == 1 else np.swapaxes(value, -1, -2)
            elif self.waiting[:2] == ["{", r"\circ"]:
                self.waiting = self.waiting[2:]
                value = value ** self.sum()
                self.take("}")
            else:
                inside, self.waiting = braced(self.waiting)
                assert np.ndim(value) < 2, "a power of a matrix"
                power = self.inside(inside)
                value = np.power(value, float(power) if np.ndim(power) == 0 else power)
        return value

    def indexed(self, value: Any) -> Any:
        """An array with its index, of letters and dots; or i y_i for the element at the class of each row."""
        assert self.index, "an index outside of a sum"
        inside, self.waiting = braced(self.waiting)
        if all(re.fullmatch(r"[a-z]|\\cdot", token) for token in inside) and len(inside) == np.ndim(value):
            return Indexed(value, inside)
        assert inside[1] == r"\,", inside
        rest = Reader({}, self.scope)
        rest.symbols, rest.waiting = self.symbols, inside[2:]
        classes = rest.atom()
        assert rest.waiting == ["_", "{", inside[0], "}"]
        return Indexed(value[np.arange(len(classes)), classes], [inside[0]])

    index = False  # are indices read?
    trailing = False  # did the last list end in a comma?

    def longest(self) -> list[tuple[str, ...]]:
        return sorted(self.symbols, key=len, reverse=True)

    def atom(self) -> Any:
        for key in self.longest():
            if tuple(self.waiting[: len(key)]) == key:
                self.waiting = self.waiting[len(key) :]
                return self.symbols[key]
        token = self.take()
        if re.fullmatch(r"\d+\.?\d*", token):
            return float(token) if "." in token else int(token)
        if token == r"\infty":
            return np.inf
        if token in (r"\mathrm{True}", r"\mathrm{False}"):
            return token == r"\mathrm{True}"
        if token == r"\mathrm{NaN}":
            return np.nan
        if token == r"\frac":
            above, self.waiting = braced(self.waiting)
            below, self.waiting = braced(self.waiting)
            return elementwise(np.divide, self.inside(above), self.inside(below))
        if token == r"\sqrt":
            inside, self.waiting = braced(self.waiting)
            return np.sqrt(self.inside(inside))
        if token == r"\mathbf{1}" and self.next() == "_":
            self.take()
            inside, self.waiting = braced(self.waiting)
            return np.ones([int(n) for n in inside if n != r"\times"])
        if token == r"\mathbf{1}":
            assert self.waiting[:2] == [r"\left", r"\{"]
            self.waiting = self.waiting[2:]
            value = self.relation()
            self.take(r"\right"), self.take(r"\}")
            return np.where(value, 1.0, 0.0)[()]
        if token in REDUCTIONS and self.next() in ("_", r"\,"):
            return self.reduced(REDUCTIONS[token])
        if token in (r"\max", r"\min"):
            return elementwise(np.maximum if token == r"\max" else np.minimum, *self.called())
        if token == r"\log" and self.next() == "_":
            self.take()
            base, self.waiting = braced(self.waiting)
            return {"2": np.log2, "10": np.log10}["".join(base)](*self.called())
        if token == r"\operatorname{onehot}":
            self.take("_")
            count, self.waiting = braced(self.waiting)
            n = int("".join(count))
            return np.where(np.arange(n) == np.reshape(self.called()[0], (-1, 1)) % n, 1.0, 0.0)
        if token in FUNCTIONS:
            return elementwise(FUNCTIONS[token], *self.called())
        if token.startswith(r"\texttt"):
            value = eval(unescaped(token), self.scope)
            if callable(value) and self.waiting[:2] == [r"\left", "("]:
                self.waiting = self.waiting[2:]
                args, keywords = self.arguments()
                return value(*args, **keywords)
            return value
        if token == r"\begin{cases}":
            value = self.relation()
            self.take("&")
            where = self.relation()
            self.take(r"\\")
            otherwise = self.relation()
            self.take("&"), self.take(r"\text{otherwise}"), self.take(r"\end{cases}")
            return np.where(where, value, otherwise)[()]
        assert token == r"\left", f"no atom: {token} {self.waiting}"
        return self.fenced(self.take())

    def fenced(self, left: str) -> Any:
        if left == "[":
            return self.items("]")
        right = {"(": ")", "|": "|", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}[left]
        items = self.items(right)
        if left == "(":
            return items[0] if len(items) == 1 and not self.trailing else tuple(items)
        return {"|": np.abs, r"\lfloor": np.floor, r"\lceil": np.ceil}[left](items[0])

    def inside(self, line: list[str]) -> Any:
        rest, self.waiting = self.waiting, line
        value = self.relation()
        assert not self.waiting, f"not understood: {self.waiting} in {line}"
        self.waiting = rest
        return value

    def reduced(self, reduce: Any) -> Any:
        if self.take() == r"\,":
            return reduce(self.factor())
        over, self.waiting = braced(self.waiting)
        before, self.index = self.index, True
        body = self.factor()
        self.index = before
        assert isinstance(body, Indexed) and set(over) <= set(body.letters), "Σ without its index"
        others = [letter for letter in body.letters if letter not in over]
        assert len({letter == r"\cdot" for letter in others}) < 2
        keep = bool(others) and others[0] != r"\cdot"
        axes = tuple(i for i, letter in enumerate(body.letters) if letter in over)
        return reduce(body.array, axis=axes, keepdims=keep)

    def called(self) -> list[Any]:
        self.take(r"\left"), self.take("(")
        return self.items(")")

    def items(self, right: str) -> list[Any]:
        args, keywords = self.arguments(right)
        assert not keywords
        return args

    def arguments(self, right: str = ")") -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, up to its bracket."""
        self.trailing = False
        args: list[Any] = []
        keywords: dict[str, Any] = {}
        while self.next() != r"\right":
            if args or keywords:
                self.take(",")
                self.trailing = self.next() == r"\right"
                if self.trailing:
                    self.take(r"\right"), self.take(right)
                    self.trailing = True
                    return args, keywords
            text = unescaped(self.next()) if self.next().startswith(r"\texttt") else ""
            if re.fullmatch(r"\w+=", text):
                self.take()
                keywords[text[:-1]] = self.relation()
            elif (":" in text or text in ("...", "None")) and (self.next(),) not in self.symbols:
                self.take()
                args.append(eval(f"np.s_[{text}]", self.scope))
            else:
                args.append(self.relation())
        self.take(r"\right"), self.take(right)
        self.trailing = False
        return args, keywords


def elementwise(function: Any, *args: Any) -> Any:
    """A function of each element; of a row, or of an array with its index, it is one as well."""
    kinds = {type(x) for x in args} & {Transposed, Indexed}
    if not kinds:
        return function(*args)
    (kind,) = kinds
    (other,) = (x for x in args if isinstance(x, kind))
    return other._replace(**{other._fields[0]: function(*(x[0] if isinstance(x, kind) else x for x in args))})


def multiplied(x: Any, y: Any, dot: bool) -> Any:
    """Two factors side by side, or with a dot between them."""
    rows = isinstance(x, Transposed), isinstance(y, Transposed)
    ranks = tuple(np.ndim(e.vector if isinstance(e, Transposed) else e) for e in (x, y) if not isinstance(e, Indexed))
    if isinstance(y, Indexed) or 0 in ranks:
        return elementwise(np.multiply, x, y)
    if dot:
        assert ranks == (1, 1) and not any(rows), "a dot between arrays"
        return np.dot(x, y)
    if rows == (True, False):
        product = x.vector @ y
        return product if ranks[1] == 1 else Transposed(product)
    if rows == (False, True):
        assert ranks[0] == 1, "a matrix times a row"
        return np.outer(x, y.vector)
    assert ranks[0] > 1, "a product of two columns"
    return np.matmul(x, y)


def braced(line: list[str]) -> tuple[list[str], list[str]]:
    """What is in the braces at the start of a line, and what follows them."""
    assert line[0] == "{", line
    count = 0
    for i, token in enumerate(line):
        count += (token == "{") - (token == "}")
        if not count:
            return line[1:i], line[i + 1 :]
    raise AssertionError("a brace is not closed")


def depth(line: list[str]) -> int:
    opened = sum(t in ("{", r"\left") or t.startswith(r"\begin") for t in line)
    return opened - sum(t in ("}", r"\right") or t.startswith(r"\end") for t in line)


def split(line: list[str]) -> tuple[list[list[str]], list[str]]:
    """The sides of a chain of equations, and the signs between them."""
    sides: list[list[str]] = [[]]
    signs = []
    for i, token in enumerate(line):
        if token in ("=", r"\leftarrow") and depth(line[:i]) == 0:
            signs.append(token)
            sides.append([])
        else:
            sides[-1].append(token)
    return sides, signs
