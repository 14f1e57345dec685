"""RESULTS.md, from the figures of a run: every goal, then every table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness import cells, number

PAGE = """\
# Results

Written by `python -m benchmarks --results`, {date}.{quick}

- {processor}, {cores} cores, load {load} at the start, {system}
- {versions}{gpu}

The contestants of a table take turns, round by round. A time is the median of the rounds. A ratio is taken in each
round, to the table's first line or between the two that a goal names; its median and quartiles are shown.

## Goals

{goals}

{count}
{tables}"""


NO_GPU = "\n- No GPU was at hand: on CuPy's arrays minigrad is checked by signature only."


def markdown(figures: dict[str, Any]) -> str:
    """The page; `figures` are those that --json writes."""
    results = [result for of_one in figures["benchmarks"].values() for result in of_one]
    goals = [("", "goal", "measured", "verdict")]
    for result in results:
        name = result["title"].partition(":")[0]
        for goal in result["goals"]:
            goals.append((name, goal["words"], "" if goal["value"] is None else number(goal["value"]), goal["verdict"]))
    return PAGE.format(
        date=figures["date"],
        quick=" A quick run: it shows that it runs, not how fast." if figures["quick"] else "",
        versions=", ".join(f"{package} {version}" for package, version in figures["versions"].items()),
        gpu="" if figures["benchmarks"].get("gpu") else NO_GPU,
        goals=table(goals),
        count=count(figures),
        tables="".join(f"\n## {r['title']}\n\n{table(cells(r))}\n\nRounds: {r['rounds']}.\n" for r in results),
        **figures["machine"],
    )


def count(figures: dict[str, Any]) -> str:
    """How many goals are reached, in a line."""
    goals = [goal for of_one in figures["benchmarks"].values() for result in of_one for goal in result["goals"]]
    reached, missed = (sum(goal["verdict"] == verdict for goal in goals) for verdict in ("reached", "missed"))
    return f"{len(goals)} goals: {reached} reached, {missed} missed, {len(goals) - reached - missed} not judged."


def table(lines: Iterable[tuple[str, ...]]) -> str:
    """Lines as a table in Markdown; the first is the head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rest])
