"""Numbers and arrays for people: short text, colours for a heat strip, small tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.operands import is_lazy, to_numpy
from minigrad.text import printable

Array = Any

FULL = 8  # elements: an array of up to this size is shown in full, a larger one as a strip and its range
WIDEST, LARGEST = 12, 60  # columns and elements of an array that a notebook shows in full
NEGATIVE, ZERO, POSITIVE = (118, 42, 131), (247, 247, 247), (27, 120, 55)  # distinct for the colour-blind too
BAD = "#c8102e"  # NaN and inf


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of text, the columns aligned.

    >>> columns([["at", "verdict"], ["[10]", "equal"]])
    ['at    verdict', '[10]  equal']
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines]


def number(x: Any, digits: int = 3) -> str:
    """A number in a few significant digits, with a real minus sign.

    >>> number(-0.12345), number(float("inf")), number(float("nan")), number(1e-7)
    ('−0.123', '∞', 'NaN', '1e−07')
    """
    if isinstance(x, complex | np.complexfloating):
        return f"{number(x.real, digits)} {'−' if x.imag < 0 else '+'} {number(abs(x.imag), digits)}i"
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    return f"{x + 0:.{digits}g}".replace("-", "−")  # + 0: no minus zero


def brief(x: Any) -> str:
    """A number for a small cell: two digits, or one with an exponent where it is small or large.

    >>> brief(-1.234), brief(-0.00069), brief(123456.0)
    ('−1.2', '−7e−4', '1e5')
    """
    if isinstance(x, float) and math.isfinite(x) and x and not 0.01 <= abs(x) < 1000:
        power, digits = f"{x:.0e}".split("e")[::-1]
        return f"{digits}e{int(power)}".replace("-", "−")
    return number(x, 3 if isinstance(x, float) and abs(x) >= 100 else 2)


def elements(data: Array, most: int) -> list[Any]:
    """The elements of an array, flat; for a large one the means of `most` runs of equal length.

    >>> elements(np.array([[1.0, 2.0], [3.0, 6.0]]), 2)
    [1.5, 4.5]
    """
    flat = np.reshape(data, -1)
    if flat.size > most:
        starts = np.arange(most) * flat.size // most
        with np.errstate(all="ignore"):
            flat = np.add.reduceat(flat, starts) / np.diff(starts, append=flat.size)
    return flat.tolist()


def colour(x: Any, largest: float) -> str:
    """The colour of a number on a scale from -largest (violet) through 0 (white) to largest (green).

    >>> colour(-2.0, 2.0), colour(0.0, 2.0), colour(float("nan"), 2.0) == BAD
    ('#762a83', '#f7f7f7', True)
    """
    x = abs(x) if isinstance(x, complex) else x
    if not math.isfinite(x):
        return BAD
    share = min(1.0, abs(x) / largest) if largest else 0.0
    end = NEGATIVE if x < 0 else POSITIVE
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(ZERO, end))


def ink(background: str) -> str:
    """Black or white, whichever has more contrast with a colour: at least 4.5 to 1 (WCAG 2.2, relative luminance).

    >>> ink("#762a83"), ink("#f7f7f7")
    ('#ffffff', '#000000')
    """
    shares = (int(background[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return "#000000" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 else "#ffffff"


def scale(values: list[Any]) -> float:
    """The largest finite magnitude."""
    return max((abs(v) for v in values if math.isfinite(abs(v))), default=0.0)


def rows(data: Array) -> list[list[Any]]:
    """The rows in which a small array is printed: those of a matrix, four elements each for anything else.

    >>> rows(np.arange(5.0))
    [[0.0, 1.0, 2.0, 3.0], [4.0]]
    """
    if data.ndim == 2 and data.size:
        return data.tolist()
    flat = np.reshape(data, -1).tolist()
    return [flat[i : i + 4] for i in range(0, len(flat), 4)]


def span(data: Array) -> str:
    """The range of a large array as text.

    >>> span(np.arange(10.0)), span(np.zeros(10))
    ('min 0 · mean 4.5 · max 9', 'all 0')
    """
    if np.all(data == data.flat[0]):
        return f"all {number(data.flat[0])}"
    if data.dtype.kind == "c":
        return f"largest {number(np.max(np.abs(data)))}"
    with np.errstate(all="ignore"):
        return f"min {number(np.min(data))} · mean {number(np.mean(data))} · max {number(np.max(data))}"


def norm(data: Array) -> float:
    """The length of an array as a vector; of a row-sparse gradient, of its rows.

    >>> norm(np.array([[3.0, 0.0], [0.0, 4.0]])), norm(np.array([3e-200, 4e-200]))
    (5.0, 5e-200)
    """
    sizes = np.abs(np.ravel(data.rows if hasattr(data, "rows") else data))
    largest = float(np.max(sizes, initial=0.0))
    # divided first, as the square of a small number would be 0, and that of a large one infinite
    return largest * float(np.linalg.norm(sizes / largest)) if 0 < largest < math.inf else largest


def table(data: Array) -> str:
    """An array as a small HTML table: numbers on colours, or a strip and the range."""
    full = data.size <= (LARGEST if data.ndim < 2 or data.shape[-1] <= WIDEST else FULL)
    lines = rows(data) if full else [elements(data, 24)]
    largest = scale([v for line in lines for v in line])
    style = "padding:1px 5px;text-align:right" if full else "padding:0;width:7px;height:14px"
    body = ""
    for line in lines:
        body += "<tr>"
        for v in line:
            fill = colour(v, largest)
            text = number(v) if full else ""
            body += f'<td style="{style};background:{fill};color:{ink(fill)}">{text}</td>'
        body += "</tr>"
    note = "" if full else f"<div>{span(data)}</div>"
    return f'<table style="border-spacing:0;display:inline-table">{body}</table>{note}'


def card(name: str | None, data: Array, grad: Array | None) -> str:
    """A value and its gradient side by side, for a notebook.

    >>> card("x", np.array(1.0), None).count("no gradient yet")
    1
    """
    import html

    if is_lazy(data):
        return f"<code>{html.escape(printable(repr(data)))}</code>"
    shape = f"{data.shape} {data.dtype}" if data.shape else str(data.dtype)
    heads = html.escape(printable(name or "Tensor")), "gradient"
    if grad is None:
        below = "<i>no gradient yet</i>"
    elif hasattr(grad, "rows"):  # row-sparse: only the stored rows
        below = f"{len(grad.indices)} of {grad.shape[0]} rows<br>{table(to_numpy(grad.rows))}"
    else:
        below = table(to_numpy(grad))
    return (
        '<table style="font-size:12px"><tr>'
        f'<th style="text-align:left">{heads[0]} <span style="font-weight:normal">{shape}</span></th>'
        f'<th style="text-align:left">{heads[1]}</th></tr>'
        f'<tr><td style="text-align:left;vertical-align:top">{table(to_numpy(data))}</td>'
        f'<td style="text-align:left;vertical-align:top">{below}</td></tr></table>'
    )
