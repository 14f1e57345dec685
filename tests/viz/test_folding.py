"""Loops rolled, scopes closed, leaves drawn beside their users; what is shown is true of the step that is shown."""

import re
import time

import numpy as np
import pytest
from dot_text import box, drawn, edges, nodes, slide, written

import minigrad as mg
from minigrad.viz.folding import loops, users_of
from minigrad.viz.graph import build, loops_of, reachable
from minigrad.viz.names import scopes_around


def network(steps):
    """A recurrent network; its loss, and its variables and states by name."""
    rng = np.random.default_rng(0)
    W, U, b = (mg.Tensor(rng.normal(size=shape) / 2, name) for name, shape in (("W", (3, 3)), ("U", (3, 2)), ("b", 3)))
    h = mg.Tensor(np.zeros(3), "h0")
    states = [h]
    for _ in range(steps):
        h = mg.tanh(W @ h + U @ rng.normal(size=2) + b)
        states.append(h)
    J = mg.sum(h)
    J.backward()
    return J, {"W": W, "U": U, "b": b}, states


def found(root):
    nodes = reachable(root)
    return loops(nodes, users_of(nodes), scopes_around(nodes))


def ops_of(steps):
    return [node._op.__name__ for node in steps[0]]


def test_the_steps_of_a_recurrent_network():
    J, _, states = network(12)
    (steps,) = found(J)
    assert len(steps) == 12 and ops_of(steps) == ["matmul", "matmul", "add", "add", "tanh"]
    assert [step[-1] for step in steps] == states[1:]


def test_what_is_no_loop():
    assert found(slide()[0]) == []  # two windows
    x = mg.Tensor(2.0, "x")
    assert found(mg.sin(x) * mg.cos(x) + mg.exp(x)) == []
    assert found(x) == []
    assert found(network(3)[0]) == [] and len(found(network(4)[0])) == 1


def test_steps_are_wired_alike():
    """Four ops repeat, but what is added first is of the step or of the one before, by turns: so a step has eight."""
    y = mg.Tensor(1.0, "y")
    last = y
    for i in range(10):
        a = mg.sin(y)
        b = mg.cos(y)
        last, y = b, a + b + last if i % 2 else a + last + b
    (steps,) = found(y)
    assert len(steps[0]) == 8

    def wiring(step):
        return [[next((i for i, m in enumerate(step) if m is x), None) for x in node._edges[::2]] for node in step]

    assert all(wiring(step) == wiring(steps[0]) for step in steps)


def test_two_loops_one_after_the_other():
    x, y = mg.Tensor(np.ones(3), "x"), mg.Tensor(np.ones(3), "y")
    for _ in range(5):
        x = mg.tanh(x * y)
    for _ in range(7):
        x = mg.sin(x) + y
    sizes = sorted((len(steps), ops_of(steps)) for steps in found(mg.sum(x)))
    assert sizes == [(5, ["multiply", "tanh"]), (7, ["sin", "add"])]


def test_layers_with_parameters_of_their_own():
    X = mg.Tensor(np.ones((4, 3)), "X")
    h, weights = X, []
    for i in range(4):
        weights.append(mg.Tensor(np.eye(3), f"W{i}"))
        with mg.scope(f"layer {i}"):
            h = mg.relu(h @ weights[-1])
    J = np.mean(h)
    J.backward()
    names = [b.name for b in build(J, collapse=True).boxes if b.kind == "parameter"]
    assert names == ["W3", "X"]  # each goes with its step
    assert "×4, step 4 shown" in drawn(J, collapse=True)


def test_scopes_keep_what_differs():
    J, _ = slide()
    labels = [b.label for b in written(J, collapse=True).boxes]
    assert {"U", "W", "b", "x", "x_c", "J"} <= set(labels)
    X = mg.Tensor(np.ones((4, 3)), "X")
    total = sum((mg.tanh(X[i]).sum() for i in range(4)), start=mg.Tensor(0.0))
    assert len(build(total, collapse=True).boxes) == 6  # X and 0, and of each step X[i], tanh, sum and +


@pytest.mark.parametrize("steps", [4, 12])
def test_a_rolled_picture_is_part_of_the_whole(steps):
    """Every value, gradient, contribution and number of contributions in it is one of the whole picture's."""
    J, leaves, states = network(steps)
    whole = {id(b.node): b for b in build(J).boxes if b.node is not None}
    rolled = build(J, collapse=True)
    assert len(rolled.boxes) < len(whole)
    for b in rolled.boxes:
        if b.node is None:
            continue
        assert b.grad is whole[id(b.node)].grad or np.array_equal(b.grad, whole[id(b.node)].grad)
        assert b.arrivals == whole[id(b.node)].arrivals
        for o in b.op.operands if b.op else ():
            (same,) = (p for p in whole[id(b.node)].op.operands if p.place == o.place)
            assert o.flow is same.flow or np.array_equal(o.flow, same.flow)
    assert np.array_equal(next(b for b in rolled.boxes if b.name == "W").grad, leaves["W"].grad)
    assert any(b.node is states[-1] for b in rolled.boxes)


def test_what_comes_from_another_step_says_so():
    """The last step multiplies W by the state before, not by its own result."""
    J, *_ = network(5)
    graph = written(J, collapse=True)
    product = next(b for b in graph.boxes if b.op_name == "matmul" and b.op.operands[0].box.label == "W")
    first, state = product.op.operands
    assert (first.step, state.step) == (0, 4)
    assert product.op.expression == f"W @ {state.box.label}⁽⁴⁾"
    assert first.formula == f"δ {state.box.label}⁽⁴⁾ᵀ"
    assert [(o.box.label, o.step) for o in product.op.elsewhere] == [("h0", 1)]
    source = drawn(J, collapse=True)
    assert ">step 4<" in source and ">step 1<" in source and "constraint=false" in source
    assert "(sum of 5)" in box(source, "W")[1]


