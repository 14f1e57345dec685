"""Pictures saved by suffix, by Graphviz, by graphviz-pure, and without either."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import graphviz
import graphviz.backend.dot_command
import numpy as np
import pytest

import minigrad as mg
from minigrad.viz import command


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


def test_a_picture_that_cannot_be_drawn_replaces_no_file(no_graphviz, tmp_path):
    (tmp_path / "p.gv").write_text("somebody else's")
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    for _ in range(2):
        assert picture.save(tmp_path / "p.svg") == str(tmp_path / "p.svg.gv")
    assert (tmp_path / "p.gv").read_text() == "somebody else's"
    assert (tmp_path / "p.svg.gv").read_text(encoding="utf-8") == picture.source
    with pytest.raises(graphviz.ExecutableNotFound):
        picture.render(tmp_path / "p", format="svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.gv", "p.svg.gv"]


def test_a_text_that_graphviz_refuses_replaces_no_file(tmp_path):
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    for path in (tmp_path / "p", tmp_path / "p.gv", tmp_path / "p.svg"):
        path.write_text("before")
    picture.node("wrong", label="<<b>>")
    for write in (lambda: picture.render(tmp_path / "p", format="svg"), lambda: picture.save(tmp_path / "p.svg")):
        with pytest.raises(graphviz.CalledProcessError):
            write()
    picture.node("half of a pair", label="\ud800")
    with pytest.raises(UnicodeEncodeError):
        picture.save(tmp_path / "p.gv")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"before"}


def test_replay_makes_folders_as_save_does(tmp_path):
    J = mg.Tensor(1.0, "x") * 2
    assert mg.replay(J, tmp_path / "a/b/page.html").exists()
    assert (
        Path(mg.draw(J).save(tmp_path / "c/d/p.svg")).exists() and Path(mg.draw(J).save(tmp_path / "e/f/p.gv")).exists()
    )


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


@pytest.fixture
def slow_dot(tmp_path, monkeypatch):
    """A `dot` that never ends for a graph of more than 30 boxes; it has 1.5 seconds, and for others all it needs."""
    real = shutil.which("dot") or shutil.which("graphviz-pure", path=sysconfig.get_path("scripts"))
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import os, subprocess, sys, time
open({str(tmp_path / "pids")!r}, "a").write(f"{{os.getpid()}}\\n")
if "NEVER_ENDS" in os.environ:
    time.sleep(60)
sys.exit(subprocess.run([{real!r}, *sys.argv[1:]]).returncode)
"""
    )
    program.chmod(0o755)
    run = subprocess.run

    def timed(args, *, input, timeout, **how):
        is_rough = any(str(a).startswith("-Gnslimit") for a in args) and (tmp_path / "rough").exists()
        if is_rough or len(re.findall(rb"^\s*t\d+ \[", input, re.M)) <= 30:
            return run(args, input=input, **how)
        return run(args, input=input, timeout=timeout, env={**os.environ, "NEVER_ENDS": "1"}, **how)

    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(command, "SECONDS", 1.5)
    monkeypatch.setattr(command.subprocess, "run", timed)
    yield tmp_path
    pids = tmp_path / "pids"
    for pid in pids.read_text().split() if pids.exists() else ():  # it may have been ended before it began
        assert not Path(f"/proc/{pid}").exists()  # none is left running


def unlike(count):
    """A graph without loops: its ops are at random."""
    ops, made = [mg.add, mg.multiply, mg.maximum, mg.subtract], [mg.Tensor(0.5, "x"), mg.Tensor(0.25, "y")]
    for which, i in np.random.default_rng(1).integers([len(ops), 1000], size=(count, 2)):
        made.append(ops[which](made[-1], made[i % len(made)]))
    made[-1].backward()
    return made[-1]


def test_a_picture_that_takes_too_long_becomes_its_part_nearest_to_the_result(slow_dot):
    J = unlike(60)
    picture = mg.draw(J)
    picture.node("mine", label="a node of my own")
    start = time.perf_counter()
    svg = picture.pipe("svg", encoding="utf-8")
    assert time.perf_counter() - start < 30
    assert (
        re.search(r"… \d+ more", svg)
        and "a node of my own" in svg
        and sum(svg.count(f"<title>{title}</title>") > 0 for key, title in picture.titles.items() if key[0] == "t")
        == 25
    )
    assert picture.pipe("svg", encoding="utf-8") == svg  # at once: `.source` is what is drawn
    small = mg.draw(unlike(20))
    assert small.smaller is None


def test_a_small_picture_that_takes_too_long_is_an_error(monkeypatch):
    monkeypatch.setattr(command, "SECONDS", 0.0001)
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    with pytest.raises(TimeoutError, match=r"did not lay the picture out within 0\.0001 seconds"):
        picture.pipe("svg")


def test_a_page_is_laid_out_roughly_or_in_rows_where_dot_takes_too_long(slow_dot):
    J = unlike(60)
    pages = []
    for how in ("in rows", "roughly"):
        page = mg.replay(J, slow_dot / "page.html").read_text(encoding="utf-8")
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
        assert data["note"] == f"dot did not lay the picture out within 1.5 seconds; it is laid out {how}"
        pages.append(data)
        (slow_dot / "rough").touch()
    for data in pages:
        spots = [item["place"] for item in [*data["boxes"], *data["copies"]]]
        assert len(spots) > 60
        for i, (x, y, w, h) in enumerate(spots):
            for x2, y2, w2, h2 in spots[:i]:
                assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h
        place = {item["key"]: item["place"] for item in [*data["boxes"], *data["copies"]]}
        for edge in data["edges"]:  # from top to bottom
            assert place[edge.get("copy", edge["from"])][1] < place[edge["to"]][1]


def test_graphviz_pure_draws_and_replays_fifty_steps(no_dot, tmp_path):
    W, h = mg.Tensor(np.eye(3) / 2, "W"), mg.Tensor(np.ones(3), "h0")
    for _ in range(50):
        h = mg.tanh(W @ h + 1)
    J = mg.sum(h)
    J.backward()
    start = time.perf_counter()
    assert b"loops rolled" in mg.draw(J).pipe("svg").replace(b"&#160;", b" ")
    text = mg.replay(J, tmp_path / "a.html").read_text(encoding="utf-8")
    assert time.perf_counter() - start < 60
    assert '"note":""' in text
