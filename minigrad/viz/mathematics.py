"""Mathematics: expressions of arrays, and the one table of how each of their signs is written.

Pictures write ops and pullbacks in it, `derive` whole programs. Functions, ∘ and fractions apply to each element, and
broadcasting is NumPy's; factors side by side are a product of matrices, in which a vector is a column; Σ names the
axes that it sums by their places, i, j and so on: Σ_i X_{i·} is the sum of the rows of X, and a letter in the place of
the dot says that the sum stays in the place of its row, as NumPy's keepdims does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.viz.formulas import (
    ATOM,
    COMMA,
    HADAMARD,
    PRODUCT,
    REDUCTION,
    RELATION,
    SPACE,
    SUM,
    TIMES,
    Cases,
    Fenced,
    Formula,
    Fraction,
    Root,
    Row,
    Script,
    Shaped,
    Word,
    atom,
    binding,
    fenced,
    leading,
    words,
)

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Term:
    """A sign applied to Terms, and the shape of its value; `how` holds what else the sign needs: axes, an index."""

    sign: str
    args: tuple[Term, ...]
    shape: Shape
    how: tuple[Any, ...] = ()

    def __add__(self, other: Any) -> Term:
        return elementwise("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return elementwise("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return elementwise("subtract", self, other)

    def __rsub__(self, other: Any) -> Term:
        return elementwise("subtract", other, self)

    def __mul__(self, other: Any) -> Term:
        other = term(other)
        if self.sign == "negative":
            return -(self.args[0] * other)
        if other.sign == "negative":
            return -(self * other.args[0])
        if self.sign == "multiply" and self.args[1].sign == "ones" and self.shape == other.shape:
            return self.args[0] * other
        if is_one(self) or (self.sign == "ones" and self.shape == other.shape):
            return other
        return self if is_one(other) else elementwise("multiply", self, other)

    def __rmul__(self, other: Any) -> Term:
        return term(other) * self

    def __truediv__(self, other: Any) -> Term:
        return elementwise("divide", self, other)

    def __rtruediv__(self, other: Any) -> Term:
        return elementwise("divide", other, self)

    def __pow__(self, other: Any) -> Term:
        return self if is_one(term(other)) else elementwise("power", self, other)

    def __neg__(self) -> Term:
        return Term("negative", (self,), self.shape)

    def __gt__(self, other: Any) -> Term:
        return elementwise("greater", self, other)

    def __lt__(self, other: Any) -> Term:
        return elementwise("less", self, other)

    def __matmul__(self, other: Term) -> Term:
        return product(self, other)

    @property
    def T(self) -> Term:
        """The transposed matrix, or each matrix of a stack transposed; a vector as a row."""
        if self.sign == "transpose" and len(self.shape) > 1:
            return self.args[0]
        if self.sign == "matmul" and all(len(x.shape) == 2 for x in self.args):
            return self.args[1].T @ self.args[0].T
        return Term("transpose", (self,), self.shape[:-2] + self.shape[-1:] + self.shape[-2:-1])


def term(x: Any) -> Term:
    """A Term as it is, a number as one."""
    return x if isinstance(x, Term) else Term("number", (), np.shape(x), (x,))


def symbol(formula: Formula, shape: Shape) -> Term:
    return Term("symbol", (), shape, (formula,))


def is_one(x: Any) -> bool:
    return isinstance(x, Term) and x.sign == "number" and x.how[0] == 1


def elementwise(sign: str, *args: Any) -> Term:
    """A sign that is applied to each element, after broadcasting."""
    terms = tuple(map(term, args))
    return Term(sign, terms, np.broadcast_shapes(*(x.shape for x in terms)))


def product(x: Term, y: Term) -> Term:
    """The product of matrices or vectors; of a single number and an array, the multiple."""
    if not x.shape or not y.shape:
        return x * y
    if len(x.shape) == 1 and len(y.shape) == 1:
        return Term("inner", (x, y), ())
    if len(x.shape) == 1:
        return product(y.T, x)
    shape = x.shape[:-1]
    if len(y.shape) > 1:
        shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
    return Term("matmul", (x, y), shape)


def ones(shape: Shape) -> Term:
    """An array of ones."""
    return Term("ones", (), shape)


def ends(x: Term) -> list[Term]:
    """The Terms that a Term is made of."""
    return [e for arg in x.args for e in ends(arg)] if x.args else [x]


def added(terms: Sequence[Term]) -> Term:
    """A sum of Terms of one shape: a negative one is subtracted."""
    total, *rest = terms
    for x in rest:
        total = total - x.args[0] if x.sign == "negative" else total + x
    return total


def outer(x: Term, y: Term) -> Term:
    return Term("outer", (x, y), x.shape + y.shape)


def indicator(condition: Term) -> Term:
    return Term("indicator", (condition,), condition.shape)


def reduced(sign: str, x: Term, axes: Sequence[int], keep: bool = False) -> Term:
    """Σ or its kin over some axes."""
    if x.sign == "transpose" and len(x.shape) == 2 and not keep and len(axes) == 1:
        return reduced(sign, x.args[0], [1 - axes[0] % 2])
    axes = tuple(sorted(axis % len(x.shape) for axis in axes))
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes)
    return Term(sign, (x,), shape, (axes, keep))


def unbroadcast(x: Term, shape: Shape) -> Term:
    """The sum over the axes along which an argument of this shape was broadcast."""
    more = len(x.shape) - len(shape)
    if more:
        x = reduced("sum", x, range(more))
    stretched = [i for i, (n, m) in enumerate(zip(x.shape, shape)) if n != m]
    return reduced("sum", x, stretched, keep=True) if stretched else x


# the table of notation


class Notation:
    """Writes the Terms of one equation, with letters for indices that none of its names has."""

    def __init__(self, taken: set[str], shapes: bool = False) -> None:
        self.letters = [letter for letter in "ijklmnpqrtuvwxyzabcdefgh" if letter not in taken]
        self.shapes = shapes

    def __call__(self, x: Term) -> Formula:
        """A Term as a formula."""
        return WRITTEN[x.sign](self, x)

    def factors(self, x: Term) -> list[Formula]:
        """The arguments of a product, with their shapes where these are asked for."""
        return [
            Shaped(e, "×".join(map(str, arg.shape))) if self.shapes and arg.sign in BARE and arg.shape else e
            for arg, e in ((arg, self(arg)) for arg in x.args)
        ]

    def index(self, rank: int, named: Callable[[int], bool]) -> Formula:
        """An index of an array: letters for some axes, dots for the others."""
        letters = [Word(self.letters[i]) if named(i) else Word("·", "number") for i in range(rank)]
        return letters[0] if rank == 1 else Row(tuple(letters))


#: Factors without factors of their own.
BARE = ("symbol", "transpose", "sum", "indicator", "one_hot")


def formula_of(x: Term, shapes: bool = False) -> Formula:
    """A Term as a formula, with the shapes of factors where these are asked for.

    >>> from minigrad.viz.formulas import latex, name
    >>> print(latex(formula_of(indicator(symbol(name("m"), ()) > 0))))
    \\mathbf{1} \\left\\{ m > 0 \\right\\}
    """
    return x.how[0] if x.sign == "symbol" else Notation(names_in(x), shapes)(x)


def names_in(x: Term) -> set[str]:
    """The words of all symbols in a Term."""
    own = [words(e) for e in x.how if isinstance(e, Formula)]
    return set().union(*own, *map(names_in, x.args))


def sign(text: str) -> Word:
    return Word(text, "sign")


def infix(text: str, binds: int, left: int | None = None) -> Any:
    """Two arguments around a sign; the left one may bind as strongly as the sign, or as much as `left` says."""

    def write(notation: Notation, x: Term) -> Formula:
        first, second = map(notation, x.args)
        return Row((fenced(first, binds if left is None else left), sign(text), fenced(second, binds + 1)), binds)

    return write


def function(text: str) -> Any:
    """A function with its arguments in brackets."""

    def write(notation: Notation, x: Term) -> Formula:
        return Row((Word(text, "function"), listed(map(notation, x.args))))

    return write


def listed(parts: Any, left: str = "(", right: str = ")", last: bool = False) -> Formula:
    """Parts in brackets, with commas between them, and a last one where it is asked for: (x,)."""
    inside: list[Formula] = []
    for part in parts:
        inside += [COMMA, part] if inside else [part]
    inside += [COMMA] * last
    return Fenced(Row(tuple(inside)), left, right)


def rewritten(change: Callable[..., Term]) -> Any:
    """An expression of other signs."""
    return lambda notation, x: notation(change(*x.args, *x.how))


def between(left: str, right: str) -> Any:
    return lambda notation, x: Fenced(notation(x.args[0]), left, right)


def logarithm(base: str) -> Any:
    head = Script(Word("log", "function"), Word(base, "number"))
    return lambda notation, x: Row((head, listed(map(notation, x.args))))


def reduction(head: Formula) -> Any:
    """Σ_i x_i: the letters below the sign are the axes that it runs over, a dot is an axis that remains."""

    def write(notation: Notation, x: Term) -> Formula:
        (array,), (axes, keep) = x.args, x.how
        inside = notation(array)
        if not array.shape:
            return inside
        below = [Word(notation.letters[i]) for i in axes]
        body = Script(atom(inside), notation.index(len(array.shape), lambda i: keep or i in axes))
        return Row((Script(head, below[0] if len(below) == 1 else Row(tuple(below))), body), REDUCTION)

    return write


def mean(x: Term, axes: Sequence[int], keep: bool) -> Term:
    count = math.prod(x.shape[i] for i in axes)
    return elementwise("multiply", elementwise("divide", 1, count), reduced("sum", x, axes, keep))


def multiplied(notation: Notation, x: Term) -> Formula:
    """A number beside what it scales; ∘ between arrays. A number is written first."""
    left, right = x.args
    first, second = notation.factors(x)
    if right.shape == () != left.shape or (right.sign == "number" != left.sign and left.shape == right.shape):
        left, right, first, second = right, left, second, first
    if left.shape != ():
        return Row((fenced(first, HADAMARD), sign("∘"), fenced(second, HADAMARD)), HADAMARD)
    first, second = fenced(first, PRODUCT), fenced(second, HADAMARD)
    binds = min(PRODUCT, binding(second))
    first_part = leading(second)
    side_by_side = right.shape != () or (left.sign == "number" and not isinstance(first_part, Fraction))
    dot = not side_by_side or isinstance(first_part, Fenced) or is_number(first_part)
    return Row((first, sign("·") if dot else SPACE, second), binds)


def is_number(x: Formula) -> bool:
    return isinstance(x, Word) and x.style == "number"


def matrices(notation: Notation, x: Term) -> Formula:
    """A product of matrices, each factor an atom or itself such a product."""
    left, right = notation.factors(x)
    chain = x.args[0].sign == "matmul" and len(x.args[0].shape) > 1
    return Row((left if chain else fenced(left, ATOM), TIMES, fenced(right, ATOM)), PRODUCT)


def transposed(notation: Notation, x: Term) -> Formula:
    return raised(notation(x.args[0]), sign("⊤"))


def raised(base: Formula, above: Formula) -> Formula:
    """A base with an exponent: what has one already, a fraction and an application go in brackets."""
    if isinstance(base, Script) and base.above is None:
        return Script(base.base, base.below, above)
    return Script(atom(base), above=above)


def powers(notation: Notation, x: Term) -> Formula:
    """A power of numbers, or of each element: x^2 of a vector, X^{∘2} of a matrix, as X² is X X."""
    base, power = x.args
    above = notation(power)
    if len(base.shape) > 1:
        above = Row((sign("∘"), fenced(above, ATOM)))
    return raised(notation(base), above)


def halves(x: Term) -> Term:
    return elementwise("power", x, 2)


def number(notation: Notation, x: Term) -> Formula:
    """A number; the reciprocal of a whole one as a fraction."""
    value = x.how[0]
    if isinstance(value, complex | np.complexfloating):
        return Word(repr(complex(value)), "code")
    if value != value:
        return Word("NaN", "upright")
    if value in (math.inf, -math.inf):
        text: Formula = Word("∞", "number")
    else:
        text = magnitude(abs(value))
    return Row((sign("−"), text), SUM) if value < 0 or (value == 0 and np.signbit(value)) else text


def magnitude(value: Any) -> Formula:
    """A number that is not negative."""
    if 0 < value < 1 and not isinstance(value, int):
        whole = round(1 / float(value))
        if 1 < whole < 10**6 and type(value)(1) / type(value)(whole) == value and len(str(value)) > 6:
            return Fraction(Word("1", "number"), Word(str(whole), "number"))
    text = str(value)
    if "e" in text:
        digits, exponent = text.split("e")
        ten = Script(Word("10", "number"), above=Word(str(int(exponent)).replace("-", "−"), "number"))
        return ten if digits == "1" else Row((Word(digits, "number"), sign("·"), ten), PRODUCT)
    return Word(text.removesuffix(".0"), "number")


def applied(notation: Notation, x: Term) -> Formula:
    """A function of NumPy that has no notation: by its name, with its arguments as formulas or as source."""
    called, keywords = x.how
    args = [notation(arg) for arg in x.args]
    for place, key in enumerate(keywords, len(args) - len(keywords)):
        args[place] = Row((Word(f"{key}=", "code"), args[place]), RELATION)
    return Row((Word(called, "code"), listed(args)))


def picked(notation: Notation, x: Term) -> Formula:
    """−1/n Σ_i log P_{i y_i}: the mean over examples of minus the logarithm of what stands at the class."""
    probabilities, classes = map(notation, x.args)
    i = Word(notation.letters[0])
    at_class = Script(atom(probabilities), Row((i, SPACE, Script(atom(classes), i))))
    total = Script(sign("∑"), i)
    part = Fraction(Word("1", "number"), Word(str(x.args[1].shape[0]), "number"))
    each = Row((total, Row((Word("log", "function"), Fenced(at_class)))), REDUCTION)
    return Row((sign("−"), Row((part, each), PRODUCT)), SUM)


def one_hot(notation: Notation, x: Term) -> Formula:
    head = Script(Word("onehot", "function"), Word(str(x.how[0]), "number"))
    return Row((head, listed([notation(x.args[0])])))


def subscripted(notation: Notation, x: Term) -> Formula:
    """x[…], the index as formulas and source."""
    return Row((atom(notation(x.args[0])), listed(map(notation, x.args[1:]), "[", "]")))


def negated(notation: Notation, x: Term) -> Formula:
    return Row((sign("−"), fenced(notation(x.args[0]), REDUCTION)), SUM)


def absolute(notation: Notation, x: Term) -> Formula:
    inside = notation(x.args[0])
    if len(x.shape) > 1:  # |X| is a determinant
        return Row((Word("abs", "function"), listed([inside])))
    return Fenced(inside, "|", "|")


def inner(notation: Notation, x: Term) -> Formula:
    return Row((row_vector(notation, x.args[0]), TIMES, fenced(notation.factors(x)[1], ATOM)), PRODUCT)


def outer_product(notation: Notation, x: Term) -> Formula:
    return Row((fenced(notation.factors(x)[0], ATOM), TIMES, row_vector(notation, x.args[1])), PRODUCT)


def row_vector(notation: Notation, x: Term) -> Formula:
    written = raised(notation(x), sign("⊤"))
    return Shaped(written, f"1×{x.shape[0]}") if notation.shapes and x.sign in BARE else written


def all_ones(notation: Notation, x: Term) -> Formula:
    """𝟏 with its shape: 𝟏_{3×4}."""
    return Script(sign("𝟏"), Word("×".join(map(str, x.shape)), "number"))


def choice(notation: Notation, x: Term) -> Formula:
    return Cases(*map(notation, x.args))


def conditional(notation: Notation, x: Term) -> Formula:
    return Row((sign("𝟏"), Fenced(notation(x.args[0]), "{", "}")))


#: How each sign is written, in pictures and in formulas of programs.
WRITTEN: dict[str, Callable[[Notation, Term], Formula]] = {
    "symbol": lambda notation, x: x.how[0],
    "code": lambda notation, x: Word(x.how[0], "code"),
    "list": lambda notation, x: listed(map(notation, x.args), *x.how),
    "number": number,
    "ones": all_ones,
    "add": infix("+", SUM),
    "subtract": infix("−", SUM),
    "multiply": multiplied,
    "divide": lambda notation, x: Fraction(*map(notation, x.args)),
    "negative": negated,
    "power": powers,
    "square": rewritten(halves),
    "reciprocal": rewritten(lambda x: 1 / x),
    "matmul": matrices,
    "dot": infix("·", PRODUCT, ATOM),
    "inner": inner,
    "outer": outer_product,
    "transpose": transposed,
    "sum": reduction(sign("∑")),
    "total": lambda notation, x: Row((sign("∑"), SPACE, fenced(notation(x.args[0]), ATOM)), REDUCTION),
    "prod": reduction(sign("∏")),
    "max": reduction(Word("max", "function")),
    "min": reduction(Word("min", "function")),
    "mean": rewritten(mean),
    "sqrt": lambda notation, x: Root(notation(x.args[0])),
    "absolute": absolute,
    "floor": between("⌊", "⌋"),
    "ceil": between("⌈", "⌉"),
    "floor_divide": rewritten(lambda x, y: Term("floor", (x / y,), np.broadcast_shapes(x.shape, y.shape))),
    "log1p": rewritten(lambda x: elementwise("log", elementwise("add", 1, x))),
    "expm1": rewritten(lambda x: elementwise("exp", x) - 1),
    "exp2": lambda notation, x: powers(notation, elementwise("power", 2, x.args[0])),
    "log2": logarithm("2"),
    "log10": logarithm("10"),
    "logsumexp": rewritten(
        lambda x, axes, keep: (s := reduced("sum", elementwise("exp", x), axes, keep)) and Term("log", (s,), s.shape)
    ),
    "sigmoid": function("σ"),
    "maximum": function("max"),
    "minimum": function("min"),
    "relu": rewritten(lambda x: elementwise("maximum", 0, x)),
    "where": choice,
    "indicator": conditional,
    "greater": infix(">", RELATION, SUM),
    "greater_equal": infix("≥", RELATION, SUM),
    "less": infix("<", RELATION, SUM),
    "less_equal": infix("≤", RELATION, SUM),
    "equal": infix("=", RELATION, SUM),
    "not_equal": infix("≠", RELATION, SUM),
    "cross_entropy": picked,
    "one_hot": one_hot,
    "index": subscripted,
    "call": applied,
    **{name: function(name) for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sign", "softmax")},
    "conjugate": function("conj"),
    "real": function("Re"),
    **{name: function(name) for name in ("arctan", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh", "sinc")},
}
