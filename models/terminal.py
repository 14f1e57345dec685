"""Progress and tables in the terminal: with rich where it is installed, in plain text elsewhere; and its signals."""

from __future__ import annotations

import importlib.util
import io
import math
import os
import re
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from minigrad.text import printable

RICH = importlib.util.find_spec("rich") is not None
LINES = 100  # of progress in a pipe, at most: a reader who is not there stops nothing

#: Signs of formulas for streams whose encoding lacks them; the rest, such as ᵢ and ₁, resemble a letter or a digit.
SIGNS = str.maketrans(
    {"∂": "d", "δ": "delta", "σ": "sigma", "Σ": "sum", "ᵀ": "^T", "−": "-", "∘": "*", "·": ".", "′": "'"}
)


def say(text: Any = "", file: Any = None, **options: Any) -> None:
    """Print a message, a single line: whatever a path or a name contains is shown, and not obeyed by the terminal."""
    print(printable(text), file=file, **options)


@contextmanager
def streams() -> Iterator[None]:
    """Streams that take any text; and standard error, which nothing fails for: what it cannot take is dropped.

    A character that their encoding lacks is written as an escape sequence.
    """
    for descriptor in range(3):  # one that is closed would be that of the next file to be opened, such as a model
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    # None where it is closed by `2>&-`: print would turn to standard output
    with redirect_stderr(_Unfailing(io.StringIO() if sys.stderr is None else sys.stderr)):
        try:
            yield
        finally:
            try:
                if sys.stdout is not None:
                    sys.stdout.flush()
            except OSError:
                give_up(sys.stdout)


class _Unfailing(io.TextIOBase):
    """A stream that may be gone, such as a terminal that is closed."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding or "utf-8"

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except OSError:
            give_up(self.stream)
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            give_up(self.stream)


def give_up(stream: Any) -> None:
    """Drop what cannot be written, which Python would otherwise try again, and report, at its exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextmanager
def work_is_done(failure: type[OSError] = BrokenPipeError) -> Iterator[None]:
    """Print what a command has done: that nobody reads it to the end is no failure."""
    try:
        yield
        sys.stdout.flush()
    except failure:
        give_up(sys.stdout)


@contextmanager
def stopping(aloud: bool = True) -> Iterator[list[int]]:
    """Collect the signals that ask to stop, in place of stopping; Ctrl-C after one of them exits at once.

    >>> with stopping() as received:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> received == [signal.SIGTERM]
    True

    A signal that is ignored, as SIGHUP is under nohup, stays so.

    Args:
        aloud: say on standard error that the first one was received.
    """
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise SystemExit(128 + number)
        received.append(number)
        if aloud and sys.__stderr__ is not None:  # else 2 may be another file
            with suppress(OSError):  # print could be interrupted in the middle of another print
                os.write(2, b"stopping after this step, Ctrl-C to stop at once\n")

    before = {}
    if threading.current_thread() is threading.main_thread():  # only there Python sets handlers
        for name in "SIGINT", "SIGTERM", "SIGHUP":  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress(Protocol):
    """How far training is; as text: how well it goes."""

    @property
    def place(self) -> str: ...

    @property
    def parts(self) -> int:
        """The number of epochs, or of steps."""

    @property
    def fraction(self) -> float: ...


@dataclass(frozen=True)
class Counted:
    """Progress through what can be counted."""

    done: int
    parts: int
    name: str  # of what was done last

    @property
    def place(self) -> str:
        return f"{self.done}/{self.parts}"

    @property
    def fraction(self) -> float:
        return self.done / self.parts

    def __str__(self) -> str:
        return self.name


@contextmanager
def progress(file: Any = None) -> Iterator[Callable[[Progress], None]]:
    """Reports the progress of training: a bar with rich, a line without.

    >>> with progress() as report:
    ...     report(training.Progress(1, 2, done=3, of=9, loss=0.5, speed=1e6, f1=0.0))  # doctest: +SKIP

    In a pipe or a file, which keeps what it is given, it is a line for each epoch or step, 100 at most, in `file` or on
    standard error.
    """
    if not sys.stderr.isatty():
        yield _lines(file or sys.stderr)
    elif not RICH:
        yield lambda now: print(f"\r{now.place}  {printable(now)}\x1b[K", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        # a name is no markup
        columns = [TextColumn("{task.fields[place]}"), BarColumn(), TextColumn("{task.description}", markup=False)]
        with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0, place="")
            yield lambda now: bar.update(task, completed=now.fraction, place=now.place, description=printable(now))


