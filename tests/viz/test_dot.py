"""Pictures saved by suffix, by Graphviz, by graphviz-pure, and without either."""

import inspect
import subprocess
import sys
from pathlib import Path

import graphviz
import graphviz.backend.dot_command
import pytest

import minigrad as mg


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
