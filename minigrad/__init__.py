"""Reverse-mode automatic differentiation on NumPy.

>>> import numpy as np, minigrad as mg
>>> W, x = mg.Tensor(np.eye(2), name="W"), np.array([1.0, 2.0])
>>> J = np.sum(mg.sigmoid(W @ x))
>>> J.backward()
>>> W.grad.shape
(2, 2)

Tensor, op, no_grad     variables; functions with a gradient of your own
sum, exp, relu, ...     NumPy's functions by name, and those of networks
grad, vmap, jvp, ...    functions of functions: derivatives, batches
optim, nn, save, load   optimizers, layers, files
derive, compile         the gradient, or a whole step, as NumPy source
draw, replay            the graph as a picture, or as a page to step through
gradcheck, compare      is a gradient right? and which mistake is it?
debug                   where a value became NaN; dir(mg) has all names
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minigrad import ops
from minigrad.engine import op
from minigrad.mode import no_grad
from minigrad.ops import *
from minigrad._tensor import Tensor

if TYPE_CHECKING:  # these are imported when they are first asked for, see below
    from minigrad import nn, optim
    from minigrad.anomalies import debug
    from minigrad.check.compare import compare
    from minigrad.check.numeric import GradientError, gradcheck
    from minigrad.compiler.api import compile, derive
    from minigrad.mapping import vmap
    from minigrad.saving import batches, load, save
    from minigrad.transforms import (
        checkpoint,
        elementwise_grad,
        grad,
        hessian,
        hvp,
        jacobian,
        jvp,
        stop_gradient,
        value_and_grad,
        vjp,
    )
    from minigrad.viz.draw import draw
    from minigrad.viz.names import name, scope, trace_source
    from minigrad.viz.replay import replay

#: Names imported when they are first asked for, and the module that defines each: few programs need all of them, and
#: some modules are slow to import. No module directly in this package has the name of a public function: importing it
#: would overwrite the function.
_LATER = {
    "GradientError": "check.numeric",
    "batches": "saving",
    "checkpoint": "transforms",
    "compare": "check.compare",
    "compile": "compiler.api",
    "debug": "anomalies",
    "derive": "compiler.api",
    "draw": "viz.draw",
    "elementwise_grad": "transforms",
    "grad": "transforms",
    "gradcheck": "check.numeric",
    "hessian": "transforms",
    "hvp": "transforms",
    "jacobian": "transforms",
    "jvp": "transforms",
    "load": "saving",
    "name": "viz.names",
    "nn": "nn",
    "optim": "optim",
    "replay": "viz.replay",
    "save": "saving",
    "scope": "viz.names",
    "stop_gradient": "transforms",
    "trace_source": "viz.names",
    "value_and_grad": "transforms",
    "vjp": "transforms",
    "vmap": "mapping",
}

#: Names of the version before, which still work but warn.
_RENAMED = {"place": "scatter_add", "rows_of": "scatter_rows"}

#: Names of Python's own, which `from minigrad import *` leaves as they are.
_PYTHONS = {"abs", "compile", "divmod", "max", "min", "round", "sum"}

_PUBLIC = [
    *("Tensor", "op", "no_grad"),
    *ops.names,
    *("fft", "linalg"),
    *_LATER,
]
__all__ = [name for name in _PUBLIC if name not in _PYTHONS]

__version__ = "0.1.0"

if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name: str) -> Any:
        if name in _RENAMED:
            import warnings

            warnings.warn(f"mg.{name} is called mg.{_RENAMED[name]} now", DeprecationWarning, stacklevel=2)
            return globals()[_RENAMED[name]]
        if name not in _LATER:
            from minigrad.hints import missing_function

            raise missing_function(name, None if name.startswith("_") else _place(name))
        module = import_module(f"minigrad.{_LATER[name]}")
        value = globals()[name] = module if name == _LATER[name] else getattr(module, name)
        return value

    def _place(name: str) -> str | None:
        """How a name is written that one of the modules has, as in mg.optim.SGD."""
        for word in ("optim", "nn", "linalg", "fft"):
            module = getattr(sys.modules[__name__], word)
            if getattr(getattr(module, name, None), "__module__", None) == module.__name__:
                return f"mg.{word}.{name}"
        return None

    def __dir__() -> list[str]:
        return sorted([*_PUBLIC, "__doc__", "__name__", "__version__"])
