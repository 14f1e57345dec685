"""Recording: a function is run once on tracers, in place of its arguments and of everything that it reaches."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.batched import levels_of
from minigrad.compiler.differentiable import is_live
from minigrad.compiler.names import names_watched
from minigrad.compiler.program import OPS_OWN, Name, Value
from minigrad.compiler.source import Step
from minigrad.compiler.stand_ins import Unusable
from minigrad.compiler.tracer import Refused, Trace, Tracer
from minigrad.compiler.world import World, users_functions
from minigrad.engine import Node
from minigrad.engine import stop_gradient as plain
from minigrad.errors import library
from minigrad.mode import mode, vmaps
from minigrad.operands import is_foreign
from minigrad.origin import is_users
from minigrad.reach import Found, Slot, has_attributes, names_in, reach
from minigrad.sparse import RowSparse
from minigrad.text import printable
from minigrad.trees import children, leaves, map_leaves
from minigrad.walk import depends

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
    """Is it an input: an array, a Tensor, or one of Python's numbers?"""
    return isinstance(x, np.ndarray | np.generic | float | complex | Node) or type(x) is int


def kind_of(x: Any, enter: bool) -> Any:
    """The kind of an argument, by which specializations are looked up.

    Args:
        enter: look into containers, whose arrays are inputs; otherwise into arrays only.
    """
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    if is_array(x) and (enter or not isinstance(x, Node | np.generic)):  # a number is no array without axes
        x = plain(x)
        return np.shape(x), x.dtype if hasattr(x, "dtype") else type(x)
    below = children(x) if enter else None
    if below is not None:
        return type(x), tuple([(key, kind_of(subtree, enter)) for key, subtree in below])
    return type(x)


def describe_argument(x: Any) -> str:
    """An argument in an error message."""
    if is_array(x) and type(x) is not int:
        return f"{np.shape(plain(x))} {np.result_type(plain(x))}"
    below = children(x)
    if below is None:
        return printable(repr(x))
    return "{" + ", ".join(f"{printable(key)}: {describe_argument(e)}" for key, e in below) + "}"


class Recorded(NamedTuple):
    """The record of a run: its inputs, its values, and the changes to be made after a call."""

    inputs: list[tuple[str, tuple[Step, ...], Value]]  # of each array in the arguments: its parameter, path and Value
    captured: list[tuple[Slot, Value]]  # of each other array that is reached: its place, also within an argument
    guards: list[tuple[Slot, Any]]  # places that are no inputs, and inputs that Python read, with what they held
    same: list[tuple[Slot, Slot]]  # a place, and an earlier one that holds the same object
    distinct: list[Slot]  # places that hold different arrays
    vacant: list[Slot]  # places that hold nothing
    classes: list[type]  # of the user's, that are reached
    written: list[tuple[Slot, Value, Value]]  # an array that was written into: its first and last Value
    rebound: list[tuple[Slot, Any]]  # a place, and its new content
    constants: dict[Value, int]  # Python's integers that are guarded by their values
    values: list[Value]
    output: Any
    live: list[int]  # the numbers of those leaves of the output that backward could start from


class TypeAndLength(NamedTuple):
    """A list or tuple that may be another one: guarded by type and length only."""

    kind: type
    length: int


class Leftover:
    """A row-sparse gradient from before a step: nothing can be added to it."""

    def __add__(self, _: Any) -> Any:
        raise Refused("a compiled step cannot add to a row-sparse gradient from before; set p.grad = None first")

    __radd__ = __add__


class Eager(Exception):
    """A call that is right only if the function itself runs: it captures what a running transform varies."""


class Overlap(Eager):
    """An array is written into, and another input shares its memory."""


class Call(NamedTuple):
    """A function to be recorded and an example of its arguments.

    Args:
        f: the function whose captures are replaced.
        run: called with a dict of the arguments, with tracers in place of arrays.
        strongly_typed: arguments whose Python numbers become float64 arrays, since they are differentiated.
        enter: are containers in the arguments copied, with tracers in them? Otherwise they are looked into where they
            are, as captures.
    """

    f: Function
    arguments: Arguments
    run: Callable[[dict[str, Any]], Any]
    strongly_typed: frozenset[str]
    enter: bool


