"""Arrays in containers: dicts, lists, tuples and dataclasses of arrays, as deep as you like.

A field of a dataclass that is marked as static, `dataclasses.field(metadata={"static": True})`, is no part of the tree:
it is never trained, differentiated or saved, and stays as it is. JAX has the same mark.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from minigrad.text import printable


def children(tree: Any) -> list[tuple[Any, Any]] | None:
    """(key, subtree) of a container in its order, None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    if hasattr(type(tree), "__dataclass_fields__"):
        import dataclasses  # slow to import; who has a dataclass has done so

        fields = (field.name for field in dataclasses.fields(tree) if not field.metadata.get("static"))
        return [(name, getattr(tree, name)) for name in fields]
    return None


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order.

    >>> leaves({"W": 1.0, "layers": [2.0, (3.0,)]})
    [1.0, 2.0, 3.0]
    """
    below = children(tree)
    return [tree] if below is None else [leaf for _, subtree in below for leaf in leaves(subtree)]


_BRACKETS: dict[type, tuple[str, str]] = {dict: ("{", "}"), list: ("[", "]"), tuple: ("(", ")")}


def summary(tree: Any, around: tuple[Any, ...] = ()) -> str:
    """A tree in short, with the shapes of its arrays: on a line, or where it is longer than that, indented.

    >>> import numpy as np
    >>> print(summary({"W": np.ones((8, 20)), "f": np.tanh, "sizes": [8, 20]}))
    {'W': <ndarray (8, 20)>, 'f': tanh, 'sizes': [8, 20]}
    """
    if any(tree is outer for outer in around):
        return "..."
    if hasattr(tree, "__array_function__") and hasattr(tree, "shape"):
        dtype = "" if tree.dtype == float else f" {tree.dtype}"
        return f"<{printable(type(tree).__name__)} {tree.shape}{dtype}>"
    first, last = _BRACKETS.get(type(tree), ("", ""))
    if isinstance(tree, Summarized):
        import dataclasses

        fields = [(f"{f.name}=", f.name) for f in dataclasses.fields(tree)]  # type: ignore[arg-type]
        below = [(head, getattr(tree, name)) for head, name in fields if hasattr(tree, name)]
        first, last = f"{printable(type(tree).__name__)}(", ")"
    elif first:
        below = [(f"{key!r}: " if first == "{" else "", subtree) for key, subtree in children(tree) or ()]
    else:
        return printable(tree.__name__ if hasattr(tree, "__name__") else repr(tree))
    parts = [printable(head) + summary(subtree, (*around, tree)) for head, subtree in below]
    if len(line := ", ".join(parts)) <= 80 and "\n" not in line:
        return f"{first}{line}{last}"
    return "\n    ".join([first, *(part.replace("\n", "\n    ") + "," for part in parts)]) + f"\n{last}"


class Summarized:
    """A dataclass that prints as its summary."""

    def __repr__(self) -> str:
        return summary(self)


def is_floating(leaf: Any) -> bool:
    """Can a leaf be differentiated by? Others (None, a string, integers) are kept as they are."""
    kind = getattr(getattr(leaf, "dtype", None), "kind", None)
    return kind in ("f", "c") if kind is not None else isinstance(leaf, float | complex)


def paths(tree: Any, path: str = "") -> list[str]:
    """How each leaf is reached, in the order of `leaves`.

    >>> paths({"W": 1.0, "layers": [2.0, (3.0,)]})
    ["['W']", "['layers'][0]", "['layers'][1][0]"]
    """
    below = children(tree)
    if below is None:
        return [path]
    return [p for key, subtree in below for p in paths(subtree, path + _step(tree, key))]


def names(tree: Any, name: str = "") -> list[str]:
    """The name of each leaf in a file, in the order of `leaves`: its keys, with points between, as PyTorch has them.

    >>> names({"W": 1.0, "layers": [2.0, (3.0,)]})
    ['W', 'layers.0', 'layers.1.0']
    """
    below = children(tree)
    if below is None:
        return [name]
    return [n for key, subtree in below for n in names(subtree, f"{name}.{key}" if name else str(key))]


def _step(tree: Any, key: Any) -> str:
    return printable(f"[{key!r}]" if isinstance(tree, dict | list | tuple) else f".{key}")


def matched(tree: Any, other: Any, role: str, path: str = "") -> list[Any]:
    """The leaves of another tree of the same structure, in the order of this one: entries of dicts match by key.

    >>> matched({"W": 1.0, "b": [2.0]}, {"b": [20.0], "W": 10.0}, "the tangent")
    [10.0, 20.0]

    Args:
        role: what the other tree is, for errors.

    Raises:
        ValueError: for another structure, or where a leaf that is kept as it is (None, integers) has a counterpart that
            is not.
    """
    below, others = children(tree), children(other)
    where = f"{role}{' at ' + path if path else ''}"
    if below is None and others is None:
        if is_floating(other) and not is_floating(tree):
            raise ValueError(f"{where} must be None, as {tree!r} has no derivative; got {other!r}")
        return [other]
    if _form(tree, below) != _form(other, others):
        raise ValueError(
            f"{where} must have the structure of {_described(tree, below)}, got {_described(other, others)}"
        )
    found = dict(others or ())
    return [leaf for key, sub in below or () for leaf in matched(sub, found[key], role, path + _step(tree, key))]


def _form(tree: Any, below: list[tuple[Any, Any]] | None) -> Any:
    if below is None:
        return None
    kind = next((kind for kind in (dict, list, tuple) if isinstance(tree, kind)), type(tree))
    return kind, {key for key, _ in below}


def _described(tree: Any, below: list[tuple[Any, Any]] | None) -> str:
    if below is None:
        return f"an array {tree.shape}" if hasattr(tree, "shape") else "one number" if is_floating(tree) else repr(tree)
    if isinstance(tree, list | tuple):
        return f"a {type(tree).__name__} of {len(below)}"
    return f"a {type(tree).__name__} with {', '.join(printable(key) for key, _ in below) or 'nothing'}"


def map_leaves(function: Callable[[Any], Any], tree: Any, init: bool = True) -> Any:
    """A tree of the same form, the function applied to every leaf.

    Args:
        init: make dataclasses by their own methods, which may compute with the leaves.

    >>> map_leaves(lambda x: 2 * x, {"W": 1.0, "layers": [2.0]})
    {'W': 2.0, 'layers': [4.0]}
    """
    below = children(tree)
    if below is None:
        return function(tree)
    return rebuilt(tree, {key: map_leaves(function, subtree, init) for key, subtree in below}, init)


def rebuilt(tree: Any, mapped: dict[Any, Any], init: bool = True) -> Any:
    """A container like another, with other contents by their keys."""
    new: Any
    # A subclass may take other arguments than its base: a defaultdict, a tuple with a __new__ of its own.
    if isinstance(tree, dict):
        new = mapped if type(tree) is dict else copy.copy(tree)
        for key, value in mapped.items():
            new[key] = value
        return new
    if isinstance(tree, list):
        new = copy.copy(tree)
        new[:] = mapped.values()
        return new
    if isinstance(tree, tuple):
        new = tuple.__new__(type(tree), mapped.values())
        if hasattr(tree, "__dict__"):
            vars(new).update(vars(tree))
        return new
    import dataclasses

    if not init:
        new = copy.copy(tree)
        for key, value in mapped.items():
            object.__setattr__(new, key, value)
        return new
    computed = {field.name for field in dataclasses.fields(tree) if not field.init}
    new = dataclasses.replace(tree, **{key: value for key, value in mapped.items() if key not in computed})
    for key in computed:
        value = mapped[key] if key in mapped else getattr(tree, key)  # a static field
        object.__setattr__(new, key, value)  # also where it is frozen
    return new


def unflatten(tree: Any, values: Any) -> Any:
    """A tree of the form of another, with new leaves.

    >>> unflatten({"W": 1.0, "layers": [2.0]}, [5.0, 6.0])
    {'W': 5.0, 'layers': [6.0]}
    """
    rest: Iterator[Any] = iter(values)
    return map_leaves(lambda _: next(rest), tree)
