"""Formulas that `derive` prints, evaluated by the reader of LaTeX and compared with the lines and the results."""

from __future__ import annotations

from typing import Any

import numpy as np
from latex_reader import Reader
from listings import walked

from minigrad.compiler.dialects.mathematics import Mathematics
from minigrad.compiler.identifiers import identify
from minigrad.compiler.program import Value, astype
from minigrad.compiler.schedule import schedule
from minigrad.compiler.source import called
from minigrad.sparse import RowSparse
from minigrad.trees import leaves
from minigrad.viz.formulas import latex


def check(d: Any, args: tuple[Any, ...]) -> int:
    """Compare every equation with its line, and every result; how many equations there were."""
    program = d.latest.program
    lines = schedule(program)
    names = identify(lines)
    mathematics = Mathematics(lines, names, d.latest.replaced)
    equations = mathematics.equations()
    assert latex(equations) == d.latex
    *_, last = [({"np": np}, ""), *((dict(scope), "") for _, _, scope in walked(d, args))]
    found = last[0]
    if len(found) == 1:
        found |= dict(zip(names.parameters.values(), args)) | dict(
            zip([names.names[v] for v in program.captured if v in lines.needed], d.latest.captured(*args))
        )
    inputs = [v for *_, v in program.inputs] + program.captured
    unpacked = {v for _, path, v in program.inputs if path}  # these have equations of their own
    symbols = {v: latex(mathematics.symbols[v]) for v in inputs if v in mathematics.symbols and v not in unpacked}
    known = {text: found[names.names[v]] for v, text in symbols.items()}
    helpers = {called(h): found[called(h)] for h in lines.helpers}
    parameters = {name: found[name] for name in names.parameters.values()}
    reader = Reader(known, {**helpers, "astype": astype, **parameters})
    reader.read(d.latex)
    printed = {latex(line[0]) for line in equations.lines}
    for v in lines.values:
        if v in mathematics.symbols and latex(mathematics.symbols[v]) in printed and lines.target(v) is None:
            compare(reader[latex(mathematics.symbols[v])], found[names.names[v]], latex(mathematics.symbols[v]))
    result = d(*args)
    for (path, x), expected in zip(mathematics.returned(program.output, ""), leaves(result), strict=True):
        output = rf"\texttt{{output{path}}}"
        if output in reader:
            pairs = (
                zip(reader[output], expected._parts)
                if isinstance(expected, RowSparse)
                else [([reader[output]], [expected])]
            )
            for got, right in pairs:
                for one, other in zip(got, right, strict=True):
                    compare(one, other, output)
        elif isinstance(x, Value) and x in mathematics.symbols:
            compare(reader[latex(mathematics.symbols[x])], expected, path)
        for label in map(latex, mathematics.labels(x) if isinstance(x, Value) else []):
            if label in reader:
                compare(reader[label], expected, label)
    return len(equations.lines)


def compare(got: Any, expected: Any, name: str) -> None:
    """Equal in shape, and in value but for rounding."""
    if isinstance(expected, tuple):  # several arrays, as of np.linalg.svd
        for one, other in zip(got, expected, strict=True):
            compare(one, other, name)
        return
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{name} has shape {got.shape}, not {expected.shape}"
    if got.dtype.kind in "fiub" and np.array_equal(got, expected):
        return  # most are equal, which is known much sooner than that they are close
    eps = (
        1e-9
        if expected.dtype.kind not in "fc" or (expected.dtype.itemsize >= 8 and expected.dtype != np.complex64)
        else 1e-4
    )
    finite = expected[np.isfinite(expected)] if expected.size else expected
    scale = 1 + np.max(np.abs(finite), initial=0)
    np.testing.assert_allclose(got, expected, rtol=eps, atol=eps * scale, err_msg=name)
