"""derive and compile: a function is run on tracers, made simpler, and written down as NumPy source."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import itertools
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minigrad.captured import Found, Slot, reach
from minigrad.engine import Node, sweep, tick
from minigrad.mode import mode
from minigrad.rules import Simplifier
from minigrad.source import Faster, Program, Spelling, Writer
from minigrad.sparse import RowSparse
from minigrad.tensor import Tensor, downhill, one
from minigrad.trace import UPDATES, USERS, Name, Refused, Trace, Traced, Value, array_under, made_from, names_watched
from minigrad.transforms import Argnums, gradients, transforming, variable
from minigrad.trees import children, leaves, map_leaves, paths, unflatten

Function = Callable[..., Any]
KEPT = 8  # derived functions, for as many kinds of arguments


class Arguments(NamedTuple):
    """The arguments of a call: of each parameter its name and value."""

    positional: tuple[tuple[str, Any], ...]
    keyword: tuple[tuple[str, Any], ...]

    @property
    def all(self) -> tuple[tuple[str, Any], ...]:
        return self.positional + self.keyword


def named_arguments(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments with the names that f has for them."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except ValueError:  # a builtin does not tell
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    names += [f"{rest}{i}" for i in range(len(args) - len(names))]
    return Arguments(tuple(zip(names, args)), tuple(kwargs.items()))


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | complex | Node)


def plain(x: Any) -> Any:
    return x._data if isinstance(x, Node) else x


def kind_of(x: Any) -> Any:
    """What of an argument a derived function is for: shape and dtype of an array, the value of anything else."""
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    if is_array(x):
        return np.shape(plain(x)), type(x) if isinstance(x, float | complex) else x.dtype
    below = children(x)
    if below is not None:
        return type(x), tuple([(key, kind_of(subtree)) for key, subtree in below])
    return x if x.__hash__ else id(x)


def told(kind: Any) -> str:
    """The same in an error message."""
    if isinstance(kind, tuple) and len(kind) == 2 and isinstance(kind[0], tuple):
        return f"{kind[1]} {kind[0]}"
    return repr(kind)


def identifier(f: Function, otherwise: str) -> str:
    """The name of a function, another for a lambda."""
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else otherwise


class Recorded(NamedTuple):
    """What a run on tracers has left behind."""

    inputs: list[tuple[str, str, Value]]  # of each array in the arguments: its parameter, its path in that, its Value
    captured: list[tuple[Slot, Value]]
    guards: list[tuple[Slot, Any]]  # what is no input: it must stay what it is
    written: list[tuple[Slot, Value, Value]]  # an array that was written into: its Value at first and at last
    rebound: list[tuple[Slot, Any]]  # what holds something else at last
    values: list[Value]
    output: Any


class Leftover:
    """A row-sparse gradient from before a step: nothing can be added to it."""

    def __add__(self, _: Any) -> Any:
        raise Refused("a compiled step cannot add to a row-sparse gradient from before; set p.grad = None first")

    __radd__ = __add__


class Changed(Exception):
    """A number that f reaches is not what it was before."""

    def __init__(self, slot: int) -> None:
        self.slot = slot


def record(f: Function, arguments: Arguments, run: Function) -> Recorded:
    """Run f on tracers: again where a number turns out to be state, or to be needed as a number."""
    fixed: set[int] = set()  # the slots whose numbers Python needs to know
    state: set[int] = set()  # the slots whose numbers f changes
    while True:
        trace = Trace()
        try:
            return record_once(trace, f, arguments, run, fixed, state)
        except Changed as change:
            state.add(change.slot)
        except Refused:
            asked = {trace.numbers[v] for v in made_from(trace.asked_for) if v in trace.numbers}
            if not asked - fixed or asked & state:
                raise
            fixed |= asked


def record_once(
    trace: Trace, f: Function, arguments: Arguments, run: Function, fixed: set[int], state: set[int]
) -> Recorded:
    inputs: list[tuple[str, str, Value]] = []
    given: list[Traced] = []

    def traced(name: str, tree: Any) -> Any:
        places = iter(paths(tree))

        def leaf(x: Any) -> Any:
            path = next(places)
            if not is_array(x):
                return x
            t = trace.input(plain(x), (re.findall(r"[^\W\d]\w*", path) or [name])[-1])
            inputs.append((name, path, t.value))
            given.append(t)
            return t

        return map_leaves(leaf, tree)

    trees = {name: traced(name, tree) for name, tree in arguments.all}
    found = reach(f)
    replaced: dict[int, Traced] = {}
    draws = [(held, held.bit_generator.state) for _, held, _ in found if isinstance(held, np.random.Generator)]
    everywhere = np.random.get_state()[1:3]
    try:
        for i, (slot, held, _) in enumerate(found):
            if isinstance(held, RowSparse):
                slot.set(Leftover())
            elif is_state(held, i, fixed, state):
                replaced[i] = trace.input(held, slot.name or "c")
                trace.numbers[replaced[i].value] = i
                slot.set(replaced[i])
        with names_watched():
            mode.tracing = True
            output = run(trees)
        after = [slot.get() for slot, *_ in found]
        known = {id(x) for x in after}
        for slot, held, _ in reach(f):
            if isinstance(plain(held), Traced) and id(held) not in known and id(plain(held)) not in known:
                raise Refused(f"a computed value was stored in {slot.name or 'a list'}, where it would not be seen again")
    finally:
        mode.tracing = False
        for slot, held, _ in reversed(found):
            if slot.get() is not held:
                slot.set(held)
        drawn = any(held.bit_generator.state != before for held, before in draws)
        for held, before in draws:
            held.bit_generator.state = before
    if drawn or any(np.any(x != y) for x, y in zip(np.random.get_state()[1:3], everywhere)):
        raise Refused("random numbers were drawn, and would be the same ever after; pass them as arguments")
    for (name, path, value), t in zip(inputs, given):
        if t.value is not value:
            raise Refused(f"the argument {name}{path} was written into; compute a new array instead")

    guards, written, rebound = [], [], []
    for i, ((slot, held, _), now) in enumerate(zip(found, after)):
        if i in replaced:
            first = trace.first(replaced[i])
            if now is not replaced[i]:
                rebound.append((slot, now))
            elif now.value is not first:
                written.append((slot, first, now.value))
        elif slot.owner is not None:  # a gradient
            guards.append((slot, held))
            if now is not held and not isinstance(now, Leftover):
                rebound.append((slot, now))
        elif now is held or isinstance(held, tuple):
            if telling(i, found, replaced):
                guards.append((slot, held))
        elif isinstance(held, int | float):
            raise Changed(i)
        else:
            raise Refused(f"{slot.name or 'something'} was changed, which is neither an array nor a number")
    captured = [(found[i].slot, trace.first(t)) for i, t in replaced.items()]
    return Recorded(inputs, captured, guards, written, rebound, trace.values, output)


def telling(i: int, found: list[Found], replaced: dict[int, Traced]) -> bool:
    """Would f do something else if another thing were there? Not for a row of data in a list of them."""
    return not isinstance(found[i].held, tuple | list | dict) or not isinstance(
        found[found[i].within].held if found[i].within >= 0 else None, tuple | list | dict
    )


def is_state(held: Any, i: int, fixed: set[int], state: set[int]) -> bool:
    """Is what a slot holds an input? Whole numbers are where they change; they say how many and which otherwise."""
    if isinstance(held, bool) or i in fixed:
        return False
    return isinstance(held, np.ndarray | np.generic | float | complex) or i in state


class Plan:
    """A function derived for one kind of arguments."""

    def __init__(
        self, f: Function, arguments: Arguments, recorded: Recorded, exact: bool, floats: Sequence[str], backend: str
    ) -> None:
        self.arguments = arguments
        for value in [first for _, first, _ in recorded.written] + [array_under(v) for v in recorded.values if v.call in UPDATES]:
            value.written = True
        simplifier = Simplifier(exact)
        simplest: dict[Value, Any] = {}
        for value in recorded.values:
            simplest[value] = simplifier(value, simplest)
        for value in simplifier.simple:
            pairs = [(simplest[y], simplest[x]) for y, x in value.gradient_of]
            value.gradient_of = [(y, x) for y, x in pairs if isinstance(x, Value) and isinstance(y, Value)]

        def final(x: Any) -> Any:
            x = plain(x)
            if isinstance(x, RowSparse):
                return RowSparse([(final(ids), final(rows)) for ids, rows in x._parts], x.shape, x._merged)
            return simplest[x.value] if isinstance(x, Traced) else x

        written = [(simplest[first], simplest[last]) for _, first, last in recorded.written]
        output = map_leaves(final, recorded.output)
        rebound = [map_leaves(final, now) for _, now in recorded.rebound]
        program = Program(
            name=identifier(f, "f"),
            parameters=[name for name, _ in arguments.all],
            inputs=recorded.inputs,
            captured=[value for _, value in recorded.captured],
            values=list(simplifier.simple),
            writes=written,
            output=(output, *rebound) if rebound else output,
        )
        self.program = program
        self.source = Writer(program, Spelling()).source()
        writer = Writer(program, Faster())
        self.run = executable(writer.source(), program.name)
        self.floats = floats
        used = [(slot, value) for slot, value in recorded.captured if value in writer.needed]
        self.touched = [slot.owner for slot, *_ in recorded.written if slot.owner is not None]
        self.rebound = [slot for slot, _ in recorded.rebound]
        self.fits, self.captured = access(
            recorded.guards, [slot for slot, _ in used],
            [(slot, v.shape, v.dtype) for slot, v in used if slot.owner is None and isinstance(v.example, np.ndarray)],
        )
        #: shape and dtype of each argument, where all are arrays: then a call has little to look at
        self.direct = [(x.shape, x.dtype) for _, x in arguments.positional if type(x) is np.ndarray]
        if len(self.direct) < len(arguments.all):
            self.direct = [None]
        self.is_plain = not needs_restoring(program.output)

    def __call__(self, arguments: Arguments) -> Any:
        given = [map_leaves(plain, x) for _, x in arguments.all]
        given = [np.asarray(x) if name in self.floats else x for x, (name, _) in zip(given, arguments.all)]
        return self.finished(self.run(*given, *self.captured()))

    def finished(self, output: Any) -> Any:
        """What a run gave, in the form of the original; Tensors and objects in their new state."""
        if not self.is_plain:
            output = restored(self.program.output, output)
        for x in self.touched:
            touch(x)
        if self.rebound:
            output, *values = output
            for slot, value in zip(self.rebound, values):
                slot.set(value)
                if slot.owner is not None and slot.key == "_data":
                    touch(slot.owner)
        return output


def access(
    guards: list[tuple[Slot, Any]], inputs: list[Slot], checked: list[tuple[Slot, Any, Any]]
) -> tuple[Function, Function]:
    """A function that tells whether all is as it was, and one that fetches the inputs: spelled out, to be quick."""
    scope: dict[str, Any] = {"shape": np.shape, "dtype": np.result_type}

    def bound(x: Any) -> str:
        name = f"x{len(scope)}"
        scope[name] = x
        return name

    def place(slot: Slot) -> str:
        if slot.is_attribute:
            return f"{bound(slot.holder)}.{slot.key}"
        return f"{place(slot.holder) if isinstance(slot.holder, Slot) else bound(slot.holder)}[{bound(slot.key)}]"

    conditions = []
    for slot, held in guards:
        if slot.owner is not None:
            conditions.append(f"type({place(slot)}) is {bound(type(held))}")
        elif isinstance(held, int | float | str) and not isinstance(held, bool):
            conditions.append(f"{place(slot)} == {bound(held)}")
        else:
            conditions.append(f"{place(slot)} is {bound(held)}")
            if isinstance(held, list | dict):
                conditions.append(f"len({place(slot)}) == {len(held)}")
    conditions += [f"shape({place(s)}) == {bound(form)} and dtype({place(s)}) == {bound(kind)}" for s, form, kind in checked]
    fits = eval(f"lambda: {' and '.join(conditions) or True}", scope)
    fetch = eval(f"lambda: ({''.join(place(slot) + ', ' for slot in inputs)})", scope)
    return fits, fetch


def needs_restoring(tree: Any) -> bool:
    """Is there anything in a program's output that its source gives in another form?"""
    below = children(tree)
    if below is None:
        return isinstance(tree, RowSparse)
    return type(tree) not in (tuple, list, dict) or any(needs_restoring(subtree) for _, subtree in below)