recording_lock = threading.RLock()  # one recording at a time
active: list[Recording] = []  # while there is one, a call may be part of it


def record(call: Call, named: bool = True) -> Recorded:
    """Run a function on tracers; afterwards everything is as it was before.

    Args:
        named: name the values after the variables that hold them.
    """
    with recording_lock:
        modules_needed = True
        while modules_needed:  # a module that the function imports itself is looked into once it is there
            recorded, modules_needed = Recording(call).run(named)
        return recorded


class Recording:
    """One run on tracers."""

    def __init__(self, call: Call) -> None:
        self.call, self.trace = call, Trace()
        self.inputs: list[tuple[str, tuple[Step, ...], Value]] = []
        self.given: list[tuple[Tracer, Slot]] = []  # the inputs' tracers, and their places
        roots: list[Any] = []
        starts: list[tuple[Slot, Any]] = []
        for i, (name, x) in enumerate(call.arguments.all):
            roots.append(self.with_tracers(name, x, Slot(name, None, i), starts))
        self.reached = reach(call.f, starts, roots)
        check_partials(call.f, self.reached.places)
        self.world = World(call.f, self.reached, roots)
        self.replaced: dict[int, Tracer] = {}  # by the number of the place
        self.holders: dict[int, int] = {}  # of each array: the first place that holds it

    def with_tracers(self, name: str, tree: Any, root: Slot, starts: list[tuple[Slot, Any]]) -> Any:
        """An argument with tracers in place of its arrays; `starts` takes the objects to look into."""
        places = leaf_places(tree, root) if self.call.enter else iter([(root, ())])
        if self.call.enter:
            kinds = {type(x) for x in containers(tree) if is_users(type(x))}
            starts += [(Slot("", [kind], 0), kind) for kind in kinds]  # their methods

        def leaf(x: Any) -> Any:
            slot, steps = next(places)
            refuse_foreign(x, name)
            if not is_array(x) or (isinstance(x, Node) and not self.call.enter):
                starts.append((slot, x))
                return x
            x = plain(x)
            if name in self.call.strongly_typed:
                x = np.asarray(x, float if isinstance(x, int) else None)
            path = "".join(map(str, steps))
            word = re.findall(r"[^\W\d]\w*", path)  # params['W'] is W, layers[0] is layers0
            t = self.trace.input(x, word[-1] if word else name + "".join(re.findall(r"\d+", path)))
            self.inputs.append((name, steps, t.value))
            self.given.append((t, slot))
            if not hasattr(x, "dtype"):
                self.trace.guardable.add(t.value)
            return t

        return map_leaves(leaf, tree) if self.call.enter else leaf(tree)

    def run(self, named: bool) -> tuple[Recorded, bool]:
        places, world = self.reached.places, self.world
        unknown = unimported(self.call.f, places)
        Refused.first = None
        active.append(self)
        try:
            world.hide()
            for i, place in enumerate(places):
                self.replace(i, place)
            with names_watched() if named else contextlib.nullcontext():
                mode.tracing = True
                returned = self.call.run(dict(zip((name for name, _ in self.call.arguments.all), world.roots)))
            overwritten = self.overwritten()
            live = [i for i, x in enumerate(leaves(returned)) if is_live(x) and not self.call.enter]
            output = map_leaves(plain, returned, init=False)
            world.check()
            after = [place.slot.get(world.roots) for place in places]
        except Exception as error:
            if Refused.first is not None and Refused.first is not error:
                raise Refused.first from error  # the function has caught it
            raise
        finally:
            mode.tracing = False
            active.remove(self)
            world.restore()
        if Refused.first is not None:
            raise Refused.first
        if self.trace.errors:
            caught = self.trace.errors[0]
            raise Refused(
                f"{type(caught).__name__} ({caught}) was caught, and that it came would be frozen"
            ) from caught
        for (name, path, value), (t, _) in zip(self.inputs, self.given):
            if t.value is not value:
                where = printable("".join(map(str, (name, *path))))
                raise Refused(f"the argument {where} was written into; compute a new array instead")
        check_output(output)
        return self.sorted_out(after, overwritten, output, live), not unknown.isdisjoint(sys.modules)

    def replace(self, i: int, place: Found) -> None:
        """Put a tracer or another stand-in into a place."""
        slot, held, _ = place
        refuse_foreign(held, slot.title("an array"))
        if isinstance(held, Node) and mode.transforms and depends(held, mode.transforms):
            raise Eager
        if vmaps and levels_of(held):
            raise Eager
        if isinstance(held, RowSparse):
            self.world.set(place, Leftover())
        elif slot.of_tensor and held is None:
            self.world.set(place, None)  # not the gradient that another thread may set meanwhile
        elif is_array(held) and not isinstance(held, Node) and (slot.of_tensor or not is_fixed(slot)):
            first = self.holders.setdefault(id(held), i) if isinstance(held, np.ndarray) else i
            if first == i:
                self.replaced[i] = self.trace.input(held, slot.name if slot.name.isidentifier() else "c")
                self.trace.guardable.add(self.replaced[i].value)
            else:
                self.replaced[i] = self.replaced[first]
            self.world.set(place, self.replaced[i])
        else:
            self.world.stand_in(place)

    def overwritten(self) -> set[int]:
        """The gradients, by the numbers of their places, that were replaced unread: any others would do."""
        found = {
            i
            for i, (slot, _, _) in enumerate(self.reached.places)
            if slot.of_tensor
            and slot.key == "_grad"
            and self.world.overlay.is_overwritten(slot.holder_now(self.world.roots), "_grad")
        }
        held_elsewhere = {self.holder_of(i) for i in self.replaced if i not in found}
        return {i for i in found if self.holder_of(i) not in held_elsewhere}

    def holder_of(self, i: int) -> int:
        """The number of the first place that holds what a place holds."""
        return self.holders.get(id(self.reached.places[i].held), i)

    def sorted_out(self, after: list[Any], overwritten: set[int], output: Any, live: list[int]) -> Recorded:
        """The changes that the run made, and the conditions under which another would be the same."""
        places, trace = self.reached.places, self.trace
        guards: list[tuple[Slot, Any]] = [(slot, t.value.example) for t, slot in self.given if t.value in trace.read]
        same, written, rebound = [], [], []
        owners: dict[int, Slot] = {}
        for i, ((slot, held, within), now) in enumerate(zip(places, after)):
            if i in overwritten:
                rebound.append((slot, storable(slot, now)))
            elif i in self.replaced:
                first, last = trace.first(self.replaced[i]), self.replaced[i].value
                holder = self.holder_of(i)
                if holder != i:
                    same.append((slot, places[holder].slot))
                if now is not self.replaced[i]:
                    rebound.append((slot, storable(slot, now)))
                if last is not first and (holder == i or slot.of_tensor):
                    written.append((slot, first, last))
                if first in trace.read:
                    if last is not first or (isinstance(now, Tracer) and now is not self.replaced[i]):
                        raise Refused(
                            f"{slot.title('something')} changes at every call, and Python reads its value (if, "
                            "float(), an index): it would be compiled anew each time; use mg.where on it, or decide "
                            "outside and pass a flag"
                        )
                    guards.append((slot, held))
            elif slot.of_tensor:  # a gradient
                guards.append((slot, held))
                if now is not held and not isinstance(now, Leftover):
                    rebound.append((slot, now))
            else:
                if now is not held and not isinstance(now, Unusable) and not isinstance(held, tuple):
                    if held is not None and not isinstance(held, bool | np.bool_):
                        raise Refused(f"{slot.title('something')} was changed, which is neither an array nor a number")
                    rebound.append((slot, storable(slot, now)))
                if isinstance(held, Node) or is_container(held):
                    if slot.rooted and id(held) in owners:
                        same.append((slot, owners[id(held)]))
                    owners.setdefault(id(held), slot)
                loose = isinstance(held, tuple | list) and (slot.rooted or is_row(places, within, held))
                guards.append((slot, TypeAndLength(type(held), len(held)) if loose else held))
        constants = {v: v.example for v in trace.read if type(v.example) is int}
        captured = [
            (places[i].slot, trace.first(t))
            for i, t in self.replaced.items()
            if self.holder_of(i) == i and i not in overwritten and trace.first(t) not in constants
        ]
        unread = {trace.first(t) for i, t in self.replaced.items() if i in overwritten}
        trace.values[:] = [v for v in trace.values if v not in unread]  # the list itself, as views may still join it
        for slot, value, _ in written:
            for name, view in [*((s.name, v) for s, v in captured), *((name, v) for name, _, v in self.inputs)]:
                if view is not value and np.may_share_memory(view.example, value.example):
                    raise Overlap(
                        f"{slot.title('an array')} was written into, and {printable(name) or 'another'} shares its "
                        "memory; take the view inside the function"
                    )
        arrays = [slot for slot, value in captured if isinstance(value.example, np.ndarray)]
        in_arguments = any(slot.rooted for slot in arrays)  # elsewhere a Tensor has data of its own
        distinct = [slot for slot in arrays if in_arguments or not slot.of_tensor]
        classes = [kind for kind, _ in self.world.classes]
        conditions = guards, same, distinct, self.reached.vacant, classes
        changes = written, rebound, constants
        return Recorded(self.inputs, captured, *conditions, *changes, trace.values, output, live)


