"""A specialization: a function lowered to NumPy source for one kind of arguments, with the guards that hold for it."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.compiler.audit import Audit
from minigrad.compiler.dialects.fast import FastNumPy
from minigrad.compiler.dialects.readable import ReadableNumPy
from minigrad.compiler.examples import is_large
from minigrad.compiler.guards import Guard, Guards, GuardSource, argument_guards, reach_guards, separation_guards
from minigrad.compiler.identifiers import Identifiers, identify
from minigrad.compiler.printer import Printer
from minigrad.compiler.program import Program, Value, forget_examples, made_from
from minigrad.compiler.record import Arguments, Call, Recorded, is_array
from minigrad.compiler.schedule import Schedule, schedule
from minigrad.compiler.source import executable, executed, has_literal
from minigrad.engine import Node, tick
from minigrad.engine import stop_gradient as plain
from minigrad.node import touch
from minigrad.reach import Slot
from minigrad.sparse import RowSparse
from minigrad.trees import children, leaves, map_leaves, rebuilt

if TYPE_CHECKING:
    from minigrad.viz.formulas import Equations

Function = Callable[..., Any]


class GuardFailed(Exception):
    """The quick path was called with other arguments, or in another state, than it was made for."""


class Specialization:
    """A function for one kind of arguments and one state of its captures.

    Args:
        program: the simplified program of a recorded run.
        recorded: the run.
        call: the function and the arguments of the run.
    """

    def __init__(self, program: Program, recorded: Recorded, call: Call, backend: str, audit: bool) -> None:
        self.program, self.strongly_typed, self.enter = program, call.strongly_typed, call.enter
        self.live, self.changes = recorded.live, bool(recorded.written or recorded.rebound)
        self.variables = [slot for slot, _ in recorded.captured if slot.of_tensor and slot.key == "_data"]
        self.audit = Audit(recorded) if audit else None
        lines = schedule(program)
        identifiers = identify(lines)
        self.source = Printer(lines, identifiers, ReadableNumPy).source()
        if any(is_large(v.size_in_memory) for v in lines.values):
            lines = schedule(program, lean=True)
            identifiers = identify(lines)
        self.run = executable(Printer(lines, identifiers, FastNumPy).source(), identifiers.function)
        inputs = [(slot, value) for slot, value in recorded.captured if value in lines.needed]
        self.touched = [slot for slot, *_ in recorded.written if slot.of_tensor]
        self.rebound = [slot for slot, _ in recorded.rebound]
        self.replaced = [input_at(slot, recorded) or slot.title("state") for slot in self.rebound]
        #: rebuilds the containers of the output, None where the program returns them
        self.restore: Function | None = restorer(program.output)
        if backend == "numba":
            self.use_numba(lines, identifiers, [v for _, v in inputs])
        arrays = [Slot(x, None, i) for i, (x, held) in enumerate(call.arguments.all) if type(held) is np.ndarray]
        guards = argument_guards(call.arguments, call.enter) + reach_guards(recorded)
        self.guards = Guards(guards + separation_guards(recorded, arrays))
        self.fits, self.captured, self.quick = self.generated([slot for slot, _ in inputs], call.arguments)
        forget_examples(made_from([*recorded.values, *program.values]))

    def use_numba(self, lines: Schedule, identifiers: Identifiers, captured: list[Value]) -> None:
        """Run the program compiled as far as that is faster; where it cannot be, run NumPy and warn why."""
        from minigrad.compiler.dialects.numba import Missing
        from minigrad.compiler.jit import compiled, numpy_is_faster, with_loops

        program = self.program
        if numpy_is_faster(lines):
            self.run = with_loops(lines, identifiers)
            return
        inputs = [*(v for *_, v in program.inputs), *captured]
        try:
            function = compiled(lines, identifiers, [v.example for v in inputs])
        except Missing as missing:
            warnings.warn(f"{missing} has no form for numba; {program.name} runs as NumPy", stacklevel=5)
            return
        self.restore = unflattener(program.output)
        count = len(program.parameters)
        if all(not path for _, path, _ in program.inputs) and len(program.inputs) == count:
            self.run = function
        else:
            opened = leaves if self.enter else list
            self.run = lambda *args: function(*filter(is_array, opened(args[:count])), *args[count:])

    def formulas(self) -> Equations:
        """The program as equations, made from the schedule of its listing."""
        from minigrad.compiler.dialects.mathematics import equations  # here, as few ask for it

        lines = schedule(self.program)
        return equations(lines, identify(lines), self.replaced)

    def __call__(self, arguments: Arguments) -> Any:
        roots = [x for _, x in arguments.all]
        given = [self.given(name, x) for name, x in arguments.all]
        return self.finished(self.run(*given, *self.captured(*roots)), *roots)

    def given(self, name: str, x: Any) -> Any:
        """An argument as the program takes it."""
        if name in self.strongly_typed:
            return map_leaves(lambda e: np.asarray(plain(e), float if isinstance(e, int) else None), x)
        return map_leaves(plain, x) if self.enter else x

    def finished(self, output: Any, *roots: Any) -> Any:
        """The output of a run in its containers; Tensors and objects take their new state."""
        if self.restore is not None:
            output = self.restore(output)
        for slot in self.touched:
            touch(slot.holder_now(roots))
        if self.rebound:
            output, *values = output
            for slot, value in zip(self.rebound, values):
                if slot.of_tensor and slot.key == "_data":
                    slot.set(np.asarray(value), roots)  # NumPy returns scalars where the data is a 0-d array
                    touch(slot.holder_now(roots))
                else:
                    slot.set(value, roots)
        return output

    def generated(self, inputs: list[Slot], arguments: Arguments) -> tuple[Function, Function, Function | None]:
        """Three functions in straight-line source, of the arguments.

        Do the guards of what is reached hold? What are the further inputs? And where the program takes the arguments as
        they are, the whole call, which raises GuardFailed where a guard does not hold.
        """
        writer = GuardSource(len(arguments.all))
        conditions = writer.conditions(guard for guard in self.guards if guard.slot is not None)
        fits = "\n        and ".join(conditions) or "True"
        fetched = "".join(writer.place(slot) + ", " for slot in inputs)
        parameters = ", ".join(f"a{i}" for i in range(len(arguments.all)))
        lines = [
            f"def fits({parameters}):\n    return (\n        {fits}\n    )\n",
            f"def fetch({parameters}):\n    return ({fetched})\n",
        ]
        if not (arguments.keyword or self.live) and self.takes_as_they_are(arguments):
            lines.append(self.quick_source(writer, conditions, fetched, arguments))
        scope = executed("\n".join(lines), f"guards of {self.program.name}", writer.scope)
        return scope["fits"], scope["fetch"], scope.get("quick")

    def renew(self) -> None:
        """Let the quick path wait for the next audit."""
        if self.quick is not None and self.audit is not None:
            self.quick.__globals__["wait"] = self.audit.wait

    def takes_as_they_are(self, arguments: Arguments) -> bool:
        """Does the program take the arguments as they are: arrays, or what is looked into and no Tensor?"""
        if any(slot.rooted for slot in (*self.variables, *self.touched)):
            return False
        return all(type(x) is np.ndarray or not (self.enter or isinstance(x, Node)) for _, x in arguments.all)

    def quick_source(self, writer: GuardSource, conditions: list[str], fetched: str, arguments: Arguments) -> str:
        """The source of the whole call."""
        names = [f"a{i}" for i in range(len(arguments.all))]
        places = dict(zip((name for name, _ in arguments.all), names))
        on_arguments = [
            writer.filled_in("type", places[name], Guard(name, "type", type(x)))
            for name, x in arguments.all
            if type(x) is not np.ndarray  # whose guard says so
        ]
        own = [guard for guard in self.guards if guard.slot is None]
        on_arguments += [writer.filled_in(guard.kind, places[guard.place], guard) for guard in own]
        checked = "\n        and ".join(dict.fromkeys([*on_arguments, *conditions])) or "True"
        call = f"run({', '.join([*names, fetched])})"
        writer.scope |= {"GuardFailed": GuardFailed, "tick": tick, "touch": touch}
        writer.scope |= {"run": self.run, "restore": self.restore, "finished": self.finished}
        writer.scope |= {"asarray": np.asarray, "assign": object.__setattr__}
        lines = [
            f"def quick({', '.join(names)}):",
            f"    if not (\n        {checked}\n    ):",
            "        raise GuardFailed",
        ]
        if self.audit is not None:
            writer.scope["wait"] = self.audit.wait
            lines.append("    wait()")
        if any(slot.of_tensor and isinstance(slot.holder, Slot) for slot in self.rebound):
            lines.append(f"    return finished({', '.join([call, *names])})")
            return "\n".join(lines) + "\n"
        values = "".join(f", v{i}" for i in range(len(self.rebound)))
        lines.append(f"    output{values} = {call if self.restore is None else f'restore({call})'}")
        touched = list(self.touched)
        for i, slot in enumerate(self.rebound):  # as in `finished`
            if slot.of_tensor:
                is_data = slot.key == "_data"
                value = f"asarray(v{i})" if is_data else f"v{i}"
                lines.append(f"    assign({writer.bind(slot.holder, 'tensor')}, {slot.key!r}, {value})")
                touched += [slot] * is_data
            else:
                lines.append(f"    {writer.bind(slot, 'slot')}.set(v{i}, ({''.join(f'{name}, ' for name in names)}))")
        for slot in touched:
            x: Node = slot.holder
            name = writer.bind(x, "tensor")
            lines.append(f"    {name}._stamp = tick()" if x._edges == () else f"    touch({name})")
        lines.append("    return output")
        return "\n".join(lines) + "\n"


def input_at(place: Slot, recorded: Recorded) -> Value | None:
    """The input that a place held before the run."""
    found = (v for slot, v in recorded.captured if slot.holder is place.holder and slot.key == place.key)
    return next(found, None)


# The containers of the output


def restorer(tree: Any) -> Function | None:
    """A function that puts the output of a run in the containers of the original: row-sparse gradients and dataclasses.

    None where the program returns it in them.
    """
    below = children(tree)
    if below is None:
        return functools.partial(row_sparse, tree) if isinstance(tree, RowSparse) else None
    parts = [restorer(subtree) for _, subtree in below]
    if not any(parts) and type(tree) in (tuple, list, dict) and all(has_literal(key) for key, _ in below):
        return None

    def restored(output: Any) -> Any:
        output = output.values() if isinstance(output, dict) else output
        found = [part if how is None else how(part) for how, part in zip(parts, output)]
        return tuple(found) if type(tree) is tuple else unflatten_once(tree, iter(found))

    return restored


def row_sparse(like: RowSparse, output: Any) -> RowSparse:
    """A row-sparse gradient of look-ups that a run returned."""
    return RowSparse([(np.copy(ids), rows) for ids, rows in output], like.shape, like._merged)


def unflattener(tree: Any) -> Function:
    """A function that makes an output from a flat tuple of arrays, in straight-line source."""
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

    return executable(f"def unflatten(o):\n    return {made(tree)}\n", "unflatten", scope)


def unflatten_once(tree: Any, flat: Iterator[Any]) -> Any:
    """A container like another, with other contents."""
    return rebuilt(tree, {key: next(flat) for key, _ in children(tree) or ()}, init=False)
