"""How a large graph becomes a small picture: the repeated steps of a loop are rolled into one, scopes are closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Node
from minigrad.viz.names import Scope
from minigrad.walk import arguments

FEW = 3  # a leaf that more ops than these use is drawn beside each; more steps than these are a loop
LONGEST = 400  # the largest number of ops in a step that is looked for
TRIES = 20  # the number of runs, and of places for the start of a run, that are looked at closely

Loop = list[list[Node]]  # the Tensors of each step, the oldest first; those at the same place are alike


class Frame(NamedTuple):
    """The frame around the step of a rolled loop that is shown."""

    scope: Scope
    outside: int  # the number of scopes around it


@dataclass
class Folding:
    """What is folded, by the ids of Tensors."""

    stand_ins: dict[int, Node] = field(default_factory=dict)  # in another step: the Tensor that is shown in its place
    steps: dict[int, int] = field(default_factory=dict)  # of the loop that it is in, from 1
    closed: dict[int, Scope] = field(default_factory=dict)  # the closed scope that it is in
    frames: dict[int, Frame] = field(default_factory=dict)  # around it, where its loop is rolled

    def is_shown(self, node: Node, users: Sequence[Node]) -> bool:
        """Has a Tensor a box? Inside a closed scope those have that something outside uses, or nothing at all."""
        if id(node) in self.stand_ins:
            return False
        scope = self.closed.get(id(node))
        return scope is None or not users or any(self.closed.get(id(user)) is not scope for user in users)


def users_of(nodes: Sequence[Node]) -> dict[int, list[Node]]:
    """The Tensors that were computed from each argument, a variable or an array, by its id."""
    users: dict[int, list[Node]] = {id(node): [] for node in nodes}
    for node in nodes:
        for x in {id(x): x for x in arguments(node)}.values():
            users.setdefault(id(x), []).append(node)
    return users


# loops


def loops(nodes: Sequence[Node], users: dict[int, list[Node]], scopes: dict[int, tuple[Scope, ...]]) -> list[Loop]:
    """The loops in a graph: ops recorded more than three times in the same order, alike and wired alike.

    Args:
        nodes: the newest first.
    """
    results = [node for node in reversed(nodes) if node._op is not None]
    numbers: dict[Any, int] = {}
    signs = np.array([numbers.setdefault(_signature(x, users, scopes), len(numbers)) for x in results], np.int64)
    found, waiting = [], [(0, len(results))]
    while waiting:
        start, stop = waiting.pop()
        for first, period, count in _repeats(signs[start:stop]):
            begin, steps = _wired_alike(results, start + first, period, count)
            if steps:
                found.append(steps)
                waiting += [(start, begin), (begin + period * len(steps), stop)]
                break
    return found


def _signature(node: Node, users: dict[int, list[Node]], scopes: dict[int, tuple[Scope, ...]]) -> Any:
    """What ops have in common that do the same in different steps: shapes, scopes by name, and the variables shared."""

    def of(x: Any) -> Any:
        shared = isinstance(x, Node) and x._op is None and len(users[id(x)]) > FEW
        return id(x) if shared else np.shape(getattr(x, "_data", x)) if hasattr(x, "shape") else type(x)

    names = tuple(scope.name.rstrip("0123456789") for scope in scopes.get(id(node), ()))
    return node._op, node._data.shape, names, tuple(map(of, arguments(node)))


def _repeats(signs: Any) -> Iterator[tuple[int, int, int]]:
    """The start, period and number of repetitions of runs in a sequence, those first that save the most."""
    found = []
    for period in range(1, min(len(signs) // (FEW + 1), LONGEST) + 1):
        equal = np.concatenate([[False], signs[:-period] == signs[period:], [False]])
        edges = np.flatnonzero(equal[1:] != equal[:-1])
        for first, last in edges.reshape(-1, 2).tolist():
            count, rest = divmod(last - first + period, period)
            if count > FEW:
                found.append(((count - 1) * period, first, period, count, rest))
    for _, first, period, count, rest in sorted(found, key=lambda run: (-run[0], run[2], run[1]))[:TRIES]:
        for shift in range(min(rest + 1, TRIES)):
            yield first + shift, period, count


def _wired_alike(results: Sequence[Node], first: int, period: int, count: int) -> tuple[int, Loop]:
    """The longest run of steps in which the same places are connected, and where it begins."""
    wiring = []
    for start in range(first, first + period * count, period):
        places = {id(results[start + i]): i for i in range(period)}
        wiring.append(tuple(places.get(id(x)) for i in range(period) for x in arguments(results[start + i])))
    best, begin, run = 0, first, 0
    for i, how in enumerate(wiring):
        run = run + 1 if i and how == wiring[i - 1] else 1
        if run > best:
            best, begin = run, first + period * (i + 1 - run)
    if best <= FEW:
        return first, []
    return begin, [list(results[begin + i * period : begin + (i + 1) * period]) for i in range(best)]


def roll(
    folding: Folding, found: Sequence[Loop], users: dict[int, list[Node]], scopes: dict[int, tuple[Scope, ...]]
) -> None:
    """Show of each loop the last step alone; a leaf that only one step uses goes with it."""
    for steps in found:
        own = [_leaves_of_step(step, users) for step in steps]
        outside = len(_common([scopes.get(id(node), ()) for step in steps for node in step]))
        frame = Frame(Scope(f"×{len(steps)}, step {len(steps)} shown"), outside)
        folding.frames |= {id(node): frame for node in [*steps[-1], *own[-1].values()]}
        for t, (step, leaves) in enumerate(zip(steps[:-1], own), 1):
            pairs = [*zip(step, steps[-1]), *((x, own[-1][place]) for place, x in leaves.items() if place in own[-1])]
            folding.stand_ins |= {id(node): shown for node, shown in pairs}
            folding.steps |= {id(node): t for node, _ in pairs}


def _leaves_of_step(step: Sequence[Node], users: dict[int, list[Node]]) -> dict[tuple[int, int], Node]:
    """The leaves that one step alone uses, by the op and the place where it does so first."""
    inside = set(map(id, step))
    found: dict[int, tuple[tuple[int, int], Node]] = {}
    for i, node in enumerate(step):
        for place, x in enumerate(arguments(node)):
            if isinstance(x, Node) and x._op is None and all(id(user) in inside for user in users[id(x)]):
                found.setdefault(id(x), ((i, place), x))
    return dict(found.values())


def _common(paths: Sequence[tuple[Scope, ...]]) -> tuple[Scope, ...]:
    """The scopes that are around all of several Tensors."""
    shortest = min(paths, key=len)
    shared = 0
    while shared < len(shortest) and all(path[shared] is shortest[shared] for path in paths):
        shared += 1
    return shortest[:shared]


# scopes


def close(folding: Folding, scopes: dict[int, tuple[Scope, ...]], depth: int) -> None:
    """Close all scopes inside this many others; a single op is no smaller closed."""
    found = {key: path[depth] for key, path in scopes.items() if len(path) > depth}
    counts = Counter(map(id, found.values()))
    folding.closed = {key: scope for key, scope in found.items() if counts[id(scope)] > 1}
