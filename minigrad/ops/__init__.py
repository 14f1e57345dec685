"""Every op: its forward and its pullbacks together, by kind."""

from minigrad.ops import constant, fft, linalg
from minigrad.ops.activations import *
from minigrad.ops.calculus import *
from minigrad.ops.constant import *
from minigrad.ops.creation import *
from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.losses import *
from minigrad.ops.products import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *
from minigrad.ops.statistics import *

# The names of all ops, without the modules' imports; the ops of np.linalg and np.fft are in modules of the same name.
names = [name for name, f in vars().items() if getattr(f, "__module__", "").startswith("minigrad.ops.")]
globals()["__all__"] = ["fft", "linalg", *names]
