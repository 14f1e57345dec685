"""README and docs/ are true: their code runs and prints what they say, the Quick start is two whole commands."""

import contextlib
import doctest
import io
import re

import numpy as np
import pages
import pytest
from pages import DOCS, PAGES, ROOT, blocks, split_output

import minigrad as mg
from minigrad import ops

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_prints_what_the_page_says(page, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)  # the code writes files
    namespace = {}
    for block in blocks(page.read_text("utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), namespace)
        promised = split_output(block)[1]
        assert [line.rstrip() for line in printed.getvalue().splitlines()] == promised


def test_readme_and_the_story_have_code():
    story = {page.name for page in DOCS.glob("[1-9]-*.md")}
    assert len(story) == 5
    assert {"README.md", "recipes.md"} | story <= {page.name for page in PAGES}
    assert doctest.testmod(pages).failed == 0


def test_every_public_name_has_its_place_in_the_reference():
    """Ops that NumPy has too are in the table of ops, which has a test of its own."""
    in_table = {name for name in (*ops.names, "fft", "linalg") if hasattr(np, name)}
    documented = re.findall(r"^::: minigrad\.(\w+)$", (DOCS / "reference.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted({name for name in dir(mg) if name[:2] != "__"} - in_table)


def test_quick_start_is_two_lines_that_install_and_run():
    first = re.search(r"^```\w*\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1).splitlines()
    assert len(first) == 2
    assert all("pip install" in line for line in first)
    assert first[0].endswith("python -m models")
    assert first[1].endswith("python -m pytest")


def test_the_citation_is_of_this_version():
    assert f"\nversion: {mg.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
