"""Every formula of a picture is evaluated, and compared in value and shape with the array that it labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from dot_text import slide, written
from latex_reader import Reader, tokens
from read_formulas import compare

import minigrad as mg
from minigrad.trees import leaves, map_leaves
from minigrad.viz.formulas import Word, latex
from minigrad.viz.graph import Graph, Op
from minigrad.viz.mathematics import formula_of
from minigrad.viz.notation import derivative, operand_label
from minigrad.walk import arguments


def check(graph: Graph) -> int:
    """Evaluate all that is a formula; how many there were."""
    count = 0
    for box in graph.boxes:
        if not box.op:
            continue
        values = symbols(box.op)
        if values is None:  # two values of one label meet here
            continue
        if box.op.term is not None:
            agree(evaluated(box.op.term, values), box.data, box.op.expression)
            count += 1
        own = {} if box.term is None or box.term.sign != "symbol" else {latex(formula_of(box.term)): box.data}
        gradient = {} if box.grad is None or box.symbol == "1" else {latex(Word(box.symbol, "upright")): box.grad}
        for o in box.op.operands:
            if o.term is not None and o.flow is not None:
                agree(evaluated(o.term, own | values | gradient), np.asarray(o.flow), o.formula)
                count += 1
    return count


def symbols(op: Op) -> dict[str, Any] | None:
    """The values of the symbols in the formulas of an op, None where one stands for two."""
    found: dict[str, Any] = {}
    waiting = [(op, o) for o in op.operands]
    while waiting:
        user, o = waiting.pop()
        if (box := o.box) is None:
            continue
        if o.step or (box.term is not None and box.term.sign == "symbol"):
            name = Word(operand_label(o), "upright") if o.step else formula_of(box.term)
            value = arguments(user.node)[o.place]._data if o.step else box.data
            if found.setdefault(latex(name), value) is not value:
                return None
        elif box.op:
            waiting += [(box.op, p) for p in box.op.operands]
    return found


def agree(got: Any, expected: Any, formula: str) -> None:
    """Equal; a value of one element is a scalar."""
    one = np.size(got) == np.size(expected) == 1
    compare(np.reshape(got, np.shape(expected)) if one else got, expected, formula)


def evaluated(term: Any, values: dict[str, Any]) -> Any:
    with np.errstate(all="ignore"):
        return Reader(values, {}).value(tokens(latex(formula_of(term))))


def test_the_slides() -> None:
    J, _ = slide()
    assert check(written(J, backward=True)) > 20


def variables(case: Case) -> list[Any]:
    count = iter(range(100))

    def variable(x: Any) -> Any:
        floating = isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind == "f"
        return mg.Tensor(x, f"x{next(count)}") if floating else x

    return [map_leaves(variable, x) if leaves(x) else x for x in case.args]


def total(case: Case, args: list[Any]) -> Any:
    parts = [part for y in leaves(case(*args)) if isinstance(y, mg.Tensor) for part in [y]]
    return sum((mg.sum(mg.sin(part)) for part in parts), start=mg.Tensor(0.0, "zero"))


EMPTY = "linspace-()-(3,)-0"  # whose formula stands for no element
REAL = [
    case
    for case in CASES
    if str(case) != EMPTY and not any(np.iscomplexobj(x) for a in case.args for x in leaves(a) if x is not None)
]


@pytest.mark.parametrize("case", REAL, ids=str)
def test_every_op(case: Case) -> None:
    y = total(case, variables(case))
    if not any(np.iscomplexobj(b.data) for b in written(y).boxes):
        check(written(y, backward=True))


def two(f: Callable[..., Any], *shapes: Any) -> Any:
    rng = np.random.default_rng(5)
    return mg.sum(mg.sin(f(*(mg.Tensor(rng.normal(size=shape), f"x{i}") for i, shape in enumerate(shapes)))))


@pytest.mark.parametrize(
    "f, shapes",
    [
        (lambda X, W, b: X @ W.T + b, [(6, 4), (3, 4), 3]),
        (lambda X, W, b: mg.relu(X @ W + b), [(6, 4), (4, 3), (1, 3)]),
        (lambda X, W: X @ W, [(5, 6, 4), (4, 3)]),
        (lambda X, W: X @ W, [(5, 6, 4), (5, 4, 3)]),
        (lambda x, W: x @ W, [4, (4, 3)]),
        (lambda X, y: X * y, [(6, 4), 4]),
        (lambda X, y: X / y, [(6, 4), (6, 1)]),
        (lambda X, y: 2.0**X - y, [(6, 4), ()]),
        (lambda X: mg.maximum(0.1, X), [(6, 4)]),
        (lambda X: mg.minimum(X, X), [(6, 4)]),
        (lambda X, Y: mg.softmax(X @ Y.T), [(6, 4), (5, 4)]),
        (lambda X: mg.cross_entropy(X, np.array([0, 3, 1])), [(3, 4)]),
        (lambda X: mg.tanh(X) ** 3 * mg.exp(-X), [(3, 4)]),
    ],
)
def test_batches_and_broadcasting(f: Callable[..., Any], shapes: list[Any]) -> None:
    assert check(written(two(f, *shapes), backward=True)) > 3


def test_a_constant_first_argument_has_the_derivative_of_the_other() -> None:
    d, s, s_c = mg.Tensor([2.0, 3.0], "d"), mg.Tensor(0.5, "s"), mg.Tensor(0.25, "s_c")

    def local(y: Any) -> str:
        return written(mg.sum(y), backward=True).boxes[1].op.local

    assert local(3 * d) == "3" and local(mg.multiply(d, 3.0)) == "3"
    assert local(2.0**d) == "log(2) · 2^d"
    assert "1{1 − s + s_c > 0}" in written(mg.maximum(0, 1 - s + s_c) * 2, backward=True).boxes[1].op.local


def test_a_bias_gets_the_sum_over_the_batch() -> None:
    X, W, b = mg.Tensor(np.ones((4, 3))), mg.Tensor(np.ones((2, 3)), "W"), mg.Tensor(np.ones(2), "b")
    z = X @ W.T + b
    z.name = "z"
    graph = written(mg.sum(mg.tanh(z)), backward=True, inputs=[X])
    (flow,) = [o for box in graph.boxes if box.op for o in box.op.operands if o.box and o.box.label == "b"]
    assert flow.formula == "Σ_i δ_i·" and flow.term.shape == flow.flow.shape == (2,)


def test_ties_are_shared_in_the_formula_too() -> None:
    x, y = mg.Tensor([1.0, 2.0], "x"), mg.Tensor([1.0, 1.0], "y")
    graph = written(mg.sum(mg.maximum(x, y)), backward=True)
    assert graph.boxes[1].op.operands[0].formula == "g ∘ (1{x > y} + 0.5 1{x = y})"
    check(graph)


def test_the_root_has_its_own_name_and_no_variable_is_called_as_the_gradient() -> None:
    g, w = mg.Tensor([1.0, 2.0], "g"), mg.Tensor([3.0, 4.0], "w")
    loss = mg.sum(mg.exp(g * w))
    loss.name = "loss"
    graph = written(loss, backward=True)
    assert derivative(graph, graph.boxes[-1])[0] == "loss"
    assert {box.symbol for box in graph.boxes if box.op} == {"1", "ḡ"}
    check(graph)


def test_repeated_structure_has_names_and_the_sum_of_what_flows() -> None:
    W, h = mg.Tensor(np.full((2, 2), 0.5), "W"), mg.Tensor(np.zeros(2), "h0")
    b = mg.Tensor(np.ones(2), "b")
    for _ in range(6):
        h = mg.tanh(W @ h + b)
    graph = written(mg.sum(h), backward=True, collapse=True)
    assert all(box.label.strip() and "  " not in box.label and "+  " not in box.label for box in graph.boxes)
    assert not any("@ h +  +" in box.op.expression for box in graph.boxes if box.op)
    W_box = next(box for box in graph.boxes if box.label == "W")
    assert W_box.arrivals == 6  # its gradient is their sum; of what flows, the last step's is shown
    assert check(graph) > 6
