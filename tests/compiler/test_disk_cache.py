"""Compiled code that is kept on disk: read by the next process, and never anything but the code of this program."""

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.compiler import disk_cache, jit

X = np.array([1.0, -2.0, 0.5])
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for compiled code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path / "minigrad"


def compiled(f: Callable[[Any], Any]) -> Any:
    """What runs in place of a function, in a process that has compiled nothing so far."""
    for remembered in (jit._compiled, jit._with_loops, jit._kernels):
        remembered.cache_clear()
    d = mg.compile(f, backend="numba")
    assert same_bits(d(X), f(X))
    ((specialization,),) = d.cache.values()
    return specialization.run


def is_read(f: Callable[[Any], Any]) -> bool:
    """Is the code of a function read from disk, or compiled?"""
    stats = compiled(f).stats
    return (sum(stats.cache_hits.values()), sum(stats.cache_misses.values())) == (1, 0)


double = lambda x: x * 2.0  # noqa: E731 - of one name
treble = lambda x: x * 3.0  # noqa: E731

PROGRAM = """
import sys
import numpy as np
import minigrad as mg
from minigrad.compiler import jit

x, ids = np.ones((3, 2)), np.array([1, 1])

def add_rows(x):
    sums = x * 2.0
    np.add.at(sums, ids, x[:2])
    return sums

for f in map({"double": lambda x: x * 2.0, "treble": lambda x: x * 3.0, "add rows": add_rows}.get, sys.argv[1:]):
    jit.numpy_is_faster = lambda schedule: f is add_rows  # only the loop is compiled
    d = mg.compile(f, backend="numba")
    assert np.array_equal(d(x), f(x))
    ((specialization,),) = d.cache.values()
    run = specialization.run
    found = run.__globals__.values() if f is add_rows else [run]
    print(sum(len(function.stats.cache_misses) for function in found if hasattr(function, "stats")))
"""


def test_the_next_process_compiles_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after it has compiled another function of the same name, as its first like the process before."""
    monkeypatch.setenv("NUMBA_OPT", "1")  # without optimizing, numba does not keep what calls another function

    def compilations(*functions: str) -> list[str]:
        run = [sys.executable, "-c", PROGRAM, *functions]
        return subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()

    assert compilations("double", "add rows") == ["1", "2"]
    assert compilations("treble", "double", "add rows") == ["1", "0", "0"]


def test_what_code_depends_on_makes_another_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_read(double) and is_read(double)
    assert not is_read(treble)
    names = {compiled(f).py_func.__qualname__ for f in (double, treble)}
    assert len(names) == 2, "by which numba finds machine code; it counts functions anew in each process"
    for changed in [
        (jit, "KERNELS", jit.KERNELS + "#"),
        (numba, "__version__", "0.0"),
        (numba.config, "BOUNDSCHECK", 0),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(*changed)
            assert not is_read(double)
    assert is_read(double)


def test_loops_of_two_programs_are_two_entries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "numpy_is_faster", lambda schedule: True)
    monkeypatch.setattr("minigrad.compiler.dialects.loops.LARGE_ARRAY", 1)
    for ufunc in (np.multiply, np.subtract):

        def f(x: Any, ufunc: Any = ufunc) -> Any:
            y = ufunc(np.outer(x, x), x)
            return y @ y

        assert "_loop0" in compiled(f).__code__.co_names
    assert len([*folder.glob("*.code")]) == 2


def executed(path: Path) -> bytes:
    """A pickle that makes a folder when it is read."""

    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(path),)

    return pickle.dumps(Hostile())


def test_a_file_that_is_damaged_or_planted_is_not_read(folder: Path) -> None:
    assert not is_read(double)
    (entry,) = folder.glob("*.code")
    content = entry.read_bytes()
    compiled(treble)
    (other,) = {*folder.glob("*.code")} - {entry}
    hostile = executed(folder / "executed")
    flipped = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    for planted in [b"", content[:-1], flipped, hostile, content[:32] + hostile, other.read_bytes()]:
        entry.write_bytes(planted)
        assert not is_read(double)
        assert is_read(double), "and it is replaced"
    assert not (folder / "executed").exists()


def test_a_folder_that_others_can_change_is_not_used(folder: Path) -> None:
    compiled(double)
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="needed a folder that nobody else can change.*set NUMBA_CACHE_DIR"):
        assert not is_read(double)
    folder.chmod(0o700)
    assert is_read(double)


def test_without_a_folder_code_is_compiled_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("not a folder")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert not is_read(double) and not is_read(double) and not is_read(treble)
        folder.unlink()
        monkeypatch.setattr(disk_cache, "REFUSED", set())
        monkeypatch.setattr(disk_cache, "replacing", lambda path: open("/dev/full", "wb", 0))  # noqa: SIM115
        assert not is_read(double) and not is_read(treble)
    assert len(given) == 2 and "No space left" in str(given[1].message)


def test_entries_that_were_not_used_for_longest_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(double)
    (first,) = folder.glob("*.code")
    compiled(treble)
    for age, path in enumerate(sorted(folder.glob("*.code"), key=lambda path: path != first)):
        os.utime(path, (1_000 + age, 1_000 + age))
    assert is_read(double), "which makes it the younger one"
    monkeypatch.setattr(disk_cache, "MAX_SIZE", 2.5 * first.stat().st_size)
    compiled(lambda x: x * 5.0)
    assert len([*folder.glob("*.code")]) == 2 and is_read(double)


def test_without_compilation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NUMBA_DISABLE_JIT a program runs as NumPy, and nothing is kept."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    d = mg.compile(double, backend="numba")
    with pytest.warns(UserWarning, match="NUMBA_DISABLE_JIT"):
        assert same_bits(d(X), X * 2.0)
    assert not folder.exists()
