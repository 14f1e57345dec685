"""The identifiers of a listing: the name of each parameter and of each line, chosen before anything is printed."""

from __future__ import annotations

import builtins
import keyword
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.compiler.program import OPERATORS, OPS_OWN, USERS, Value, accumulated, assigned, astype, made_from
from minigrad.compiler.schedule import Schedule
from minigrad.compiler.source import called

#: Names of values that have none of their own, by the function that computes them.
SHORT: dict[Any, str] = {np.exp: "e", np.sum: "total", np.max: "top", np.min: "bottom", operator.getitem: "part"}
SHORT |= {np.reshape: "r", np.broadcast_to: "repeated", np.concatenate: "joined", np.take: "rows"}
SHORT |= {assigned: "padded", accumulated: "sums", np.swapaxes: "swapped", np.moveaxis: "moved"}


@dataclass(frozen=True, eq=False)
class Identifiers:
    """The names in a listing."""

    parameters: Mapping[str, str]  # of the function's parameters: a parameter named like a builtin gets another name
    names: Mapping[Value, str]  # of the inputs, and of the values with a line


def identify(schedule: Schedule) -> Identifiers:
    """Choose the names for a schedule."""
    namer = Namer(schedule)
    namer.name_inputs()
    namer.name_lines()
    return Identifiers(MappingProxyType(namer.parameters), MappingProxyType(namer.names))


class Namer:
    """Gives out names, each once."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.names: dict[Value, str] = {}
        helpers = [called(helper) for helper in schedule.helpers]
        needed = {"np", "bool", "int", "float", "complex", "slice", *helpers}
        others = set(schedule.program.parameters)
        self.parameters = {p: unused(f"{p}_", others) if p in needed else p for p in schedule.program.parameters}
        self.taken = {"np", "scipy", *keyword.kwlist, *dir(builtins), *helpers, *self.parameters.values()}

    def name_inputs(self) -> None:
        for parameter, path, v in self.schedule.program.inputs:
            self.names[v] = self.parameters[parameter] if not path else self.fresh_name(v)
        for v in self.schedule.program.captured:
            if v in self.schedule.needed:
                self.fresh_name(v)

    def name_lines(self) -> None:
        for v in self.schedule.values:
            if v in self.schedule.lines and v not in self.names:
                target = self.schedule.target(v)
                self.names[v] = self.names[target] if target is not None else self.fresh_name(v)

    def fresh_name(self, v: Value) -> str:
        """The word for a value, with an ending where it is taken."""
        word = self.word(v)
        if word in self.taken:
            numbers = map(str, range(2, len(self.schedule.values) + 3))
            others = (word + ending for ending in (*self.suffixes(v), *numbers))
            word = next(other for other in others if other not in self.taken)
        self.taken.add(word)
        self.names[v] = word
        return word

    def word(self, v: Value) -> str:
        """The best name for a value: the user's, that of a gradient, the op's own, or one for the function."""
        if v.name.rank <= USERS:
            return v.name.word
        if v.call is astype and isinstance(v.args[0], Value):
            x = v.args[0]
            if x not in self.schedule.lines and x.name.word:
                return x.name.word
        for _, y in v.gradient_of:
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
        words = [self.names[x] for x in made_from([v]) if x in self.names]
        return sorted(
            {
                match[0]
                for word in words
                if not self.word(v).endswith("_" + word[-1]) and (match := re.search(r"(?<=[^_])_[a-z]$", word))
            }
        )


def unused(word: str, taken: set[str]) -> str:
    """The word, with underscores added while it is taken."""
    while word in taken:
        word += "_"
    return word
