"""Error messages: the op, the arguments by name and shape, the remedy, the user's line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.origin import from_users_line
from minigrad.text import named, op_name, printable


def describe(a: Any) -> str:
    """An argument in an error message: its name, and its shape."""
    if hasattr(type(a), "_data"):
        return f"{named(a)} {a.shape}"
    return f"an array {a.shape}" if hasattr(a, "shape") else printable(repr(a))


def explained(error: Exception, function: Callable[..., Any], args: tuple[Any, ...]) -> Exception:
    """The same error, with the op and the arguments that raised it, in words where a mistake is well known."""
    kind = next(k for k in (IndexError, ValueError, TypeError) if isinstance(error, k))
    name = op_name(function)
    # Python quotes a keyword as it is; the lines of a message stay lines
    reason = _in_words(name, args, str(error)) or "\n".join(map(printable, str(error).split("\n")))
    return kind(f"{name} of {' and '.join(map(describe, args))}: {reason}{from_users_line()}")


#: Keywords of PyTorch, and NumPy's.
KEYWORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims"}


def _in_words(name: str, args: tuple[Any, ...], error: str) -> str | None:
    """What is wrong, where it is one of the mistakes that everybody makes."""
    if ("NumPy" in error or "<class 'numpy." in error) and (mixed := mixed_libraries(args)):  # as CuPy says it
        return mixed
    keyword = error.partition("unexpected keyword argument '")[2].rstrip("'")
    if keyword in KEYWORDS:
        return f"there is no {keyword}=, as in PyTorch; write {KEYWORDS[keyword]}=, as in NumPy"
    if missing := re.search(r"^no implementation found for 'numpy\.([\w.]+)'|_ufunc__\(<ufunc '(\w+)'>", error):
        libraries = {library(getattr(a, "_data", a)) for a in args} - {"numpy", "builtins"}
        return f"it calls np.{missing[1] or missing[2]}, which {', '.join(sorted(libraries))} has no implementation of"
    shapes = [np.shape(a) if type(a) is list else tuple(getattr(a, "shape", ())) for a in args]
    if name == "matmul" and len(args) == 2 and all(shapes) and shapes[0][-1] != shapes[1][-2:][0]:
        x, y = (
            named(a, f"the {side} argument") if hasattr(a, "name") else f"the {side} argument"
            for a, side in zip(args, ("first", "second"))
        )
        columns = f"{x} has {shapes[0][-1]} {'elements' if len(shapes[0]) == 1 else 'columns'}"
        rows = f"{y} has {shapes[1][-2:][0]} {'elements' if len(shapes[1]) == 1 else 'rows'}"
        return f"{columns}, {rows}; they must be equally many"
    if name in ("min", "max") and len(args) > 1 and type(args[1]) is not tuple:
        return f"the second argument is an axis; for the {name}imum of two write mg.{name}imum(x, y)"
    if name == "cross_entropy" and len(args) > 1:
        if shapes[1] == shapes[0]:
            return "the classes are numbers, one per example, not one-hot rows; write np.argmax(classes, axis=-1)"
        if shapes[1] != shapes[0][:-1]:
            return f"needed a class for each example, shape {shapes[0][:-1]}, got shape {shapes[1]}"
        if getattr(getattr(args[1], "dtype", None), "kind", "i") not in "iu":
            return "the classes must be integers; write classes.astype(int)"
    return None


def library(x: Any) -> str:
    """The name of the library whose array it is.

    >>> library(np.ones(2)), library(1.0)
    ('numpy', 'builtins')
    """
    kind = type(x)
    is_numpys = issubclass(kind, np.ndarray | np.generic)  # isinstance would ask a tracer, which passes for an array
    return "numpy" if is_numpys else kind.__module__.partition(".")[0]


#: How an array becomes one of another library's, by the names of both; of any library's where the first is missing.
_CONVERTED = {
    ("cupy", "numpy"): "cupy.asnumpy(x)",
    ("dask", "numpy"): "x.compute(), or dask.compute(x, y, ...) for several at once",
    (None, "dask"): "dask.array.asarray(x)",
}


def conversion(x: Any, to: str) -> str:
    """What to write for x as an array of a library."""
    otherwise = "np.asarray(x)" if to == "numpy" else f"{to}.asarray(x)"
    return _CONVERTED.get((library(x), to)) or _CONVERTED.get((None, to)) or otherwise


def mixed_libraries(args: tuple[Any, ...]) -> str | None:
    """That arrays of different libraries met, where one of NumPy's is among them."""
    values = [getattr(a, "_data", a) for a in args]
    others = {library(x) for x in values if hasattr(x, "__array_function__")} - {"numpy", "minigrad"}
    numpys = [a for a, x in zip(args, values) if library(x) == "numpy"]
    if not (numpys and others):
        return None
    to = min(others)
    return f"{describe(numpys[0])} is NumPy's, beside an array of {to}'s; write {conversion(np.ones(1), to)}"


