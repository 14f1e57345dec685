"""Formulas that `derive` prints, evaluated by the reader of LaTeX and compared with the lines and the results."""

from __future__ import annotations

from typing import Any

import numpy as np
from latex_reader import Reader
from listings import walked

from minigrad.compiler.dialects.mathematics import Mathematics
from minigrad.compiler.identifiers import identify
from minigrad.compiler.program import Value, leaves_of
from minigrad.compiler.schedule import schedule
from minigrad.compiler.source import called
from minigrad.viz.formulas import latex


def check(d: Any, args: tuple[Any, ...]) -> int:
    """Compare every equation with its line, and every result; how many equations there were."""
    program = d.latest.program
    lines = schedule(program)
    names = identify(lines)
    mathematics = Mathematics(lines, names)
    equations = mathematics.equations()
    assert latex(equations) == d.latex
    *_, last = [({"np": np}, ""), *((dict(scope), "") for _, _, scope in walked(d, args))]
    found = last[0]
    if len(found) == 1:
        found |= dict(zip(names.parameters.values(), args)) | dict(
            zip([names.names[v] for v in program.captured if v in lines.needed], d.latest.captured(*args))
        )
    inputs = [v for *_, v in program.inputs] + program.captured
    known = {latex(mathematics.symbols[v]): found[names.names[v]] for v in inputs if v in mathematics.symbols}
    for parameter, path, v in program.inputs:
        if path and v in mathematics.symbols:
            known.pop(latex(mathematics.symbols[v]))
            known.setdefault("", None)
    known.pop("", None)
    helpers = {called(h): found[called(h)] for h in lines.helpers}
    from minigrad.compiler.program import astype

    parameters = {name: found[name] for name in names.parameters.values()}
    reader = Reader(known, {**helpers, "astype": astype, **parameters})
    reader.read(d.latex)
    printed = {latex(line[0]) for line in equations.lines}
    for v in lines.values:
        if v in mathematics.symbols and latex(mathematics.symbols[v]) in printed and lines.target(v) is None:
            compare(reader[latex(mathematics.symbols[v])], found[names.names[v]], latex(mathematics.symbols[v]))
    result = d(*args)
    ends = {path: x for path, x in mathematics.returned(program.output, "")}
    for path, x in ends.items():
        expected = eval(f"result{path}", {"result": result, "np": np})
        for leaf in leaves_of(x):
            if isinstance(leaf, Value) and leaf in mathematics.symbols:
                if leaf is x:
                    compare(reader[latex(mathematics.symbols[leaf])], expected, path)
                for label in mathematics.labels(leaf):
                    if tuple_known(reader, label) and leaf is x:
                        compare(reader[latex(label)], expected, latex(label))
    return len(equations.lines)


def tuple_known(reader: Reader, label: Any) -> bool:
    try:
        reader[latex(label)]
    except KeyError:
        return False
    return True


def compare(got: Any, expected: Any, name: str) -> None:
    """Equal in shape, and in value but for rounding."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{name} has shape {got.shape}, not {expected.shape}"
    eps = 1e-9 if expected.dtype.kind not in "fc" or expected.dtype.itemsize >= 8 and expected.dtype != np.complex64 else 1e-4
    finite = expected[np.isfinite(expected)] if expected.size else expected
    scale = 1 + np.max(np.abs(finite), initial=0)
    np.testing.assert_allclose(got, expected, rtol=eps, atol=eps * scale, err_msg=name)
