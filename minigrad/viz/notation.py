"""How values, ops, pullbacks and gradients are written.

`annotate` writes a whole graph: a label for each box, a sign and an expression for each op, and a formula for each
gradient that flows back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Node
from minigrad.origin import source_line
from minigrad.text import op_name, printable
from minigrad.viz.formats import number
from minigrad.viz.graph import Box, Graph, Op, has_box
from minigrad.walk import NONLINEARITIES, arguments, pullbacks

# the patterns of ops


class Pattern(NamedTuple):
    """How an op is written: {0}, {1} are its arguments, {y} is its result, {g} the result's gradient."""

    sign: str
    expression: str
    pullbacks: tuple[str, ...] = ()
    why: str = ""
    ordered: bool = False  # does the order of the arguments matter?


PASSED_ON = "Each argument gets the elements that came from it."

PATTERNS = {
    "add": Pattern("+", "{0} + {1}", ("{g}", "{g}"), "A sum hands its gradient on, unchanged, to each term."),
    "subtract": Pattern(
        "−", "{0} − {1}", ("{g}", "−{g}"), "What is taken away gets the gradient with its sign turned.", True
    ),
    "multiply": Pattern("∘", "{0} ∘ {1}", ("{g} ∘ {1}", "{g} ∘ {0}"), "Each factor gets the gradient times the other."),
    "divide": Pattern("/", "{0} / {1}", ("{g} / {1}", "−{g} ∘ {y} / {1}"), "", True),
    "negative": Pattern("−", "−{0}", ("−{g}",), "The sign turns."),
    "power": Pattern("^", "{0}^{1}", ("{g} ∘ {1} {0}^({1}−1)", "{g} ∘ {y} ∘ log {0}"), "", True),
    "exp": Pattern("exp", "exp({0})", ("{g} ∘ {y}",), "The exponential is its own derivative."),
    "log": Pattern("log", "log({0})", ("{g} / {0}",)),
    "log1p": Pattern("log(1+·)", "log(1 + {0})", ("{g} / (1 + {0})",)),
    "tanh": Pattern(
        "tanh", "tanh({0})", ("{g} ∘ (1 − {y}²)",), "The derivative is made of the value already computed."
    ),
    "sin": Pattern("sin", "sin({0})", ("{g} ∘ cos({0})",)),
    "cos": Pattern("cos", "cos({0})", ("{g} ∘ (−sin({0}))",)),
    "sqrt": Pattern("√", "√{0}", ("{g} / (2 {y})",)),
    "square": Pattern("(·)²", "{0}²", ("{g} ∘ 2{0}",)),
    "abs": Pattern("|·|", "|{0}|", ("{g} ∘ sign({0})",)),
    "sigmoid": Pattern(
        "σ",
        "σ({0})",
        ("{g} ∘ {y} ∘ (1 − {y})",),
        "f′(z) = f(z) (1 − f(z)): the derivative is made of the value already computed.",
    ),
    "relu": Pattern(
        "max(0, ·)",
        "max(0, {0})",
        ("{g} ∘ 1{{{0} > 0}}",),
        "The indicator lets the gradient through where the argument is above 0, and nothing elsewhere.",
    ),
    "maximum": Pattern(
        "max",
        "max({0}, {1})",
        ("{g} ∘ 1{{{0} > {1}}}", "{g} ∘ 1{{{1} > {0}}}"),
        "The larger one gets it; a tie shares.",
    ),
    "minimum": Pattern(
        "min",
        "min({0}, {1})",
        ("{g} ∘ 1{{{0} < {1}}}", "{g} ∘ 1{{{1} < {0}}}"),
        "The smaller one gets it; a tie shares.",
    ),
    "where": Pattern("where", "where({0}, {1}, {2})", ("", "{g} where {0}", "{g} where not {0}"), PASSED_ON, True),
    "sum": Pattern("Σ", "Σ {0}", ("{g} to every element",), "Every term of a sum has derivative 1."),
    "mean": Pattern("mean", "mean({0})", ("{g} / n to every element",), "Every one of n terms has derivative 1/n."),
    "max": Pattern("max", "max {0}", ("{g} ∘ 1{{{0} = {y}}}",), "Only the largest gets the gradient; ties share it."),
    "min": Pattern("min", "min {0}", ("{g} ∘ 1{{{0} = {y}}}",), "Only the smallest gets the gradient; ties share it."),
    "logsumexp": Pattern("log Σ exp", "log Σ exp {0}", ("{g} ∘ softmax({0})",)),
    "softmax": Pattern("softmax", "softmax({0})", ("{y} ∘ ({g} − {g}·{y})",)),
    "log_softmax": Pattern("log softmax", "log softmax({0})", ("{g} − exp({y}) Σ {g}",)),
    "cross_entropy": Pattern(
        "−log p", "−log p({0})", ("{g} ∘ (softmax({0}) − 1{{class}}) / n",), "The probabilities, less one at the class."
    ),
    "reshape": Pattern("reshape", "reshape({0})", ("{g} in the old shape",), "The same numbers in another shape."),
    "transpose": Pattern("(·)ᵀ", "{0}ᵀ", ("{g}ᵀ",)),
    "expand_dims": Pattern("expand", "expand({0})", ("{g} in the old shape",)),
    "squeeze": Pattern("squeeze", "squeeze({0})", ("{g} in the old shape",)),
    "broadcast_to": Pattern("repeat", "repeat({0})", ("Σ {g}",), "What was repeated gets the sum."),
    "concatenate": Pattern("join", "join(…)", (), PASSED_ON, True),
    "getitem": Pattern("[·]", "{0}[…]", ("{g} at […], 0 elsewhere",), PASSED_ON),
    "take": Pattern("take", "take({0})", ("{g} at its places, 0 elsewhere",), PASSED_ON),
    "embedding": Pattern(
        "rows", "{0}[{1}]", ("{g} at the rows of {1}",), "Only the rows that were looked up get a gradient.", True
    ),
    "identity": Pattern("=", "{0}", ("{g}",), "The same value as a variable of its own."),
}