def touch(x: Any) -> None:
    """Let graphs that used a Tensor's old data know."""
    x._stamp = tick()
    if x._edges:
        x._edges = None


def restored(tree: Any, output: Any) -> Any:
    """What a derived function gives, in the containers of the original: row-sparse gradients and dataclasses again."""
    if isinstance(tree, RowSparse):
        return RowSparse([(np.copy(ids), rows) for ids, rows in output], tree.shape, tree._merged)
    below = children(tree)
    if below is None:
        return output
    flat = iter([restored(t, output[key]) for key, t in below])
    return unflatten_once(tree, flat)


def unflatten_once(tree: Any, flat: Iterator[Any]) -> Any:
    """A container of the kind of another, with other contents."""
    if isinstance(tree, dict):
        return {key: next(flat) for key in tree}
    if isinstance(tree, list | tuple):
        return type(tree)(*flat) if hasattr(tree, "_fields") else type(tree)(flat)
    return dataclasses.replace(tree, **{field.name: next(flat) for field in dataclasses.fields(tree)})


counter = itertools.count()


def executable(source: str, name: str) -> Function:
    """Source as a function; tracebacks and debuggers find its lines."""
    file = f"<derived {name} {next(counter)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    scope: dict[str, Any] = {"np": np}
    exec(builtins.compile(source, file, "exec"), scope)
    return scope[name]


