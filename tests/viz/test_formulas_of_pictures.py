"""Every formula of a picture is evaluated, and compared in value and shape with the array that it labels."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import Case
from dot_text import slide, written
from latex_reader import Reader, split, tokens
from random_programs import inputs, program
from read_formulas import compare
from sampling import sampled
from totals import REAL, total, variables

import minigrad as mg
from minigrad.viz.formulas import Equations, latex, plain
from minigrad.viz.graph import Box, Graph, gradients
from minigrad.viz.mathematics import Term, added, formula_of
from minigrad.viz.notation import _identity, derivative, derivative_formula, is_inlined, operand_term
from minigrad.viz.sheet import gradient_equations, value_equation
from minigrad.walk import arguments, pullbacks
from models.slides import DERIVATIONS


def check(graph: Graph) -> int:
    """Evaluate all that is a formula; how many there were."""
    known, by_heads = symbols(graph)
    reader = Reader(known, {})
    count = 0

    def evaluated(term: Any) -> Any:
        with np.errstate(all="ignore"):
            return reader.value(tokens(latex(formula_of(term))))

    def holds(term: Term | None, expected: Any, text: str) -> None:
        nonlocal count
        if term is not None:
            agree(evaluated(term), expected, text)
            count += 1

    for box in graph.boxes:
        if box.op:
            holds(box.op.term, box.data, box.op.expression)
        if box.grad is not None and box.head and box.node is not None:
            of_head = by_heads[box.head][box.node._stamp]
            holds(box.derivative, of_head, f"{box.label}: {box.symbol}")
            parts = [part for part in box.parts if isinstance(part, Term)]
            if parts and len(parts) == len(box.parts):
                holds(added(parts), of_head, f"the gradient of {box.label}")
        for o in box.op.operands if box.op else ():
            if o.flow is not None:
                holds(o.term, np.asarray(o.flow), o.formula)
                if o.term is None:
                    as_source(box, o.place, o.formula)
        if box.op and box.op.local_term is not None and box.grad is not None:
            (o,) = box.op.operands
            local = np.broadcast_to(evaluated(box.op.local_term), box.data.shape)
            whole = mg.engine.unbroadcast(np.asarray(box.grad * local), np.asarray(o.box.data), None)
            agree(whole, np.asarray(o.flow), box.op.local)
            count += 1
    return count


def symbols(graph: Graph) -> tuple[dict[str, Any], dict[str, dict[int, Any]]]:
    """The values of all symbols, none of which stands for two; and the derivatives of each head, by stamp."""
    known: dict[str, Any] = {}

    def add(formula: Any, value: Any, owner: Any) -> None:
        text = latex(formula)
        assert owners.setdefault(text, owner) == owner, f"{text} stands for two values"
        known[text] = value

    owners: dict[str, Any] = {}
    for box in graph.boxes:
        if box.term is not None and box.term.sign == "symbol":
            add(formula_of(box.term), box.data, _identity(box))
        for o in box.op.operands if box.op else ():
            if o.step:
                other = arguments(box.op.node)[o.place]
                add(formula_of(operand_term(o)), other._data, id(other))
    by_key = {box.key: box for box in graph.boxes}
    heads = {by_key[box.head] for box in graph.boxes if box.head}
    nodes = [box.node for box in graph.boxes if box.node is not None]
    found = {head: gradients(head.node, nodes)[0] for head in heads}
    for head, of_head in found.items():
        for box in graph.boxes:
            if box.node is not None and box.node._stamp in of_head:
                value = of_head[box.node._stamp]
                if box in heads:  # of a scalar, a number
                    value = np.reshape(value, ())
                add(derivative_formula(head, box), value, ("∂", id(head), _identity(box)))
    by_heads = {head.key: of_head for head, of_head in found.items()}
    for box in graph.boxes:
        if box.delta and box.derivative is not None and box.derivative.sign == "symbol":
            text = latex(formula_of(box.derivative))
            known.setdefault(text, by_heads[box.head][box.node._stamp])
    return known, by_heads


def sheet_holds(graph: Graph) -> int:
    """Evaluate the equations of the sheet as they are printed: every side of each is the same; how many there were."""
    reader = Reader(symbols(graph)[0], {})
    by_key = {box.key: box for box in graph.boxes}
    count = 0
    for box in graph.boxes:
        printed = [value_equation(box)] if box.op and not is_inlined(box) else []
        if box.grad is not None:
            printed += [equation for equation, _ in gradient_equations(graph, box, by_key[box.head])]
        for equation in printed:
            text = latex(equation)
            if isinstance(equation, Equations) or r"\text{" in text:  # its terms are those that `check` evaluates
                continue
            sides, _ = split(tokens(text))
            with np.errstate(all="ignore"):
                right = reader.value(sides[-1])
            for side in sides[:-1]:
                agree(right, reader.symbols[tuple(side)], text)
            count += len(sides) > 1
    return count


def as_source(box: Box, place: int, text: str) -> None:
    """A pullback that is printed as source is evaluated where it was written."""
    if text.startswith("lambda"):
        written = pullbacks(box.node)[place]
        free = inspect.getclosurevars(written).nonlocals
        known: dict[str, Any] = {}
        for function in (written, *free.values()):  # a derivative that is written into it has globals of its own
            known |= getattr(function, "__globals__", {})
        again = eval(text, known | free)
        np.testing.assert_array_equal(np.asarray(again(box.grad)), np.asarray(written(box.grad)), err_msg=text)


def agree(got: Any, expected: Any, formula: str) -> None:
    """Equal; a value of one element is a scalar."""
    expected = np.asarray(expected)
    one = np.size(got) == np.size(expected) == 1
    compare(np.reshape(got, np.shape(expected)) if one else got, expected, formula)


@pytest.mark.parametrize("f", [mg.abs, lambda z: z * z, lambda z: mg.exp(mg.abs(z) * z), lambda z: z.T @ z])
def test_complex_values(f: Callable[..., Any]) -> None:
    """What flows back is the formula beside it: conjugates where an op has them, a real part to a real variable."""
    w, c = mg.Tensor([0.5, -2.0], "w"), np.array([1 + 2j, 3 - 1j])
    z = w * c
    J = mg.sum(mg.real(f(z)))
    for o in (o for _, op in written(J, backward=True).ops() for o in op.operands if o.box and o.box.node is w):
        assert o.formula.startswith("Re(") and np.isrealobj(o.flow)
    graph = written(mg.sum(mg.abs(mg.Tensor(c, "x"))), backward=True)
    (op,) = [op for _, op in graph.ops() if op.name == "abs"]
    (o,) = op.operands
    assert o.formula == "sign(conj(x))" == op.local
    np.testing.assert_allclose(o.flow, np.sign(np.conj(c)), rtol=1e-15)


def test_the_slides() -> None:
    J, _ = slide()
    assert check(written(J, backward=True)) > 20


@sampled(REAL, one_in=4)
def test_every_op(case: Case) -> None:
    graph = written(total(case, variables(case)), backward=True)
    if not any(np.iscomplexobj(box.data) for box in graph.boxes):
        check(graph)


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
    assert graph.boxes[1].op.operands[0].formula == "1{x > y} + 0.5 1{x = y}"
    check(graph)


def test_names_do_not_collide_with_the_signs_of_gradients() -> None:
    """A root called loss, a variable called g, another one called delta, and two that are one symbol when set."""
    g, delta = mg.Tensor([1.0, 2.0], "g"), mg.Tensor(np.ones((2, 2)), "delta")
    z1, z_1 = mg.Tensor([0.5, 1.0], "z1"), mg.Tensor([2.0, 3.0], "z_1")
    loss = mg.sum(mg.exp(mg.tanh(delta @ g + z1 * z_1)) / z_1) + mg.sum(mg.tanh(delta @ z1))
    loss.name = "loss"
    graph = written(loss, backward=True)
    assert derivative(graph, graph.boxes[-1])[0] == "loss"
    assert [box.delta for box in graph.boxes if box.delta] == ["ϵ"]
    assert check(graph) > 20


def test_the_slides_derivation_in_the_slides_signs() -> None:
    """δ is a derivative of its own score; what J has of it stands beside it."""
    J, _ = slide()
    graph = written(J, backward=True)
    formulas = {o.formula for box in graph.boxes if box.op for o in box.op.operands}
    assert {"∂J/∂s δ xᵀ", "∂J/∂s_c δ_c x_cᵀ", "∂J/∂s δ", "∂J/∂s_c Wᵀ δ_c", "∂J/∂s a", "∂J/∂s_c U"} <= formulas
    assert {"−1{1 − s + s_c > 0}", "1{1 − s + s_c > 0}"} <= formulas
    z = next(box for box in graph.boxes if box.delta == "δ" and box.label == "z")
    assert plain(formula_of(z.parts[0])) == "U ∘ a ∘ (1 − a)"
    s = next(box for box in graph.boxes if box.key == z.head)
    score = written(s.node, backward=True)  # of the score alone there is no factor
    assert {"δ xᵀ", "δ", "Wᵀ δ", "a", "U"} <= {o.formula for box in score.boxes if box.op for o in box.op.operands}
    check(score)
    assert sheet_holds(graph) > 15 and sheet_holds(score) > 8


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int) -> None:
    found = program(seed)
    J = found.function(np)(*(mg.Tensor(x, name) for x, name in zip(inputs(seed), "xyzw", strict=True)))
    if isinstance(J, mg.Tensor):
        graph = written(J, backward=True)
        if not any(np.iscomplexobj(box.data) for box in graph.boxes):
            check(graph)
            sheet_holds(graph)


@pytest.mark.parametrize("derivation", DERIVATIONS, ids=lambda d: d.title)
def test_the_models(derivation: Any) -> None:
    drawn = derivation.draw(np.random.default_rng(1), 1.0)
    exact = {key for key, x in drawn.items() if np.asarray(x).dtype.kind != "f"}
    J = derivation.f(*(x if key in exact else mg.Tensor(x, key) for key, x in drawn.items()))
    assert check(written(J, backward=True)) > 1
    assert sheet_holds(written(J, backward=True)) > 0


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
