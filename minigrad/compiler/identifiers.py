"""The identifiers of a listing: the name of each parameter and of each line, chosen before anything is printed."""

from __future__ import annotations

import builtins
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.compiler.program import OPERATORS, OPS_OWN, USERS, Value, assigned, astype, changed, filled, operands
from minigrad.compiler.schedule import Schedule
from minigrad.compiler.source import called
from minigrad.text import RESERVED, Identifier, identifier

#: Names of values that have none of their own, by the function that computes them.
SHORT: dict[Any, str] = {np.exp: "e", np.sum: "total", np.max: "top", np.min: "bottom", operator.getitem: "part"}
SHORT |= {np.reshape: "r", np.broadcast_to: "repeated", np.concatenate: "joined", np.take: "rows"}
SHORT |= {assigned: "padded", changed: "sums", filled: "filled", np.swapaxes: "swapped", np.moveaxis: "moved"}

#: The functions that the executed source calls, and that for numba (see jit.py).
KERNELS = {"_place", "_rows", "_add_rows", "_subtract_rows", "_sum_runs", "_largest"}
KERNELS |= {"_inner", "_inner_rows", "_weighted_rows", "_selected"}


@dataclass(frozen=True, eq=False)
class Identifiers:
    """The names in a listing."""

    function: Identifier
    parameters: Mapping[str, Identifier]  # by what the user calls them: one named like a builtin gets another name
    names: Mapping[Value, Identifier]  # of the inputs, and of the values with a line


def identify(schedule: Schedule) -> Identifiers:
    """Choose the names for a schedule."""
    namer = Namer(schedule)
    namer.name_inputs()
    namer.name_lines()
    return Identifiers(namer.function, MappingProxyType(namer.parameters), MappingProxyType(namer.names))


class Namer:
    """Gives out names, each once."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.names: dict[Value, Identifier] = {}
        self.endings: dict[Value, frozenset[str]] = {}  # of each value: those of the names it depends on, as in x_c
        helpers = {called(helper) for helper in schedule.helpers}
        self.needed = {"np", "scipy", "bool", "int", "float", "complex", "slice", "getattr", *helpers}
        within = {name for helper in schedule.helpers for name in helper.__code__.co_names}
        self.function = unused(identifier(schedule.program.name), self.needed | within)
        self.parameters = self.renamed(schedule.program.parameters)
        self.taken = {*self.needed, *RESERVED, *dir(builtins), *self.parameters.values()}

    def renamed(self, parameters: list[str]) -> dict[str, Identifier]:
        """An identifier for each parameter: itself, where it is one that nothing else in the source is called."""
        kept = {p for p in parameters if p == unused(identifier(p), self.needed)}
        found: dict[str, Identifier] = {}
        for p in parameters:
            taken = self.needed | kept | {*found.values()}
            found[p] = Identifier(p) if p in kept else unused(identifier(p), taken)
        return found

    def name_inputs(self) -> None:
        for parameter, path, v in self.schedule.program.inputs:
            self.names[v] = self.parameters[parameter] if not path else self.fresh_name(v)
        for v in self.schedule.program.captured:
            if v in self.schedule.needed:
                self.fresh_name(v)

    def name_lines(self) -> None:
        for v in self.schedule.values:
            self.endings[v] = frozenset().union(*(self.endings[x] for x in operands(v)))
            if v in self.schedule.lines and v not in self.names:
                target = self.schedule.target(v)
                self.names[v] = self.names[target] if target is not None else self.fresh_name(v)
            if v in self.names and (ending := re.search(r"(?<=[^_])_[a-z]$", self.names[v])):
                self.endings[v] |= {ending[0]}

    def fresh_name(self, v: Value) -> Identifier:
        """The word for a value, with an ending where it is taken."""
        word = self.word(v)
        word = word if word in self.taken else unused(identifier(word, "t"), set())
        if word in self.taken:
            numbers = map(str, range(2, len(self.schedule.values) + len(self.taken)))
            others = (word + ending for ending in (*self.suffixes(v), *numbers))
            word = next(other for other in others if other not in self.taken)
        self.taken.add(word)
        self.names[v] = Identifier(word)
        return self.names[v]

    def word(self, v: Value) -> str:
        """The best name for a value: the user's, that of a gradient, the op's own, or one for the function."""
        if v.name.rank <= USERS:
            return v.name.word
        if v.call is astype and isinstance(v.args[0], Value):
            x = v.args[0]
            if x not in self.schedule.lines and x.name.word:
                return x.name.word
        for _, y, _ in v.gradient_of:
            variable = self.names.get(y) or y.name.word
            if y.activated:
                return "delta" + (variable[1:] if variable[:1] == "z" else "")
            if variable:
                return "d" + variable
        if v.name.rank == OPS_OWN:
            return v.name.word
        if v.activated:
            return "z"
        word = SHORT.get(v.call) or getattr(v.call, "__name__", "t").strip("_")
        return word if word.isidentifier() and v.call not in OPERATORS and word not in self.taken else "t"

    def suffixes(self, v: Value) -> list[str]:
        """Endings that distinguish a value from another of its name: those of the values it depends on, as in x_c."""
        return sorted(ending for ending in self.endings.get(v, ()) if not self.word(v).endswith(ending))


def is_printers(word: str) -> bool:
    """Is it a name that a dialect makes, of a constant before the function (_0), a part of an array or a loop?"""
    return re.fullmatch(r"_(c|loop)?\d+", word) is not None or word in KERNELS


def unused(word: str, taken: set[str]) -> Identifier:
    """The word, with underscores added while it is taken, or a dialect's."""
    while word in taken or is_printers(word):
        word += "_"
    return Identifier(word)
