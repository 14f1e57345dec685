"""derive and compile: a function recorded on tracers, made simpler, and written down as NumPy source."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad._tensor import conjugated, unit_seed
from minigrad.captured import Slot, has_attributes
from minigrad.engine import tick
from minigrad.mode import merging_rows, mode
from minigrad.record import (
    Arguments,
    Recorded,
    Row,
    described,
    has_parameter,
    is_array,
    kind_of,
    named_arguments,
    parameter_names,
    plain,
    record,
)
from minigrad.rules import Simplifier, let_layouts_count
from minigrad.source import Faster, Program, Spelling, Writer, executable, identical
from minigrad.sparse import RowSparse
from minigrad.tracer import UPDATES, USERS, Name, Refused, Traced, Value, array_under
from minigrad.transforms import Argnums, gradients, numbers_in, transforming, variable
from minigrad.trees import children, leaves, map_leaves, unflatten
from minigrad.walk import depends

Function = Callable[..., Any]
KEPT = 8  # kinds of arguments that a function is kept derived for
BACKENDS = "numpy", "numba"


def identifier(f: Function, otherwise: str) -> str:
    """The name of a function, another for a lambda."""
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else otherwise


class Plan:
    """A function derived for one kind of arguments."""

    def __init__(
        self,
        f: Function,
        arguments: Arguments,
        recorded: Recorded,
        strong: frozenset[str],
        exact: bool,
        backend: str,
    ) -> None:
        self.strong = strong
        self.program = program = simplified(identifier(f, "f"), arguments, recorded, exact)
        writer = Writer(program)
        self.source = writer.source(Spelling())
        self.run = executable(writer.source(Faster()), program.name)
        used = [(slot, value) for slot, value in recorded.captured if value in writer.needed]
        held = [(slot, v.example) for slot, v in recorded.captured if slot.owner is None or slot.key == "grad"]
        self.touched = [slot.owner for slot, *_ in recorded.written if slot.owner is not None]
        self.rebound = [slot for slot, _ in recorded.rebound]
        #: what makes of what a run gives the output of the original, None where it is that already
        self.restore: Function | None = None
        if needs_restoring(program.output):
            self.restore = functools.partial(restored, program.output)
        if backend == "numba":
            self.use_numba(writer, [v for _, v in used])
        self.fits, self.captured, self.quick = self.access(
            arguments, recorded.guards, recorded.same, [slot for slot, _ in used], held
        )

    def use_numba(self, writer: Writer, captured: list[Value]) -> None:
        """Run the program compiled, as far as that is faster; where it cannot be, as NumPy, and warn why."""
        from minigrad.fast import Missing, compiled, numpy_is_faster, with_loops

        program = self.program
        if numpy_is_faster(writer):
            self.run = with_loops(writer)
            return
        try:
            function = compiled(writer, [v.example for v in (*(v for *_, v in program.inputs), *captured)])
        except Missing as missing:
            warnings.warn(f"{missing} has no form for numba; {program.name} runs as NumPy", stacklevel=5)
            return
        self.restore = regrowing(program.output)
        count = len(program.parameters)
        if all(not path for _, path, _ in program.inputs) and len(program.inputs) == count:
            self.run = function
        else:
            self.run = lambda *args: function(*filter(is_array, leaves(args[:count])), *args[count:])

    def __call__(self, arguments: Arguments) -> Any:
        kinds = [np.asarray if name in self.strong else plain for name, _ in arguments.all]
        given = [map_leaves(kind, map_leaves(plain, x)) for kind, (_, x) in zip(kinds, arguments.all)]
        return self.finished(self.run(*given, *self.captured()))

    def finished(self, output: Any) -> Any:
        """What a run gave, in the form of the original; Tensors and objects in their new state."""
        if self.restore is not None:
            output = self.restore(output)
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
        self,
        arguments: Arguments,
        guards: list[tuple[Slot, Any]],
        same: list[tuple[Slot, Slot]],
        inputs: list[Slot],
        state: list[tuple[Slot, Any]],
    ) -> tuple[Function, Function, Function | None]:
        """Three functions, spelled out so as to be quick.

        Does everything beside the arguments still fit? What are the further inputs? And, where all arguments are
        arrays: the whole call, which raises Unfit where they are others.
        """
        scope: dict[str, Any] = {"Unfit": Unfit, "array": np.ndarray}
        scope |= {"equal": identical, "tick": tick, "touch": touch, "run": self.run, "restore": self.restore}
        scope["finished"] = self.finished

        def bound(x: Any) -> str:
            name = f"x{len(scope)}"
            scope[name] = x
            return name

        found: dict[int, str] = {}  # by the id of a slot: what a condition before has found there

        def place(slot: Slot) -> str:
            if id(slot) in found:
                return found[id(slot)]
            if slot.is_attribute:
                return f"{bound(slot.holder)}.{slot.key}"
            whole = place(slot.holder) if isinstance(slot.holder, Slot) else bound(slot.holder)
            return f"{whole}[{slot.key if type(slot.key) is int else bound(slot.key)}]"

        conditions = []
        for slot, held in guards:
            x = place(slot)
            if held is None:
                conditions.append(f"{x} is None")
            elif slot.owner is not None:
                conditions.append(f"type({x}) is {bound(type(held))}")
            elif isinstance(held, np.ndarray):  # it is an input no more, as Python decides on its values
                conditions.append(f"type({x}) is {bound(type(held))} and equal({x}, {bound(held.copy())})")
            elif isinstance(held, Row):
                conditions.append(f"type({x}) is {bound(held.kind)} and len({x}) == {held.length}")
            elif isinstance(held, int | float | str) and not isinstance(held, bool):
                known = bound(held)
                conditions.append(f"({x} is {known} or type({x}) is {bound(type(held))} and {x} == {known})")
            else:
                known = found[id(slot)] = bound(held)
                conditions.append(f"{x} is {known}")
                if isinstance(held, set):
                    conditions.append(f"{known} == {bound(set(held))}")
                elif isinstance(held, list | deque):
                    conditions.append(f"len({known}) == {len(held)}")
                elif isinstance(held, dict):
                    conditions.append(f"[*{known}] == {bound([*held])}")
                elif has_attributes(held):
                    conditions.append(f"[*{bound(vars(held))}] == {bound([*vars(held)])}")
        conditions += [f"{place(slot)} is {place(first)}" for slot, first in same]
        for slot, held in state:
            x = place(slot)
            conditions.append(f"type({x}) is {bound(type(held))}")
            if hasattr(held, "dtype"):
                conditions.append(f"{x}.shape == {bound(held.shape)} and {x}.dtype == {bound(held.dtype)}")
        fits = " and ".join(conditions) or "True"
        fetched = "".join(place(slot) + ", " for slot in inputs)
        lines = [f"def fits(): return {fits}", f"def fetch(): return ({fetched})"]
        arrays = [x for _, x in arguments.positional if type(x) is np.ndarray]
        if len(arrays) == len(arguments.all):
            names = [f"a{i}" for i in range(len(arrays))]
            kinds = [
                f"type({a}) is array and {a}.shape == {bound(x.shape)} and {a}.dtype is {bound(x.dtype)}"
                for a, x in zip(names, arrays)
            ]
            lines += [
                f"def quick({', '.join(names)}):",
                f"    if not ({' and '.join([*kinds, fits])}):",
                "        raise Unfit",
            ]
            call = f"run({', '.join([*names, fetched])})"
            if not self.rebound:
                lines.append(f"    output = {call if self.restore is None else f'restore({call})'}")
                lines += [
                    f"    {bound(x)}._stamp = tick()" if x._edges == () else f"    touch({bound(x)})"
                    for x in self.touched
                ]
                lines.append("    return output")
            else:
                lines.append(f"    return finished({call})")
        exec("\n".join(lines), scope)
        return scope["fits"], scope["fetch"], scope.get("quick")


class Unfit(Exception):
    """A function was derived for other arguments."""


def simplified(name: str, arguments: Arguments, recorded: Recorded, exact: bool) -> Program:
    """What was recorded as a program, made simpler."""
    updates = [array_under(v) for v in recorded.values if v.call in UPDATES]
    for value in [first for _, first, _ in recorded.written] + updates:
        value.written = True
    let_layouts_count(recorded.values, leaves([now for _, now in recorded.rebound]))
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

    output = map_leaves(final, recorded.output)
    rebound = [map_leaves(final, now) for _, now in recorded.rebound]
    return Program(
        name=name,
        parameters=[parameter for parameter, _ in arguments.all],
        inputs=recorded.inputs,
        captured=[value for _, value in recorded.captured],
        values=list(simplifier.simple),
        writes=[(simplest[first], simplest[last]) for _, first, last in recorded.written],
        output=(output, *rebound) if rebound else output,
    )


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


def regrowing(tree: Any) -> Function:
    """A function that makes the output of a program from a flat tuple of plain values: spelled out, to be quick."""
    scope: dict[str, Any] = {"RowSparse": RowSparse, "copy": np.copy}
    flat = itertools.count()

    def made(tree: Any) -> str:
        if isinstance(tree, Value):
            text = f"o[{next(flat)}]"
            return f"{bound(tree.example.dtype.type)}({text})" if isinstance(tree.example, np.generic) else text
        if isinstance(tree, RowSparse):
            parts = "".join(f"(copy(o[{next(flat)}]), o[{next(flat)}]), " for _ in tree._parts)
            return f"RowSparse([{parts}], {tree.shape}, {tree._merged})"
        below = children(tree)
        if below is None:
            next(flat)
            return bound(tree)
        return f"{bound(functools.partial(unflatten_once, tree))}(iter(({''.join(made(t) + ', ' for _, t in below)})))"

    def bound(x: Any) -> str:
        scope[f"x{len(scope)}"] = x
        return f"x{len(scope) - 1}"

    return eval(f"lambda o: {made(tree)}", scope)


def unflatten_once(tree: Any, flat: Iterator[Any]) -> Any:
    """A container of the kind of another, with other contents."""
    if isinstance(tree, dict):
        return {key: next(flat) for key in tree}
    if isinstance(tree, list | tuple):
        return type(tree)(*flat) if hasattr(tree, "_fields") else type(tree)(flat)
    return dataclasses.replace(tree, **{field.name: next(flat) for field in dataclasses.fields(tree)})


class Derived:
    """A function that was derived; see `derive` and `compile`.

    >>> import minigrad as mg
    >>> d = mg.derive(lambda x: mg.sum(x * x), np.ones(3))
    >>> d(np.ones(4)), len(d.cache)  # for another shape it is derived anew
    ((np.float64(4.0), array([2., 2., 2., 2.])), 2)

    Attributes:
        cache: what was derived so far, by the kind of the arguments; the oldest goes when there are more than 8.
        source: the source of what was used last.
    """

    __name__: str

    def __init__(
        self,
        f: Function,
        recipe: Callable[[Arguments], tuple[Function, frozenset[str]]],
        *,
        pinned: bool,
        exact: bool,
        backend: str,
        pure: bool,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend needs to be one of {', '.join(BACKENDS)}, got {backend!r}")
        if backend == "numba" and importlib.util.find_spec("numba") is None:
            raise ImportError('backend="numba" needs numba: pip install -e ".[fast]"')
        functools.update_wrapper(self, f)
        self.names = parameter_names(f)
        self.f, self.recipe, self.pinned, self.exact, self.backend, self.pure = f, recipe, pinned, exact, backend, pure
        self.cache: dict[Any, list[Plan]] = {}
        self.latest: Plan | None = None
        self.quick: Function | None = None
        self.count = 0  # the arguments that it takes
        self.pinned_to = ""  # what it was derived for first

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.quick is not None and not kwargs and len(args) == self.count:
            try:
                return self.quick(*args)
            except Unfit:
                pass
        if mode.transforms and any(depends(x, mode.transforms) for x in leaves((args, kwargs))):
            raise Refused(
                f"{identifier(self.f, 'f')} is derived or compiled and cannot be differentiated; use the original"
            )
        arguments = named_arguments(self.names, args, kwargs)
        plan = self.plan(arguments)
        self.use(plan)
        return plan(arguments)

    def use(self, plan: Plan) -> None:
        """Try this one first from now on."""
        self.latest, self.quick, self.count = plan, plan.quick, len(plan.program.parameters)

    def plan(self, arguments: Arguments) -> Plan:
        """The function derived for such arguments: from the cache, or anew."""
        kind = tuple((name, kind_of(x)) for name, x in arguments.all)
        for plan in self.cache.get(kind, ()):
            if plan.fits():
                return plan
        if self.pinned and self.cache:
            got = ", ".join(f"{name} {described(x)}" for name, x in arguments.all)
            raise TypeError(
                f"{identifier(self.f, 'f')} was derived for {self.pinned_to}, got {got}; "
                "derive it for these, or without pinned=True"
            )
        run, strong = self.recipe(arguments)
        with merging_rows(self.backend == "numpy"):  # a loop adds row after row as fast as merged ones
            recorded = record(self.f, arguments, run, strong)
        moved = [slot for slot, *_ in recorded.written] + [slot for slot, _ in recorded.rebound]
        changed = [slot.name or "something" for slot in moved]
        if self.pure and changed:
            raise Refused(
                f"derive needs a function without effects, got one that changes {', '.join(changed)}; see mg.compile"
            )
        plan = Plan(self.f, arguments, recorded, strong, self.exact, self.backend)
        if not self.cache:
            self.pinned_to = ", ".join(f"{name} {described(x)}" for name, x in arguments.all)
        elif len(self.cache) >= KEPT:
            del self.cache[next(iter(self.cache))]
        self.cache[kind] = [plan, *self.cache.get(kind, [])][:KEPT]
        return plan

    @property
    def source(self) -> str:
        if self.latest is None:
            raise ValueError(
                f"{identifier(self.f, 'f')} is compiled when it is first called: call it, then look at its source"
            )
        return self.latest.source

    def __str__(self) -> str:
        return self.source.rstrip()

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.source}```"


def derive(
    f: Function,
    *args: Any,
    wrt: Argnums | None = None,
    backend: str = "numpy",
    pinned: bool = False,
    exact: bool = True,
    **kwargs: Any,
) -> Derived:
    """The gradient of f as the NumPy function that a careful person would write, and the function itself.

    >>> import minigrad as mg
    >>> def score(U, W, b, x):
    ...     z = W @ x + b
    ...     a = np.tanh(z)
    ...     s = U @ a
    ...     return s
    >>> d = mg.derive(score, np.ones(3), np.ones((3, 2)), np.ones(3), np.ones(2))
    >>> print(d)
    def score(U, W, b, x):
        # U (3,), W (3, 2), b (3,), x (2,): float64
        z = W @ x + b  # shape (3,)
        a = np.tanh(z)  # ∂s/∂U, shape (3,)
        s = U @ a
        delta = U * (1 - a * a)  # ∂s/∂z = ∂s/∂b, shape (3,)
        dW = np.outer(delta, x)  # ∂s/∂W, shape (3, 2)
        dx = W.T @ delta  # ∂s/∂x, shape (2,)
        return s, (a, dW, delta, dx)
    >>> s, (dU, dW, db, dx) = d(np.ones(3), np.ones((3, 2)), np.ones(3), np.zeros(2))

    The ops' own bodies are run on a tracer, forward and backward; what they did is simplified (minigrad/rules.py) and
    printed. Called, it gives f's value and gradients, equal to those of `value_and_grad` to the last bit.

    Args:
        f: a function of arrays, or of containers of arrays; a scalar value, or one array.
        args: an example of its arguments (kwargs too): it is derived for their shapes and dtypes, and for the values of
            what is no array (an int, a flag).
        wrt: which to differentiate by, as the argnums of `grad`; all floating-point ones when not given; () for none:
            then the value alone is given.
        backend: "numpy", or "numba" to compile the same source (`pip install -e ".[fast]"`).
        pinned: other shapes are an error; otherwise it is derived again for them.
        exact: False allows rules that may differ in the sign of a zero, or for NaN and infinity: x + 0 = x.

    Returns:
        A function of the same arguments, whose `source` needs NumPy alone: paste it anywhere. In the source a
        row-sparse gradient is a list of pairs (row numbers, rows to add there), and the arrays and numbers that f
        reaches in its closure and its globals are further arguments at the end; a call looks them up. Where f's value
        is no scalar, the function takes its gradient too, as `backward` does, by the keyword `gradient` (where f has a
        parameter of that name: `gradient_of_value`).

    Raises:
        TypeError: where Python would decide on a value (`if x > 0`), write into an argument, or draw random numbers: a
            program of NumPy calls cannot say that. It names the op and the line.
    """
    own = named_arguments(parameter_names(f), args, kwargs)
    seed_name = "gradient_of_value" if has_parameter(f, "gradient") else "gradient"

    def recipe(arguments: Arguments) -> tuple[Function, frozenset[str]]:
        chosen, bare = wanted(arguments, wrt, seed_name)

        def run(trees: dict[str, Any]) -> Any:
            with transforming():
                inside = trees | {name: map_leaves(variable, trees[name]) for name in chosen}
                value = f(
                    *(inside[name] for name, _ in arguments.positional),
                    **{name: inside[name] for name, _ in arguments.keyword if name != seed_name},
                )
                if not chosen:
                    return map_leaves(plain, value)
                trees_of_variables = [inside[name] for name in chosen]
                seed = seed_of(value, trees.get(seed_name), seed_name)
                found = gradients([value], [seed], leaves(trees_of_variables), record=False)
            value = plain(value)
            if isinstance(value, Traced):
                value.value.adopt(Name(USERS, identifier(f, "y")))
            structured = unflatten(trees_of_variables, map(conjugated, found))
            return value, structured[0] if bare else tuple(structured)

        return run, frozenset(chosen)

    derived = Derived(f, recipe, pinned=pinned, exact=exact, backend=backend, pure=True)
    try:
        derived.use(derived.plan(own))
    except NotScalar as error:
        gradient = np.ones(error.shape, error.dtype)
        derived.use(derived.plan(own._replace(keyword=(*own.keyword, (seed_name, gradient)))))
    return derived


class NotScalar(ValueError):
    """A function whose value is no scalar, and no gradient of it was given."""

    def __init__(self, value: Any, keyword: str) -> None:
        self.shape, self.dtype = np.shape(value), np.result_type(value)
        super().__init__(
            f"the value has shape {self.shape}, so its pullback is derived: call it with {keyword}=, of that shape"
        )


def seed_of(value: Any, gradient: Any, keyword: str) -> Any:
    """The gradient that goes back from a value."""
    if gradient is not None:
        return conjugated(gradient)
    if children(value) is not None:
        kind = type(value).__name__
        raise TypeError(f"derive needs one array as the value, got a {kind}; derive each, or use wrt=() for the values")
    numbers_in(value, "derive")
    if np.size(value) != 1:
        raise NotScalar(value, keyword)
    return unit_seed(value) if hasattr(value, "_data") else np.ones_like(value, float)


def wanted(arguments: Arguments, wrt: Argnums | None, seed_name: str) -> tuple[list[str], bool]:
    """The names of the arguments to differentiate by, and whether the gradient comes bare, not in a tuple."""
    given = dict(arguments.all)
    names = [name for name in given if name != seed_name]
    if wrt is None:
        floating = [name for name in names if leaves(given[name]) and all(map(is_floating, leaves(given[name])))]
        return floating, len(floating) == 1
    chosen = []
    for key in [wrt] if isinstance(wrt, int | str) else wrt:
        if (key not in names) if isinstance(key, str) else not -len(names) <= key < len(names):
            raise TypeError(f"wrt={wrt!r} needs an argument {key}, got the arguments {', '.join(names)}")
        name = key if isinstance(key, str) else names[key]
        for x in leaves(given[name]):
            if not is_floating(x):
                raise TypeError(
                    f"wrt={wrt!r} needs floating-point arrays in {name}, got {described(x)}; use x.astype(float)"
                )
        chosen.append(name)
    return chosen, isinstance(wrt, int | str)


def is_floating(x: Any) -> bool:
    return is_array(x) and np.result_type(plain(x)).kind in "fc"


def compile(step: Function, *, backend: str = "numpy", exact: bool = True) -> Derived:
    """A function, such as a whole training step, as straight-line NumPy; what it changes is changed in place.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0], name="w")
    >>> @mg.compile
    ... def step(x, lr):
    ...     J = mg.sum((w * x) ** 2)
    ...     J.backward()
    ...     w.data -= lr * w.grad
    ...     w.grad = None
    ...     return J
    >>> step(np.ones(2), 0.1), w.data
    (np.float64(5.0), array([0.8, 1.6]))
    >>> print(step)
    def step(x, lr, w):
        # x (2,), w (2,): float64
        t = w * x  # shape (2,)
        J = (t**2).sum()
        w -= lr * (2 * t * x)  # shape (2,)
        return J

    The step is the ordinary one: it closes over Tensors and optimizers, calls `backward`, moves parameters. All it
    reaches is looked at on every call (a new learning rate counts at once; where a flag or a list is another, the step
    is compiled again), and what it changes is changed: data in place, gradients, an optimizer's memory, counters. It is
    compiled at the first call, and for each kind of arguments once; Tensors that it returns come as arrays. With the
    same seed the losses are those of the step itself, with backend "numpy" to the last bit.

    Args:
        step: a function of arrays and of containers of them.
        backend, exact: as in `derive`.

    Raises:
        TypeError: as `derive` does; and where a step stores a computed value where nobody could find it again (a list).
    """

    def recipe(arguments: Arguments) -> tuple[Function, frozenset[str]]:
        def run(trees: dict[str, Any]) -> Any:
            positional = [trees[name] for name, _ in arguments.positional]
            return map_leaves(plain, step(*positional, **{name: trees[name] for name, _ in arguments.keyword}))

        return run, frozenset()

    return Derived(step, recipe, pinned=False, exact=exact, backend=backend, pure=False)
