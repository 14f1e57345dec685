"""How each op is written: its value by its arguments, and its pullbacks by the gradient of its value."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Array, Node
from minigrad.origin import source_line
from minigrad.text import op_name, printable
from minigrad.viz.formats import number
from minigrad.viz.graph import shown
from minigrad.viz.mathematics import Shape, Term, elementwise, indicator, ones, outer, product, reduced, term
from minigrad.walk import arguments, pullbacks

#: A formula as a function of Terms, or words in which {0}, {1} are the arguments, {y} the result, {g} its gradient.
Pullback = Callable[..., Term] | str


class Pattern(NamedTuple):
    """How an op is written: its value by its arguments, and each pullback by g, y and the arguments."""

    sign: str
    expression: Pullback
    pullbacks: tuple[Pullback, ...] = ()
    why: str = ""
    ordered: bool = False  # does the order of the arguments matter?
    local: bool = False  # is each pullback g times a local derivative?
    case: Callable[..., Any] | None = None  # by y and the arguments: a number for the values that this is written for


def call(sign: str) -> Callable[..., Term]:
    return lambda *args: elementwise(sign, *args)


def derivative_of(sign: str, factor: Callable[..., Term], word: str = "", why: str = "") -> Pattern:
    """An elementwise op of one argument x: the factor by y and x that its gradient is multiplied by."""
    return Pattern(word or sign, call(sign), (lambda g, y, x: g * factor(y, x),), why, local=True)


PASSED_ON = "Each argument gets the elements that came from it."

PATTERNS = {
    "add": Pattern("+", call("add"), (lambda g, *_: g,) * 2, "A sum hands its gradient on, unchanged, to each term."),
    "subtract": Pattern(
        "−",
        call("subtract"),
        (lambda g, *_: g, lambda g, *_: -g),
        "What is taken away gets the gradient with its sign turned.",
        True,
    ),
    "multiply": Pattern(
        "∘",
        call("multiply"),
        (lambda g, y, x, z: g * z, lambda g, y, x, z: g * x),
        "Each factor gets the gradient times the other.",
        local=True,
    ),
    "divide": Pattern("/", call("divide"), (lambda g, y, x, z: g / z, lambda g, y, x, z: -(g * (y / z))), "", True),
    "negative": Pattern("−", call("negative"), (lambda g, *_: -g,), "The sign turns."),
    "power": Pattern(
        "^",
        call("power"),
        (lambda g, y, x, n: g * (n * x ** less_one(n)), lambda g, y, x, n: g * (y * call("log")(x))),
        "",
        True,
        True,
    ),
    "exp": derivative_of("exp", lambda y, x: y, why="The exponential is its own derivative."),
    "log": Pattern("log", call("log"), (lambda g, y, x: g / x,)),
    "log1p": Pattern("log(1+·)", call("log1p"), (lambda g, y, x: g / (1 + x),)),
    "tanh": derivative_of("tanh", lambda y, x: 1 - y**2, why="The derivative is made of the value already computed."),
    "sin": derivative_of("sin", lambda y, x: call("cos")(x)),
    "cos": derivative_of("cos", lambda y, x: -call("sin")(x)),
    "sqrt": Pattern("√", call("sqrt"), (lambda g, y, x: g / (2 * y),)),
    "square": derivative_of("square", lambda y, x: 2 * x, "(·)²"),
    "abs": derivative_of("absolute", lambda y, x: call("sign")(x), "|·|"),
    "sigmoid": derivative_of(
        "sigmoid",
        lambda y, x: y * (1 - y),
        "σ",
        "f′(z) = f(z) (1 − f(z)): the derivative is made of the value already computed.",
    ),
    "relu": derivative_of(
        "relu",
        lambda y, x: indicator(x > 0),
        "max(0, ·)",
        "The indicator lets the gradient through where the argument is above 0, and nothing elsewhere.",
    ),
    "where": Pattern(
        "where",
        call("where"),
        ("", lambda g, y, c, a, b: call("where")(c, g, 0), lambda g, y, c, a, b: call("where")(c, 0, g)),
        PASSED_ON,
        True,
    ),
    "sum": Pattern("Σ", "sum({0})", ("{g} to every element",), "Every term of a sum has derivative 1."),
    "mean": Pattern("mean", "mean({0})", ("{g} / n to every element",), "Every one of n terms has derivative 1/n."),
    "logsumexp": Pattern("log Σ exp", "logsumexp({0})", ("{g} pulled back",)),
    "softmax": Pattern("softmax", "softmax({0})", ("{g} pulled back",)),
    "log_softmax": Pattern("log softmax", "log softmax({0})", ("{g} pulled back",)),
    "cross_entropy": Pattern("−log p", "−log p({0})", (), "The probabilities, less one at the class."),
    "reshape": Pattern("reshape", "reshape({0})", ("{g} in the old shape",), "The same numbers in another shape."),
    "transpose": Pattern("(·)ᵀ", "transpose({0})", ("{g} transposed back",)),
    "expand_dims": Pattern("expand", "expand({0})", ("{g} in the old shape",)),
    "squeeze": Pattern("squeeze", "squeeze({0})", ("{g} in the old shape",)),
    "broadcast_to": Pattern("repeat", "repeat({0})", (lambda g, *_: g,), "What was repeated gets the sum."),
    "concatenate": Pattern("join", "join(…)", (), PASSED_ON, True),
    "getitem": Pattern("[·]", "{0}[…]", ("{g} at […], 0 elsewhere",), PASSED_ON),
    "take": Pattern("take", "take({0})", ("{g} at its places, 0 elsewhere",), PASSED_ON),
    "embedding": Pattern(
        "rows", "{0}[{1}]", ("{g} at the rows of {1}",), "Only the rows that were looked up get a gradient.", True
    ),
    "identity": Pattern("=", lambda x: x, (lambda g, *_: g,), "The same value as a variable of its own."),
}
PATTERNS["positive"] = PATTERNS["identity"]

WHY_PRODUCTS: dict[tuple[int, ...], str] = {
    (1, 1): "The score is linear in either vector: its derivative is the other one.",
    (2, 1): "Error signal times input signal for every weight: an outer product. "
    "The input reaches every unit, so what comes back is summed over them.",
}


def less_one(n: Term) -> Term:
    """n − 1, worked out where n is a number."""
    return term(n.how[0] - 1) if n.sign == "number" else n - 1


def pattern(node: Node) -> Pattern:
    """The pattern of the op that computed a value.

    >>> import minigrad as mg
    >>> pattern(mg.sigmoid(mg.Tensor(0.0))).sign
    'σ'

    An op that is not in the table is written by its own name, and its pullbacks by their source.
    """
    op = node._op
    name = op_name(op) if op is not None else ""
    if name in DEPENDS:
        return DEPENDS[name](node)
    if name in PATTERNS:
        return PATTERNS[name]
    places = [i for i, x in enumerate(arguments(node)) if isinstance(x, Node)]
    literally = name.replace("{", "{{").replace("}", "}}")
    return Pattern(
        name,
        f"{literally}({', '.join(f'{{{i}}}' for i in places)})",
        tuple(source_of(pullback) for pullback in pullbacks(node)),
        ordered=len(places) > 1,
    )


# the patterns that depend on the arguments


def matmul_pattern(node: Node) -> Pattern:
    """A product of vectors, matrices or stacks of matrices."""
    ranks = tuple(np.ndim(getattr(x, "_data", x)) for x in arguments(node)[:2])
    why = WHY_PRODUCTS.get(ranks, "Each factor gets the gradient times the other, transposed.")
    formulas: tuple[Pullback, ...]
    if ranks == (1, 1):
        formulas = (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
        return Pattern("·", lambda a, b: Term("dot", (a, b), ()), formulas, why, True)
    if ranks == (2, 1):
        formulas = (lambda g, y, a, b: outer(g, b), lambda g, y, a, b: a.T @ g)
    elif ranks == (1, 2):
        formulas = (lambda g, y, a, b: b @ g, lambda g, y, a, b: outer(a, g))
    elif min(ranks) > 1:
        formulas = (lambda g, y, a, b: g @ b.T, lambda g, y, a, b: a.T @ g)
    else:
        return Pattern("@", "{0} @ {1}", ("{g} pulled back",) * 2, why, True)
    return Pattern("@", product if ranks != (1, 2) else "{0} @ {1}", formulas, why, True)


def power_pattern(node: Node) -> Pattern:
    """x to the n; where x is 0 its logarithm says nothing, and where n is 0 there is nothing to multiply."""

    def case(y: Array, x: Array, n: Array) -> Array:
        zero = np.equal(n, 0)
        return np.any(np.equal(x, 0)) + 2 * np.any(np.equal(x, 0) & zero) + 4 * (np.all(zero) if np.size(n) == 1 else 0)

    how = PATTERNS["power"]._replace(case=case)
    number = case_of(how, node)
    first, second = how.pullbacks
    if number & 4:
        first = lambda g, *_: term(0) * g  # noqa: E731
    elif number & 2:
        first = "{g} ∘ {1} {0}^({1} − 1), 0 where {1} is 0"
    if number & 1:
        second = "{g} ∘ {y} ∘ log {0}, 0 where {0} is 0"
    return how._replace(pullbacks=(first, second), local=callable(first) and callable(second))


def arrays_of(node: Node) -> list[Any]:
    """The value of an op, and its arguments without their history."""
    return [shown(x._data if isinstance(x, Node) else x) for x in (node, *arguments(node))]


def case_of(how: Pattern, node: Node) -> int:
    """The number of the case that the values of an op are."""
    return int(how.case(*arrays_of(node))) if how.case else 0


def larger_pattern(node: Node) -> Pattern:
    """The larger or the smaller of two: where there are ties, both get half."""
    name = op_name(node._op)
    wins = operator.gt if name == "maximum" else operator.lt

    def share(a: Term, b: Term) -> Term:
        alone = indicator(wins(a, b))
        return alone + term(0.5) * indicator(elementwise("equal", a, b)) if ties else alone

    formulas = (lambda g, y, a, b: g * share(a, b), lambda g, y, a, b: g * share(b, a))
    word = name.removesuffix("imum")
    side = "larger" if name == "maximum" else "smaller"
    how = Pattern(word, call(name), formulas, f"The {side} one gets it; a tie shares.", local=True)
    how = how._replace(case=lambda y, a, b: 1 * np.any(np.equal(a, b)))
    ties = case_of(how, node)
    return how


def axes_of(node: Node, default: Any = None) -> tuple[tuple[int, ...], bool] | None:
    """The axes that a reduction runs over, and if they stay; None where it says more than that."""
    x, *rest = arguments(node)
    if len(rest) > 1 or not {*node._kwargs} <= {"axis", "keepdims"}:
        return None
    axis = rest[0] if rest else node._kwargs.get("axis", default)
    rank = x._data.ndim
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if not all(isinstance(i, int) for i in axes) or (axes and not rank):
        return None
    return tuple(sorted(i % rank for i in axes)), bool(node._kwargs.get("keepdims", False))


def spread(g: Term, shape: Shape, axes: tuple[int, ...], keep: bool) -> Term:
    """The gradient of a sum, given to each of its terms."""
    if keep or not g.shape:
        return g * ones(shape)
    return outer(g, ones(shape[1:])) if axes == (1,) else outer(ones(shape[:1]), g)


def sum_pattern(node: Node) -> Pattern:
    """A sum or a mean over some axes; of a vector it is written without an index."""
    name, found, x = op_name(node._op), axes_of(node), arguments(node)[0]._data
    how = PATTERNS[name]
    if found is None or not x.ndim:
        return how
    axes, keep = found
    n = math.prod(x.shape[i] for i in axes)
    expression: Pullback = lambda x, *_: reduced(name, x, axes, keep)  # noqa: E731
    if len(axes) == x.ndim and not keep and name == "sum":
        expression = lambda x, *_: Term("total", (x,), ())  # noqa: E731
    if node._data.ndim and not keep and (x.ndim != 2 or len(axes) != 1):  # no notation spreads it
        return how._replace(expression=expression)
    share = term(1) if name == "sum" else 1 / term(n)
    pullback = lambda g, *_: spread(share * g, x.shape, axes, keep)  # noqa: E731
    return how._replace(expression=expression, pullbacks=(pullback,))


def extreme_pattern(node: Node) -> Pattern:
    """The largest or smallest element, of all or along some axes."""
    x, name, found = arguments(node)[0], op_name(node._op), axes_of(node)
    word = "largest" if name == "max" else "smallest"
    expression: Pullback = name + "({0})"
    if found is not None and x._data.ndim:
        expression = lambda x, *_: reduced(name, x, *found)  # noqa: E731
    words = "{g} where {0} is " + word
    how = Pattern(name, expression, (words,), f"Only the {word} gets the gradient; ties share it.")
    if node._data.shape != ():
        return how
    how = how._replace(case=lambda y, x, *_: 1 * (np.sum(np.equal(x, y)) == 1))
    alone: Pullback = lambda g, y, x, *_: g * indicator(elementwise("equal", x, y))  # noqa: E731
    return how._replace(pullbacks=(alone,)) if case_of(how, node) else how


def softmax_pattern(node: Node) -> Pattern:
    """softmax and its logarithm along an axis: the gradient less what every element of the row gives up."""
    name, found = op_name(node._op), axes_of(node, default=-1)
    if found is None or len(found[0]) != 1:
        return PATTERNS[name]
    axes, _ = found
    how = PATTERNS[name]
    if axes == (node._data.ndim - 1,):  # the notation softmax(x) is that of rows
        rows = call("softmax")
        expressions = {"softmax": lambda x, *_: rows(x), "log_softmax": lambda x, *_: call("log")(rows(x))}
        how = how._replace(expression=expressions[name])
    pullbacks = {
        "softmax": lambda g, y, x, *_: y * (g - reduced("sum", g * y, axes, True)),
        "log_softmax": lambda g, y, x, *_: g - call("exp")(y) * reduced("sum", g, axes, True),
    }
    return how._replace(pullbacks=(pullbacks[name],))


def logsumexp_pattern(node: Node) -> Pattern:
    how, x, found = PATTERNS["logsumexp"], arguments(node)[0]._data, axes_of(node)
    if found is None or not x.ndim:
        return how
    axes, keep = found

    def expression(x: Term, *_: Any) -> Term:
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes)
        return Term("logsumexp", (x,), shape, (axes, keep))

    if len(axes) != x.ndim or x.ndim > 1 or keep:
        return how._replace(expression=expression)
    return how._replace(expression=expression, pullbacks=(lambda g, y, x, *_: g * call("softmax")(x),))


def cross_entropy_pattern(node: Node) -> Pattern:
    """The mean over the rows of a batch."""
    how, args = PATTERNS["cross_entropy"], arguments(node)
    scores = args[0]._data
    if scores.ndim != 2 or len(args) != 2 or node._kwargs or np.ndim(args[1]) != 1 or np.size(args[1]) < 2:
        return how._replace(pullbacks=("{g} pulled back",))
    n, k = scores.shape

    def loss(x: Term, y: Term) -> Term:
        return Term("cross_entropy", (call("softmax")(x), y), ())

    def classes(y: Term) -> Term:
        return Term("one_hot", (y,), (n, k), (k,))

    pullback = lambda g, y, x, c, *_: g * ((call("softmax")(x) - classes(c)) / n)  # noqa: E731
    return how._replace(expression=loss, pullbacks=(pullback,))


def getitem_pattern(node: Node) -> Pattern:
    """An element or a part, by its index."""
    index = constant(arguments(node)[1])
    text = index[1:-1] if index.startswith("(") and index.endswith(")") else index
    place = f"[{text}]".replace("{", "{{").replace("}", "}}")
    return PATTERNS["getitem"]._replace(expression="{0}" + place, pullbacks=("{g} at " + place + ", 0 elsewhere",))


def abs_pattern(node: Node) -> Pattern:
    """The modulus of a complex number, which is not analytic: its derivative has the conjugate."""
    how = PATTERNS["abs"]
    if not np.iscomplexobj(arguments(node)[0]._data):
        return how
    return how._replace(pullbacks=(lambda g, y, x: g * call("sign")(call("conjugate")(x)),))


def transpose_pattern(node: Node) -> Pattern:
    if node._data.ndim != 2 or len(arguments(node)) > 1 or node._kwargs:
        return PATTERNS["transpose"]
    return PATTERNS["transpose"]._replace(expression=lambda x: x.T, pullbacks=(lambda g, y, x: g.T,))


DEPENDS: dict[str, Callable[[Node], Pattern]] = {
    "abs": abs_pattern,
    "matmul": matmul_pattern,
    "power": power_pattern,
    "maximum": larger_pattern,
    "minimum": larger_pattern,
    "max": extreme_pattern,
    "min": extreme_pattern,
    "sum": sum_pattern,
    "mean": sum_pattern,
    "softmax": softmax_pattern,
    "log_softmax": softmax_pattern,
    "logsumexp": logsumexp_pattern,
    "cross_entropy": cross_entropy_pattern,
    "transpose": transpose_pattern,
    "getitem": getitem_pattern,
}


def source_of(pullback: Callable[..., Any] | None) -> str:
    """A lambda in its source, or "" where it cannot be found on one line."""
    if pullback is None or not (text := _body(pullback)):
        return ""
    for name, function in inspect.getclosurevars(pullback).nonlocals.items():
        if body := _body(function):  # called with variables of the same names: a derivative that several ops share
            text = text.replace(f"{name}({_parameters(function)})", f"({body})" if " " in body else body)
    return f"lambda {_parameters(pullback)}: {text}".replace("{", "{{").replace("}", "}}")


def _parameters(function: Any) -> str:
    code = function.__code__
    return ", ".join(code.co_varnames[: code.co_argcount])


def _body(function: Any) -> str:
    """The expression of a lambda, or ""."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return ""
    spans = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    first, last = min((p[0], p[2]) for p in spans), max((p[1], p[3]) for p in spans)
    line = source_line(code.co_filename, first[0])
    if not line or first[0] != last[0]:
        return ""
    text = line.encode()[first[1] : last[1]].decode(errors="replace")  # columns count bytes
    return printable(text.expandtabs())


