"""How values, ops and gradients are written: signs, constants, labels, formulas, error signals."""

import re

import numpy as np
import pytest
from dot_text import drawn, edges, nodes, slide, written

import minigrad as mg
from minigrad import ops
from minigrad.viz.formulas import plain
from minigrad.viz.mathematics import formula_of
from minigrad.viz.notation import derivative, equation, is_inlined
from minigrad.viz.patterns import pattern


def test_signs_order_parallel_edges_and_constants_inline():
    x, y = mg.Tensor(2.0, "x"), mg.Tensor(3.0, "y")
    assert edges(drawn(x + x)).count(("t1", "op0")) == 2
    source = drawn(x - y)
    assert re.search(r"t2 -> op0 \[headlabel=1", source) and re.search(r"t1 -> op0 \[headlabel=2", source)
    assert "headlabel" not in drawn(x + y)
    for expression, sign in (
        (1 - x, "1 − ·"),
        (x**2, "·²"),
        (x**0.5, "·^0.5"),
        (x**3, "·³"),
        (2.5 * x, "2.5 ∘ ·"),
        (mg.sigmoid(x), "σ"),
    ):
        assert f"<b>{sign}</b>" in nodes(drawn(expression))["op0"]
    X = mg.Tensor(np.ones((2, 3)), "X")
    assert "axis=1" in nodes(drawn(mg.sum(X, axis=1)))["op0"]
    assert "0" in nodes(drawn(X[0]))["op0"]


def test_delta_is_where_the_nonlinearity_is_and_not_at_the_hinge():
    J, _ = slide()
    J.backward()
    marked = {b.label for b in written(J).boxes if b.delta}
    assert marked == {"z", "z_c", "W @ x", "W @ x_c"}


def test_every_op_has_a_sign_and_an_op_of_ones_own_is_drawn_by_its_name_and_its_source():
    @mg.op()
    def cube(x):
        return x * x * x, lambda g: g * 3 * x * x

    y = cube(mg.Tensor(2.0, "x"))
    y.backward()
    source = drawn(y)
    assert "<b>cube</b>" in source and "lambda g: g * 3 * x * x" in source
    for name in ("add", "matmul", "sigmoid", "relu", "getitem", "concatenate"):
        assert hasattr(ops, name)
    assert pattern(mg.concatenate([mg.Tensor([1.0]), mg.Tensor([2.0])])).sign == "join"


@pytest.mark.parametrize(
    "f, text",
    [
        (mg.arctan, "lambda g: g * (1 / (1 + x * x))"),
        (mg.sinh, "lambda g: g * np.cosh(x)"),
        (lambda x: mg.fmod(x, 3.0), "lambda g: g"),
    ],
)
def test_a_derivative_that_ops_share_is_written_into_the_pullback(f, text):
    """Not as a call of a name that says nothing: derivative(x, y)."""
    (how,) = pattern(f(mg.Tensor(0.5, "x"))).pullbacks[:1]
    assert how.startswith(text) and "derivative(" not in how


def test_constants_of_one_name_are_numbered_in_the_order_of_their_use():
    total = mg.Tensor(1.0, "w")
    used = []
    with mg.trace_source():
        for i in range(3):
            x = np.array([i, 1.0])
            total = total * mg.sum(x * total)
            used.append(x)
    graph = written(total)
    symbols = {id(box.data): plain(formula_of(box.term)) for box in graph.boxes if box.node is None}
    assert [symbols[id(x)] for x in used] == ["x⁽¹⁾", "x⁽²⁾", "x⁽³⁾"]


def test_labels_of_values_without_a_name():
    x = mg.Tensor([1.0, 2.0])
    graph = written(mg.sum(mg.tanh(x * np.ones(2)) * (x + 1.0)), inputs=[x])
    assert [(b.label, b.kind) for b in graph.boxes] == [
        ("Σ v2", "result"),
        ("v2", "result"),
        ("input + 1", "result"),
        ("tanh(v1)", "result"),
        ("v1", "result"),
        ("input", "input"),
        ("constant", "input"),
    ]


def test_the_index_of_an_element_is_written():
    x = mg.Tensor([1.0, 2.0, 3.0], "x")
    found = written(x[1] * 2, backward=True).boxes[1]
    assert found.label == "x[1]" and found.op.operands[0].formula == "2 at [1], 0 elsewhere"


def test_a_leaf_keeps_its_label_after_its_data_has_changed():
    x = mg.Tensor(3.0)
    y = x * x
    x.data = np.float64(2.0)  # x is newer than y from now on
    del x
    assert written(y).boxes[0].label == "variable" and written(y).boxes[1].label == "v1"


def test_equations_lines_and_derivatives():
    W, x = mg.Tensor(np.ones((2, 2)), "W"), mg.Tensor(np.ones(2), "x")
    z = W @ x
    z.name = "z"
    graph = written(mg.sum(mg.tanh(z)), backward=True)
    total, a, z_box, *_ = graph.boxes
    assert equation(z_box) == "z = W @ x" and equation(total) == "J = Σ tanh(z)"
    assert equation(a) == "tanh(z)" and is_inlined(a)
    assert derivative(graph, z_box) == ("J", "z") and derivative(graph, a) == ("J", "tanh(z)")


def test_values_without_a_name_count_up_in_the_order_they_are_made():
    x, y = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 4.0])
    first = mg.exp(mg.sin(x * np.ones(2)) + mg.cos(y * y))
    graph = written(mg.sum(mg.tanh(first * x + first / y)), backward=True)
    labels = [box.label for box in reversed(graph.boxes) if box.op]
    numbers = [int(label[1:]) for label in labels if label[0] == "v" and label[1:].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 2
    assert {"variable1", "variable2"} <= {box.label for box in graph.boxes}


def test_a_name_that_two_values_have_is_two_symbols():
    x, c = mg.Tensor([0.5, 1.0], "x"), mg.Tensor([1.0, 2.0], "c")
    h = x
    for _ in range(2):
        h = mg.tanh(h * c)
        h.name = "h"
    graph = written(mg.sum(h), backward=True)
    assert [equation(box) for box in reversed(graph.boxes) if box.label == "h"] == [
        "h⁽¹⁾ = tanh(x ∘ c)",
        "h⁽²⁾ = tanh(h⁽¹⁾ ∘ c)",
    ]


def test_parameters_of_one_name_have_labels_of_their_own():
    """As the W and b of two layers: curves, and the list of values to move, have nothing but labels."""
    W, b, V, c = (mg.Tensor(np.ones((2, 2)), name) for name in "WbWb")
    graph = written(mg.sum(mg.tanh(W + b) @ V + c))
    assert [box.label for box in reversed(graph.boxes) if not box.op] == ["W⁽¹⁾", "b⁽¹⁾", "W⁽²⁾", "b⁽²⁾"]
    assert "tanh(W⁽¹⁾ + b⁽¹⁾)" in "".join(map(equation, (box for box in graph.boxes if box.op)))


def test_the_gradient_is_1_at_the_root_delta_below_a_nonlinearity_and_else_itself():
    W, x, b = mg.Tensor(np.ones((2, 2)), "W"), mg.Tensor(np.ones(2), "x"), mg.Tensor(np.ones(2), "b")
    graph = written(mg.sum(mg.tanh(W @ x + b)), backward=True)
    assert [box.symbol for box in graph.boxes if box.op] == ["1", "1₂", "δ", "δ"]
