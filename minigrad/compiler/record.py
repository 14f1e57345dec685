"""Recording: a function is run once on tracers, with its captures replaced by tracers too."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.captures import Found, Slot, find_captures, has_attributes
from minigrad.compiler.names import names_watched
from minigrad.compiler.program import OPS_OWN, Name, Value, made_from
from minigrad.compiler.source import Step
from minigrad.compiler.tracer import Refused, Trace, Tracer
from minigrad.engine import Node
from minigrad.engine import stop_gradient as plain
from minigrad.generators import rng_state, set_rng_state
from minigrad.mode import mode
from minigrad.sparse import RowSparse
from minigrad.text import printable
from minigrad.trees import children, map_leaves

Function = Callable[..., Any]


class Arguments(NamedTuple):
    """The arguments of a call: the name and value of each parameter."""

    positional: tuple[tuple[str, Any], ...]
    keyword: tuple[tuple[str, Any], ...]

    @property
    def all(self) -> tuple[tuple[str, Any], ...]:
        return self.positional + self.keyword


def parameters_of(f: Function) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(f).parameters.values())
    except ValueError:  # a builtin without a signature
        return []


def parameter_names(f: Function) -> tuple[list[str], str]:
    """The names of a function's parameters, and the name of its *args."""
    parameters = parameters_of(f)
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")


def has_parameter(f: Function, name: str, given: Mapping[str, Any]) -> bool:
    """Has a function a parameter of that name, or a given argument of that name that goes to its **kwargs?"""
    return any(p.name == name or (p.kind is p.VAR_KEYWORD and name in given) for p in parameters_of(f))


