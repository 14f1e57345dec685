"""The costs of ops: operations and bytes that are known, time without a trace, and the lens of the page."""

import json
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.viz.costs import costs
from minigrad.viz.graph import build
from minigrad.viz.live import Live


def of(J):
    """The costs of each op by its name."""
    graph = build(J, backward=True)
    found = costs(graph, Live(graph))
    return {box.op_name: found[box.key] for box in graph.boxes if box.op}


def test_operations_by_shapes():
    """2 m n k for a product, one for each element of other results, or of what is reduced, and none for moves."""
    W, X, b = (mg.Tensor(np.ones(s), n) for s, n in (((4, 6), "W"), ((5, 6), "X"), (4, "b")))
    found = of(mg.sum(mg.reshape(mg.tanh(X @ W.T + b)[1:], -1)))
    assert {name: c[:2] for name, c in found.items()} == {
        "transpose": [0, 0],
        "matmul": [2 * 5 * 6 * 4, 2 * 2 * 5 * 6 * 4],
        "add": [20, 20],  # back: the sum over the batch
        "tanh": [20, 60],  # g (1 - y y)
        "getitem": [0, 0],
        "reshape": [0, 0],
        "sum": [16, 0],
    }
    U, a = mg.Tensor(np.ones(8), "U"), mg.Tensor(np.ones(8), "a")
    assert of(U @ a)["matmul"][:2] == [16, 16]


def test_what_has_no_rule_is_unknown():
    """Decompositions, whose parts are no moves, and products by other names, which are not of elements."""
    A = mg.Tensor(np.eye(2) + 1.0, "A")

    @mg.op()
    def product(x, y):
        return np.matmul(x, y, axes=[(0, 1), (0, 1), (0, 1)]), lambda g: g @ y.T, lambda g: x.T @ g

    found = of(mg.linalg.det(A) * mg.sum(mg.linalg.eigh(A)[0]) + mg.sum(product(A, A)) + mg.linalg.slogdet(A)[1])
    assert found["det"][0] is found["eigh"][0] is found["product"][0] is None
    assert found["product"][1] == 2 * 2 * 8 and found["multiply"][:2] == [1, 2]


def test_each_buffer_that_is_kept_counts_once():
    """The value of exp, which two ops need, at exp; of a sum its argument, for its shape; what is given not at all."""
    x, k = mg.Tensor(np.ones(100), "x"), np.ones(100)
    y = mg.exp(x)
    J = mg.sum(y * k * k) - mg.sum(mg.reshape(y, (10, 10)).T @ mg.reshape(x, (10, 10)))
    graph = build(J, backward=True)
    found = costs(graph, None)
    kept = {box.op_name: found[box.key][2] for box in graph.boxes if box.op}
    assert kept == {"exp": 800, "reshape": 0, "transpose": 0, "matmul": 0, "multiply": 0, "sum": 800, "subtract": 0}
    assert {c[0] for c in found.values()} == {None}


def test_windows_are_views():
    x, k = mg.Tensor(np.ones(40), "x"), mg.Tensor(np.ones(5), "k")
    windows = mg.sliding_window_view(mg.exp(x), 5)
    assert {name: c[2] for name, c in of(mg.sum(windows @ k)).items()} == {
        "exp": 320,
        "sliding_window_view": 0,
        "matmul": 0,
        "sum": 288,
    }


def test_costs_of_a_training_are_those_of_its_first_step(tmp_path):
    """Afterwards the parameters have other data, and what the pullbacks keep is no longer theirs."""

    def training():
        w = mg.Tensor(np.ones(50), "w")
        for _ in range(2):
            yield mg.sum(w * w)
            w.data = w.data - 0.5

    page = mg.replay(training(), tmp_path / "a.html").read_text(encoding="utf-8")
    found = json.loads(re.search('id="data">(.*?)</script>', page, re.DOTALL)[1])["costs"]
    assert [c[2] for c in found.values()] == [0, 400]


def test_measuring_leaves_no_trace():
    """Neither in gradients nor in values, nor in the random numbers of an op of the user's, which is not timed."""
    rng = np.random.default_rng(0)

    @mg.op()
    def noisy(x):
        mask = rng.random(x.shape) < 0.5
        return np.where(mask, x, 0.0), lambda g: np.where(mask, g, 0.0)

    x = mg.Tensor(np.arange(6.0), "x")
    y = mg.sin(noisy(x))
    before, value = rng.bit_generator.state, np.array(y.data)
    found = of(mg.sum(y))
    assert rng.bit_generator.state == before and x.grad is None and np.array_equal(y.data, value)
    assert found["noisy"][3:] == [None, None]
    assert all(type(t) is float and t > 0 for t in found["sin"][3:])


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    W, x = mg.Tensor(np.ones((8, 20)), "W"), np.linspace(-1, 1, 20)
    return mg.replay(mg.sum(mg.sort(mg.sigmoid(W @ x))), tmp_path_factory.mktemp("costs") / "a.html")


def test_the_lens(page_of, opened):
    page = opened(page_of)
    shapes = "all => all.map(e => e.textContent)"
    before = page.locator(".box .shape").evaluate_all(shapes)
    fills = "() => boxes.map(b => b.g.querySelector('.body').style.fill)"
    assert page.is_hidden("#costs") and not any(page.evaluate(fills))
    page.keyboard.press("c")
    assert page.is_visible("#costs") and page.get_attribute("#lens", "aria-pressed") == "true"
    rows = page.locator("#costs tbody tr").evaluate_all("all => all.map(r => [...r.cells].map(c => c.textContent))")
    assert rows[0] == ["W @ x (@)", "320", "160"]
    assert "480" in page.locator(".box .shape").evaluate_all(shapes)
    assert any(page.evaluate(fills))
    known = [[0 if v == "unknown" else int(v) for v in row[1:]] for row in rows]
    whole = [sum(k) for k, row in zip(known, rows, strict=True) if "unknown" not in row]
    assert len(whole) == len(rows) - 1 and whole == sorted(whole, reverse=True)  # nothing counts the steps of a sort
    totals = page.locator("#costs tfoot td").all_inner_texts()
    assert totals == ["all that is known", *(str(sum(column)) for column in zip(*known, strict=True))]
    assert page.inner_text("#say").startswith(f"Costs, operations: {totals[1]} forward and {totals[2]} backward; most")
    page.locator("#measure").select_option("bytes")
    assert page.locator("#costs tfoot td").all_inner_texts()[1].endswith(" B")
    page.locator("#measure").select_option("time")
    assert "µs" in page.inner_text("#costs tfoot") or "ms" in page.inner_text("#costs tfoot")
    page.get_by_label("To the step of W @ x").click()
    assert page.evaluate("steps[now].box === boxes.find(b => b.label === 'W @ x').key")
    page.keyboard.press("c")
    assert page.is_hidden("#costs") and not any(page.evaluate(fills))
    assert page.locator(".box .shape").evaluate_all(shapes) == before
