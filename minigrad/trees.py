"""Arrays in containers: dicts, lists, tuples and dataclasses of arrays, as deep as you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def children(tree: Any) -> list[tuple[Any, Any]] | None:
    """(key, subtree) of a container in its order, None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    if hasattr(type(tree), "__dataclass_fields__"):
        import dataclasses  # slow to import; who has a dataclass has done so

        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    return None


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order.

    >>> leaves({"W": 1.0, "layers": [2.0, (3.0,)]})
    [1.0, 2.0, 3.0]
    """
    below = children(tree)
    return [tree] if below is None else [leaf for _, subtree in below for leaf in leaves(subtree)]


def paths(tree: Any, path: str = "") -> list[str]:
    """How each leaf is reached, in the order of `leaves`.

    >>> paths({"W": 1.0, "layers": [2.0, (3.0,)]})
    ["['W']", "['layers'][0]", "['layers'][1][0]"]
    """
    below = children(tree)
    if below is None:
        return [path]
    keyed = isinstance(tree, dict | list | tuple)
    return [p for key, subtree in below for p in paths(subtree, f"{path}[{key!r}]" if keyed else f"{path}.{key}")]


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the same form, the function applied to every leaf.

    >>> map_leaves(lambda x: 2 * x, {"W": 1.0, "layers": [2.0]})
    {'W': 2.0, 'layers': [4.0]}
    """
    below = children(tree)
    if below is None:
        return function(tree)
    mapped = {key: map_leaves(function, subtree) for key, subtree in below}
    if isinstance(tree, dict):
        return type(tree)(mapped)
    if isinstance(tree, list | tuple):
        return type(tree)(*mapped.values()) if hasattr(tree, "_fields") else type(tree)(mapped.values())
    import dataclasses

    return dataclasses.replace(tree, **mapped)


def unflatten(tree: Any, values: Any) -> Any:
    """A tree of the form of another, with new leaves.

    >>> unflatten({"W": 1.0, "layers": [2.0]}, [5.0, 6.0])
    {'W': 5.0, 'layers': [6.0]}
    """
    new: Iterator[Any] = iter(values)
    return map_leaves(lambda _: next(new), tree)
