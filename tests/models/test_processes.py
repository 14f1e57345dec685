"""`train` under the real `mpiexec`: what is printed and written, signals, failures. ranks_program.py has numbers."""

import signal
import sys
import time
from types import SimpleNamespace

from launching import mpiexec, outcome

from models import processes
from models.__main__ import main
from models.tagger import Tagger

TRAIN = "-m", "models", "train", "--model", "m.npz", "--dim", "2", "--hidden", "2"


def test_ctrl_c_saves_once(tmp_path):
    endless = *TRAIN, "--epochs", 10**6, "--patience", 10**6, "--checkpoint", "run.npz"
    with mpiexec(endless, endless, cwd=tmp_path) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "run.npz").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)  # mpiexec passes it on to every rank
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.count("stopping after this step") == 1
    lines = [line for line in out.splitlines() if not line.startswith("[mpiexec")]
    assert [line.split()[0] for line in lines] == ["training", "trained", "saved"]
    assert {path.name for path in tmp_path.iterdir()} == {"m.npz", "run.npz"}
    Tagger.load(tmp_path / "m.npz")


def test_ranks_with_other_options_are_told_apart_before_the_training(tmp_path):
    code, _, err = outcome(TRAIN, (*TRAIN, "--corrupt", "3"), cwd=tmp_path)
    assert (code, err) == (
        2, "python -m models: every rank needs the same corrupt, got 10 on rank 0 and 3 on rank 1\n"
    )  # fmt: skip
    assert not list(tmp_path.iterdir())


FAILS = """
import sys
from mpi4py import MPI
from models import conll
from models.training import Recipe, train

def report(now):
    if MPI.COMM_WORLD.rank == 1:
        raise OSError("the disk of this machine is gone")

train(conll.embedded("train")[:120], recipe=Recipe(epochs=10**6, patience=10**6), report=report, comm=MPI.COMM_WORLD)
"""


def test_a_rank_that_fails_ends_all_with_its_error(tmp_path):
    code, _, err = outcome(*[("-c", FAILS)] * 2, cwd=tmp_path)
    assert code == 2 and "rank 1 failed, and ends all: OSError: the disk of this machine is gone" in err


def test_what_several_processes_need(monkeypatch, capsys):
    def said():
        assert main(["tag", "--model", "m.npz", "Paris"]) == 2
        return capsys.readouterr().err

    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert "mpiexec started 2 processes, which need mpi4py: pip install" in said()
    world = SimpleNamespace(Get_size=lambda: 1, allgather=lambda x: [x, x])
    MPI = SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Some MPI 3.0\nof 2020")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=MPI))
    assert "mpi4py sees 1: it uses Some MPI 3.0; start them with the mpiexec of that library" in said()
    world.Get_size = lambda: 2
    assert processes.world() is world and "only train can share its work" in said()
    monkeypatch.setenv("PMI_RANK", "1")
    assert said() == ""
    monkeypatch.delenv("PMI_SIZE")
    assert processes.world() is None and processes.is_first()
