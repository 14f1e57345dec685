"""The picture of a graph: what it shows, what it leaves alone, and what it costs."""

import gc
import inspect
import re
import subprocess
import sys
import time
import weakref
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import graphviz
import graphviz.backend.dot_command
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import graph, ops
from minigrad.graphviz_command import installed_command
from minigrad.notation import notation
from models.window import hinge, score

GOLDEN = Path(__file__).parent / "golden"


def slide():
    """The slides' two windows with numbers that are exact in binary."""
    U = mg.Tensor([0.5, -1.0], "U")
    W = mg.Tensor([[0.5, -1.0, 0.0], [0.25, 0.0, 1.0]], "W")
    b, x, x_c = mg.Tensor([0.0, 0.5], "b"), mg.Tensor([1.0, 0.5, -0.5], "x"), mg.Tensor([0.0, 1.0, 2.0], "x_c")
    with mg.trace_source():
        with mg.scope("true window"):
            s = score(U, W, b, x)
        with mg.scope("corrupt window"):
            s_c = score(U, W, b, x_c)
        J = hinge(s, s_c)
    return J, (U, W, b, x, x_c)


def drawn(root, **options):
    return mg.draw(root, **options).source


def nodes(source):
    """The label of each node of a DOT text."""
    return dict(re.findall(r"^\s*(\w+) \[label=<(.*?)> \w+=", source, re.M))


def edges(source):
    return re.findall(r"^\s*(\w+) -> (\w+)", source, re.M)


def box(source, name):
    """The key and the label of the box of a name."""
    return next((k, v) for k, v in nodes(source).items() if f"<b>{name}</b>" in v and k.startswith("t"))


@pytest.mark.parametrize(
    "golden, options",
    [("before.gv", {}), ("after.gv", {}), ("forward.gv", {"backward": False, "values": False, "rankdir": "TB"})],
)
def test_golden(golden, options):
    """To write it anew: python -m pytest tests/test_draw.py -k golden, with the file removed."""
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
    read = graph.read(root, backward=True)
    for b in read.boxes:
        if b.op is None:
            assert b.grad == b.node.grad  # the pass that draws is the pass that differentiates
        if b.arrivals:
            flows = [o.flow for r in read.boxes if r.op for o in r.op.operands if o.box is b]
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
    for name in ("<b>&amp;", '"quoted"', "back\\slash\\", "line\nbreak", "\x00\x1b", "]]>", "δ → ∂", "x" * 500, "{0}"):
        x = mg.Tensor([1.0, 2.0], name)
        with mg.scope(name):
            y = mg.sum(x * x)
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
    for formula in ("δ xᵀ", "Wᵀ δ", "g U", "1{1 − s + s_c &gt; 0}"):
        assert formula in source, formula
    assert "a ∘ (1 − a)" in source
    assert source.count("= <b>δ</b>") == 4  # at z and W x of each window
    assert "−1" in box(source, "s")[1]
    assert "∂" not in drawn(J, backward=False) and "grad" not in drawn(J, backward=False)


def test_delta_is_where_the_nonlinearity_is_and_not_at_the_hinge():
    J, _ = slide()
    J.backward()
    marked = {b.label for b in graph.read(J).boxes if b.delta}
    assert marked == {"z", "W @ x", "W @ x_c"}


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


def test_second_order_graphs():
    x = mg.Tensor(2.0, "x")
    y = mg.grad(lambda x: mg.sin(x) * x)(x)
    y.backward()
    assert b"</svg>" in mg.draw(y).pipe(format="svg")
    assert graph.read(y).boxes[-1].grad == x.grad


def test_row_sparse_gradients_stay_sparse():
    table = mg.Tensor(np.zeros((100_000, 4)), "L")
    y = mg.sum(mg.embedding(table, [7, 3]) + 1)
    y.backward()
    assert "2 of 100,000 rows" in drawn(y)


