"""Error messages: the op, the arguments by name and shape, the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def describe(a: Any) -> str:
    """An argument in an error message: its name, and its shape."""
    if hasattr(a, "_data"):
        return f"{a.name or 'a Tensor'} {a._data.shape}"
    return f"an array {a.shape}" if hasattr(a, "shape") else repr(a)


def explained(error: Exception, function: Callable[..., Any], args: tuple[Any, ...]) -> Exception:
    """The same error, with the op and the arguments that raised it."""
    kind = next(k for k in (IndexError, ValueError, TypeError) if isinstance(error, k))
    return kind(f"{function.__name__} of {' and '.join(map(describe, args))}: {error}")


def changed_since(x: Any, node: Any) -> RuntimeError:
    name = x.name or "a Tensor"
    made_by = node._op.__name__ if node._op is not None else "an op"
    how = f"made {name} and its data was then replaced" if x is node else f"used {name} and its data was then changed"
    return RuntimeError(
        f"backward needs the values of the forward pass, but {made_by} {how}: "
        "run the forward pass again, or call backward before updating"
    )


def no_array(h: Any, shape: tuple[int, ...], node: Any) -> TypeError:
    return TypeError(f"the pullback of {node._op.__name__}: needed an array of shape {shape}, got {h!r}")


def wrong_shape(h: Any, shape: tuple[int, ...], node: Any) -> ValueError:
    return ValueError(
        f"the pullback of {node._op.__name__} returned a gradient of shape {h.shape} "
        f"for an argument of shape {shape}; a gradient has the shape of its argument"
    )


def not_again(node: Any, error: TypeError) -> TypeError:
    return TypeError(
        f"{node._op.__name__} cannot be differentiated again: its body or a pullback is not differentiable here "
        f"({error}); write them with NumPy functions that have one"
    )


def reads_a_value(x: Any) -> TypeError:
    return TypeError(f"the value of {describe(x)} was read as a Python number, and its gradient would be lost")
