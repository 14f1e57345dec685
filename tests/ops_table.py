"""docs/ops.md, made from the ops and the table of cases: `python tests/ops_table.py` writes it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from cases import CASES, MODULES

from minigrad.engine import implementations
from minigrad.hints import HINTS

PAGE = Path(__file__).parent.parent / "docs" / "ops.md"

HEAD = """# The ops

This page is made from the code by `python tests/ops_table.py`; a test holds it to that.

An op works under its name in `mg`, as the NumPy functions it stands for when they are called on a Tensor, and as a
method where ndarray has one. "rule" is a line of calculus of its own, "composed" is written with other ops. Each has
been checked to second order, against derivatives taken from values alone, in as many cases as the table says; any order
works, because rules are written in the functions they differentiate.

Gradients at a tie of max, min, maximum, minimum, sort and median are shared evenly. The gradient of a real value with
respect to a complex variable a + bi is dL/da + i dL/db, as in PyTorch.
"""


def numpys(f: Any) -> list[str]:
    found = [
        f"np.{theirs.__name__}".replace(
            "np.", f"{getattr(theirs, '__module__', None) or 'numpy'}.".replace("numpy", "np")
        )
        for theirs, ours in implementations.items()
        if ours is f or getattr(ours, "__name__", "") == f"_{f.__name__}"
    ]
    return sorted(found)


def page() -> str:
    lines = [HEAD]
    counts: dict[Any, int] = {}
    for case in CASES:
        f = case.op if hasattr(case.op, "body") else getattr(case.op, "__wrapped__", case.op)
        f = implementations.get(f, f)
        counts[f] = counts.get(f, 0) + 1
    for module in MODULES:
        prefix = {"minigrad.ops.fft": "mg.fft.", "minigrad.ops.linalg": "mg.linalg."}.get(module.__name__, "mg.")
        lines += [f"## {module.__name__.rpartition('.')[2]}", ""]
        lines += ["| function | NumPy | how | orders | cases | note |", "|---|---|---|---|---|---|"]
        for name, f in sorted(vars(module).items()):
            own = getattr(f, "__module__", "") == module.__name__ and callable(f) and not isinstance(f, type)
            if not own or name.startswith("_") or f.__name__ != name:
                continue
            note = (inspect.getdoc(f) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            theirs = ", ".join(f"`{n}`" for n in numpys(f))
            how = "rule" if hasattr(f, "body") else "composed"
            lines.append(f"| `{prefix}{name}` | {theirs} | {how} | 1, 2 | {counts.get(f, 0)} | {note} |")
        lines.append("")
    plain = sorted(
        f"`{(getattr(f, '__module__', None) or 'numpy').replace('numpy', 'np')}.{f.__name__}`"
        for f, ours in implementations.items()
        if not hasattr(ours, "__name__")
    )
    lines += ["## Without a derivative", "", "These give plain arrays on Tensors: " + ", ".join(plain) + ".", ""]
    lines += [
        "## Left out",
        "",
        "Every other NumPy function is an error on a Tensor. For these it says what to write:",
        "",
    ]
    lines += ["| left out | write |", "|---|---|"]
    lines += [f"| `{name}` | {instead.replace('|', chr(92) + '|')} |" for name, instead in HINTS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
