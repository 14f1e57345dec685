"""Replacements for NumPy functions that have no gradient here."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.text import printable

#: By NumPy's name for it.
HINTS = {
    "np.linalg.tensorinv": "mg.linalg.inv of the reshaped matrix",
    "np.linalg.tensorsolve": "mg.linalg.solve of the reshaped matrix",
    "np.copysign": "mg.abs(x) * np.sign(y)",
    "np.ediff1d": "mg.diff(mg.ravel(x))",
    "np.modf": "x - np.trunc(x), and np.trunc(x)",
    "np.ldexp": "x * 2.0**n",
    "np.unstack": "list(t)",
    "np.resize": "mg.tile and a slice",
    "np.unique": "np.unique(t.data, return_index=True), then t[index]",
    "np.histogram": "np.histogram(t.data)",
    "np.nancumsum": "mg.cumsum(mg.where(np.isnan(x), 0, x))",
    "np.nancumprod": "mg.cumprod(mg.where(np.isnan(x), 1, x))",
    "np.nanmedian": "mg.median(x[~np.isnan(x)])",
    "np.nanquantile": "mg.quantile(x[~np.isnan(x)], q)",
    "np.nanpercentile": "mg.percentile(x[~np.isnan(x)], q)",
    "np.put_along_axis": "t.at[index].set(values)",
    "np.roots": "mg.linalg.eigvals of the companion matrix",
    "np.poly": "mg.convolve of the factors",
    "np.polymul": "mg.convolve(p, q)",
    "np.polyder": "p[:-1] * np.arange(len(p) - 1, 0, -1)",
    "np.geomspace": "mg.exp(mg.linspace(mg.log(a), mg.log(b), n))",
    "np.put": "t.at[index].set(values)",
    "np.place": "mg.where(mask, value, t)",
    "np.putmask": "mg.where(mask, value, t)",
    "np.copyto": "t.at[...].set(values)",
    "np.fill_diagonal": "i = np.arange(n), then t.at[i, i].set(value)",
    "np.apply_along_axis": "mg.stack of the function's values",
    "np.fft.hfft": "mg.fft.irfft(mg.conj(x), norm='forward')",
    "np.fft.ihfft": "mg.conj(mg.fft.rfft(x, norm='forward'))",
    "np.add.reduce": "mg.sum",
    "np.add.accumulate": "mg.cumsum",
    "np.add.at": "t.at[index].add(values)",
    "np.multiply.reduce": "mg.prod",
    "np.multiply.accumulate": "mg.cumprod",
    "np.multiply.at": "t.at[index].multiply(values)",
    "np.multiply.outer": "mg.outer",
    "np.maximum.reduce": "mg.max",
    "np.minimum.reduce": "mg.min",
}


def full_name(function: Any) -> str:
    """A function of NumPy, or a ufunc of SciPy, as it is written: np.linalg.inv, scipy.special.erf."""
    name = function.__name__
    if isinstance(function, np.ufunc) and getattr(np, name, None) is not function:
        return f"scipy.special.{name}"  # a ufunc does not know its module
    return f"{getattr(function, '__module__', None) or 'numpy'}.{name}".replace("numpy", "np", 1)


def without_gradient(name: str) -> TypeError:
    """The error for a NumPy function that is not implemented."""
    bare = name.removeprefix("np.")
    if bare in _ELSEWHERE:  # a ufunc of SciPy's, whose name NumPy does not have
        return TypeError(f"{bare} is no NumPy function and has no gradient in minigrad; write {_ELSEWHERE[bare]}")
    instead = f"write {HINTS[name]}" if name in HINTS else "use t.data for the plain array, or mg.op for a rule"
    return TypeError(f"{name} has no gradient in minigrad; {instead}")


#: Attributes and methods of PyTorch's tensors, and what to write here.
ATTRIBUTES = {
    "numpy": "t.data, the array",
    "cpu": "t.data, the array",
    "dim": "t.ndim",
    "double": "t.astype(np.float64)",
    "float": "t.astype(np.float32)",
    "half": "t.astype(np.float16)",
    "int": "t.data.astype(int)",
    "long": "t.data.astype(int)",
    "grad_fn": "mg.draw(t), for the graph",
    "view": "t.reshape(shape)",
    "permute": "t.transpose(axes)",
    "unsqueeze": "np.expand_dims(t, axis)",
    "t": "t.T",
    "mm": "t @ x",
    "matmul": "t @ x",
    "bmm": "t @ x",
    "pow": "t ** x",
    "add": "t + x",
    "sub": "t - x",
    "mul": "t * x",
    "div": "t / x",
    "neg": "-t",
    "norm": "mg.linalg.norm(t)",
    "clamp": "mg.clip(t, low, high)",
    "add_": "t.data += x",
    "sub_": "t.data -= x",
    "mul_": "t.data *= x",
    "zero_": "t.data[...] = 0, then t.data = t.data",
    "fill_": "t.data[...] = value, then t.data = t.data",
    "copy_": "t.data = x",
    "clone": "t.copy()",
    "values": "t.data, the array",
    "fill": "t.at[...].set(value)",
    "sort": "mg.sort(t)",
    "type": "t.dtype",
}

#: Attributes that have no counterpart, and why.
UNNEEDED = {
    "requires_grad": "every Tensor is a variable, and a plain array is a constant",
    "requires_grad_": "every Tensor is a variable, and a plain array is a constant",
    "cuda": "minigrad computes with NumPy, on the CPU",
    "to": "minigrad computes with NumPy, on the CPU; for another dtype write t.astype(dtype)",
    "device": "minigrad computes with NumPy, on the CPU",
}

#: Keywords of other libraries' constructors of tensors.
_CONSTRUCTOR = {
    "requires_grad": "leave it out: every Tensor is a variable, and a plain array is a constant",
    "dtype": "write mg.Tensor(np.array(data, dtype))",
    "device": "leave it out: minigrad computes with NumPy, on the CPU",
}

#: Functions of other libraries that people look for in minigrad.
_ELSEWHERE = {
    "expit": "mg.sigmoid",
    "tensor": "mg.Tensor(data)",
    "as_tensor": "mg.Tensor(data)",
    "from_numpy": "mg.Tensor(array)",
    "Variable": "mg.Tensor(data)",
    "array": "np.array for a constant, mg.Tensor for a variable, mg.stack for a list of Tensors",
    "asarray": "np.asarray for a constant, mg.Tensor for a variable, mg.stack for a list of Tensors",
    "cat": "mg.concatenate",
    "mm": "mg.matmul",
    "bmm": "mg.matmul",
    "clamp": "mg.clip",
    "pow": "mg.power",
    "mul": "mg.multiply",
    "sub": "mg.subtract",
    "div": "mg.divide",
    "unsqueeze": "mg.expand_dims",
    "permute": "mg.transpose",
    "norm": "mg.linalg.norm",
    "inv": "mg.linalg.inv",
    "det": "mg.linalg.det",
    "randn": "np.random.default_rng().normal(size=shape)",
    "rand": "np.random.default_rng().random(shape)",
    "randint": "np.random.default_rng().integers(low, high, shape)",
    "random": "np.random.default_rng()",
    "manual_seed": "rng = np.random.default_rng(seed)",
    "jit": "mg.compile",
    "backward": "J.backward(), or mg.grad(f)",
    "no_gradient": "mg.no_grad()",
    "inference_mode": "mg.no_grad()",
    "set_grad_enabled": "mg.no_grad()",
    "enable_grad": "the code outside of mg.no_grad()",
    "is_tensor": "isinstance(x, mg.Tensor)",
    "detach": "t.detach(), or mg.stop_gradient(x)",
    "Parameter": "mg.Tensor(data)",
    "Module": "a dataclass of Tensors with __call__, as in mg.nn",
    "DataLoader": "mg.batches",
    "CrossEntropyLoss": "mg.cross_entropy",
    "nll_loss": "mg.cross_entropy",
    "MSELoss": "mg.mse",
    "mse_loss": "mg.mse",
    "BCEWithLogitsLoss": "mg.binary_cross_entropy",
    "binary_cross_entropy_with_logits": "mg.binary_cross_entropy",
    "huber_loss": "mg.huber",
    "ReLU": "mg.relu",
    "Sigmoid": "mg.sigmoid",
    "Tanh": "mg.tanh",
    "GELU": "mg.gelu",
    "Softmax": "mg.softmax",
    "logsigmoid": "mg.log_sigmoid",
    "MaxPool2d": "mg.nn.max_pool2d",
    "clip_grad_norm_": "mg.optim.clip_grad_norm",
    "one_hot": "np.eye(n)[classes]",
    "gather": "mg.take_along_axis",
    "index_select": "mg.take",
    "scatter": "t.at[index].set(values)",
    "autograd": "mg.grad(f), or J.backward()",
    "jacrev": "mg.jacobian",
    "jacfwd": "mg.jacobian",
    "lax": "mg's functions; mg.stop_gradient",
    "cond": "mg.where(condition, x, y)",
    "scan": "a loop of Python's",
    "fori_loop": "a loop of Python's",
    "while_loop": "a loop of Python's",
    "pmap": "mg.vmap",
    "remat": "mg.checkpoint",
    "custom_vjp": "mg.op, for a function with a gradient of its own",
    "custom_jvp": "mg.op, for a function with a gradient of its own",
    "Function": "mg.op, for a function with a gradient of its own",
    "make_jaxpr": "mg.derive",
    "tree_map": "minigrad.trees.map_leaves",
    "tree_util": "minigrad.trees",
    "tree": "minigrad.trees",
    "numpy": "import numpy as np: its functions take Tensors",
    "functional": "mg's functions (mg.relu, mg.softmax, mg.cross_entropy)",
    "functions": "mg's functions (mg.relu, mg.softmax, mg.cross_entropy)",
}


def missing_attribute(tensor: object, name: str, is_function: bool) -> AttributeError:
    """The error for an attribute that Tensors do not have; minigrad may have a function of that name."""
    instead = ATTRIBUTES.get(name) or (f"mg.{name}(t)" if is_function else None)
    hint = f"; write {instead}" if instead else f": {UNNEEDED[name]}" if name in UNNEEDED else ""
    return AttributeError(f"a Tensor has no attribute {name!r}{hint}", name=name, obj=tensor)


def unknown_keyword(name: str) -> TypeError:
    """The error for a keyword that Tensor does not take."""
    return TypeError(f"Tensor takes data and name, got {printable(name)}=; {_CONSTRUCTOR.get(name, 'leave it out')}")


def missing_function(name: str, place: str | None) -> AttributeError:
    """The error for a name that minigrad does not have. `place` is how it is written where a module of it has it."""
    found = _ELSEWHERE.get(name) or place
    instead = f"; write {found}" if found else ""
    if not instead and callable(getattr(np, name, None)) and not name.startswith("_"):
        instead = f"; use np.{name}"
    return AttributeError(f"module 'minigrad' has no attribute {name!r}{instead}")
