"""The program that draws DOT text: Graphviz's `dot`, or graphviz-pure where that is not installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphviz
from graphviz.backend import dot_command

PURE = "graphviz-pure"
PURE_FORMATS = {"svg", "json"}  # its PNG lacks glyphs that formulas need, and it writes no PDF
SECONDS = 10.0  # the longest that a picture may take; some graphs would take the program hours
INSTALL = "install Graphviz (apt install graphviz, brew install graphviz)"

_lock = threading.RLock()  # the graphviz package has one name of the command for all threads


class NoGraphviz(graphviz.ExecutableNotFound):  # type: ignore[misc]
    """No program is installed that writes a format; the message says which one would."""

    def __init__(self, format: str) -> None:
        pure = f" or `pip install {PURE}`" if format in PURE_FORMATS else "; svg, html and gv need no Graphviz"
        RuntimeError.__init__(self, f"{format} needs the program dot, which was not found: {INSTALL}{pure}")


def command(format: str) -> Path:
    """The program for a format.

    Raises:
        NoGraphviz: where there is none.
    """
    if dot := shutil.which("dot"):
        return Path(dot)
    # a virtual environment that is used without being activated is not on the PATH
    pure = shutil.which(PURE) or shutil.which(PURE, path=sysconfig.get_path("scripts"))
    if format not in PURE_FORMATS or pure is None:
        raise NoGraphviz(format)
    return Path(pure)


def run(format: str, source: bytes, options: Sequence[Any], quiet: bool = True, share: float = 1.0) -> bytes:
    """What the program draws, within `SECONDS`; after that it is ended.

    Args:
        options: its command line.
        quiet: show no warnings of its.
        share: of `SECONDS`, the time that it may take.

    Raises:
        NoGraphviz: where there is no program for the format.
        CalledProcessError: where it refuses the text.
        TimeoutError: where it takes longer.
    """
    program, seconds = command(format), share * SECONDS
    try:
        done = subprocess.run([program, *options], input=source, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{program.stem} did not lay the picture out within {seconds:g} seconds") from None
    if done.returncode:
        raise graphviz.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    # graphviz-pure warns on every call about characters that it has no width for, and draws them well
    if done.stderr and not quiet and program.stem != PURE:
        sys.stderr.write(done.stderr.decode(errors="replace"))
    return done.stdout


@contextmanager
def installed_command(format: str) -> Iterator[bool]:
    """Let the graphviz package run the program for a format; yields whether to silence it."""
    program = command(format)
    with _lock:
        before, dot_command.DOT_BINARY = dot_command.DOT_BINARY, program
        try:
            yield program.stem == PURE
        finally:
            dot_command.DOT_BINARY = before
