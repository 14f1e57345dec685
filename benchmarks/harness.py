"""The harness: contestants agree first, then take turns; the result is the median of many short rounds.

A ratio is taken round by round, between figures measured moments apart, and its median reported: a machine that is
slow for a while is slow for both.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import numpy as np

Step = Callable[[int], object]  # does step number i
Run = tuple[Step, Callable[[], list[Any]]]  # a step, and the results of all steps
Start = Callable[[], Run]  # a contestant: makes a fresh start
Measure = Callable[[], float]  # one round: one figure
Clock = Callable[[], float]
Figures = Mapping[str, list[float]]  # every contestant's, a figure a round

#: Seconds between rounds: the threads of a library that has just computed (OpenBLAS's, OpenMP's) go on spinning for
#: some 30 ms, on a core that the next contestant needs.
SETTLE = 0.05

PEERS = "numba", "torch", "jax", "autograd", "mygrad", "gensim", "dask", "distributed"


@dataclass(frozen=True)
class Goal:
    """A goal: a value computed from the figures of some contestants, with its upper or lower bound."""

    words: str
    limit: float
    names: Sequence[str]
    value: Callable[[Figures], float]
    at_least: bool = False

    def judge(self, figures: Figures) -> dict[str, Any]:
        missing = [name for name in self.names if name not in figures]
        if missing:
            return {"words": self.words, "value": None, "verdict": f"not judged without {' or '.join(missing)}"}
        value = self.value(figures)
        reached = value >= self.limit if self.at_least else value <= self.limit
        return {"words": self.words, "value": value, "verdict": "reached" if reached else "missed"}


def at_most(times: float, name: str, other: str) -> Goal:
    """Goal: a contestant takes at most so many times what another takes."""
    words = f"{name}: at most {times}x {other}"
    return Goal(words, times, (name, other), lambda figures: median(ratios(figures[name], figures[other])))


def faster(times: float, name: str, other: str) -> Goal:
    """Goal: a contestant is at least so many times faster than another."""
    words = f"{name}: at least {times}x faster than {other}"
    return Goal(words, times, (name, other), lambda figures: median(ratios(figures[other], figures[name])), True)


def ratios(figures: list[float], others: list[float]) -> list[float]:
    return [figure / other for figure, other in zip(figures, others, strict=True)]


@dataclass(frozen=True)
class Benchmark:
    """A race. The first contestant is the baseline; None is one that is not installed."""

    title: str
    unit: str
    goals: Sequence[Goal]
    contestants: Mapping[str, Measure | None]
    rounds: int


def agree(starts: Mapping[str, Start], steps: int, tolerance: float) -> dict[str, Start | None]:
    """Check that all compute the same as the first before any is timed; None means that a peer is not installed.

    The tolerance is relative to the largest element of each result.
    """
    present: dict[str, Start | None] = {}
    expected: list[Any] | None = None
    for name, start in starts.items():
        try:
            step, result = start()
        except ModuleNotFoundError as error:
            if error.name not in PEERS:
                raise
            present[name] = None
            continue
        for i in range(steps):
            step(i)
        values = [np.array(value) for value in result()]
        expected = expected or values
        for i, (value, wanted) in enumerate(zip(values, expected, strict=True)):
            off, size = np.max(np.abs(value - wanted)), np.max(np.abs(wanted))
            if not 0 < size < np.inf or not off <= tolerance * size:
                raise AssertionError(f"{name} disagrees on result {i}: off by {off:.2g}, the largest being {size:.2g}")
        present[name] = start
    return present


def timed(start: Start | None, steps: int, scale: float, clock: Clock = time.perf_counter) -> Measure | None:
    """The time of a step times `scale`: the mean of a round of steps, after a fresh start."""
    if start is None:
        return None

    def measure() -> float:
        step, _ = start()
        if steps > 1:
            step(0)  # a step to warm up
        gc.collect()
        before = clock()
        for i in range(steps):
            step(i)
        return (clock() - before) * scale / steps

    return measure


def race(benchmark: Benchmark) -> dict[str, Any]:
    """Let the contestants take turns; the figures as a dict that fits into JSON."""
    running = {name: measure for name, measure in benchmark.contestants.items() if measure is not None}
    figures: dict[str, list[float]] = {name: [] for name in running}
    gc.collect()
    gc.freeze()  # objects that the peers loaded are not collected in anyone's round
    for turn in range(benchmark.rounds):
        for name in list(running)[:: -1 if turn % 2 else 1]:  # back and forth, so that nobody always follows the same
            time.sleep(SETTLE)
            figures[name].append(running[name]())
    baseline = figures[next(iter(running))]
    rows: dict[str, dict[str, Any]] = {}
    for name in benchmark.contestants:
        if name in running:
            of_rounds = ratios(figures[name], baseline)
            low, middle, high = quantiles(of_rounds, method="inclusive") if len(of_rounds) > 1 else of_rounds * 3
            rows[name] = {"median": median(figures[name]), "ratio": middle, "quartiles": [low, high]}
        else:
            rows[name] = {"note": "not installed"}
    goals = [goal.judge(figures) for goal in benchmark.goals]
    return {"title": benchmark.title, "unit": benchmark.unit, "rounds": benchmark.rounds, "rows": rows, "goals": goals}


def cells(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """A table's lines, the first its head."""
    lines: list[tuple[str, ...]] = [("", result["unit"], "ratio", "its quartiles")]
    for name, row in result["rows"].items():
        if "note" in row:
            lines.append((name, row["note"], "", ""))
        else:
            between = " to ".join(map(number, row["quartiles"]))
            lines.append((name, number(row["median"]), f"{number(row['ratio'])}x", between))
    return lines


def show(result: dict[str, Any]) -> None:
    """Print a table: rich's where rich is installed, a plain one elsewhere."""
    lines = cells(result)
    print(f"\n{result['title']}")
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for name, *figures in lines:
            right = (f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True))
            print(f"  {name:<{widths[0]}}", *right, sep="  ")
    else:
        table = Table(box=box.SIMPLE_HEAD)
        for i, head in enumerate(lines[0]):
            table.add_column(head, justify="right" if i else "left", no_wrap=True)
        for line in lines[1:]:
            table.add_row(*line)
        Console(highlight=False).print(table)
    for goal in result["goals"]:
        value = "" if goal["value"] is None else f" ({number(goal['value'])})"
        print(f"goal: {goal['words']}: {goal['verdict']}{value}", flush=True)


def number(x: float) -> str:
    """Three digits, as people write them."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.1g}"
