"""minigrad: reverse-mode automatic differentiation on NumPy.

>>> import numpy as np, minigrad as mg
>>> W, x = mg.Tensor(np.eye(2), name="W"), np.array([1.0, 2.0])
>>> J = mg.sum(mg.sigmoid(W @ x))
>>> J.backward()
>>> W.grad.shape
(2, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minigrad import ops
from minigrad.engine import op
from minigrad.mode import no_grad
from minigrad.ops import *
from minigrad._tensor import Tensor
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

if TYPE_CHECKING:  # these come when they are asked for, see below
    from minigrad import optim
    from minigrad.comparison import compare
    from minigrad.derivation import compile, derive
    from minigrad.drawing import draw
    from minigrad.graph import name, scope, trace_source
    from minigrad.numeric import GradientError, gradcheck
    from minigrad.page import replay

#: Names that are loaded when first used, with their modules: some are slow to import, and few programs need all.
#: No module has the name of a public function: importing it would replace the function.
_LATER = {
    "GradientError": "numeric",
    "compare": "comparison",
    "compile": "derivation",
    "derive": "derivation",
    "draw": "drawing",
    "gradcheck": "numeric",
    "name": "graph",
    "optim": "optim",
    "replay": "page",
    "scope": "graph",
    "trace_source": "graph",
}

#: Names of the version before, which still work but warn.
_RENAMED = {"place": "scatter_add", "rows_of": "scatter_rows"}

__all__ = [
    *("Tensor", "op", "no_grad", "stop_gradient", "checkpoint", "elementwise_grad", "grad", "hessian", "hvp"),
    *("jacobian", "jvp", "value_and_grad", "vjp"),
    *ops.names,
    *("fft", "linalg"),
    *_LATER,
]

if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name: str) -> Any:
        if name in _RENAMED:
            import warnings

            warnings.warn(f"mg.{name} is called mg.{_RENAMED[name]} now", DeprecationWarning, stacklevel=2)
            return globals()[_RENAMED[name]]
        if name not in _LATER:
            from minigrad.hints import missing_function

            raise missing_function(name)
        module = import_module(f"minigrad.{_LATER[name]}")
        value = globals()[name] = module if name == _LATER[name] else getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted(globals().keys() | _LATER)
