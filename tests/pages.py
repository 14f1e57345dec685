"""The Markdown pages of README and docs/: their code, and the output that they say it has."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def blocks(text: str) -> list[str]:
    """The Python code of a page.

    >>> blocks("```python\\nx = 1\\n```\\n")
    ['x = 1\\n']
    """
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def split_output(block: str) -> tuple[str, list[str]]:
    """A block without the output it says it has, and that output: comments behind a print, and comment lines below one.

    >>> split_output("print(1)  # 1\\nfor i in 2, 3:\\n    print(i)\\n# 2\\n# 3\\n")
    ('print(1)\\nfor i in 2, 3:\\n    print(i)\\n', ['1', '2', '3'])
    """
    code, output, after_print = [], [], False
    for line in block.splitlines(keepends=True):
        if line.startswith("# ") and after_print:
            output.append(line[2:].rstrip())
            continue
        after_print = line.lstrip().startswith("print(")
        if after_print and "  # " in line:
            line, comment = line.rstrip().split("  # ")
            line += "\n"
            output.append(comment)
        code.append(line)
    return "".join(code), output


WITHOUT_INSTALLING = DOCS / "without-installing.md"  # whose code runs on another kind of machine, in a test of its own
WITH_CODE = [path for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))) if blocks(path.read_text("utf-8"))]
PAGES = [path for path in WITH_CODE if path != WITHOUT_INSTALLING]
