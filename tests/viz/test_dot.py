"""Pictures saved by suffix, with and without the program `dot`."""

import inspect
import subprocess
import sys
from pathlib import Path

import graphviz
import pytest

import minigrad as mg


def test_saved_by_suffix(tmp_path):
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>", "gv": b"digraph"}
    for suffix, start in starts.items():
        path = tmp_path / f"new folder/p.{suffix}"
        assert picture.save(path) == str(path)
        assert path.read_bytes().startswith(start)
    assert b"<svg" in (tmp_path / "new folder/p.html").read_bytes()
    with pytest.raises(ValueError, match=r"saved as \.svg, .* got p\.bmp"):
        picture.save(tmp_path / "p.bmp")
    assert isinstance(picture, graphviz.Digraph)
    assert "image/svg+xml" in picture._repr_mimebundle_()


def test_without_dot_one_line_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    picture = mg.draw(mg.Tensor(1.0, "x") * 2)
    assert picture.save(tmp_path / "p.svg") == str(tmp_path / "p.gv")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "apt install graphviz" in out
    assert (tmp_path / "p.gv").read_text(encoding="utf-8") == picture.source
    assert "apt install graphviz" in picture._repr_mimebundle_()["text/plain"]


def test_importing_minigrad_imports_no_graphviz():
    code = "import sys, minigrad; sys.exit('graphviz' in sys.modules)"
    root = Path(inspect.getfile(mg)).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
