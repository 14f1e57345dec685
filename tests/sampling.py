"""A sample of the table of cases, for the tests that take long on each: every op, and every so many of its cases.

Each such test has a sample of its own, the same in every run; `SAMPLE=1 python -m pytest` takes another,
`SAMPLE=all` every case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from cases import Case

SEED = os.environ["SAMPLE"]  # conftest.py sets it


def sampled(cases: Iterable[Case], one_in: int) -> Callable[..., object]:
    """A decorator for a test: one in so many cases of each op, at least one."""
    by_op: dict[str, list[Case]] = {}
    for case in cases:
        by_op.setdefault(case.op.__name__, []).append(case)

    def mark(test: Callable[..., object]) -> Callable[..., object]:
        chosen = [case for group in by_op.values() for case in some(group, one_in, test.__name__)]
        return pytest.mark.parametrize("case", chosen, ids=str)(test)

    return mark


def some(group: list[Case], one_in: int, name: str) -> list[Case]:
    if SEED == "all":
        return group
    rng = np.random.default_rng([int(SEED), *name.encode(), *group[0].op.__name__.encode()])
    return [group[i] for i in sorted(rng.permutation(len(group))[: -(-len(group) // one_in)])]
