"""Tables in the terminal: a name is text, whatever it would mean to rich or to the terminal."""

import io
import sys

import pytest
from hostile import ATTACKS, assert_shown

from minigrad.text import printable
from models import terminal


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