#: The pullbacks of a matmul, by the number of axes of its arguments.
PRODUCTS = {
    (1, 1): ("{g} {1}", "{g} {0}"),
    (2, 1): ("{g} {1}ᵀ", "{0}ᵀ {g}"),
    (1, 2): ("{1} {g}", "{0} {g}ᵀ"),
}
WHY_PRODUCTS = {
    (1, 1): "The score is linear in either vector: its derivative is the other one.",
    (2, 1): "Error signal times input signal for every weight: an outer product. "
    "The input reaches every unit, so what comes back is summed over them.",
}


def pattern(node: Node) -> Pattern:
    """The pattern of the op that computed a value.

    >>> import minigrad as mg
    >>> pattern(mg.sigmoid(mg.Tensor(0.0))).pullbacks
    ('{g} ∘ {y} ∘ (1 − {y})',)

    An op that is not in the table is written by its own name, and its pullbacks by their source.
    """
    op, args = node._op, arguments(node)
    name = op_name(op) if op is not None else ""
    if name == "matmul":
        axes = getattr(args[0], "ndim", 0), getattr(args[1], "ndim", 0)
        formulas = PRODUCTS.get(axes, ("{g} {1}ᵀ", "{0}ᵀ {g}"))
        sign = "·" if axes == (1, 1) else "@"
        why = WHY_PRODUCTS.get(axes, "Each factor gets the gradient times the other, transposed.")
        return Pattern(sign, "{0} " + sign + " {1}", formulas, why, True)
    if name in PATTERNS:
        return PATTERNS[name]
    places = [i for i, x in enumerate(args) if isinstance(x, Node)]
    literally = name.replace("{", "{{").replace("}", "}}")
    return Pattern(
        name,
        f"{literally}({', '.join(f'{{{i}}}' for i in places)})",
        tuple(source_of(pullback) for pullback in pullbacks(node)),
        ordered=len(places) > 1,
    )


