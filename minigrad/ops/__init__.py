"""Every op: its forward and its pullbacks together, by kind."""

from __future__ import annotations

from minigrad.ops import constant, fft, hints, linalg
from minigrad.ops.calculus import *
from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.products import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *
from minigrad.ops.update import *

#: Every op by name; np.linalg's and np.fft's in modules of their own.
__all__ = ["fft", "linalg"]
__all__ += [name for name, f in vars().items() if getattr(f, "__module__", "").startswith("minigrad.ops.")]
