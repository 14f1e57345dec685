"""README and docs/ tell the truth: their code runs and prints what they say, the Quick start is two whole commands."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def promised(block):
    """The output a block says it has: comments behind a print, and comment lines below one."""
    lines, after_print = [], False
    for line in block.splitlines():
        if line.startswith("# ") and after_print:
            lines.append(line[2:])
        else:
            after_print = line.startswith("print(")
            if after_print and "  # " in line:
                lines.append(line.split("  # ")[1])
    return [line.strip() for line in lines]


PAGES = [
    path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(path.read_text("utf-8"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_prints_what_the_page_says(page):
    namespace = {}
    for block in blocks(page.read_text("utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), namespace)
        assert [line.strip() for line in printed.getvalue().splitlines()] == promised(block)


def test_readme_and_the_tutorial_have_code():
    assert {"README.md", "derive-it-yourself.md"} <= {page.name for page in PAGES}


def test_quick_start_is_two_lines_that_install_and_run():
    first = re.search(r"^```\w*\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1).splitlines()
    assert len(first) == 2
    assert all("pip install" in line for line in first)
    assert first[0].endswith("python -m models")
    assert first[1].endswith("python -m pytest")