def test_names_of_variables_here_and_in_functions():
    def inner(x):
        z = x * 2
        return mg.tanh(z)

    x = mg.Tensor(1.0)
    with mg.trace_source():
        a = inner(x)
    labels = {b.label for b in graph.read(a).boxes}
    assert {"z", "x", "a"} <= labels
    other = mg.Tensor(2.0)
    assert "<b>other</b>" in mg.draw(other * 3).source  # draw looks around
    total = other * 3
    mg.name(renamed=total, data=(c := np.ones(2)))
    assert total.name == "renamed" and graph._names[id(c)][1] == "data"


def test_scopes_are_clusters_within_clusters():
    x = mg.Tensor(1.0, "x")
    with mg.scope("outer"):
        y = x * 2
        with mg.scope("inner"):
            z = y * 3
    w = z * 4
    source = drawn(w)
    depth, found = 0, {}
    for line in source.splitlines():
        depth += line.count("subgraph") - (line.strip() == "}")
        if m := re.match(r"\s*(t\d+) \[", line):
            found[m.group(1)] = depth
    assert [found[k] for k in ("t0", "t1", "t2", "t3")] == [0, 2, 1, 0]
    with mg.scope("open"):
        assert "open" in drawn(x * 5)


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
    labels = [b.label for b in graph.read(J, collapse=True).boxes]
    assert {"U", "W", "b", "x", "x_c", "J"} <= set(labels)  # scopes keep the windows apart
    X = mg.Tensor(np.ones((4, 3)), "X")
    total = sum((mg.tanh(X[i]).sum() for i in range(4)), start=mg.Tensor(0.0))
    kinds = Counter(b.times for b in graph.read(total, collapse=True).boxes)
    assert kinds[4] == 3  # X[i], tanh and sum of the four


@pytest.mark.slow
def test_a_hundred_thousand_ops_in_two_seconds():
    x = mg.Tensor(1.0, "x")
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    for run_backward in (False, True):
        if run_backward:
            y.backward()
        for options in ({}, {"collapse": True}):
            began = time.perf_counter()
            source = drawn(y, **options)
            assert time.perf_counter() - began < 2
            assert len(source) < 500_000
    assert "… 99,901 more" in drawn(y)


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


def test_tracing_does_not_hold_the_function_it_ran_in():
    def step():
        x = mg.Tensor(1.0)
        tracing = mg.trace_source()
        with tracing:
            y = x * 2
        return weakref.ref(y)

    gc.disable()
    try:
        assert step()() is None
    finally:
        gc.enable()


def test_what_is_remembered_does_not_grow():
    def step():
        x = mg.Tensor(np.ones(3))
        with mg.trace_source(), mg.scope("step"):
            y = mg.sum(x * np.ones(3))
        return drawn(y)

    step()
    names = len(graph._names)
    for _ in range(20):
        step()
    assert len(graph._names) == names
    assert graph._scopes.maxlen and len(graph._lines) <= graph.LINES


def test_tracing_costs_nothing_when_off():
    from minigrad import engine

    with mg.trace_source(), mg.trace_source():
        assert engine.new_stamp is not engine.tick
    assert engine.new_stamp is engine.tick
    with pytest.raises(KeyError), mg.trace_source():
        raise KeyError
    assert engine.new_stamp is engine.tick


def test_saved_by_suffix(tmp_path):
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    for suffix, start in {"svg": b"<?xml", "html": b"<!DOCTYPE html>", "gv": b"digraph"}.items():
        path = tmp_path / f"new folder/p.{suffix}"
        assert picture.save(path) == str(path)
        assert path.read_bytes().startswith(start)
    assert b"<svg" in (tmp_path / "new folder/p.html").read_bytes()
    with pytest.raises(ValueError, match=r"saved as \.svg, .* got p\.bmp"):
        picture.save(tmp_path / "p.bmp")
    assert isinstance(picture, graphviz.Digraph)
    assert "image/svg+xml" in picture._repr_mimebundle_()


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_dot_writes_png_and_pdf(dot, tmp_path, suffix, start):
    path = tmp_path / f"p.{suffix}"
    assert mg.draw(mg.Tensor(1.0, "x") * 2).save(path) == str(path)
    assert path.read_bytes().startswith(start)


