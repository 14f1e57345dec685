"""The content of a picture: similar values collapsed, a limit, graphs of any size; and nothing is changed."""

import gc
import weakref
from collections import Counter

import numpy as np
import pytest
from dot_text import drawn, edges, nodes, slide, written

import minigrad as mg
from minigrad.viz.graph import build


def test_second_order_graphs():
    x = mg.Tensor(2.0, "x")
    y = mg.grad(lambda x: mg.sin(x) * x)(x)
    y.backward()
    assert b"</svg>" in mg.draw(y).pipe(format="svg")
    assert build(y).boxes[-1].grad == x.grad


def test_more_is_honest():
    y = mg.Tensor(1.0, "y")
    for _ in range(50):
        y = y + 1
    source = drawn(y, limit=11)
    assert "… 40 more" in source
    assert len([k for k in nodes(source) if k.startswith("t")]) == 11
    assert "more" not in drawn(y, limit=51)


def test_repeated_structure_collapses_on_request():
    h, V = mg.Tensor(np.zeros(3), "h0"), mg.Tensor(np.eye(3), "V")
    for _ in range(40):
        h = mg.tanh(V @ h)
    J = mg.sum(h)
    del h
    source = drawn(J, collapse=True, limit=1000)
    assert len(nodes(source)) < 20 and "×38" in source and "more" not in source
    assert len(nodes(drawn(J, limit=1000))) > 120


def test_collapsing_keeps_what_differs():
    J, _ = slide()
    labels = [b.label for b in written(J, collapse=True).boxes]
    assert {"U", "W", "b", "x", "x_c", "J"} <= set(labels)  # scopes keep the windows apart
    X = mg.Tensor(np.ones((4, 3)), "X")
    total = sum((mg.tanh(X[i]).sum() for i in range(4)), start=mg.Tensor(0.0))
    kinds = Counter(b.times for b in build(total, collapse=True).boxes)
    assert kinds[4] == 3  # X[i], tanh and sum of the four


@pytest.mark.parametrize("options", [{}, {"collapse": True}])
@pytest.mark.parametrize("after_backward", [False, True])
def test_ten_thousand_ops(options, after_backward):
    x = mg.Tensor(1.0, "x")
    y = x
    for _ in range(10_000):
        y = y * 1.00001
    if after_backward:
        y.backward()
    source = drawn(y, **options)
    assert len([key for key in nodes(source) if key.startswith("t")]) == (6 if options else 100)
    assert ("… 9,901 more" in source) == (not options)  # 10,001 Tensors less 100
    assert ("×9,99" in source) == bool(options)


def test_sixty_doublings():
    x = mg.Tensor(1.0, "x")
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    source = drawn(y)
    assert len(edges(source)) == 180
    assert f"{2.0**60:.3g}" in source.replace("−", "-")


def test_drawing_changes_nothing_and_keeps_nothing_alive():
    def state(tensors):
        return [(t._edges, t._op, t._stamp, t.name, t._retains, t._grad is None) for t in tensors]

    J, tensors = slide()
    J.backward()
    before = state([J, *tensors]), [t.grad.copy() for t in tensors]
    picture = mg.draw(J, inputs=tensors[3:])
    assert state([J, *tensors]) == before[0]
    assert all(np.array_equal(t.grad, g) for t, g in zip(tensors, before[1]))
    gone = [weakref.ref(t) for t in (J, *tensors)]
    gc.disable()
    try:
        del J, tensors, before
        assert not any(r() is not None for r in gone)
    finally:
        gc.enable()
    assert picture.source