def _lines(file: Any) -> Callable[[Progress], None]:
    printed = 0

    def report(now: Progress) -> None:
        nonlocal printed
        reached = int(now.fraction * min(now.parts, LINES) + 1e-9)  # 7 / 25 * 25 may be below 7
        if reached > printed:
            printed = reached
            say(f"{now.place}  {now}", file, flush=True)

    return report


def plain(formula: str) -> str:
    """A formula in characters that standard output has: without them, ∂s/∂x = Wᵀδ becomes ds/dx = W^T delta."""
    if _prints(formula):
        return formula
    spaced = re.sub(r"(?<=[δᵀ])(?=[^\W_])", " ", formula)
    return unicodedata.normalize("NFKD", spaced.translate(SIGNS))


def _prints(text: str) -> bool:
    """Does the encoding of standard output have all its characters?"""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


BARS = " ▁▂▃▄▅▆▇█"
ASCII_BARS = " ....:::#"


def plot(curves: Mapping[str, Sequence[float]], logarithmic: Container[str] = (), height: int = 5) -> None:
    """Print curves side by side, from the smallest value to the largest: a bar for each value, none for NaN.

    >>> plot({"loss": [1.0, 0.5, 0.25], "F1": [0.0, 0.75, 1.0]}, logarithmic=["loss"], height=2)
    loss         F1
    1.000 █▁     1.000  ▄█
    0.250 ██▁    0.000 ▁██
          1 3          1 3

    Where standard output has no such characters, the bars are of ASCII's.
    """
    panels = [_panel(name, values, name in logarithmic, height) for name, values in curves.items() if len(values)]
    widths = [max(map(len, panel)) for panel in panels]
    for row in zip_longest(*panels, fillvalue=""):
        say("    ".join(part.ljust(width) for part, width in zip(row, widths)).rstrip())


def _panel(name: str, values: Sequence[float], logarithmic: bool, height: int) -> list[str]:
    bars = BARS if _prints(BARS) else ASCII_BARS
    scale = math.log if logarithmic else float
    shown = [v for v in values if math.isfinite(v) and (v > 0 or not logarithmic)]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    span = scale(high) - scale(low) if shown else 0.0
    most = 8 * height  # eighths of a row; the smallest value has one
    levels = [
        (1 + round((most - 1) * (scale(v) - scale(low)) / span) if span else most // 2) if v in shown else 0
        for v in values
    ]
    rows = ["".join(bars[min(8, max(0, n - 8 * below))] for n in levels) for below in reversed(range(height))]
    labels = [f"{high:.3f}", *[""] * (height - 2), f"{low:.3f}"]
    margin, last = max(map(len, labels)), str(len(values))
    axis = "1" + last.rjust(len(values) - 1) if len(values) > len(last) else last
    return [name, *(f"{label:>{margin}} {row}" for label, row in zip(labels, rows)), f"{'':{margin}} {axis}"]


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under heads, text to the left and numbers to the right.

    >>> table("Rates", ["", "F1"], [["by token", "0.5"]])  # doctest: +SKIP
    """
    title, heads = printable(title), [*map(printable, heads)]
    rows = [[*map(printable, row)] for row in rows]
    right = [all(map(_is_number, column)) for column in zip(*rows)] or [False] * len(heads)
    if RICH and sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        # a name is no markup: a path may contain [/b], a word may be :smile:
        console = Console(markup=False, emoji=False)
        pretty = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
        for head, is_right in zip(heads, right):
            pretty.add_column(head, justify="right" if is_right else "left")
        for row in rows:
            pretty.add_row(*row)
        console.print(pretty)
        return
    encoding = sys.stdout.encoding or "utf-8"
    rows = [[cell.encode(encoding, "backslashreplace").decode(encoding) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    print(title)
    for row in (heads, *rows):
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right)]
        print("  " + "  ".join(cells).rstrip())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
