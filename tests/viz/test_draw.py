"""The picture of a graph: boxes, edges, and the gradients on them."""

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import graphviz
import numpy as np
import pytest
from dot_text import box, drawn, edges, nodes, slide
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import ops
from minigrad.viz.command import installed_command
from minigrad.viz.graph import build

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    "golden, options",
    [("before.gv", {}), ("after.gv", {}), ("forward.gv", {"backward": False, "values": False, "rankdir": "TB"})],
)
def test_golden(golden, options):
    """To write it anew: python -m pytest tests/viz/test_draw.py -k golden, with the file removed."""
    J, (*_, x, x_c) = slide()
    if golden == "after.gv":
        J.backward()
    source, path = drawn(J, inputs=[x, x_c], **options), GOLDEN / golden
    assert source == drawn(J, inputs=[x, x_c], **options)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        pytest.fail(f"wrote {path.name}: look at it and run again")
    assert source == path.read_text(encoding="utf-8")


def test_the_golden_texts_are_pictures():
    for path in GOLDEN.glob("*.gv"):
        with installed_command("svg"):
            svg = graphviz.Source(path.read_text(encoding="utf-8")).pipe(format="svg", quiet=True)
        assert svg.rstrip().endswith(b"</svg>")


def test_data_that_is_newer_than_the_results_is_said():
    """A step of training, and then the picture: its numbers are not of one time."""
    w, x = mg.Tensor([1.0, 2.0], "w"), mg.Tensor([3.0, 4.0], "x")
    J = mg.sum(w * x)
    J.backward()
    assert "changed since" not in mg.draw(J).source
    w.data = w.data - 0.1 * w.grad
    source = mg.draw(J).source
    assert "<b>changed since the results were computed: w</b>" in source and "too large" not in source
    assert "<b>changed since</b>" in box(source, "w")[1] and "changed" not in box(source, "x")[1]
    assert "changed since" not in mg.draw(mg.sum(w * x)).source


OPS = {"add": ops.add, "multiply": ops.multiply, "subtract": ops.subtract, "tanh": ops.tanh, "negative": ops.negative}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(OPS)), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=25),
    st.integers(1, 3),
)
def test_every_value_once_and_every_edge(steps, leaves):
    """A random graph: each Tensor that the root was made of is one box, each use of it one edge."""
    made = [mg.Tensor(0.5, f"x{i}") for i in range(leaves)]
    for name, i, j in steps:
        args = made[i % len(made)], made[j % len(made)]
        made.append(OPS[name](*args[: 1 if name in ("tanh", "negative") else 2]))
    root = made[-1]
    below, waiting = {root}, [root]
    while waiting:
        for x in waiting.pop()._edges[::2]:
            if x not in below:
                below.add(x)
                waiting.append(x)
    root.backward()
    source = drawn(root)
    results = [t for t in below if t._op is not None]
    assert len([k for k in nodes(source) if k.startswith("t")]) == len(below)
    assert len([k for k in nodes(source) if k.startswith("op")]) == len(results)
    key = {t._stamp: f"t{i}" for i, t in enumerate(sorted(below, key=lambda t: t._stamp))}
    expected = Counter(
        (key[x._stamp], key[t._stamp].replace("t", "op")) for t in results for x in t._edges[::2]
    ) + Counter((key[t._stamp].replace("t", "op"), key[t._stamp]) for t in results)
    assert Counter(edges(source)) == expected
    graph = build(root, backward=True)
    for b in graph.boxes:
        if b.op is None:
            assert b.grad == b.node.grad  # the pass that draws is the pass that differentiates
        if b.arrivals:
            flows = [o.flow for r in graph.boxes if r.op for o in r.op.operands if o.box is b]
            assert len(flows) == b.arrivals and np.isclose(sum(flows), b.grad)


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_name_is_a_picture(name, frame):
    x = mg.Tensor([1.0, np.nan], name)
    with mg.scope(frame):
        y = mg.sum(x)
    y.backward()
    for label in nodes(drawn(y)).values():
        ElementTree.fromstring(f"<label>{label}</label>")  # a label has to be well-formed, or dot gives up


def test_strange_names_pass_through_dot():
    odd = ["<b>&amp;", '"quoted"', "back\\slash\\", "line\nbreak", "\x00\x1b", "]]>", "δ → ∂", "x" * 500, "{0}"]
    for name in (*odd, "<a>", "<lambda>", "</script><b>", "a|b", "a:b", "node"):
        x = mg.Tensor([1.0, 2.0], name)
        with mg.scope(name):
            y = mg.sum(x * mg.Tensor([1.0, 2.0], name))
        y.backward()
        assert b"</svg>" in mg.draw(y).pipe(format="svg")