def test_without_any_graphviz_one_line_says_how_to_get_it(no_graphviz, tmp_path, capsys):
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    assert picture.save(tmp_path / "p.svg") == str(tmp_path / "p.gv")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "apt install graphviz" in out and "pip install graphviz-pure" in out
    assert (tmp_path / "p.gv").read_text(encoding="utf-8") == picture.source
    assert "apt install graphviz" in picture._repr_mimebundle_()["text/plain"]
    with pytest.raises(RuntimeError, match=r"replay lays the graph out with Graphviz: .*pip install graphviz-pure"):
        mg.replay(mg.Tensor(1.0, "x") * 2, tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_graphviz_pure_is_not_asked_for_what_it_cannot_draw(no_dot, tmp_path, capfd, suffix):
    picture = mg.draw(mg.Tensor(1.0, "δ ∘ x") * 2)
    assert picture.save(tmp_path / f"p.{suffix}") == str(tmp_path / "p.gv")
    out = capfd.readouterr().out
    assert out.count("\n") == 1 and f"{suffix} needs the program dot" in out and "graphviz-pure" not in out
    with pytest.raises(graphviz.ExecutableNotFound, match="apt install graphviz"):
        picture.render(tmp_path / "p", format=suffix)


def test_graphviz_pure_draws_in_silence(no_dot, tmp_path, capfd):
    picture = mg.draw(mg.Tensor(1.0, "δ ∘ x") * 2)
    assert "δ ∘ x" in picture.pipe("svg", encoding="utf-8")
    assert picture.render(tmp_path / "p", format="svg") == str(tmp_path / "p.svg")
    assert "image/svg+xml" in picture._repr_mimebundle_()
    assert mg.replay(mg.Tensor(1.0, "δ ∘ x") * 2, tmp_path / "p.html").exists()
    assert capfd.readouterr() == ("", "")
    assert Path("dot") == graphviz.backend.dot_command.DOT_BINARY  # others' pictures are drawn as before


def test_importing_minigrad_imports_no_graphviz():
    code = "import sys, minigrad; sys.exit('graphviz' in sys.modules)"
    root = Path(inspect.getfile(mg)).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_every_op_has_a_sign_and_an_op_of_ones_own_is_drawn_by_its_name_and_its_source():
    @mg.op()
    def cube(x):
        return x * x * x, lambda g: g * 3 * x * x

    y = cube(mg.Tensor(2.0, "x"))
    y.backward()
    source = drawn(y)
    assert "<b>cube</b>" in source and "g · 3 · x · x" in source
    for name in ("add", "matmul", "sigmoid", "relu", "getitem", "concatenate"):
        assert hasattr(ops, name)
    assert notation(mg.concatenate([mg.Tensor([1.0]), mg.Tensor([2.0])])).sign == "join"


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="a picture needs a Tensor, got float"):
        mg.draw(1.0)


def test_a_tensor_in_a_notebook():
    x = mg.Tensor([[1.0, -2.0], [np.nan, 0.0]], "<x>")
    assert "no gradient yet" in x._repr_html_() and "&lt;x&gt;" in x._repr_html_() and "NaN" in x._repr_html_()
    mg.sum(x * x).backward()
    assert "no gradient yet" not in x._repr_html_() and "−4" in x._repr_html_()
    big = mg.Tensor(np.zeros((1000, 1000)))
    big.grad = big.data
    assert len(big._repr_html_()) < 10_000
    table = mg.Tensor(np.zeros((1000, 2)))
    mg.sum(mg.embedding(table, [1])).backward()
    assert "1 of 1000 rows" in table._repr_html_()
    for odd in (np.zeros((0, 3)), np.float32(1.5), np.ones(2, complex)):
        assert "Tensor" in mg.Tensor(odd)._repr_html_()


def test_the_pictures_of_readme_are_made_by_the_project(tmp_path):
    sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
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
