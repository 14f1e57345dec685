"""The state of this thread: whether ops are recorded, and what a backward pass depends on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Mode(threading.local):
    recording = True  # are ops on Tensors recorded?
    replaying = False  # is an op's body running again, on Tensors? then no value may be read
    tracing = False  # tracing: constants must be traced too
    #: Of each transform (grad, vjp, ...) that is running, the outermost first: the stamps of its variables.
    transforms: tuple[set[int], ...] = ()
    merge_rows_from = 2000  # elements: row-sparse gradients of fewer are applied row by row, of more merged first
    pass_observer: Callable[[], Callable[[Any, Any], None]] | None = None  # see `observing_passes`


mode = _Mode()

#: An entry for each `recording(False)` that is active in any thread. While there is none, no op has to look up the mode
#: of its thread, which costs more than everything else an op looks up.
paused: list[bool] = []


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: results are Tensors without a history. Holds for this thread only.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> with mg.no_grad():
    ...     y = w * w
    >>> (y * w).backward(np.ones(2)), w.grad  # y is a constant
    (None, array([1., 4.]))
    """
    with recording(False):
        yield


@contextmanager
def recording(on: bool) -> Iterator[None]:
    before, mode.recording = mode.recording, on
    if not on:
        paused.append(True)
    try:
        yield
    finally:
        mode.recording = before
        if not on:
            paused.pop()


@contextmanager
def observing_passes(observer: Callable[[], Callable[[Any, Any], None]]) -> Iterator[None]:
    """Observe the backward passes of this thread.

    Args:
        observer: called when a pass starts; what it returns is called with every Tensor that the pass visits, the
            newest first, and its whole gradient.
    """
    before, mode.pass_observer = mode.pass_observer, observer
    try:
        yield
    finally:
        mode.pass_observer = before


@contextmanager
def merging_rows(on: bool) -> Iterator[None]:
    """Merge the rows of large row-sparse gradients before they are applied, or apply all of them row by row."""
    before, mode.merge_rows_from = mode.merge_rows_from, _Mode.merge_rows_from if on else sys.maxsize
    try:
        yield
    finally:
        mode.merge_rows_from = before
