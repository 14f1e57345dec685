"""The notebooks in docs/notebooks are those of the pages, and run."""

import pytest

pytest.importorskip("ipykernel", reason="needs the extra docs")
nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")

from notebooks import FOLDER, STORY, written  # noqa: E402


def test_they_are_current():
    found = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.ipynb")}
    assert found == {page.stem: written(page) for page in STORY}, "run PYTHONPATH=tests python tests/notebooks.py"


def printed(cell):
    return "".join(output.text for output in cell.get("outputs", ()) if output.output_type == "stream")


def test_they_run_and_print_what_they_show():
    """One kernel, which starts in seconds, for all: it forgets the variables of a notebook before the next one."""
    cells = []
    for page in STORY:
        cells += [nbformat.v4.new_code_cell("%reset -f"), *nbformat.reads(written(page), as_version=4).cells]
    promised = [printed(cell) for cell in cells]
    together = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(together, timeout=60, kernel_name="python3").execute()
    shown = ["".join(f"{line.rstrip()}\n" for line in printed(cell).splitlines()) for cell in cells]
    assert shown == promised
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", ()))