def leaf_places(tree: Any, at: Slot, steps: tuple[Step, ...] = ()) -> Iterator[tuple[Slot, tuple[Step, ...]]]:
    """The place of each leaf of a tree, and the steps to it, in the order of `leaves`."""
    below = children(tree)
    if below is None:
        yield at, steps
    is_attribute = not isinstance(tree, dict | list | tuple)
    for number, (key, subtree) in enumerate(below or ()):
        step = Step(key, number, is_attribute)
        yield from leaf_places(subtree, Slot(str(key), at, key, is_attribute), (*steps, step))


def containers(tree: Any) -> Iterator[Any]:
    """The containers in a tree, itself included."""
    below = children(tree)
    if below is not None:
        yield tree
        for _, subtree in below:
            yield from containers(subtree)


def storable(slot: Slot, now: Any) -> Any:
    """The new content of a place: an array, a number, a flag, or None."""
    if isinstance(now, Tracer):
        now.value.adopt(Name(OPS_OWN, slot.name if slot.name.isidentifier() else ""))
    elif not (now is None or isinstance(now, np.ndarray | np.generic | bool | int | float | complex | RowSparse)):
        raise Refused(
            f"{slot.title('a place')} was given {type(now).__name__!r}, which is neither an array nor a number; "
            "store its data, or return it"
        )
    return now