def in_words(pattern: str, operands: Sequence[str], y: str, g: str) -> str:
    """A pattern of words with its arguments written in; an argument that is itself an expression goes in brackets.

    >>> in_words("{g} at the rows of {0}", ["W x"], "y", "δ")
    'δ at the rows of (W x)'
    """
    lists = any(opening in pattern for opening in ("({", ", {"))
    names = [f"({name})" if " " in name and not lists else name for name in operands]
    return pattern.format(*names, *["…"] * 4, y=f"({y})" if " " in y else y, g=f"({g})" if " " in g else g)


def constant(x: Any) -> str:
    """An argument that is not differentiated: a number, an index, a shape.

    >>> constant((slice(1, None), ...)), constant(-0.5), constant(np.float32(3.0))
    ('(1:, …)', '−0.5', '3')
    """
    if isinstance(x, slice):
        parts = [x.start, x.stop] + ([x.step] if x.step is not None else [])
        return ":".join("" if p is None else str(p) for p in parts)
    if isinstance(x, tuple):
        return f"({', '.join(map(constant, x))}{',' if len(x) == 1 else ''})"
    if isinstance(x, float | complex | np.inexact):
        return number(x, 6)
    if hasattr(x, "item") and getattr(x, "size", 0) == 1:
        return constant(x.item())
    text = "…" if x is Ellipsis else printable(x)
    return text if len(text) <= 16 else text[:15] + "…"