def other_library(name: str, x: Any, data: Any) -> TypeError:
    """The error for an array that takes the place of one of another library's."""
    return TypeError(
        f"{name} needed an array of {library(data)}'s, got one of {library(x)}'s; use {conversion(x, library(data))}"
    )


def foreign(kind: type) -> TypeError:
    """The error for an object beside a Tensor whose operators mean something else than NumPy's."""
    module = kind.__module__.partition(".")[0]
    remedy = "x.filled(value), or np.asarray(x) and a mask" if "Mask" in kind.__name__ else "np.asarray(x)"
    remedy = "x.toarray()" if module == "scipy" else remedy
    return TypeError(f"beside a Tensor: needed an array or a number, got {module}'s {kind.__name__} x; use {remedy}")


def changed_since(x: Any, node: Any) -> RuntimeError:
    name = named(x)
    made_by = op_name(node._op) if node._op is not None else "an op"
    how = f"made {name} and its data was then replaced" if x is node else f"used {name} and its data was then changed"
    return RuntimeError(
        f"backward needs the values of the forward pass, but {made_by} {how}: "
        "run the forward pass again, or call backward before updating"
    )


def not_the_same(x: Any) -> RuntimeError:
    """The error for a value that was freed, and that its op now computes otherwise."""
    return RuntimeError(
        f"the value of {op_name(x._op)}, {named(x)} {x.shape}, is needed again, but what it was computed from "
        "was changed in place since: call backward, draw or a transform before changing it, or use a copy of it"
    )


def not_recorded(x: Any) -> RuntimeError:
    """The error for the gradient of a value that no variable leads to."""
    return RuntimeError(
        f"no gradient of {describe(x)}: it was computed under no_grad, so nothing leads from it to a variable; "
        "compute it outside of no_grad, or make a variable of a value with t.detach()"
    )


#: What to write for a Tensor as a keyword that ops take as a constant.
_INSTEAD = {
    "initial": "combine it with the result (np.sum(x) + t, np.maximum(np.max(x), t))",
    "constant_values": "write mg.concatenate of the parts",
    "nan": "write mg.where(np.isnan(x), t, x)",
}


def constant_keyword(function: Callable[..., Any], kwargs: dict[str, Any]) -> TypeError:
    """The error for a Tensor as a keyword that an op takes as a constant."""
    key = next(key for key, a in kwargs.items() if hasattr(a, "_data"))
    name = function.__name__
    return TypeError(
        f"{name} takes {key}= as a constant, got {describe(kwargs[key])}, whose gradient would be lost: "
        f"{_INSTEAD.get(key, 'write it in an expression of its own')}, or mg.stop_gradient(t){from_users_line()}"
    )


def no_array(h: Any, shape: tuple[int, ...], node: Any) -> TypeError:
    return TypeError(f"the pullback of {op_name(node._op)}: needed an array of shape {shape}, got {h!r}")


def wrong_shape(h: Any, shape: tuple[int, ...], node: Any) -> ValueError:
    return ValueError(
        f"the pullback of {op_name(node._op)} returned a gradient of shape {h.shape} "
        f"for an argument of shape {shape}; a gradient has the shape of its argument"
    )


def not_again(node: Any, error: TypeError) -> TypeError:
    return TypeError(
        f"{op_name(node._op)} cannot be differentiated again: its body or a pullback is not differentiable here "
        f"({error}); write them with NumPy functions that have one"
    )


def reads_a_value(x: Any) -> TypeError:
    return TypeError(
        f"the value of {describe(x)} was read as a Python number, and its gradient would be lost: write NumPy's "
        "function for Python's (np.sin for math.sin), np.stack for an array of Tensors, t.at[index].set(value) for an "
        f"assignment; where no gradient is wanted, as in a log, mg.stop_gradient(t){from_users_line()}"
    )
