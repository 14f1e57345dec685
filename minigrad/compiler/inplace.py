"""Which values of a program are computed in place: in the memory of a value that nobody reads any more.

A program is pure, save that its `stored` values write into arrays of the user's at the end. Here a value is *placed* in
the memory of an earlier one where that changes no result: neither a later value nor the output reads the content that
was there before. (Views of that content, and formulas that read it but would be computed late, are no obstacle: the
schedule computes or copies them before the write.)

With IN_PLACE off, only the `stored` values are placed; the results are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from minigrad.compiler.program import UPDATES, Program, Value, array_under, assigned, root, stored, values_in, viewed

#: Whether anything but the `stored` values is placed. Off for comparison.
IN_PLACE = True


def places(
    program: Program,
    values: Sequence[Value],
    users: Mapping[Value, Collection[Value]],
    outputs: Collection[Value],
) -> dict[Value, Value]:
    """Of each value that is placed: the content of its memory before it.

    Args:
        values: the needed values, in the order in which they are computed.
        users: of each value: those that it is an operand of.
    """
    position = {v: i for i, v in enumerate(values)}
    owners = {write.args[0]: write.args[0] for write in program.writes}  # of each value placed: the first in its memory
    content = dict(owners)  # of each memory: the last value placed there
    before: dict[Value, Value] = {}

    def place(v: Value, owner: Value) -> None:
        before[v], content[owner], owners[v] = content[owner], v, owner

    def fits(v: Value, owner: Value) -> bool:
        """May v take the place of the content of a memory?"""
        old, stores = content[owner], [u for u in users[v] if u.call is stored]
        if owner.call is None and owner not in v.versions_of:
            return False
        if stores and all(u.args[0] is not owner for u in stores):  # another array's content, in the end
            return False
        if old in outputs or any(position[u] > position[v] and reads(u, old) for u in users[old]):
            return False
        return all(owners.get(root(x, owners)) is not owner for x in read_while_written(v))

    for v in values if IN_PLACE else ():
        if v.call is None or v.call is stored:
            continue
        if v.call in UPDATES:
            x = array_under(v)
            is_new = x.call not in (None, np.broadcast_to) and viewed(x) is None
            if x not in owners and is_new and isinstance(x.example, np.ndarray):
                owners[x] = content[x] = x  # memory of the program's own
            if x in owners and content[owners[x]] is x and fits(v, owners[x]):
                place(v, owners[x])
            continue
        for first in v.versions_of:
            same_kind = v.shape == first.shape and v.dtype == first.dtype
            if v not in owners and owners.get(first) is first and same_kind and fits(v, first):
                place(v, first)
    for write in program.writes:
        place(write, write.args[0])
    return before


def reads(user: Value, x: Value) -> bool:
    """Does a value depend on the elements of an operand? Not where it writes over all of them."""
    return user.call is not stored or user.args[1] is x


def read_while_written(v: Value) -> Iterable[Value]:
    """The operands that the statement of v reads while it writes; of a formula, which is computed before, v itself."""
    if v.call is assigned:
        return values_in(v.args[1])
    return values_in((v.args[2:], v.kwargs)) if v.call in UPDATES else [v]