def named_arguments(names: tuple[list[str], str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments of a call with the names of the parameters."""
    own, rest = names
    free = (name for i in itertools.count() if (name := f"{rest}{i}") not in own and name not in kwargs)
    further = list(itertools.islice(free, max(0, len(args) - len(own))))
    return Arguments(tuple(zip([*own, *further], args)), tuple(kwargs.items()))


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | complex | Node)


def kind_of(x: Any) -> Any:
    """The part of an argument that a function is specialized for: an array's shape and dtype, else the value."""
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    if is_array(x):
        return np.shape(plain(x)), type(x) if isinstance(x, float | complex) else x.dtype
    below = children(x)
    if below is not None:
        return type(x), tuple([(key, kind_of(subtree)) for key, subtree in below])
    return type(x), x if x.__hash__ else id(x)


def describe_argument(x: Any) -> str:
    """An argument in an error message."""
    if is_array(x):
        return f"{np.shape(plain(x))} {np.result_type(plain(x))}"
    below = children(x)
    if below is None:
        return printable(repr(x))
    return "{" + ", ".join(f"{printable(key)}: {describe_argument(e)}" for key, e in below) + "}"


class Recorded(NamedTuple):
    """The record of a run: its inputs, its values, and the changes to be made after a call."""

    inputs: list[
        tuple[str, tuple[Step, ...], Value]
    ]  # of each array in the arguments: its parameter, its path, its Value
    captured: list[tuple[Slot, Value]]
    guards: list[tuple[Slot, Any]]  # captures that are no inputs, with what they held
    same: list[tuple[Slot, Slot]]  # a place, and an earlier one that holds the same array
    written: list[tuple[Slot, Value, Value]]  # an array that was written into: its first and last Value
    rebound: list[tuple[Slot, Any]]  # a place, and its new content
    values: list[Value]
    output: Any


class TypeAndLength(NamedTuple):
    """A list or tuple of arrays within another: guarded by type and length only."""

    kind: type
    length: int


class Leftover:
    """A row-sparse gradient from before a step: nothing can be added to it."""

    def __add__(self, _: Any) -> Any:
        raise Refused("a compiled step cannot add to a row-sparse gradient from before; set p.grad = None first")

    __radd__ = __add__


class Changed(Exception):
    """A captured number was changed by the run."""

    def __init__(self, slot: int) -> None:
        self.slot = slot


def record(f: Function, arguments: Arguments, run: Function, strongly_typed: frozenset[str] = frozenset()) -> Recorded:
    """Run f on tracers: again where a number turns out to be state, or to be needed as a number.

    Args:
        f: the function whose captures are replaced.
        arguments: examples.
        run: called with a dict of the arguments, with tracers in place of arrays.
        strongly_typed: arguments whose Python numbers become float64 arrays, since they are differentiated.
    """
    fixed: set[int] = set()  # captured numbers that Python reads
    state: set[int] = set()  # captured numbers that f changes
    while True:
        trace = Trace()
        try:
            return record_once(trace, f, arguments, run, strongly_typed, fixed, state)
        except Changed as change:
            state.add(change.slot)
        except Refused:
            inputs = {v for v in made_from(trace.asked_for) if v.call is None}
            asked = {trace.captured_at[v] for v in inputs & trace.captured_at.keys()}
            if not asked - fixed or asked & state or inputs - trace.captured_at.keys():
                raise
            fixed |= asked


def record_once(
    trace: Trace,
    f: Function,
    arguments: Arguments,
    run: Function,
    strongly_typed: frozenset[str],
    fixed: set[int],
    state: set[int],
) -> Recorded:
    inputs: list[tuple[str, tuple[Step, ...], Value]] = []
    given: list[Tracer] = []

    def traced(name: str, tree: Any) -> Any:
        places = iter(ways(tree))

        def leaf(x: Any) -> Any:
            steps = next(places)
            if not is_array(x):
                return x
            x = np.asarray(plain(x)) if name in strongly_typed else plain(x)
            path = "".join(map(str, steps))
            word = re.findall(r"[^\W\d]\w*", path)  # params['W'] is W, layers[0] is layers0
            t = trace.input(x, word[-1] if word else name + "".join(re.findall(r"\d+", path)))
            inputs.append((name, steps, t.value))
            given.append(t)
            return t

        return map_leaves(leaf, tree)

    trees = {name: traced(name, tree) for name, tree in arguments.all}
    found = find_captures(f)
    replaced: dict[int, Tracer] = {}
    holders: dict[int, int] = {}  # of each array: the first place that holds it
    contents = [(x, copy.copy(x)) for x in map(contained, found) if x is not None]
    draws = [(held, rng_state(held)) for _, held, _ in found if isinstance(held, GENERATORS)]
    everywhere = global_rng_state()
    try:
        for i, (slot, held, _) in enumerate(found):
            if isinstance(held, RowSparse):
                slot.set(Leftover())
            elif is_state(held, i, fixed, state):
                first = holders.setdefault(id(held), i) if isinstance(held, np.ndarray) else i
                if first == i:
                    replaced[i] = trace.input(held, slot.name if slot.name.isidentifier() else "c")
                    trace.captured_at[replaced[i].value] = i
                slot.set(replaced.setdefault(i, replaced[first]))
        with names_watched():
            mode.tracing = True
            output = run(trees)
        after = [slot.get() for slot, *_ in found]
        for now, before in contents:
            if len(now) != len(before) or (isinstance(now, set) and now != before):
                what = f"a {type(now).__name__}"
                if isinstance(now, dict):
                    what = f"a dict or an attribute ({', '.join(map(repr, now.keys() ^ before.keys()))})"
                raise Refused(f"something was stored in {printable(what)} that was not there before: return it instead")
    finally:
        mode.tracing = False
        for slot, held, _ in reversed(found):
            if slot.get() is not held:
                slot.set(held)
        for now, before in contents:
            if isinstance(now, list):
                now[:] = before
            elif isinstance(now, deque):
                now.clear()
                now.extend(before)
            elif set(now) != set(before):
                now.clear()
                now.update(before)
        drawn = any(pickle.dumps(rng_state(held)) != pickle.dumps(before) for held, before in draws)
        for held, before in draws:
            set_rng_state(held, before)
    if drawn or any(np.any(x != y) for x, y in zip(global_rng_state(), everywhere)):
        raise Refused("random numbers were drawn, and would be the same ever after; pass them as arguments")
    for (name, path, value), t in zip(inputs, given):
        if t.value is not value:
            place = printable("".join(map(str, (name, *path))))
            raise Refused(f"the argument {place} was written into; compute a new array instead")

    guards, same, written, rebound = [], [], [], []
    for i, ((slot, held, _), now) in enumerate(zip(found, after)):
        if i in replaced:
            value, last = trace.first(replaced[i]), replaced[i].value
            holder = holders.get(id(held), i)
            if holder != i:
                same.append((slot, found[holder].slot))
            if now is not replaced[i]:
                if isinstance(now, Tracer):
                    now.value.adopt(Name(OPS_OWN, slot.name if slot.name.isidentifier() else ""))
                rebound.append((slot, now))
            if last is not value and (holder == i or slot.owner is not None):
                written.append((slot, value, last))
        elif slot.owner is not None:  # a gradient
            guards.append((slot, held))
            if now is not held and not isinstance(now, Leftover):
                rebound.append((slot, now))
        elif now is held or isinstance(held, tuple):
            guards.append((slot, held if guards_identity(i, found) else TypeAndLength(type(held), len(held))))
        elif isinstance(held, int | float):
            raise Changed(i)
        else:
            raise Refused(f"{slot.title('something')} was changed, which is neither an array nor a number")
    captured = [(found[i].slot, trace.first(t)) for i, t in replaced.items() if holders.get(id(found[i].held), i) == i]
    for slot, value, _ in written:
        for other, view in captured:
            if view is not value and np.may_share_memory(view.example, value.example):
                raise Refused(
                    f"{slot.title('an array')} was written into, and {other.title('another')} shares its memory; "
                    "take the view inside the function"
                )
    return Recorded(inputs, captured, guards, same, written, rebound, trace.values, output)


def ways(tree: Any) -> list[tuple[Step, ...]]:
    """The steps to each leaf, in the order of `leaves`."""
    below = children(tree)
    if below is None:
        return [()]
    is_attribute = not isinstance(tree, dict | list | tuple)
    steps = [(Step(key, place, is_attribute), subtree) for place, (key, subtree) in enumerate(below)]
    return [(step, *further) for step, subtree in steps for further in ways(subtree)]


def contained(place: Found) -> Any:
    """The container in a place, or the attribute dict of an object in it: its keys are checked after the run."""
    if isinstance(place.held, list | dict | set | deque):
        return place.held
    return vars(place.held) if has_attributes(place.held) else None


def guards_identity(i: int, found: list[Found]) -> bool:
    """Is a place guarded by the identity of its content? A row of arrays in a list of rows is not."""
    place = found[i]
    if not isinstance(place.held, tuple | list) or place.within < 0:
        return True
    rows = isinstance(found[place.within].held, tuple | list) and all(isinstance(x, np.ndarray) for x in place.held)
    return not rows


GENERATORS = np.random.Generator | np.random.RandomState | random.Random


def global_rng_state() -> tuple[Any, ...]:
    """The states of the global random generators of NumPy and Python."""
    state: Any = np.random.get_state()
    return (*state[1:3], hash(random.getstate()))


def is_state(held: Any, i: int, fixed: set[int], state: set[int]) -> bool:
    """Is the content of a place an input? An int is one only where f changes it: else it is a size or an index."""
    if isinstance(held, bool) or i in fixed:
        return False
    return isinstance(held, np.ndarray | np.generic | float | complex) or i in state
