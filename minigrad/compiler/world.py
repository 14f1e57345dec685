"""The world of a function while it is recorded: what it reaches, with stand-ins in place, checked and put back."""

from __future__ import annotations

import builtins
import pickle
import random
import threading
import types
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.compiler.stand_ins import OUTSIDE, RANDOM, RNG, Overlay, OwnType, Unusable, unusable
from minigrad.compiler.tracer import Refused
from minigrad.engine import Node
from minigrad.generators import rng_state, set_rng_state
from minigrad.origin import is_library, is_minigrad, is_users
from minigrad.reach import Found, Reached, Slot, has_attributes, names_in
from minigrad.text import named, printable

UNFOLLOWED = {"globals", "eval", "exec", "type"}
CONTAINERS = (list, dict, set, deque)


class World:
    """Everything that a function reaches, to be put back as it was.

    Attributes:
        roots: the arguments, each the object or its stand-in.
    """

    def __init__(self, f: Any, reached: Reached, roots: list[Any]) -> None:
        everything = [f, *(held for _, held, _ in reached.places)]
        self.places, self.vacant, self.roots = reached.places, reached.vacant, roots
        self.overlay = Overlay()
        self.contents = [(x, snapshot(x)) for x in contained(everything)]
        self.classes = [(kind, dict(vars(kind))) for kind in users_classes(everything)]
        self.hidden = list(unfollowed(everything))
        self.scopes = [(scope, set(scope)) for scope in scopes(everything)]
        held = [x for x in everything if isinstance(x, RNG)]
        np.random.get_state()  # loads the module
        if threading.active_count() == 1:  # else another thread may draw from them
            held += [np.random.mtrand._rand, random._inst]
        self.generators = [(x, rng_state(x)) for x in {id(x): x for x in held}.values()]

    def hide(self) -> None:
        """Let no function find variables by other ways than their names."""
        for scope, name in self.hidden:
            stand_in: Any = Unusable(f"{name}() was called", "and what it finds would be frozen; name the variables")
            if name in ("eval", "exec"):
                stand_in = with_namespace(getattr(builtins, name), stand_in)
            scope[name] = OwnType if name == "type" else stand_in

    def set(self, place: Found, new: Any) -> None:
        """Put something else into a place."""
        if place.slot.of_tensor:
            self.overlay.hold(place.slot.holder_now(self.roots), place.slot.key, new)
        else:
            place.slot.set(new, self.roots)

    def stand_in(self, place: Found) -> None:
        """Cover a Tensor, and replace what may not be used."""
        if isinstance(place.held, Node):
            self.overlay.cover(place.held)
        elif (new := unusable(place.held, place.slot.name)) is not None:
            if not place.slot.detached:
                self.set(place, new)
            elif not isinstance(place.held, RNG):  # a method of one: it cannot be replaced, but its state is compared
                new.refuse()

    def check(self) -> None:
        """Refuse what a compiled function could not do again: things stored, removed, and random numbers."""
        for now, before in self.contents:
            changed = len(now) != len(before)
            what = f"a {type(now).__name__}"
            if isinstance(now, dict):
                changed = changed or now.keys() != before.keys()
                if not changed and list(now) != list(before):
                    raise Refused("the order of a dict was changed; return a new dict")
                what = f"a dict or an attribute ({', '.join(map(repr, now.keys() ^ before.keys()))})"
            if changed or (isinstance(now, set) and now != before):
                verb = "removed from" if len(now) < len(before) else "stored in"
                raise Refused(f"something was {verb} {printable(what)} that was not there before: return it instead")
        for kind, attributes in self.classes:
            for key in (key for key in vars(kind).keys() ^ attributes.keys() if not key.startswith("__")):
                place = printable(f"{kind.__name__} ({key!r})")
                raise Refused(f"something was stored in the class {place}: return it instead")
        for name, _ in self.new_globals():
            raise Refused(
                f"something was stored in the global {printable(name)}, which was not there before: return it instead"
            )
        for slot in self.vacant:
            if self.is_filled(slot):
                raise Refused(
                    f"something was stored in {slot.title('a variable')}, which had no value before: return it instead"
                )
        for x in self.overlay.tensors:
            if other := self.overlay.changed(x) - {"_data", "_grad", "_stamp", "_edges"}:
                raise Refused(
                    f"{', '.join(key.removeprefix('_') for key in other)} of {named(x)} was changed; do that outside"
                )
        if self.drawn():
            raise Refused(f"{RANDOM}, {OUTSIDE}")

    def restore(self) -> None:
        """Put everything back."""
        self.overlay.remove()
        for now, before in self.contents:
            put_back(now, before)
        for kind, attributes in self.classes:
            for key in vars(kind).keys() - attributes.keys():
                if not key.startswith("__"):  # as copy and pickle leave behind
                    delattr(kind, key)
        for scope, name in self.hidden:
            scope.pop(name, None)
        for name, scope in list(self.new_globals()):
            del scope[name]
        for slot in self.vacant:
            if self.is_filled(slot):
                remove(slot, self.roots)
        for slot, held, _ in reversed(self.places):
            if not (slot.of_tensor or slot.detached or slot.holder is None) and self.content(slot) is not held:
                slot.set(held, self.roots)
        for x, before in self.drawn():
            set_rng_state(x, before)

    def new_globals(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The globals of the user's modules that are new; imported modules are no matter."""
        for scope, before in self.scopes:
            new = scope.keys() - before - UNFOLLOWED
            yield from ((name, scope) for name in new if not isinstance(scope[name], types.ModuleType))

    def drawn(self) -> list[tuple[Any, Any]]:
        """The generators that were drawn from, and their states before."""
        return [(x, old) for x, old in self.generators if pickle.dumps(rng_state(x)) != pickle.dumps(old)]

    def content(self, slot: Slot) -> Any:
        """What a place holds now; an object that is nowhere else, if it holds nothing."""
        try:
            return slot.get(self.roots)
        except (ValueError, AttributeError, KeyError, IndexError):
            return NOTHING

    def is_filled(self, slot: Slot) -> bool:
        return self.content(slot) is not NOTHING


NOTHING = object()


def contained(everything: list[Any]) -> Iterator[Any]:
    """The containers, and the attributes of objects and functions: their keys and lengths are checked."""
    found: dict[int, Any] = {}
    for held in everything:
        if isinstance(held, CONTAINERS):
            found[id(held)] = held
        if has_attributes(held) or isinstance(held, types.FunctionType):
            found[id(vars(held))] = vars(held)
    return iter(found.values())


def users_classes(everything: list[Any]) -> Iterator[type]:
    """The classes of the user's that a function names or has objects of."""
    kinds = {held if isinstance(held, type) else type(held) for held in everything}
    return iter({base for kind in kinds for base in kind.__mro__ if is_users(base)})


def scopes(everything: list[Any]) -> Iterator[dict[str, Any]]:
    """The globals of the user's modules that the functions were defined in or name."""
    found: dict[int, dict[str, Any]] = {}
    for f in users_functions(everything):
        found[id(f.__globals__)] = f.__globals__
        for name in names_in(f.__code__).globals & f.__globals__.keys():
            module = f.__globals__[name]
            if isinstance(module, types.ModuleType) and is_users(module):
                found[id(vars(module))] = vars(module)
    return iter(found.values())


def unfollowed(everything: list[Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The functions of Python's that find variables of any name, where a function of the user's names them."""
    for f in users_functions(everything):
        yield from ((f.__globals__, name) for name in names_in(f.__code__).globals & UNFOLLOWED - f.__globals__.keys())


def with_namespace(run: Any, otherwise: Any) -> Any:
    """eval or exec where a namespace of its own is given."""
    return lambda source, *scopes: run(source, *scopes) if scopes else otherwise()


def users_functions(everything: list[Any]) -> Iterator[types.FunctionType]:
    """The functions that are neither minigrad's nor a library's."""
    for held in everything:
        if isinstance(held, types.FunctionType):
            file = held.__code__.co_filename
            if not is_minigrad(file) and not is_library(file):
                yield held


def snapshot(x: Any) -> Any:
    """A plain copy of a container, with the same elements."""
    kind: Any = next(kind for kind in CONTAINERS if isinstance(x, kind))
    return kind(x)


def put_back(now: Any, before: Any) -> None:
    """Give a container its former elements."""
    if isinstance(now, dict):
        kind: Any = OrderedDict if isinstance(now, OrderedDict) else dict
        if list(kind.keys(now)) != list(before):
            kind.clear(now)
        for key, x in before.items():
            if not kind.__contains__(now, key) or kind.__getitem__(now, key) is not x:
                kind.__setitem__(now, key, x)
    elif isinstance(now, set):
        if now != before:
            set.clear(now)
            set.update(now, before)
    elif len(now) != len(before) or any(x is not y for x, y in zip(now, before)):
        if isinstance(now, list):
            list.__setitem__(now, slice(None), before)
        else:
            deque.clear(now)
            deque.extend(now, before)


def remove(slot: Slot, roots: Any) -> None:
    """Make a place empty."""
    holder = slot.holder_now(roots)
    if slot.is_attribute:
        object.__delattr__(holder, slot.key)
    else:
        del holder[slot.key]
