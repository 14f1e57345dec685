"""The benchmarks compute what they claim to; how fast is nobody's assertion here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from benchmarks import minibatch, mlp, mpi, scaling, step, vmap, windows
from benchmarks.harness import Benchmark, Goal, agree, at_most, faster, number, race, show, timed
from benchmarks.results import markdown

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("module", "libraries", "steps", "rtol"),
    [(step, windows, 50, 1e-10), (minibatch, windows, 3, 1e-4), (mlp, mlp, 3, 1e-4)],
)
@pytest.mark.parametrize("name", ["minigrad", "minigrad, compiled"])
def test_minigrad_and_numpy_learn_the_same(name, module, libraries, steps, rtol):
    problem = module.problem()
    parameters = []
    for run in (module.by_hand, libraries.LIBRARIES[name]):
        do, result = run(problem)
        for i in range(steps):
            do(i)
        parameters.append([np.array(p) for p in result()])
    for by_hand, ours, before in zip(*parameters, problem.parameters, strict=True):
        moved = by_hand - before
        assert ours.dtype == by_hand.dtype == before.dtype
        assert np.abs(moved).max() > 1e-3
        np.testing.assert_allclose(ours - before, moved, atol=rtol * np.abs(moved).max())


@pytest.mark.parametrize("task", vmap.TASKS, ids=lambda task: task.title.partition(":")[0])
def test_minigrad_computes_the_derivatives_by_hand(task):
    contestants = vmap.contestants(task)
    names = "NumPy by hand", "minigrad", "minigrad, compiled"
    assert None not in agree({name: contestants[name] for name in names}, 1, tolerance=1e-10).values()


def test_the_hinge_stays_active_in_the_steps_that_are_timed():
    problem = step.problem()
    do, result = step.by_hand(problem)
    for i in range(301):
        before = [p.copy() for p in result()]
        do(i)
        assert all(not np.array_equal(p, q) for p, q in zip(before, result(), strict=True))


def test_there_is_something_to_learn_for_the_perceptron():
    problem = mlp.problem((20, 10, 5))
    do, result = mlp.by_hand(problem)

    def hits():
        return np.mean([mlp.forward(mg.relu, result(), x).argmax(axis=1) == y for x, y in problem.batches])

    before = hits()
    for i in range(300):
        do(i)
    assert before < 0.5 and hits() > 0.8


def test_the_loops_for_numba_compute_the_step_in_plain_python_too():
    problem = step.problem()
    do, result = step.by_hand(problem)
    parameters = problem.start()
    for i in range(20):
        do(i)
        step.loops(*parameters, *problem.batch(i), problem.learning_rate)
    for by_loops, by_hand in zip(parameters, result(), strict=True):
        np.testing.assert_allclose(by_loops, by_hand, rtol=1e-12)


def test_they_take_turns_and_the_medians_are_of_rounds():
    turns, figures = [], {"one": iter([1.0, 2.0, 10.0]), "two": iter([3.0, 4.0, 50.0])}

    def measure(name):
        turns.append(name)
        return next(figures[name])

    contestants = {name: lambda name=name: measure(name) for name in figures} | {"three": None}
    result = race(Benchmark("a race", "s", [at_most(2.5, "two", "one")], contestants, rounds=3))
    assert turns == ["one", "two", "two", "one", "one", "two"]
    assert result["rows"]["one"] == {"median": 2.0, "ratio": 1.0, "quartiles": [1.0, 1.0]}
    assert result["rows"]["two"] == {"median": 4.0, "ratio": 3.0, "quartiles": [2.5, 4.0]}  # of 3, 2 and 5
    assert result["rows"]["three"] == {"note": "not installed"}
    assert result["goals"] == [{"words": "two: at most 2.5x one", "value": 3.0, "verdict": "missed"}]
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (at_most(0.5, "one", "two"), 0.5, "reached"),  # of 0.25, 0.5 and 1: the median of ratios, not 2 / 3
        (at_most(0.49, "one", "two"), 0.5, "missed"),
        (faster(2, "one", "two"), 2.0, "reached"),
        (faster(2.1, "one", "two"), 2.0, "missed"),
        (faster(2, "one", "jax"), None, "not judged without jax"),
        (at_most(2, "numba", "jax"), None, "not judged without numba or jax"),
        (Goal("least of all", 1, (), lambda figures: min(map(min, figures.values()))), 1.0, "reached"),
    ],
)
def test_a_goal_is_judged_round_by_round_or_not_at_all(goal, value, verdict):
    assert goal.judge({"one": [1.0, 2.0, 3.0], "two": [4.0, 4.0, 3.0]}) == {
        "words": goal.words,
        "value": value,
        "verdict": verdict,
    }


def test_a_step_is_timed_by_the_clock_after_a_fresh_start():
    now, steps = [0.0], []

    def start():
        now[0] += 1000.0  # not timed

        def do(i):
            steps.append(i)
            now[0] += 100.0 if i == 0 and len(steps) == 1 else 0.5  # the first, to warm up, is not timed

        return do, list

    measure = timed(start, steps=4, scale=1e3, clock=lambda: now[0])
    assert measure() == 500.0
    assert steps == [0, 0, 1, 2, 3]
    assert timed(None, steps=4, scale=1.0) is None


def test_a_contestant_that_computes_something_else_is_found():
    def start(value):
        return lambda: (lambda i: None, lambda: [np.array([1.0, value])])

    agree({"one": start(2.0), "two": start(2.0 + 1e-12)}, 1, 1e-9)
    for wrong in (2.002, np.nan):
        with pytest.raises(AssertionError, match="two disagrees on result 0"):
            agree({"one": start(2.0), "two": start(wrong)}, 1, 1e-4)


def test_a_peer_that_is_missing_is_none_and_anything_else_missing_an_error():
    def lacking(name):
        def start():
            raise ModuleNotFoundError(name, name=name)

        return start

    assert agree({"torch": lacking("torch")}, 1, 1e-9) == {"torch": None}
    with pytest.raises(ModuleNotFoundError):
        agree({"minigrad": lacking("minigrad")}, 1, 1e-9)


@pytest.mark.parametrize("rich", [True, False])
def test_the_table(capsys, monkeypatch, rich):
    if not rich:
        monkeypatch.setitem(sys.modules, "rich", None)
    rows = {"one": {"median": 1234.5, "ratio": 1.0, "quartiles": [1.0, 1.0]}, "two": {"note": "not installed"}}
    goals = [
        {"words": "one: at most 2.6x", "value": 2.7, "verdict": "missed"},
        {"words": "two: at most 2x", "value": None, "verdict": "not judged without two"},
    ]
    show({"title": "a race", "unit": "µs a step", "rows": rows, "goals": goals})
    out = capsys.readouterr().out
    for part in ("a race", "µs a step", "1,234", "1.00x", "not installed"):
        assert part in out
    assert "goal: one: at most 2.6x: missed (2.70)\ngoal: two: at most 2x: not judged without two\n" in out


def test_numbers():
    assert list(map(number, (1234.5, 81.26, 2.754, 0.004))) == ["1,234", "81.3", "2.75", "0.004"]


def test_quick_prints_tables_and_writes_them(tmp_path):
    file, page = tmp_path / "figures.json", tmp_path / "page.md"
    names = ["chain", "import"]  # the others take longer
    command = [sys.executable, "-m", "benchmarks", *names, "--quick", "--json", str(file), "--results", str(page)]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    for part in ("minigrad, n = 1,000", "import minigrad", "goal: minigrad: "):
        assert part in out
    figures = json.loads(file.read_text())
    assert page.read_text(encoding="utf-8") == markdown(figures)
    assert {"date", "machine", "versions", "quick", "benchmarks"} <= figures.keys()
    assert list(figures["benchmarks"]) == names
    assert figures["benchmarks"]["chain"][0]["rows"]["minigrad, n = 100"]["ratio"] > 0


def test_ranks_are_measured_and_send_rows_instead_of_tables():
    pytest.importorskip("mpi4py", reason='needs mpi4py and an mpiexec: pip install -e ".[mpi]"')
    times, sent = map(race, mpi.benchmarks(quick=True))
    assert {"one process", "1 rank", "2 ranks, half of it each", "2 ranks, a minibatch each"} < times["rows"].keys()
    rows = {name: row["median"] for name, row in sent["rows"].items()}
    table = 2_000 * 50 * 4 / 1e3  # kB
    assert rows["2 ranks, half each, dense"] > table > 3 * rows["2 ranks, half of it each"] > 0


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_plot_is_written(tmp_path, kind):
    one = {"median": 1.0, "ratio": 1.0, "quartiles": [1.0, 1.0]}
    rows = {name: one for name in scaling.LINES} | {"torch": {"note": "not installed"}}
    file = tmp_path / f"scaling.{kind}"
    scaling.draw([{"rows": rows}] * len(scaling.points(quick=False)), False, file)
    assert file.read_bytes().startswith({"svg": b"<?xml", "png": b"\x89PNG"}[kind])


def test_the_plot_is_measured(tmp_path):
    file = tmp_path / "scaling.svg"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--plot", str(file)]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8")
    assert run.stdout == f"written: {file}\n" and "minigrad" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["stepp"], "no benchmark is called stepp"),
        (["--results", "step"], "names come before --results"),
        (["step", "--plot"], "--plot comes alone"),
    ],
)
def test_what_is_not_meant_is_refused(arguments, error):
    run = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and error in run.stderr


def test_results_are_a_page_of_goals_and_tables():
    rows = {"one": {"median": 1234.5, "ratio": 1.0, "quartiles": [1.0, 1.0]}, "two": {"note": "not installed"}}
    goals = [
        {"words": "one: at most 2.6x one", "value": 2.7, "verdict": "missed"},
        {"words": "one: at most 9x one", "value": 2.7, "verdict": "reached"},
        {"words": "two: at most 2x one", "value": None, "verdict": "not judged without two"},
    ]
    race = {"title": "a race: once round the block", "unit": "s", "rounds": 7, "rows": rows, "goals": goals}
    figures = {
        "date": "2026-01-01",
        "machine": {"processor": "a processor", "cores": 2, "load": 0.1, "system": "a system"},
        "versions": {"python": "3.11", "jax": "not installed"},
        "quick": False,
        "benchmarks": {"race": [race, race | {"title": "another", "goals": []}]},
    }
    page, with_gpu = markdown(figures), markdown(figures | {"benchmarks": {"gpu": [race]}})
    assert "checked by signature only" in page and "signature" not in with_gpu
    assert page.startswith("# Results\n") and "2026-01-01.\n" in page and "quick" not in page
    assert "- a processor, 2 cores, load 0.1 at the start, a system\n- python 3.11, jax not installed\n" in page
    assert (
        """
|  | goal | measured | verdict |
| --- | --- | --- | --- |
| a race | one: at most 2.6x one | 2.70 | missed |
| a race | one: at most 9x one | 2.70 | reached |
| a race | two: at most 2x one |  | not judged without two |

3 goals: 1 reached, 1 missed, 1 not judged.

## a race: once round the block

|  | s | ratio | its quartiles |
| --- | --- | --- | --- |
| one | 1,234 | 1.00x | 1.00 to 1.00 |
| two | not installed |  |  |

Rounds: 7.

## another
"""
        in page
    )
