"""Plots by matplotlib, where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from minigrad.files import replacing


def check(path: Path) -> None:
    """Refuse a plot that would fail later.

    Raises:
        ValueError: without matplotlib, and for a suffix that it does not write.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    known = figure().canvas.get_supported_filetypes()
    if _format(path) not in known:
        raise ValueError(f"--plot needs a file in one of the formats {', '.join(known)}, got {path}")


def figure(width: float = 7, height: float = 4) -> Any:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(drawn: Any, path: Path) -> None:
    """Write a figure, whole or not at all, in the format of the suffix."""
    with replacing(path) as file:
        drawn.savefig(file, format=_format(path))


def _format(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
