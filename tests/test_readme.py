"""README tells the truth: its tour runs and prints what it says, its Quick start is two whole commands."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


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


def test_the_tour_prints_what_it_says():
    namespace = {}
    assert len(blocks("python")) >= 5
    for block in blocks("python"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, "README.md", "exec"), namespace)
        assert [line.strip() for line in printed.getvalue().splitlines()] == promised(block)


def test_quick_start_is_two_lines_that_install_and_run():
    first = re.search(r"^```\w*\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1).splitlines()
    assert len(first) == 2
    assert all("pip install" in line for line in first)
    assert first[0].endswith("python -m models")
    assert first[1].endswith("python -m pytest")
