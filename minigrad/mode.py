"""What is on in this thread: recording, and what the errors of a pass depend on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Mode(threading.local):
    recording = True  # are ops on Tensors remembered?
    again = False  # is an op's body running on Tensors? then no value may be read
    tracing = False  # do arrays remember how they were made? then even constants have to
    transforms = 0  # how many transforms (grad, vjp, ...) are running around this one


mode = _Mode()

#: An entry for each `recording(False)` that is on in any thread: while there is none, no thread need be asked for its
#: mode, which costs more than all else that an op looks up.
paused: list[bool] = []


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: results are Tensors without a history. Holds for this thread only.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0])
    >>> with mg.no_grad():
    ...     y = w * w
    >>> y.backward(y.data), w.grad
    (None, None)
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
