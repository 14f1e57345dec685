"""`replay`: the file it writes, the remarks in it, and its errors."""

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg


def content(path):
    """The content of a page, as its script reads it."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))


def remarks_of(path):
    """The remarks of a page, by the titles of their steps."""
    texts = formulas(path)
    return {texts[step["title"]]: step["slide"] for step in content(path)["steps"] if step.get("slide")}


def formulas(path):
    """The formulas of a page as text, by their numbers, each of which is there once."""
    found = re.findall(r'<math id="f(\d+)" alttext="(.*?)">', path.read_text(encoding="utf-8"))
    assert len({number for number, _ in found}) == len(found)
    return {int(number): unescape(text) for number, text in found}


def test_refusals(tmp_path):
    x = mg.Tensor([1.0, 2.0], "x")
    with pytest.raises(ValueError, match=r"gradients need a scalar, got shape \(2,\)"):
        mg.replay(x * 2, tmp_path / "a.html")
    y = mg.sum(x)
    for _ in range(400):
        y = y + 1
    with pytest.raises(ValueError, match=r"replay writes a page, \.html, got a\.png; use mg\.draw"):
        mg.replay(mg.sum(x), tmp_path / "a.png")
    with pytest.raises(ValueError, match="at most 300 ops, got 401"):
        mg.replay(y, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_replay_leaves_the_graph_as_it_is_and_makes_its_folder(tmp_path):
    x = mg.Tensor(2.0, "x")
    y = x * x
    mg.replay(y, tmp_path / "new folder" / "a.html")
    assert x.grad is None and y._grad is None and y.name is None
    y.backward()
    assert x.grad == 4.0


def test_a_value_of_an_array_that_was_written_into_is_refused(tmp_path):
    """Assignments are seen by their stamps; an array that changed in place by the value that it led to."""
    for leaf, change in ((True, slice(None)), (False, 0)):
        x = mg.Tensor(np.array([1.0, np.nan, np.inf]), "x")
        y = mg.tanh(x)
        J = mg.sum(y * 2.0)
        mg.replay(J, tmp_path / "a.html")
        (x if leaf else y).data[change] += 0.5
        with pytest.raises(RuntimeError, match=r"the value of (tanh|multiply).* was changed in place since"):
            mg.replay(J, tmp_path / "b.html")
    assert not (tmp_path / "b.html").exists()


def test_the_data_is_plain_json(window):
    data = content(window[1])
    assert data["root"] == "J" and len(data["boxes"]) == 16


def test_it_is_one_small_file_that_asks_for_nothing(window):
    text = window[1].read_text(encoding="utf-8")
    assert len(text.encode()) < 200_000
    assert (
        not re.search(r"(src|href)=(?!\"data:)", text)
        and "@import" not in text
        and "url(" not in text.replace("url(#", "")
    )
    assert "default-src 'none'" in text


def test_the_numbers_of_the_steps(tmp_path):
    """x is used twice: the second contribution is added to the first."""
    x = mg.Tensor(3.0, "x")
    y = x * 2.0
    y.name = "y"
    page = content(mg.replay(y + x, tmp_path / "a.html"))
    steps = {step["box"]: step for step in page["steps"] if step["phase"] == "backward"}
    assert [step["phase"] for step in page["steps"]] == [
        *("start", "forward", "forward", "seed", "backward", "backward", "end"),
    ]
    first, second = steps["t0"]["moves"][1], steps["t1"]["moves"][0]
    numbers = [page["arrays"][move[key]]["data"] for move in (first, second) for key in ("flow", "sum")]
    assert numbers == [[1.0], [1.0], [2.0], [3.0]]
    assert [(m["to"], m["nth"], m["of"]) for m in (first, second)] == [("t2", 1, 2), ("t2", 2, 2)]
    assert [page["edges"][m["edge"]]["from"] for m in (first, second)] == ["t2", "t2"]


def test_remarks_are_those_of_the_caller(tmp_path):
    W, x = mg.Tensor(np.ones((2, 2)), "W"), mg.Tensor(np.ones(2), "x")
    seen = []

    def remark(graph, box):
        seen.append((box.label, graph.root.label, [user.label for user in graph.users(box)]))
        return f"the product of {box.op.operands[0].box.label} and x" if box.op.sign == "@" else ""

    J = mg.sum(W @ x)
    path = mg.replay(J, tmp_path / "a.html", remarks=remark)
    assert remarks_of(path) == {"W x": "the product of W and x"}
    assert seen == [("J", "J", []), ("W @ x", "J", ["J"])]  # the newest first
    assert remarks_of(mg.replay(J, tmp_path / "b.html")) == {}


def test_the_library_has_no_remarks_of_its_own(window, tmp_path):
    """Those on the slides' model are the model's."""
    J, path = window
    assert len(remarks_of(path)) == 8
    assert remarks_of(mg.replay(J, tmp_path / "a.html")) == {}


def test_the_path_is_a_page_in_a_notebook(tmp_path):
    x = mg.Tensor(2.0, '"x" & y')
    page = mg.replay(x * x, tmp_path / "a.html")
    assert isinstance(page, Path) and page == tmp_path / "a.html" and page.read_text("utf-8").startswith("<!DOCTYPE")
    (source,) = re.fullmatch(r'<iframe srcdoc="([^"]*)" title="a.html" [^>]*></iframe>', page._repr_html_()).groups()
    assert unescape(source) == page.read_text("utf-8")
    assert page.parent._repr_html_() is None


def test_a_value_that_no_op_computed_has_no_steps(tmp_path):
    with pytest.raises(ValueError, match="steps through the ops that computed a value, got x, which none computed"):
        mg.replay(mg.Tensor(2.0, "x"), tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_each_array_is_written_once(tmp_path):
    """A sum passes its gradient on unchanged, and the last sum of contributions is the gradient."""
    a, b = mg.Tensor([0.25, 0.5], "a"), mg.Tensor([1.5, 2.5], "b")
    data = content(mg.replay(mg.sum((a + b) + b), tmp_path / "a.html"))
    texts = [json.dumps(array) for array in data["arrays"]]
    assert len(texts) == len(set(texts))


def test_loops_copies_and_norms(tmp_path):
    W, h = mg.Tensor(np.eye(2), "W"), mg.Tensor(np.ones(2), "h0")
    for _ in range(5):
        h = mg.tanh(W @ h)
    J = mg.sum(h)
    data = content(mg.replay(J, tmp_path / "a.html"))
    boxes = {box["key"]: box for box in data["boxes"]}
    (steps,) = data["loops"]
    assert [[boxes[key]["label"] for key in step][2:] for step in steps] == [["h0"], [], [], [], []]
    W_key = next(key for key, box in boxes.items() if box["label"] == "W")
    assert len(data["copies"]) == 5 and {copy["of"] for copy in data["copies"]} == {W_key}
    assert sum("copy" in edge for edge in data["edges"]) == 5
    J.backward()
    assert np.isclose(boxes[W_key]["norm"], np.linalg.norm(W.grad), rtol=1e-14)


@pytest.mark.parametrize("write", [mg.replay, lambda J, path: mg.draw(J).save(path.with_suffix(".svg"))])
def test_a_picture_that_cannot_be_written_leaves_the_old_one(write, tmp_path, monkeypatch):
    """The disk is full."""
    J, path = mg.Tensor(2.0, "x") * 1.5, tmp_path / "a.html"
    for file in (path, path.with_suffix(".svg")):
        file.write_text("the old one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(J, path)
    assert {file.read_text() for file in tmp_path.iterdir()} == {"the old one"} and len(list(tmp_path.iterdir())) == 2
