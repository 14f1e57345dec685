"""docs/notebooks, made from the pages of the story: `PYTHONPATH=tests python tests/notebooks.py` writes them.

Code becomes code cells, and the output that the page says it has becomes their output, as does a picture below it.
A folded answer stays one cell of text, with an empty cell before it for the reader's own attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pages import DOCS, blocks, split_output

STORY = sorted(DOCS.glob("[1-9]-*.md"))
FOLDER = DOCS / "notebooks"

#: The parts of a page that are no plain text: folded ones, and code with the picture below it.
PART = re.compile(
    r"^(<details.*?^</details>)|^(```python\n.*?^```)(?:\n\n!\[[^\]]*\]\(([^)]*)\))?", flags=re.MULTILINE | re.DOTALL
)


def notebook(page: Path) -> Any:
    """The notebook of a page."""
    cells = list(_cells(page))
    for i, cell in enumerate(cells):
        cell["id"] = f"{page.stem}-{i}"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=cells, metadata=kernel)


def _cells(page: Path) -> Iterator[Any]:
    text = page.read_text(encoding="utf-8")
    end, attempt = 0, False
    for part in PART.finditer(text):
        folded, code, picture = part.groups()
        if between := text[end : part.start()].strip():
            yield _text(between)
            attempt = False
        if folded:
            if blocks(folded) and not attempt:
                yield new_code_cell("# Your attempt")
                attempt = True
            yield _text(folded)
        else:
            source, output = split_output(blocks(code)[0])
            yield new_code_cell(source.strip(), outputs=list(_outputs(output, picture)))
        end = part.end()
    yield _text(text[end:].strip())


def _text(text: str) -> Any:
    """A cell of text, whose links to pages lead to the notebooks of those that have one."""

    def moved(link: re.Match[str]) -> str:
        target = link[1]
        return f"](../{target})" if DOCS / target not in STORY else f"]({Path(target).stem}.ipynb)"

    return new_markdown_cell(re.sub(r"\]\(([\w-]+\.md)\)", moved, text))


def _outputs(output: list[str], picture: str | None) -> Iterator[Any]:
    if output:
        yield new_output("stream", name="stdout", text="".join(f"{line}\n" for line in output))
    if picture:
        svg = (DOCS / picture).read_text(encoding="utf-8")
        yield new_output("display_data", data={"image/svg+xml": svg})


def written(page: Path) -> str:
    """The notebook of a page as the text of its file."""
    return nbformat.writes(notebook(page)) + "\n"


if __name__ == "__main__":
    for page in STORY:
        (FOLDER / f"{page.stem}.ipynb").write_text(written(page), encoding="utf-8")
