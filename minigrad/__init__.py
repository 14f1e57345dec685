"""minigrad: reverse-mode automatic differentiation on NumPy, small enough to read in one sitting.

>>> import numpy as np, minigrad as mg
>>> W, x = mg.Tensor(np.eye(2), name="W"), np.array([1.0, 2.0])
>>> J = mg.sum(mg.sigmoid(W @ x))
>>> J.backward()
>>> W.grad.shape
(2, 2)
"""

from minigrad.gradcheck import GradientError, gradcheck
from minigrad import optim
from minigrad.compare import compare
from minigrad.draw import draw
from minigrad.derive import compile, derive
from minigrad.replay import replay
from minigrad.graph import name, scope, trace_source
from minigrad.engine import op, stop_gradient
from minigrad.mode import no_grad
from minigrad.ops import *
from minigrad.tensor import Tensor
from minigrad.transforms import (
    checkpoint,
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)
