"""Whose code a file is: minigrad's, a library's, or the user's. Decided by its path, and only here."""

from __future__ import annotations

import functools
import linecache
import os.path
import sys
from types import FrameType
from typing import Any

import numpy as np

from minigrad.text import printable

PACKAGE = os.path.dirname(__file__) + os.sep
NUMPY = os.path.dirname(np.__file__) + os.sep

#: Parts of minigrad that use public names only, as a user would: the attributes of their objects are the user's state.
_AS_USERS = tuple(os.path.join(PACKAGE, name) for name in ("optim.py", "nn.py"))
#: Modules whose objects are tools of a program, not its data: what they hold is theirs.
_TOOLS = {
    "functools",
    "threading",
    "_thread",
    "queue",
    "logging",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "weakref",
}
_MADE_BY_PYTHON = 1 << 9  # the flag of a class that a class statement made
_OPS = os.path.join(PACKAGE, "ops") + os.sep, os.path.join(PACKAGE, "sparse.py")


@functools.cache
def _libraries() -> tuple[str, ...]:
    """How the files begin that are neither minigrad's nor the user's."""
    import sysconfig  # slow to import, and seldom needed

    paths = sysconfig.get_paths()
    return *(paths[key] + os.sep for key in ("stdlib", "purelib", "platlib")), NUMPY, "built-in", "frozen", "<frozen"


def is_minigrad(file: str) -> bool:
    """Is it a file of minigrad?"""
    return file.startswith(PACKAGE)


def is_op(file: str) -> bool:
    """Is it a file in which ops are defined?"""
    return file.startswith(_OPS)


def is_library(file: str) -> bool:
    """Is it a file of the standard library or of an installed package, or no file at all (built in, frozen)?"""
    return not is_minigrad(file) and file.startswith(_libraries())


def is_users(x: Any) -> bool:
    """Is it a module of the user's, or a class in one?"""
    file = _file_of(x)
    return not is_minigrad(file) and not is_library(file)


def holds_users_state(kind: type) -> bool:
    """Do the attributes of its instances belong to the user? Not those of Python's tools, NumPy and the engine."""
    file = _file_of(kind)
    if is_minigrad(file):
        return file.startswith(_AS_USERS)
    if kind.__module__ == "builtins":
        return bool(kind.__flags__ & _MADE_BY_PYTHON)  # in a namespace without a name
    return kind.__module__.partition(".")[0] not in _TOOLS and not file.startswith(NUMPY)


def _file_of(x: Any) -> str:
    """The file of a module, or of the module that a class was defined in; "" where there is none."""
    module = sys.modules.get(x.__module__) if isinstance(x, type) else x
    return getattr(module, "__file__", None) or getattr(getattr(module, "__spec__", None), "origin", None) or ""


def users_frame() -> FrameType | None:
    """The innermost frame that runs neither minigrad's code nor NumPy's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((PACKAGE, NUMPY)):
        frame = frame.f_back
    return frame


def users_line() -> tuple[str, str] | None:
    """The current line of the user's code: where it is, and its text."""
    frame = users_frame()
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return None
    file, line = os.path.basename(frame.f_code.co_filename), source_line(frame.f_code.co_filename, frame.f_lineno)
    text = line.strip() if len(line.strip()) < 80 else line.strip()[:80] + " ..."
    return printable(f"in {frame.f_code.co_name}, line {frame.f_lineno} of {file}"), printable(text.expandtabs())


def source_line(file: str, number: int) -> str:
    """A line of a file, "" where there is none."""
    try:
        return linecache.getline(file, number)
    except ValueError:  # no file can have this name: it has a NUL, or half of a surrogate pair
        return ""


def at_users_line() -> str:
    """The current line of the user's code, inside an error message."""
    where, text = users_line() or ("", "")
    return f" {where}" * bool(where) + f" (`{text}`)" * bool(text)


def from_users_line() -> str:
    """The current line of the user's code, at the end of an error message."""
    where, text = users_line() or ("", "")
    return f"\n  {where}" * bool(where) + f": {text}" * bool(text)
