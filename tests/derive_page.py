"""docs/derive.md, made from what derive gives and from its rules: `python tests/derive_page.py` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.rules import INEXACT, RULES
from models.window import hinge, score

PAGE = Path(__file__).parent.parent / "docs" / "derive.md"


def listing(d: Any) -> str:
    return f"```python\n{d.source}```\n"


def J(U: Any, W: Any, b: Any, x: Any, x_c: Any) -> Any:
    s, s_c = score(U, W, b, x), score(U, W, b, x_c)
    J = hinge(s, s_c)
    return J


def batch(U: Any, W: Any, b: Any, L: Any, ids: Any) -> Any:
    X = mg.reshape(mg.embedding(L, ids), (-1, 20))
    J = mg.sum(mg.sigmoid(X @ W.T + b) @ U)
    return J


def wave(x: Any) -> Any:
    y = np.sin(x) ** 2
    return y


def page() -> str:
    rng = np.random.default_rng(0)
    U, W, b, x, x_c = (rng.normal(size=shape) for shape in [8, (8, 20), 8, 20, 20])
    L, ids = rng.normal(size=(1000, 4)), rng.integers(0, 1000, (6, 5))
    w = mg.Tensor(np.ones(3), name="w")
    optimizer = mg.optim.SGD([w], lr=0.1)

    @mg.compile
    def step(x: Any, y: Any) -> Any:
        J = mg.mean((x @ w - y) ** 2)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    step(rng.normal(size=(4, 3)), np.ones(4))
    return f"""# derive: the gradient as NumPy source

This page is made from the code by `python tests/derive_page.py`; a test holds it to that.

`mg.derive(f, *example)` runs f and its backward pass once on arrays that remember which NumPy functions made them. What
they remember is simplified, named, and written down: the function that a careful person would have written. It can be
called, printed, and pasted anywhere.

```python
import numpy as np
import minigrad as mg
from models.window import score

U, W, b, x = np.ones(8), np.ones((8, 20)), np.ones(8), np.ones(20)
d = mg.derive(score, U, W, b, x)
s, (dU, dW, db, dx) = d(U, W, b, x)
print(dW.shape, len(d.source.splitlines()))
# (8, 20) {len(mg.derive(score, U, W, b, x).source.splitlines())}
```

## The slides' score

The slides derive ∂s/∂U = a, δ = U ∘ f'(z), ∂s/∂W = δ xᵀ, ∂s/∂b = δ, ∂s/∂x = Wᵀ δ. The machine writes `print(d)`:

{listing(mg.derive(score, U, W, b, x))}
δ is computed once and used three times: that is the slides' "re-use derivatives computed for higher layers". The slides
write f'(z) = a (1 − a). Here 1 − a is 1 / total, as a is e / total: the same number, but with all its digits where a is near
1. At z = 40 the difference 1 − a is 0 in floating-point numbers, and the derivative is 4e-18.

## The max-margin loss with one corrupt window

The indicator 1{{1 - s + s_c > 0}} is computed once, as `dm`. Where m is not positive, J is 0, or NaN if m is: so is the
gradient.

{listing(mg.derive(J, U, W, b, x, x_c))}
## A batch of windows: rows of a table

A row-sparse gradient is a list of pairs: row numbers, and rows to add there. Called, `d` gives a `RowSparse`.

{listing(mg.derive(batch, U, W, b, L, ids))}
## Second derivatives

The gradient of a function is a function, so it can be derived as well. Where its value is no scalar, the derived function
takes the gradient that comes from above as `gradient`: here the Hessian times a vector. With `wrt=()` it is the value alone.

{listing(mg.derive(mg.grad(lambda x: np.sum(wave(x))), x))}
{listing(mg.derive(mg.grad(lambda x: np.sum(wave(x))), x, wrt=()))}
## A whole training step

`mg.compile(step)` does it for a step that closes over Tensors and an optimizer, and changes what the step changes.

{listing(step)}
What runs is this source, with four spellings that NumPy takes less time for: numbers that meet arrays are arrays of no
dimension (`1 - a`), a column times a row stands for `np.outer`, and `L.take(ids, 0)` for `L[ids]`; what is only computed to be
concatenated is computed in its place (`out=`). With `backend="numba"`
(`pip install -e ".[fast]"`) the same lines are compiled by numba, which takes some seconds at the first call; numbers get
the dtype of the arrays they meet; rows of tables are taken and added by loops, and so are products with small matrices, which
add up in another order than NumPy's. Where large arrays go through exponentials and the like, which NumPy computes as vectors and
numba one by one, only the loops over rows and long formulas over large arrays are compiled. Where a call has no form for numba, a
warning names it, and NumPy runs.

## To the last bit

Results equal those of `value_and_grad` to the last bit, for every op and for random programs of both orders: the tests hold it.
(Arrays that lie otherwise in memory than the example's, by columns say, may be added up in another order.)
The rules are exact, NaN, infinities and signed zeros included. In them `a` is a real floating-point value, `b` a real one, `mask`
a boolean one, `v` and `w` are vectors, `M` is a matrix of v's dtype, `t` an array that nothing is written into; a rule never looks
into a value that has a name, and its result must have the same shape and dtype; and the same layout in memory, where a sum or a
product adds its elements up (`np.broadcast_to(1.0, (6, 8))`, not `np.ones((6, 8))`): BLAS does it in another order for another
layout.

```
{RULES.strip()}
```

Besides, what is repeated to fill an array meets arrays as it is, what constants alone give is computed at once,
equal calls become one, and what nothing needs is left out. With `exact=False` these are allowed too:

```
{INEXACT.strip()}
```

## What is refused

Nothing is frozen silently. Arrays, Tensors and floats that f reaches in its closure, its globals, in lists, objects, classes
and modules of yours are further inputs, looked up on every call; where a flag, an int or another function stands there, the
function is derived again. For other shapes and dtypes it is derived again too (`d.cache`), or, with `pinned=True`, an error. The
rest is an error that names the op and the line; but what a clock says, a file, or a generator that f itself makes without a seed,
nobody can see from outside: pass it as an argument.

| f does | write |
|---|---|
| `if x > 0`, `float(x)`, `while` on a value | `mg.where(x > 0, y, z)`; pass what steers Python as an int or a flag |
| `x[mask]`, `np.nonzero(x)`: the shape depends on values | `mg.where(mask, x, 0)` |
| random numbers | pass them as arguments |
| writing into an argument, storing a value in a list | return a new array |
| writing into an array while a view of it is reached as well | take the view inside f |
| a view used after its array was written into | take the view again |
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