def refuse_foreign(x: Any, name: str) -> None:
    """Refuse the arrays of other libraries: a program is recorded and compared on NumPy's."""
    if is_foreign(plain(x)):
        raise Refused(
            f"{name} is an array of {library(plain(x))}'s, and programs are recorded on NumPy's: derive for a NumPy "
            "array of the same shape; the printed source calls NumPy functions, most of which take other arrays too"
        )


def check_output(output: Any) -> None:
    """Refuse to return an object: it may hold tracers, and would be the same ever after."""
    for x in leaves(output):
        if not isinstance(x, Tracer | np.ndarray | np.generic | RowSparse | str | bytes | int | float | complex | None):
            raise Refused(
                f"a {type(x).__name__} was returned; return arrays and numbers, in tuples, lists, dicts and dataclasses"
            )


def check_partials(f: Function, places: list[Found]) -> None:
    """Refuse arrays that cannot be replaced."""
    for held in [f, *(held for _, held, _ in places)]:
        if isinstance(held, functools.partial):
            for x in leaves(held.args):
                if isinstance(x, np.ndarray | np.generic | float | complex):
                    raise Refused(
                        "an array in a functools.partial would be frozen; give it by keyword, or write a lambda"
                    )


def unimported(f: Function, places: list[Found]) -> set[str]:
    """The modules that functions import, and that are not there yet."""
    functions = users_functions([f, *(held for _, held, _ in places)])
    return set().union(*(names_in(f.__code__).modules for f in functions)) - sys.modules.keys()


def is_fixed(slot: Slot) -> bool:
    """Is it an argument of a functools.partial, which cannot be replaced?"""
    return isinstance(slot.holder, Slot) and isinstance(slot.holder.holder, functools.partial)


def is_container(x: Any) -> bool:
    return isinstance(x, list | dict | set | deque) or has_attributes(x)


def is_row(places: list[Found], within: int, held: Any) -> bool:
    """Is it a list of arrays in a list of those? It may be replaced."""
    if within < 0 or not isinstance(places[within].held, tuple | list):
        return False
    return all(isinstance(x, np.ndarray) for x in held)