def source_of(pullback: Callable[..., Any] | None) -> str:
    """The body of a lambda in its source, or "" where it cannot be found on one line."""
    code = getattr(pullback, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return ""
    spans = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    first, last = min((p[0], p[2]) for p in spans), max((p[1], p[3]) for p in spans)
    line = source_line(code.co_filename, first[0])
    if not line or first[0] != last[0]:
        return ""
    text = line.encode()[first[1] : last[1]].decode(errors="replace")  # columns count bytes
    text = printable(text.expandtabs())
    return text.replace("{", "{{").replace("}", "}}").replace("*", "·").replace("-", "−").replace("··", "^")


def substitute(pattern: str, operands: Sequence[str], y: str, g: str, scalar: bool = False) -> str:
    """A pattern with its arguments written in; an argument that is itself an expression goes in brackets.

    >>> substitute("{g} ∘ {0}ᵀ", ["W x"], "y", "δ"), substitute("{0}^{1}", ["x", "2"], "y", "g")
    ('δ ∘ (W x)ᵀ', 'x²')
    """
    free = {"{0} + {1}": (0, 1), "{0} − {1}": (0,)}.get(pattern, ())  # the loosest operators need no brackets inside
    if any(opening in pattern for opening in ("({", ", {", "{{")):
        free = tuple(range(len(operands)))
    names = [f"({name})" if " " in name and i not in free else name for i, name in enumerate(operands)]
    text = pattern.format(*names, *["…"] * 4, y=f"({y})" if " " in y else y, g=f"({g})" if " " in g else g)
    if g == "1" and pattern.startswith(("{g} ∘ ", "{g} {")):
        text = text.removeprefix("1 ").removeprefix("∘ ")
    text = re.sub(r"\^\((\d+)−1\)|\^(\d+)(?![\d.])", _superscript, text)
    return text.replace("∘", "·") if scalar else text


def _superscript(match: re.Match[str]) -> str:
    """An integer exponent as a superscript; n − 1 is worked out."""
    n = int(match[1]) - 1 if match[1] else int(match[2])
    return "" if n == 1 else str(n).translate(SUPERSCRIPTS)


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


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


# a whole graph


def annotate(graph: Graph) -> Graph:
    """Write a graph: the labels of its boxes, the signs and expressions of its ops, the formulas of its gradients."""
    for box in graph.boxes:
        box.label = box.name or ("" if box.op else _leaf_label(box))
    for box in reversed(graph.boxes):  # the oldest first: an expression is written in the labels of its arguments
        if box.op:
            _write_op(box, box.op)
            box.label = box.label or (box.op.expression if len(box.op.expression) <= 14 else _variable(box))
    _mark_error_signals(graph)
    for box in graph.boxes:  # the newest first, as δ is handed on to arguments
        if box.op:
            box.symbol = box.delta or ("1" if box is graph.root else "g")
            _write_gradients(box, box.op)
    return graph


def derivative(graph: Graph, box: Box) -> tuple[str, str]:
    """The names above and below the bar of the derivative of the root with respect to a value."""
    root = graph.root.label
    return root if len(root) <= 3 else "J", f"({box.label})" if " " in box.label else box.label


def equation(box: Box) -> str:
    """A result in terms of its arguments: "z = W @ x", or the expression alone where that is its label."""
    assert box.op is not None
    return box.label if box.label == box.op.expression else f"{box.label} = {box.op.expression}"


def assignment(box: Box) -> str:
    """A result as a line of code: "v3 = W @ x" where it has no name."""
    assert box.op is not None
    variable = _variable(box) if box.label == box.op.expression else box.label
    return f"{variable} = {box.op.expression}"


def _leaf_label(box: Box) -> str:
    """The label of a leaf without a name."""
    return "constant" if box.node is None else "variable" if box.kind == "parameter" else "input"


def _variable(box: Box) -> str:
    return f"v{box.key[1:]}"


def _labels(op: Op) -> dict[int, str]:
    """The labels of an op's operands by their places."""
    return {o.place: o.box.label if o.box else "…" for o in op.operands}


def _arguments(op: Op) -> list[str]:
    """The arguments of an op as its formulas write them: labels, and constants that have no box."""
    labels = _labels(op)
    return [labels[i] if i in labels else constant(x) for i, x in enumerate(arguments(op.node))]


def _write_op(box: Box, op: Op) -> None:
    """The sign and the expression of an op; constants that have no box are part of its sign."""
    how, args = pattern(op.node), arguments(op.node)
    op.sign, op.why, op.ordered = how.sign, how.why, how.ordered
    texts = ["·" if has_box(x) else constant(x) for x in args]
    inline = [text for x, text in zip(args, texts) if not has_box(x)]
    if inline and how.expression.count("{") > 1 and "{1}" in how.expression:
        op.sign = substitute(how.expression, texts, "", "")
    elif inline:
        op.sign += f" {', '.join(inline)}"
    if op.node._kwargs:
        op.sign += " " + ", ".join(f"{printable(key)}={constant(value)}" for key, value in op.node._kwargs.items())
    if how.sign == "join":
        op.expression = f"join({', '.join(_labels(op).values())})"
    else:
        op.expression = substitute(how.expression, _arguments(op), box.name, "g", scalar=box.data.shape == ())


def _write_gradients(box: Box, op: Op) -> None:
    """The pullbacks of an op as formulas, and its local derivative where it is elementwise in one argument."""
    how, args, scalar = pattern(op.node), _arguments(op), box.data.shape == ()
    for o in op.operands:
        x = o.box
        if o.place < len(how.pullbacks):
            o.formula = substitute(how.pullbacks[o.place], args, box.label, box.symbol, scalar)
        elif x is not None and x.node is not None:
            o.formula = f"{box.symbol} pulled back"
        passed_on = bool(box.delta) and o.formula == box.delta  # as a sum does
        if passed_on and x is not None and x.op and x.arrivals == 1 and x.data.shape == box.data.shape:
            x.delta = box.delta
    if len(op.operands) == 1 and how.pullbacks and how.pullbacks[0].startswith("{g} ∘ "):
        op.local = substitute(how.pullbacks[0].removeprefix("{g} ∘ "), args, box.label, box.symbol, scalar)


# error signals


def _mark_error_signals(graph: Graph) -> None:
    """Write δ for the gradient of z = W x + b, where a = f(z): δ_c for z_c, numbered where there are several."""
    found = []
    for box in reversed(graph.boxes):
        z = box.op.operands[0].box if box.op and box.op_name in NONLINEARITIES else None
        if z is not None and z.grad is not None and _is_affine(z) and z not in found:
            found.append(z)
    same_name: dict[Any, list[Box]] = {}
    for z in found:
        suffix = z.label.removeprefix("z") if z.label.startswith("z_") else ""
        same_name.setdefault((suffix, z.scopes), []).append(z)
    for (suffix, _), boxes in same_name.items():
        for i, z in enumerate(boxes, 1):
            z.delta = f"δ{suffix}" + (str(i).translate(SUBSCRIPTS) if len(boxes) > 1 else "")


def _is_affine(z: Box) -> bool:
    """Is it W x, or W x + b?"""
    if z.op_name != "add" or not z.op:
        return z.op_name == "matmul"
    args = [o.box for o in z.op.operands if o.box]
    return any(a.op_name == "matmul" for a in args) and any(a.op is None for a in args)