def test_states_that_are_used_after_the_loop_are_one_dashed_edge():
    J, _, states = network(6)
    J = mg.sum(np.concatenate(states[1:]))
    J.backward()
    source = drawn(J, collapse=True)
    assert "5 steps" in source
    assert len([e for e in edges(source) if e[0] == "t2"]) == 3  # to concatenate: its own, and the others; back


def test_a_picture_over_its_limit_is_folded_and_says_so():
    X = mg.Tensor(np.ones(3), "X")
    with mg.scope("outer"):
        with mg.scope("first"):
            a = mg.exp(mg.sin(X))
        with mg.scope("second"):
            b = mg.tanh(mg.cos(a))
    J = mg.sum(b)
    assert "too large" not in drawn(J, limit=6)
    source = drawn(J, limit=5)
    assert "too large to be drawn whole: scopes closed" in source and "outer" in source and "2 ops" in source
    source = drawn(J, limit=3)
    assert "4 ops" in source and "first" not in source and "more" not in source
    assert "… 1 more" in drawn(J, limit=2)


def test_scopes_closed_on_request():
    J, (U, W, b, x, x_c) = slide()
    J.backward()
    source = drawn(J, depth=0, inputs=[x, x_c])
    assert "too large" not in source
    kinds = [label for key, label in nodes(source).items() if key.startswith("op")]
    assert sum("4 ops" in label for label in kinds) == 2
    graph = build(J, depth=0)
    for name in ("U", "W", "b"):  # what flows back to a variable through both scopes is its gradient
        flows = [o.flow for _, op in graph.ops() for o in op.operands if o.box.name == name]
        leaf = next(t for t in (U, W, b) if t.name == name)
        assert len(flows) == 2 and np.allclose(sum(flows), leaf.grad, rtol=1e-15)
    assert drawn(J, depth=1, inputs=[x, x_c]) == drawn(J, inputs=[x, x_c])
    with pytest.raises(ValueError, match="depth is the number of scopes to look into, 0 or more, got -1"):
        mg.draw(J, depth=-1)
    for wrong in ({"depth": 1.5}, {"limit": 0}, {"limit": "3"}, {"rankdir": "lr"}):
        with pytest.raises(ValueError, match=f"got {next(iter(wrong.values()))!r}"):
            mg.draw(J, **wrong)
    for wrong, got in ((x, "Tensor"), ("x", "str"), ([1.0], "float")):
        with pytest.raises(TypeError, match=f"inputs needs a list of Tensors, got {got}"):
            mg.draw(J, inputs=wrong)


def test_what_flows_back_from_a_closed_scope_is_added_up():
    x = mg.Tensor([0.5, 1.5], "x")
    with mg.scope("inside"):
        y = mg.sin(x) * x + x
    J = mg.sum(y)
    J.backward()
    (flow,) = [o.flow for _, op in build(J, depth=0).ops() for o in op.operands if o.box.name == "x"]
    assert np.array_equal(flow, x.grad)


def test_a_scope_of_several_results_is_one_op():
    x = mg.Tensor(np.ones(3), "x")
    with mg.scope("both"):
        a, b = mg.sin(x), mg.cos(x)
        c = a * b
    J = mg.sum(c * a)
    J.backward()
    source = drawn(J, depth=0)
    ops = [key for key, label in nodes(source).items() if "both" in label]
    assert len(ops) == 1 and len([e for e in edges(source) if e[0] == ops[0]]) == 2
    assert len([e for e in edges(source) if e[1] == ops[0]]) == 1


def test_a_leaf_that_many_ops_share_is_drawn_beside_each():
    J, *_ = network(6)
    graph = build(J)
    assert {c.box.name for c in graph.copies} == {"W", "U", "b"} and len(graph.copies) == 18
    source = drawn(J)
    assert len(re.findall(r"^\s*c\d+_\d+ \[", source, re.M)) == 18
    key, label = box(source, "W")
    assert "drawn beside each of 6 ops" in label and "(sum of 6)" in label
    assert not re.search(rf"^\s*{key} -> op", source, re.M)
    assert not build(network(3)[0]).copies


def test_the_loops_of_a_graph_that_shows_every_step():
    J, *_ = network(4)
    graph = build(J)
    (steps,) = loops_of(graph)
    assert [len(step) for step in steps] == [7, 6, 6, 6]  # five results and an input each; the first has h0
    assert steps[0][-2].name == "h0" or steps[0][-1].name == "h0"
    assert all(b in graph.boxes for step in steps for b in step)


@pytest.mark.parametrize("options", [{}, {"limit": 5000}, {"limit": 5000, "collapse": True}])
def test_five_thousand_ops_make_a_small_picture_soon(options):
    W, y = mg.Tensor(np.eye(3) / 2, "W"), mg.Tensor(np.ones(3), "y")
    for _ in range(2500):
        y = mg.tanh(W @ y)
    J = mg.sum(y)
    J.backward()
    start = time.perf_counter()
    source = drawn(J, **options)
    assert time.perf_counter() - start < 30
    assert len(source) < 30_000 and "×2500" in source


def test_an_unrolled_network_of_fifty_steps_is_drawn_and_replayed(tmp_path):
    J, *_ = network(50)
    start = time.perf_counter()
    mg.draw(J).save(tmp_path / "a.svg")
    mg.draw(J, limit=400).save(tmp_path / "b.svg")
    mg.replay(J, tmp_path / "c.html")
    assert time.perf_counter() - start < 60
    assert "too large" not in (tmp_path / "b.svg").read_text(encoding="utf-8")
