"""Tables in the terminal: a name is text, whatever it would mean to rich or to the terminal."""

import doctest
import io
import math
import sys

import pytest
from hostile import ATTACKS, assert_shown

from minigrad.text import printable
from models import running, terminal, training


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("is_terminal", [True, False])
def test_names_are_text(monkeypatch, is_terminal):
    assert terminal.RICH
    screen = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "20000")
    monkeypatch.setenv("LINES", "100")  # without which rich takes a dumb terminal to have 80 columns
    monkeypatch.setenv("TERM", "dumb")
    names = [name for name in ATTACKS if len(name) < 1000] + ["models/[/b].npz"]
    terminal.table("LOC in models/[/b].npz", ["[bold]name", ":smile:"], [[name, "0.5"] for name in names])
    text = screen.getvalue()
    assert_shown(text)
    for shown in ("LOC in models/[/b].npz", "[bold]name", ":smile:", *map(printable, names)):
        assert shown in text


def written(monkeypatch, encoding, function, *args, **options):
    """What a function prints to a pipe of an encoding."""
    pipe = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", pipe)
    function(*args, **options)
    pipe.flush()
    return pipe.buffer.getvalue().decode(encoding)


def test_examples_run():
    assert doctest.testmod(terminal).failed == 0


def test_curves_and_formulas_are_written_in_any_encoding(monkeypatch):
    curves = {"loss": [100.0, 10.0, 1.0], "F1": [0.1, math.nan, 0.3]}
    text = written(monkeypatch, "utf-8", terminal.plot, curves, ["loss"], height=3)
    rows = [line[8:11] for line in text.splitlines()[1:4]]
    assert rows == ["█  ", "█▅ ", "██▁"]  # in steps of a factor of ten
    assert [line[-3:] for line in text.splitlines()[1:4]] == ["  █", "  █", "▁ █"]
    assert "100.000" in text and "1.000" in text and "0.300" in text and "0.100" in text
    plain = written(monkeypatch, "ascii", terminal.plot, curves, ["loss"], height=3)
    assert [line[8:11] for line in plain.splitlines()[1:4]] == ["#  ", "#: ", "##."]
    assert written(monkeypatch, "utf-8", terminal.plot, {"none": [], "nan": [math.nan], "same": [2.0, 2.0]})
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert terminal.plain("∂J/∂W = 1 (−δxᵀ + δ_c x_cᵀ)") == "dJ/dW = 1 (-delta x^T + delta_c x_c^T)"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert terminal.plain("Wᵀδ") == "Wᵀδ"


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (25, 25), (100, 100), (3000, 100)])
def test_progress_in_a_pipe_is_a_line_an_epoch(monkeypatch, epochs, lines):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with terminal.progress() as report:
        for epoch in range(1, epochs + 1):
            for done in 1, 2, 3:
                report(training.Progress(epoch, epochs, done, of=3, loss=0.5, speed=1e6, f1=0.25))
    printed = sys.stderr.getvalue().splitlines()
    assert len(printed) == lines and printed[-1].startswith(f"epoch {epochs}/{epochs}  loss 0.5000")
    if epochs <= 100:
        assert [line.split()[1] for line in printed] == [f"{epoch}/{epochs}" for epoch in range(1, epochs + 1)]
    file = io.StringIO()
    with terminal.progress(file) as report:
        for step in range(1, 51):
            report(running.Progress(step, 50, loss=0.5, speed=10.0))
    assert len(file.getvalue().splitlines()) == 50


@pytest.mark.parametrize("has_rich", [True, False])
def test_what_progress_is_through_is_text(monkeypatch, has_rich):
    monkeypatch.setattr(terminal, "RICH", has_rich)
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress() as report:
        report(terminal.Counted(1, 2, "[/b]:smile:\x1b]0;title\x07"))
    assert r"[/b]:smile:\x1b]0;title\x07" in screen.getvalue() and "\x07" not in screen.getvalue()