def test_kinds_differ_in_colour_and_form():
    J, (*_, x, _) = slide()
    source = drawn(J, inputs=[x])
    looks = {}
    for name in ("W", "x", "z"):
        key, _ = box(source, name)
        line = re.search(rf"^\s*{key} \[.*$", source, re.M).group()
        looks[name] = [re.search(rf"{a}=\"?([^\" \]]+)", line).group(1) for a in ("shape", "fillcolor")] + [
            "rounded" in line
        ]
    assert looks["W"][0] == "box" and looks["x"][0] == "note" and looks["z"][2] and not looks["W"][2]
    assert len({look[1] for look in looks.values()}) == 3


def test_values_small_in_full_large_as_a_strip_with_its_range():
    x = mg.Tensor([0.5, -1.25], "x")
    X = mg.Tensor(np.arange(100.0).reshape(10, 10), "X")
    source = drawn(mg.sum(x) + mg.sum(X))
    small, large = box(source, "x")[1], box(source, "X")[1]
    assert "0.5" in small and "−1.2" in small and "(2,) float64" in small
    assert "min 0 · mean 49.5 · max 99" in large and large.count("bgcolor") == 16
    assert "min 0" not in drawn(mg.sum(X), values=False)


def test_no_gradient_yet_is_not_zero():
    x = mg.Tensor(2.0, "x")
    y = x * 0.0
    assert "no gradient yet" in box(drawn(y), "x")[1]
    y.backward()
    after = box(mg.draw(y).source, "x")[1]
    assert "no gradient yet" not in after and "∂y/∂x" in after and ">0<" in after


def test_nan_and_inf_are_red():
    x = mg.Tensor([np.nan, 1.0, np.inf], "x")
    label = box(drawn(mg.sum(x)), "x")[1]
    assert "NaN" in label and "∞" in label and "2 not finite" in label and label.count("#c8102e") == 3
    assert "#c8102e" in box(drawn(mg.Tensor(np.nan, "x") * 1.0), "x")[1]


def test_arrays_are_inputs_drawn_once():
    x, W = np.ones(3), mg.Tensor(np.ones((2, 3)), "W")
    source = mg.draw(mg.sum(W @ x) + mg.sum((W * 2) @ x)).source
    key, label = box(source, "x")  # the name of the variable here
    assert "shape=note" in source and len([e for e in edges(source) if e[0] == key]) == 2
    assert "no gradient yet" not in label


def test_the_overlay_shows_what_flows_and_where():
    J, _ = slide()
    J.backward()
    source = drawn(J)
    _, label = box(source, "W")
    assert "sum of 2" in label
    for formula in ("δ xᵀ", "Wᵀ δ", "∂J/∂s U", "1{1 − s + s_c &gt; 0}"):
        assert formula in source, formula
    assert "a ∘ (1 − a)" in source
    assert source.count("= <b>∂J/∂s δ</b>") == source.count("= <b>∂J/∂s_c δ_c</b>") == 2  # at z and W x of each
    assert "−1" in box(source, "s")[1]
    assert "∂" not in drawn(J, backward=False) and "grad" not in drawn(J, backward=False)


def test_dead_branches_are_dimmed():
    x = mg.Tensor(-1.0, "x")
    y = mg.relu(x) + 2 * x
    y.backward()
    source = drawn(y)
    assert source.count("nothing flows back") == 0 and "style=dashed" in source  # the hinge's edge is dead, x is not
    y = mg.relu(mg.Tensor(-1.0, "x"))
    y.backward()
    assert drawn(y).count("nothing flows back") == 1


def test_the_overlay_before_backward_on_request_only():
    x = mg.Tensor(3.0, "x")
    y = x * x
    assert "∂" not in drawn(y)
    assert "∂y/∂x" in mg.draw(y, backward=True).source
    assert x.grad is None
    with pytest.raises(ValueError, match=r"gradients need a scalar, got shape \(2,\)"):
        mg.draw(mg.Tensor([1.0, 2.0]) * 2, backward=True)


def test_after_data_has_changed_the_values_are_shown_and_no_flow():
    x = mg.Tensor(3.0, "x")
    y = x * x
    y.backward()
    x.data -= 0.1 * x.grad
    source = drawn(y)
    assert "∂y" not in source and ">grad<" in source and "2.4" in source
    with pytest.raises(RuntimeError):
        mg.draw(y, backward=True)


def test_row_sparse_gradients_stay_sparse():
    table = mg.Tensor(np.zeros((100_000, 4)), "L")
    y = mg.sum(mg.embedding(table, [7, 3]) + 1)
    y.backward()
    assert "2 of 100,000 rows" in drawn(y)


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="a picture needs a Tensor, got float"):
        mg.draw(1.0)


def test_the_pictures_of_readme_are_made_by_the_project(tmp_path):
    sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
    try:
        import pictures
    finally:
        sys.path.pop(0)
    pictures.window(tmp_path / "window.svg")
    texts = [
        re.findall(r"<text[^>]*>(.*?)</text>", path.read_text(encoding="utf-8"))
        for path in (tmp_path / "window.svg", pictures.HERE / "window.svg")
    ]
    assert texts[0] == texts[1] and "δ xᵀ" in " ".join(texts[0]).replace("&#160;", " ")
