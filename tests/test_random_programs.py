"""A thousand random programs, beside HIPS autograd: values, gradients, second derivatives. Their seeds are kept.

`RANDOM_PROGRAMS=5000` runs more.
"""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from random_programs import TEMPLATES, NoOracle, difference, failing, inputs, program, shrunk

import minigrad as mg
from minigrad.engine import implementations

COUNT, CHUNKS = int(os.environ.get("RANDOM_PROGRAMS", 1200)), 20
CHUNK = COUNT // CHUNKS


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_agrees_with_autograd(chunk: int) -> None:
    without = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        at, p = inputs(seed), program(seed)
        kept = [x.copy() for x in at]
        try:
            different = difference(p, at)
        except NoOracle:
            without += 1
            continue
        if different:
            small = shrunk(p, at)
            pytest.fail(f"seed {seed}: {different}\nshrunk from {len(p.statements)} statements to\n\n{small}\n")
        for x, y in zip(at, kept, strict=True):
            np.testing.assert_array_equal(x, y)
    assert without <= CHUNK / 6


def test_the_programs_are_varied() -> None:
    """Every template is used, and nearly every program uses a value again."""
    count = 800
    programs = [str(program(seed)) for seed in range(count)]
    text = "\n".join(programs)
    assert [t for t, _ in TEMPLATES if t.partition("{")[0].strip("(-") not in text] == []
    assert sum(any(p.count(f"v{k}") > 2 for k in range(10)) for p in programs) > count * 0.6


@pytest.fixture
def wrong_tanh() -> Iterator[None]:
    right = implementations[np.tanh]
    mg.op(np.tanh)(lambda x: ((y := np.tanh(x)), lambda g: g * (1 - y * y) * 1.001))
    yield
    implementations[np.tanh] = right


@pytest.mark.usefixtures("wrong_tanh")
def test_planted_fault_is_found_and_shrunk() -> None:
    seed = next(s for s in range(200) if program(s).statements[4:] and failing(program(s), inputs(s)))
    small = shrunk(program(seed), inputs(seed))
    assert len(small.statements) == len(small.outputs) == 1 and "np.tanh" in str(small)
