"""How the time of a training step grows, with the batch, the width, the vocabulary and the depth; and its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks import minibatch, mlp, windows
from benchmarks.harness import Benchmark, agree, timed
from benchmarks.training import contestants

# name: colour and marker, in the order of the legend
LINES = {
    "NumPy by hand": ("#444444", "s"),
    "minigrad": ("#d1495b", "o"),
    "minigrad, compiled": ("#f2a541", "D"),
    "torch": ("#3d7ea6", "^"),
    "jax.jit": ("#4f9d69", "v"),
}


@dataclass(frozen=True)
class Panel:
    title: str
    note: str  # the fixed sizes
    axis: str
    sizes: tuple[int, ...]
    problem: Callable[[int], Any]
    runs: dict[str, Any]  # every contestant's, of a problem


def windows_problem(**sizes: int) -> windows.Windows:
    """The minibatch in other sizes, learning slowly enough for the largest to stay finite."""
    return replace(minibatch.problem(**sizes), learning_rate=0.001)


WINDOWS = {"NumPy by hand": minibatch.by_hand} | windows.LIBRARIES
PANELS = [
    Panel(
        "Batch",
        "100,000 words, H = 100",
        "true windows in a batch (5 corrupt each)",
        (1, 4, 16, 64, 256, 1024),
        lambda n: windows_problem(true_windows=n),
        WINDOWS,
    ),
    Panel(
        "Width",
        "256 windows, 100,000 words",
        "hidden units H",
        (8, 32, 128, 512, 2048),
        lambda n: windows_problem(hidden=n),
        WINDOWS,
    ),
    Panel(
        "Vocabulary",
        "256 windows, H = 100",
        "words in the table (50 numbers each)",
        (1_000, 10_000, 100_000, 1_000_000),
        lambda n: windows_problem(words=n),
        WINDOWS,
    ),
    Panel(
        "Depth",
        "MLP 784-512-…-512-10, batch 128",
        "hidden layers",
        (1, 2, 4, 8, 16),
        lambda n: mlp.problem((784, *[512] * n, 10)),
        mlp.LIBRARIES,
    ),
]


def points(quick: bool) -> list[tuple[Panel, int]]:
    return [(panel, size) for panel in PANELS for size in panel.sizes[: 2 if quick else None]]


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    """A race for each point."""
    for panel, size in points(quick):
        everybody = contestants(panel.problem(size), {name: panel.runs[name] for name in LINES})
        present = agree(everybody, steps=1, tolerance=1e-2)
        once = timed(everybody["NumPy by hand"], steps=2, scale=1)
        steps = 1 if quick or once is None else max(2, min(100, round(0.04 / once())))  # a round of some 40 ms
        yield Benchmark(
            f"{panel.title} {size}",
            "ms a step",
            [],
            {name: timed(start, steps, 1e3) for name, start in present.items()},
            rounds=1 if quick else 7,
        )


def draw(results: list[dict[str, Any]], quick: bool, file: Path) -> None:
    """The results of `benchmarks`, as lines; the file's ending says how it is written."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(10, 7.6))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.12)
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for panel, axes in zip(PANELS, figure.subplots(2, 2).flat):
        rows = {size: result["rows"] for (at, size), result in zip(points(quick), results) if at is panel}
        for name, (colour, marker) in LINES.items():
            times = {size: of_all[name]["median"] for size, of_all in rows.items() if "median" in of_all[name]}
            if times:
                ours = name.startswith("minigrad")
                axes.plot(
                    times.keys(),
                    times.values(),
                    label=name,
                    color=colour,
                    marker=marker,
                    markersize=5,
                    linewidth=2.2 if ours else 1.4,
                    zorder=3 if ours else 2,
                )
        axes.set(xscale="log", yscale="log", xlabel=panel.axis, ylabel="time of a step [ms]")
        axes.set_title(panel.title, loc="left", fontweight="bold")
        axes.set_title(panel.note, loc="right", fontsize="small", color="#666666")
        axes.set_xticks(list(rows))
        low, high = axes.get_ylim()
        spare = max(1, sqrt(30 * low / high))  # a flat line should look flat
        axes.set_ylim(low / spare, high * spare)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(plain)
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("A training step: forward, backward, SGD (float32, two threads)", fontsize="x-large")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(file, dpi=150)
