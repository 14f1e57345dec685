"""How ops are written: a sign, an expression, the pullback of each argument as a formula, a word on why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minigrad.engine import Node
from minigrad.walk import arguments, pullbacks


class Notation(NamedTuple):
    """In the expression and the pullbacks {0}, {1} are the arguments, {y} the result, {g} its gradient."""

    sign: str
    expression: str
    pullbacks: tuple[str, ...] = ()
    why: str = ""
    ordered: bool = False  # does the order of the arguments matter?


PASS_ON = "Each argument gets the elements that came from it."

NOTATION = {
    "add": Notation("+", "{0} + {1}", ("{g}", "{g}"), "A sum hands its gradient on, unchanged, to each term."),
    "subtract": Notation(
        "−", "{0} − {1}", ("{g}", "−{g}"), "What is taken away gets the gradient with its sign turned.", True
    ),
    "multiply": Notation(
        "∘", "{0} ∘ {1}", ("{g} ∘ {1}", "{g} ∘ {0}"), "Each factor gets the gradient times the other."
    ),
    "divide": Notation("/", "{0} / {1}", ("{g} / {1}", "−{g} ∘ {y} / {1}"), "", True),
    "negative": Notation("−", "−{0}", ("−{g}",), "The sign turns."),
    "power": Notation("^", "{0}^{1}", ("{g} ∘ {1} {0}^({1}−1)", "{g} ∘ {y} ∘ log {0}"), "", True),
    "exp": Notation("exp", "exp({0})", ("{g} ∘ {y}",), "The exponential is its own derivative."),
    "log": Notation("log", "log({0})", ("{g} / {0}",)),
    "log1p": Notation("log(1+·)", "log(1 + {0})", ("{g} / (1 + {0})",)),
    "tanh": Notation(
        "tanh", "tanh({0})", ("{g} ∘ (1 − {y}²)",), "The derivative is made of the value already computed."
    ),
    "sin": Notation("sin", "sin({0})", ("{g} ∘ cos({0})",)),
    "cos": Notation("cos", "cos({0})", ("{g} ∘ (−sin({0}))",)),
    "sqrt": Notation("√", "√{0}", ("{g} / (2 {y})",)),
    "square": Notation("(·)²", "{0}²", ("{g} ∘ 2{0}",)),
    "abs": Notation("|·|", "|{0}|", ("{g} ∘ sign({0})",)),
    "sigmoid": Notation(
        "σ",
        "σ({0})",
        ("{g} ∘ {y} ∘ (1 − {y})",),
        "f′(z) = f(z) (1 − f(z)): the derivative is made of the value already computed.",
    ),
    "relu": Notation(
        "max(0, ·)",
        "max(0, {0})",
        ("{g} ∘ 1{{{0} > 0}}",),
        "The indicator lets the gradient through where the argument is above 0, and nothing elsewhere.",
    ),
    "maximum": Notation(
        "max",
        "max({0}, {1})",
        ("{g} ∘ 1{{{0} > {1}}}", "{g} ∘ 1{{{1} > {0}}}"),
        "The larger one gets it; a tie shares.",
    ),
    "minimum": Notation(
        "min",
        "min({0}, {1})",
        ("{g} ∘ 1{{{0} < {1}}}", "{g} ∘ 1{{{1} < {0}}}"),
        "The smaller one gets it; a tie shares.",
    ),
    "where": Notation("where", "where({0}, {1}, {2})", ("", "{g} where {0}", "{g} where not {0}"), PASS_ON, True),
    "sum": Notation("Σ", "Σ {0}", ("{g} to every element",), "Every term of a sum has derivative 1."),
    "mean": Notation("mean", "mean({0})", ("{g} / n to every element",), "Every one of n terms has derivative 1/n."),
    "max": Notation("max", "max {0}", ("{g} ∘ 1{{{0} = {y}}}",), "Only the largest gets the gradient; ties share it."),
    "min": Notation("min", "min {0}", ("{g} ∘ 1{{{0} = {y}}}",), "Only the smallest gets the gradient; ties share it."),
    "logsumexp": Notation("log Σ exp", "log Σ exp {0}", ("{g} ∘ softmax({0})",)),
    "softmax": Notation("softmax", "softmax({0})", ("{y} ∘ ({g} − {g}·{y})",)),
    "log_softmax": Notation("log softmax", "log softmax({0})", ("{g} − exp({y}) Σ {g}",)),
    "cross_entropy": Notation(
        "−log p", "−log p({0})", ("{g} ∘ (softmax({0}) − 1{{class}}) / n",), "The probabilities, less one at the class."
    ),
    "reshape": Notation("reshape", "reshape({0})", ("{g} in the old shape",), "The same numbers in another shape."),
    "transpose": Notation("(·)ᵀ", "{0}ᵀ", ("{g}ᵀ",)),
    "expand_dims": Notation("expand", "expand({0})", ("{g} in the old shape",)),
    "squeeze": Notation("squeeze", "squeeze({0})", ("{g} in the old shape",)),
    "broadcast_to": Notation("repeat", "repeat({0})", ("Σ {g}",), "What was repeated gets the sum."),
    "concatenate": Notation("join", "join(…)", (), PASS_ON, True),
    "getitem": Notation("[·]", "{0}[…]", ("{g} at […], 0 elsewhere",), PASS_ON),
    "take": Notation("take", "take({0})", ("{g} at its places, 0 elsewhere",), PASS_ON),
    "embedding": Notation(
        "rows", "{0}[{1}]", ("{g} at the rows of {1}",), "Only the rows that were looked up get a gradient.", True
    ),
    "identity": Notation("=", "{0}", ("{g}",), "The same value as a variable of its own."),
}

PRODUCTS = {  # of a matmul, by the number of axes of its arguments
    (1, 1): ("{g} {1}", "{g} {0}"),
    (2, 1): ("{g} {1}ᵀ", "{0}ᵀ {g}"),
    (1, 2): ("{1} {g}", "{0} {g}ᵀ"),
}
WHY_PRODUCTS = {
    (1, 1): "The score is linear in either vector: its derivative is the other one.",
    (2, 1): "Error signal times input signal for every weight: an outer product. "
    "The input reaches every unit, so what comes back is summed over them.",
}


def notation(node: Node) -> Notation:
    """How a result's op is written.

    >>> import minigrad as mg
    >>> notation(mg.sigmoid(mg.Tensor(0.0))).pullbacks
    ('{g} ∘ {y} ∘ (1 − {y})',)

    An op that is not in the table is written with its own name, and its pullbacks as its source has them.
    """
    op, args = node._op, arguments(node)
    name = op.__name__ if op is not None else ""
    if name == "matmul":
        axes = getattr(args[0], "ndim", 0), getattr(args[1], "ndim", 0)
        formulas = PRODUCTS.get(axes, ("{g} {1}ᵀ", "{0}ᵀ {g}"))
        sign = "·" if axes == (1, 1) else "@"
        why = WHY_PRODUCTS.get(axes, "Each factor gets the gradient times the other, transposed.")
        return Notation(sign, "{0} " + sign + " {1}", formulas, why, True)
    if name in NOTATION:
        return NOTATION[name]
    places = [i for i, x in enumerate(args) if isinstance(x, Node)]
    return Notation(
        name,
        f"{name}({', '.join(f'{{{i}}}' for i in places)})",
        tuple(as_written(pullback) for pullback in pullbacks(node)),
        ordered=len(places) > 1,
    )


def as_written(pullback: Callable[..., Any] | None) -> str:
    """The body of a lambda as its source has it, or nothing."""
    code = getattr(pullback, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return ""
    import linecache  # here, as what it imports takes longer than all of minigrad

    spans = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    first, last = min((p[0], p[2]) for p in spans), max((p[1], p[3]) for p in spans)
    line = linecache.getline(code.co_filename, first[0])
    if not line or first[0] != last[0]:
        return ""
    text = line.encode()[first[1] : last[1]].decode(errors="replace")  # columns count bytes
    return text.replace("{", "{{").replace("}", "}}").replace("*", "·").replace("-", "−").replace("··", "^")


def filled(pattern: str, operands: Sequence[str], y: str, g: str, scalar: bool = False) -> str:
    """A pattern with its arguments' names; an argument that is itself an expression in brackets.

    >>> filled("{g} ∘ {0}ᵀ", ["W x"], "y", "δ"), filled("{0}^{1}", ["x", "2"], "y", "g")
    ('δ ∘ (W x)ᵀ', 'x²')
    """
    free = {"{0} + {1}": (0, 1), "{0} − {1}": (0,)}.get(pattern, ())  # what binds loosely needs no brackets
    if any(opening in pattern for opening in ("({", ", {", "{{")):
        free = tuple(range(len(operands)))
    names = [f"({name})" if " " in name and i not in free else name for i, name in enumerate(operands)]
    text = pattern.format(*names, *["…"] * 4, y=f"({y})" if " " in y else y, g=f"({g})" if " " in g else g)
    if g == "1" and pattern.startswith(("{g} ∘ ", "{g} {")):
        text = text.removeprefix("1 ").removeprefix("∘ ")
    text = re.sub(r"\^\((\d+)−1\)|\^(\d+)(?![\d.])", _raised, text)
    return text.replace("∘", "·") if scalar else text


def _raised(match: re.Match[str]) -> str:
    """A whole exponent as a superscript; n − 1 worked out."""
    n = int(match[1]) - 1 if match[1] else int(match[2])
    return "" if n == 1 else str(n).translate(SUPERSCRIPTS)


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
