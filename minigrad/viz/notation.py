"""How values, ops, pullbacks and gradients are written.

`annotate` writes a whole graph: a label for each box, a sign and an expression for each op, and a formula for each
gradient that flows back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Node
from minigrad.origin import source_line
from minigrad.text import op_name, printable
from minigrad.viz.formats import number
from minigrad.viz.formulas import SUBSCRIPTS, SUPERSCRIPTS, Fenced, Word, plain
from minigrad.viz.graph import Box, Graph, Op, Operand, has_box
from minigrad.viz.mathematics import (
    Term,
    elementwise,
    formula_of,
    indicator,
    outer,
    product,
    reduced,
    symbol,
    term,
    unbroadcast,
)
from minigrad.walk import NONLINEARITIES, arguments, pullbacks

# the patterns of ops

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
    "where": Pattern("where", "where({0}, {1}, {2})", ("", "{g} where {0}", "{g} where not {0}"), PASSED_ON, True),
    "sum": Pattern("Σ", "Σ {0}", ("{g} to every element",), "Every term of a sum has derivative 1."),
    "mean": Pattern("mean", "mean({0})", ("{g} / n to every element",), "Every one of n terms has derivative 1/n."),
    "logsumexp": Pattern("log Σ exp", "log Σ exp {0}", ("{g} ∘ softmax({0})",)),
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
    how, (x, n) = PATTERNS["power"], (np.asarray(getattr(a, "_data", a)) for a in arguments(node)[:2])
    first, second = how.pullbacks
    if n.size == 1 and n == 0:
        first = lambda g, *_: term(0) * g  # noqa: E731
    elif np.any((x == 0) & (n == 0)):
        first = "{g} ∘ {1} {0}^({1} − 1), 0 where {1} is 0"
    if np.any(x == 0):
        second = "{g} ∘ {y} ∘ log {0}, 0 where {0} is 0"
    return how._replace(pullbacks=(first, second), local=callable(first) and callable(second))


def larger_pattern(node: Node) -> Pattern:
    """The larger or the smaller of two: where there are ties, both get half."""
    x, y = (getattr(a, "_data", a) for a in arguments(node)[:2])
    name = op_name(node._op)
    wins = operator.gt if name == "maximum" else operator.lt
    ties = bool(np.any(np.equal(x, y)))

    def share(a: Term, b: Term) -> Term:
        alone = indicator(wins(a, b))
        return alone + term(0.5) * indicator(elementwise("equal", a, b)) if ties else alone

    formulas = (lambda g, y, a, b: g * share(a, b), lambda g, y, a, b: g * share(b, a))
    word = name.removesuffix("imum")
    side = "larger" if name == "maximum" else "smaller"
    return Pattern(word, call(name), formulas, f"The {side} one gets it; a tie shares.", local=True)


def extreme_pattern(node: Node) -> Pattern:
    """The largest or smallest of all elements."""
    x, name = arguments(node)[0], op_name(node._op)
    word = "largest" if name == "max" else "smallest"
    alone = node._data.shape == () and np.count_nonzero(x._data == node._data) == 1
    how: Pullback = "{g} where {0} is " + word
    if alone:
        how = lambda g, y, x, *_: g * indicator(elementwise("equal", x, y))  # noqa: E731
    return Pattern(name, name + " {0}", (how,), f"Only the {word} gets the gradient; ties share it.")


def sum_pattern(node: Node) -> Pattern:
    """A sum of all elements, or over some axes."""
    plain_sum = len(arguments(node)) == 1 and not node._kwargs
    expression: Pullback = (lambda x: Term("total", (x,), ())) if plain_sum else PATTERNS["sum"].expression
    return PATTERNS["sum"]._replace(expression=expression)


def axis_of(node: Node) -> int | None:
    """The axis of a softmax; None where there are several."""
    rest = arguments(node)[1:]
    axis = rest[0] if rest else node._kwargs.get("axis", -1)
    return axis % node._data.ndim if isinstance(axis, int) and node._data.ndim else None


def softmax_pattern(node: Node) -> Pattern:
    """softmax and its logarithm along an axis: the gradient less what every element of the row gives up."""
    how, axis = PATTERNS[op_name(node._op)], axis_of(node)
    if axis is None:
        return how
    if op_name(node._op) == "softmax":
        return how._replace(pullbacks=(lambda g, y, x, *_: y * (g - reduced("sum", g * y, [axis], True)),))
    return how._replace(pullbacks=(lambda g, y, x, *_: g - call("exp")(y) * reduced("sum", g, [axis], True),))


def logsumexp_pattern(node: Node) -> Pattern:
    how = PATTERNS["logsumexp"]
    if np.ndim(arguments(node)[0]._data) != 1 or node._data.ndim:
        return how._replace(pullbacks=("{g} pulled back",))
    return how._replace(pullbacks=(lambda g, y, x, *_: g * call("softmax")(x),))


def cross_entropy_pattern(node: Node) -> Pattern:
    """The mean over the rows of a batch."""
    how, args = PATTERNS["cross_entropy"], arguments(node)
    scores = args[0]._data
    if scores.ndim != 2 or len(args) != 2 or node._kwargs or np.ndim(args[1]) != 1:
        return how._replace(pullbacks=("{g} pulled back",))
    n, k = scores.shape

    def classes(y: Term) -> Term:
        return Term("one_hot", (y,), (n, k), (k,))

    return how._replace(pullbacks=(lambda g, y, x, c, *_: g * ((call("softmax")(x) - classes(c)) / n),))


def transpose_pattern(node: Node) -> Pattern:
    if node._data.ndim != 2 or len(arguments(node)) > 1 or node._kwargs:
        return PATTERNS["transpose"]
    return PATTERNS["transpose"]._replace(expression=lambda x: x.T, pullbacks=(lambda g, y, x: g.T,))


DEPENDS: dict[str, Callable[[Node], Pattern]] = {
    "matmul": matmul_pattern,
    "power": power_pattern,
    "maximum": larger_pattern,
    "minimum": larger_pattern,
    "max": extreme_pattern,
    "min": extreme_pattern,
    "sum": sum_pattern,
    "softmax": softmax_pattern,
    "log_softmax": softmax_pattern,
    "logsumexp": logsumexp_pattern,
    "cross_entropy": cross_entropy_pattern,
    "transpose": transpose_pattern,
}


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


# a whole graph


def annotate(graph: Graph) -> Graph:
    """Write a graph: the labels of its boxes, the signs and expressions of its ops, the formulas of its gradients."""
    for box in graph.boxes:
        label = box.name or ("" if box.op else _leaf_label(box))
        box.label, box.term = label, named(label or _variable(box), box)
    carried = {id(o.box) for _, op in graph.ops() for o in op.operands if o.step}  # from one step of a loop to the next
    for box in reversed(graph.boxes):  # the oldest first: an expression is written in the labels of its arguments
        if box.op:
            _write_op(box, box.op)
            if not box.label:
                short = len(box.op.expression) <= 14 and box.op.scope is None and id(box) not in carried
                box.label = box.op.expression if short else _variable(box)
                box.term = (short and box.op.term) or named(box.label, box)
    _mark_error_signals(graph)
    names = {box.label for box in graph.boxes}
    gradient = next(
        letter for letter in ("g", "ḡ", "γ", *(f"g{i}" for i in range(len(names) + 1))) if letter not in names
    )
    for box in graph.boxes:  # the newest first, as δ is handed on to arguments
        if box.op:
            box.symbol = box.delta or ("1" if box is graph.root else gradient)
            _write_gradients(box, box.op)
    return graph


def named(label: str, box: Box) -> Term:
    """A value by its label."""
    word = Word(label, "upright")
    return symbol(Fenced(word) if " " in label else word, np.shape(box.data))


def derivative(graph: Graph, box: Box) -> tuple[str, str]:
    """The names above and below the bar of the derivative of the root with respect to a value."""
    names = {b.label for b in graph.boxes}
    root = graph.root.name or next(n for n in ("J", "L", *(f"J{i}" for i in range(len(names) + 1))) if n not in names)
    return (f"({root})" if " " in root else root), f"({box.label})" if " " in box.label else box.label


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
    return {o.place: operand_label(o) if o.box else "…" for o in op.operands}


def operand_label(o: Operand) -> str:
    """The label of an operand that has a box, with its step where that is not the one shown: "v1⁽⁴⁹⁾"."""
    assert o.box is not None
    label = o.box.label or _variable(o.box)
    return f"{label}⁽{str(o.step).translate(SUPERSCRIPTS)}⁾" if o.step else label


def _arguments(op: Op) -> list[str]:
    """The arguments of an op as words name them: labels, and constants that have no box."""
    labels = _labels(op)
    return [labels[i] if i in labels else constant(x) for i, x in enumerate(arguments(op.node))]


def _terms(op: Op) -> list[Term]:
    """The arguments of an op as formulas name them."""
    found = {o.place: named(operand_label(o), o.box) if o.step else o.box.term for o in op.operands if o.box}
    return [found.get(i) or _constant_term(x) for i, x in enumerate(arguments(op.node))]


def _constant_term(x: Any) -> Term:
    """An argument that has no box."""
    x = x._data if isinstance(x, Node) else x
    if isinstance(x, int | float | np.number | np.ndarray) and np.size(x) == 1 and np.asarray(x).dtype.kind in "iuf":
        return Term("number", (), np.shape(x), (np.asarray(x).item(),))
    return symbol(
        Word("…" if isinstance(x, np.ndarray) else constant(x), "upright"), np.shape(x) if hasattr(x, "shape") else ()
    )


def _written(
    pattern: Pullback, terms: list[Term], y: Term, g: Term | None, *, times: str = " "
) -> tuple[str, Term | None]:
    """A pattern with its arguments written in, and its Term where it is a formula."""
    if isinstance(pattern, str):
        texts = [plain(formula_of(x), times) for x in terms]
        return in_words(pattern, texts, plain(formula_of(y)), plain(formula_of(g)) if g is not None else ""), None
    found = pattern(*terms) if g is None else pattern(g, y, *terms)
    return plain(formula_of(found), times), found


def _write_op(box: Box, op: Op) -> None:
    """The sign and the expression of an op; constants that have no box are part of its sign."""
    if op.scope:
        op.sign, op.expression = op.scope.name, f"{op.scope.name}({', '.join(_labels(op).values())})"
        return
    how, args = pattern(op.node), arguments(op.node)
    op.sign, op.why, op.ordered = how.sign, how.why, how.ordered
    inline = [constant(x) for x in args if not has_box(x)]
    if inline and len(args) == 2 and how.sign in SIGNED:
        one = (1,)  # a shape that makes ∘ of every product
        places = [
            symbol(Word("·", "upright"), one)
            if has_box(x)
            else Term("number", (), one, (x,))
            if isinstance(x, int | float)
            else symbol(Word(constant(x), "upright"), one)
            for x in args
        ]
        op.sign = _written(how.expression, places, named("", box), None)[0]
    elif inline:
        op.sign += f" {', '.join(inline)}"
    if op.node._kwargs:
        op.sign += " " + ", ".join(f"{printable(key)}={constant(value)}" for key, value in op.node._kwargs.items())
    if how.sign == "join":
        op.expression = f"join({', '.join(_labels(op).values())})"
    elif op.node._kwargs and callable(how.expression):
        op.expression = f"{how.sign}({', '.join(_arguments(op))})"
    else:
        op.expression, op.term = _written(how.expression, _terms(op), named(box.name, box), None, times=" @ ")


def _write_gradients(box: Box, op: Op) -> None:
    """The pullbacks of an op as formulas, and its local derivative where it is elementwise in one argument."""
    if op.scope:
        return
    how, terms = pattern(op.node), _terms(op)
    y = named(box.label, box) if box.term is None else box.term
    g = term(1) if box.symbol == "1" else named(box.symbol, box)
    for o in op.operands:
        x = o.box
        if o.place < len(how.pullbacks):
            o.formula, o.term = _written(how.pullbacks[o.place], terms, y, g)
            if o.term is not None and x is not None:
                o.term = unbroadcast(o.term, np.shape(x.data)) if box.symbol != "1" or o.term.shape else o.term
                o.formula = plain(formula_of(o.term))
        elif x is not None and x.node is not None:
            o.formula = f"{box.symbol} pulled back"
        passed_on = bool(box.delta) and not o.step and o.formula == box.delta  # as a sum does
        if passed_on and x is not None and x.op and x.arrivals == 1 and x.data.shape == box.data.shape:
            x.delta = box.delta
    if len(op.operands) == 1 and how.local and op.operands[0].place < len(how.pullbacks):
        op.local = _written(how.pullbacks[op.operands[0].place], terms, y, term(1))[0]


#: Signs of two arguments that are shown with the constant one written in.
SIGNED = {"+", "−", "∘", "/", "^", "max", "min"}


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