class Derived:
    """A function that was derived; see `derive`."""

    def __init__(self, f: Function, run: Callable[[Arguments], Function], *, pinned: bool, exact: bool, backend: str, pure: bool) -> None:
        functools.update_wrapper(self, f)
        self.f, self.recipe, self.pinned, self.exact, self.backend, self.pure = f, run, pinned, exact, backend, pure
        self.cache: dict[Any, list[Plan]] = {}  # by the kind of arguments
        self.latest: Plan | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plan = self.latest
        if plan is not None and not kwargs and len(args) == len(plan.direct) and plan.fits():
            for x, (shape, dtype) in zip(args, plan.direct):
                if type(x) is not np.ndarray or x.shape != shape or x.dtype is not dtype:
                    break
            else:
                return plan.finished(plan.run(*args, *plan.captured()))
        arguments = named_arguments(self.f, args, kwargs)
        plan = self.plan(arguments)
        self.latest = plan
        return plan(arguments)

    def plan(self, arguments: Arguments) -> Plan:
        """The function derived for such arguments: from the cache, or anew."""
        kind = tuple((name, kind_of(x)) for name, x in arguments.all)
        for plan in self.cache.get(kind, ()):
            if plan.fits():
                return plan
        if self.pinned and self.cache:
            ((pinned, _),) = self.cache.items()
            raise TypeError(f"{self.__name__} was derived for {pinned}, got {kind}; derive it for these too, or without pinned=True")
        run, floats = self.recipe(arguments)
        recorded = record(self.f, arguments, run)
        changed = [slot.name for slot, *_ in (*recorded.written, *recorded.rebound)]
        if self.pure and changed:
            raise Refused(f"derive needs a function that changes nothing, got one that changes {', '.join(changed)}; see mg.compile")
        plan = Plan(self.f, arguments, recorded, self.exact, floats, self.backend)
        while len(self.cache) >= KEPT:
            del self.cache[next(iter(self.cache))]
        self.cache.setdefault(kind, []).insert(0, plan)
        self.latest = plan
        return plan

    @property
    def source(self) -> str:
        """The source of the function derived last."""
        if self.latest is None:
            raise ValueError("nothing is derived yet; call the function once")
        return self.latest.source

    def __str__(self) -> str:
        return self.source.rstrip()

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.source}```"


def derive(f: Function, *args: Any, wrt: Argnums | None = None, pinned: bool = False, exact: bool = True, backend: str = "numpy", **kwargs: Any) -> Derived:
    """..."""

    def recipe(arguments: Arguments) -> tuple[Function, list[str]]:
        chosen = wanted(f, arguments, wrt)

        def run(trees: dict[str, Any]) -> Any:
            inside = dict(trees)
            for name in chosen:
                inside[name] = map_leaves(variable, trees[name])
            with transforming():
                value = f(*(inside[name] for name, _ in arguments.positional), **{name: inside[name] for name, _ in arguments.keyword})
                if not chosen:
                    return map_leaves(plain, value)
                if np.shape(value) != ():
                    raise ValueError("x")
                variables = [inside[name] for name in chosen]
                found = gradients([value], [one(value)], leaves(variables), record=False)
            found = [downhill(g) for g in found]
            structured = unflatten(variables, found)
            return plain(value), structured[0] if isinstance(wrt, int | str) or (wrt is None and len(chosen) == 1) else tuple(structured)

        return run, [name for name in chosen if isinstance(dict(arguments.all)[name], float)]

    derived = Derived(f, recipe, pinned=pinned, exact=exact, backend=backend, pure=True)
    derived.plan(named_arguments(f, args, kwargs))
    return derived


def wanted(f: Function, arguments: Arguments, wrt: Argnums | None) -> list[str]:
    names = [name for name, _ in arguments.all]
    if wrt is None:
        return [name for name, x in arguments.all if leaves(x) and all(is_array(e) and np.result_type(plain(e)).kind in "fc" for e in leaves(x))]
    return [key if isinstance(key, str) else names[key] for key in ([wrt] if isinstance(wrt, int | str) else wrt)]


def compile(step: Function, *, exact: bool = True, backend: str = "numpy") -> Derived:
    """..."""

    def recipe(arguments: Arguments) -> tuple[Function, list[str]]:
        def run(trees: dict[str, Any]) -> Any:
            output = step(
                *(trees[name] for name, _ in arguments.positional), **{name: trees[name] for name, _ in arguments.keyword}
            )
            return map_leaves(plain, output)

        return run, []

    return Derived(step, recipe, pinned=False, exact=exact, backend=backend, pure=False)
