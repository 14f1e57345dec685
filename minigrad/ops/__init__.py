"""Every op: its forward and its pullbacks together, by kind."""

from minigrad.ops import constant, fft, linalg
from minigrad.ops.calculus import *
from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.products import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *

# Every op by name, and np.linalg's and np.fft's in modules of their own; not what the modules import.
names = [name for name, f in vars().items() if getattr(f, "__module__", "").startswith("minigrad.ops.")]
globals()["__all__"] = ["fft", "linalg", *names]
