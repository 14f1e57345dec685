"""The content of a picture: similar values collapsed, a limit, graphs of any size; and nothing is changed."""

import gc
import weakref

import numpy as np
import pytest
from dot_text import drawn, edges, nodes, slide

import minigrad as mg
from minigrad.viz.graph import build


def test_second_order_graphs():
    x = mg.Tensor(2.0, "x")
    y = mg.grad(lambda x: mg.sin(x) * x)(x)
    y.backward()
    assert b"</svg>" in mg.draw(y).pipe(format="svg")
    assert build(y).boxes[-1].grad == x.grad


UNLIKE = [lambda x, y: x + y, lambda x, y: mg.tanh(x), lambda x, y: x * y, lambda x, y: mg.sin(x), mg.maximum]


def test_more_is_honest():
    """Without a loop or a scope to fold, the part nearest to the root is drawn."""
    made = [mg.Tensor(1.0, "y")]
    for i, which in enumerate(np.random.default_rng(4).integers(len(UNLIKE), size=50)):
        made.append(UNLIKE[which](made[-1], made[i // 2]))
    source = drawn(made[-1], limit=11)
    assert "… 40 more" in source and "×" not in source
    assert len([k for k in nodes(source) if k.startswith("t")]) == 11
    assert "more" not in drawn(made[-1], limit=51)


@pytest.mark.parametrize("after_backward", [False, True])
def test_ten_thousand_ops(after_backward):
    x = mg.Tensor(1.0, "x")
    y = x
    for _ in range(10_000):
        y = y * 1.00001
    if after_backward:
        y.backward()
    source = drawn(y)
    assert "loops rolled" in source and "×10000, step 10000 shown" in source
    assert len([key for key in nodes(source) if key.startswith("t")]) == 2
    assert "loops rolled" not in drawn(y, collapse=True)  # which was asked for


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
