"""A specialization: a function lowered to NumPy source for one kind of arguments, with the guards that hold for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.compiler.audit import Audit
from minigrad.compiler.dialects.fast import GLOBALS, FastNumPy
from minigrad.compiler.dialects.readable import ReadableNumPy
from minigrad.compiler.guards import Guard, Guards, GuardSource, argument_guards, reach_guards, separation_guards
from minigrad.compiler.identifiers import Identifiers, identify
from minigrad.compiler.printer import Printer
from minigrad.compiler.program import Program, Value, forget_examples, given_arrays, made_from, returned
from minigrad.compiler.record import Arguments, Call, Recorded, is_array
from minigrad.compiler.schedule import Schedule, schedule, schedule_to_run
from minigrad.compiler.source import executable, executed
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
        listed = schedule(program)
        identifiers = identify(listed)
        self.source = Printer(listed, identifiers, ReadableNumPy).source()
        lines = schedule_to_run(program, listed)
        if lines is not listed:
            identifiers = identify(lines)
        fast = Printer(lines, identifiers, FastNumPy)
        self.run = executable(fast.source(), identifiers.function, GLOBALS)
        contiguous = fast.dialect.contiguous
        inputs = [(slot, value) for slot, value in recorded.captured if value in lines.needed]
        self.touched = [slot for slot, *_ in recorded.written if slot.of_tensor]
        self.rebound = [slot for slot, _ in recorded.rebound]
        self.replaced = [input_at(slot, recorded) or slot.title("state") for slot in self.rebound]
        if backend == "numba" and self.use_numba(lines, identifiers, [v for _, v in inputs]):
            contiguous = frozenset()
        arrays = [Slot(x, None, i) for i, (x, held) in enumerate(call.arguments.all) if type(held) is np.ndarray]
        guards = argument_guards(call.arguments, call.enter) + reach_guards(recorded, contiguous)
        self.guards = Guards(guards + separation_guards(recorded, arrays))
        self.fits, self.captured, self.finish, self.quick = self.generated([slot for slot, _ in inputs], call.arguments)
        forget_examples(made_from([*recorded.values, *program.values]))

    def use_numba(self, lines: Schedule, identifiers: Identifiers, captured: list[Value]) -> bool:
        """Run the program compiled as far as that is faster; where it cannot be, run NumPy and warn why.

        Returns:
            whether the whole program is compiled.
        """
        from minigrad.compiler.dialects.numba import Missing
        from minigrad.compiler.jit import compiled, numpy_is_faster, with_loops

        program = self.program
        if numpy_is_faster(lines):
            self.run = with_loops(lines, identifiers)
            return False
        inputs = [*(v for *_, v in program.inputs), *captured]
        try:
            function = compiled(lines, identifiers, [v.example for v in inputs])
        except Missing as missing:
            warnings.warn(f"{missing} has no form for numba; {program.name} runs as NumPy", stacklevel=5)
            return False
        count = len(program.parameters)
        if all(not path for _, path, _ in program.inputs) and len(program.inputs) == count:
            self.run = function
        else:
            opened = leaves if self.enter else list
            self.run = lambda *args: function(*filter(is_array, opened(args[:count])), *args[count:])
        return True

    def formulas(self) -> Equations:
        """The program as equations, made from the schedule of its listing."""
        from minigrad.compiler.dialects.mathematics import equations  # here, as few ask for it

        lines = schedule(self.program)
        return equations(lines, identify(lines), self.replaced)

    def __call__(self, arguments: Arguments) -> Any:
        roots = [x for _, x in arguments.all]
        given = [self.given(name, x) for name, x in arguments.all]
        return self.finish(self.run(*given, *self.captured(*roots)), *roots)

    def given(self, name: str, x: Any) -> Any:
        """An argument as the program takes it."""
        if name in self.strongly_typed:
            return map_leaves(lambda e: np.asarray(plain(e), float if isinstance(e, int) else None), x)
        return map_leaves(plain, x) if self.enter else x

    def generated(
        self, inputs: list[Slot], arguments: Arguments
    ) -> tuple[Function, Function, Function, Function | None]:
        """Four functions in straight-line source, of the arguments.

        Do the guards of what is reached hold? What are the further inputs? What becomes of the arrays that a run
        returned? And where the program takes the arguments as they are, the whole call, which raises GuardFailed where
        a guard does not hold.
        """
        writer = GuardSource(len(arguments.all))
        conditions = writer.conditions(guard for guard in self.guards if guard.slot is not None)
        fits = "\n        and ".join(conditions) or "True"
        fetched = "".join(writer.place(slot) + ", " for slot in inputs)
        names = [f"a{i}" for i in range(len(arguments.all))]
        parameters = ", ".join(names)
        lines = [
            f"def fits({parameters}):\n    return (\n        {fits}\n    )\n",
            f"def fetch({parameters}):\n    return ({fetched})\n",
            self.finish_source(writer, names),
        ]
        if not (arguments.keyword or self.live) and self.takes_as_they_are(arguments):
            lines.append(self.quick_source(writer, conditions, fetched, arguments))
        scope = executed("\n".join(lines), f"guards of {self.program.name}", writer.scope)
        return scope["fits"], scope["fetch"], scope["finish"], scope.get("quick")

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
        writer.scope |= {"GuardFailed": GuardFailed, "run": self.run}
        lines = [
            f"def quick({', '.join(names)}):",
            f"    if not (\n        {checked}\n    ):",
            "        raise GuardFailed",
        ]
        if self.audit is not None:
            writer.scope["wait"] = self.audit.wait
            lines.append("    wait()")
        run = f"run({', '.join([*names, fetched])})"
        lines.append(f"    return finish({', '.join([run, *names])})")
        return "\n".join(lines) + "\n"

    def finish_source(self, writer: GuardSource, names: list[str]) -> str:
        """The source of what follows a run: Tensors and objects take their new state, the output its containers."""
        assign: Any = object.__setattr__
        writer.scope |= {"tick": tick, "touch": touch, "asarray": np.asarray, "assign": assign}
        rebuild = Rebuild(self.program, names, writer.bind)
        output = self.program.output
        first, *values = map(rebuild.expression, output if self.rebound else [output])
        roots = f"({''.join(f'{name}, ' for name in names)})"
        changes, touched = [], list(self.touched)
        for slot, value in zip(self.rebound, values):
            if is_data := slot.of_tensor and slot.key == "_data":
                value = f"asarray({value})"  # NumPy returns scalars where the data is a 0-d array
            is_direct = slot.is_attribute and not isinstance(slot.holder, Slot | type)
            if is_direct and slot.of_tensor and type(slot.holder).__setattr__ is assign:
                changes.append(f"{writer.bind(slot.holder, 'tensor')}.{slot.key} = {value}")
            elif is_direct:  # not by a method of the user's
                changes.append(f"assign({writer.bind(slot.holder, 'holder')}, {slot.key!r}, {value})")
            else:
                changes.append(f"{writer.bind(slot, 'slot')}.set({value}, {roots})")
            touched += [slot] * is_data
        for slot in touched:
            if isinstance(slot.holder, Slot):
                changes.append(f"touch({writer.bind(slot, 'slot')}.holder_now({roots}))")
            else:
                name = writer.bind(slot.holder, "tensor")
                changes.append(f"{name}._stamp = tick()" if slot.holder._edges == () else f"touch({name})")
        lines = [
            f"def finish({', '.join(['o', *names])}):",
            f"    [{', '.join(rebuild.results)}] = o",
            *(f"    {change}" for change in changes),
            f"    return {first}",
        ]
        return "\n".join(lines) + "\n"


def input_at(place: Slot, recorded: Recorded) -> Value | None:
    """The input that a place held before the run."""
    found = (v for slot, v in recorded.captured if slot.holder is place.holder and slot.key == place.key)
    return next(found, None)


# The containers of the output


class Rebuild:
    """Writes the expression of a tree of what a run has returned, and of arguments.

    Args:
        names: those of the arguments.
        bind: makes a name for an object.

    Attributes:
        results: the names of what `returned` lists.
    """

    def __init__(self, program: Program, names: list[str], bind: Callable[[Any, str], str]) -> None:
        computed = returned(program)
        self.results = [f"o{i}" for i in range(len(computed))]
        places = dict(zip(program.parameters, names))
        self.arrays = {key: places[name] for key, name in given_arrays(program).items()}
        self.arrays |= {id(x): name for x, name in zip(computed, self.results)}
        self.bind = bind

    def expression(self, tree: Any) -> str:
        if isinstance(tree, RowSparse):
            parts = "".join(f"({self.copied(ids)}, {self.leaf(rows)}), " for ids, rows in tree._parts)
            return f"{self.bind(RowSparse, 'RowSparse')}([{parts}], {tree.shape}, {tree._merged})"
        below = children(tree)
        if below is None:
            return self.leaf(tree)
        values = [self.expression(subtree) for _, subtree in below]
        if type(tree) in (tuple, list):
            inside = "".join(f"{value}, " for value in values)
            return f"({inside})" if type(tree) is tuple else f"[{inside}]"
        mapped = ", ".join(f"{self.bind(key, 'key')}: {value}" for (key, _), value in zip(below, values))
        if type(tree) is dict:
            return f"{{{mapped}}}"
        return f"{self.bind(rebuilt, 'rebuilt')}({self.bind(tree, 'like')}, {{{mapped}}}, False)"

    def leaf(self, x: Any) -> str:
        name = self.arrays.get(id(x))
        if name is None:
            return self.bind(x, "constant")
        if isinstance(example := getattr(x, "example", None), np.generic):  # numba returns Python's numbers
            return f"{self.bind(type(example), 'kind')}({name})"
        return name

    def copied(self, ids: Any) -> str:
        """The numbers of rows, which may be an argument that the user writes into afterwards."""
        if isinstance(getattr(ids, "example", None), np.ndarray):
            return f"{self.leaf(ids)}.copy()"
        return f"{self.bind(np.copy, 'copy')}({self.leaf(ids)})"
