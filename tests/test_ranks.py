"""Training on the ranks of an MPI communicator, by the real `mpiexec`; the checks are in ranks_program.py."""

from pathlib import Path

import pytest
from launching import outcome

from minigrad.ranks import require_same, together


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_learn_as_one_process_with_the_whole_batch(ranks, tmp_path):
    program = "-m", "mpi4py", Path(__file__).with_name("ranks_program.py")
    code, out, err = outcome(*[program] * ranks, cwd=tmp_path)
    assert (code, out.count("all is well")) == (0, ranks), err


def test_a_process_alone_is_together_with_itself():
    assert together(None, max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        together(None, lambda: 1 / 0)


def test_facts_that_are_nan_are_the_same_on_every_rank():
    nan = float("nan")
    facts = {"lr": nan, "betas": (nan, 0.9), "groups": {"b": {"lr": nan, "eps": 1.0}}}
    other = {"lr": float("nan"), "betas": (float("nan"), 0.9), "groups": {"b": {"lr": float("nan"), "eps": 1.0}}}
    require_same([facts, other])
    for name, value in [("lr", 0.1), ("betas", (nan, 0.8)), ("betas", (nan,)), ("groups", {"b": {"lr": nan}})]:
        with pytest.raises(ValueError, match=f"the same {name}, got .* on rank 0 and .* on rank 1"):
            require_same([facts, {**other, name: value}])
