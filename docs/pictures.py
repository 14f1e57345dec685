"""Make the pictures of README and docs/: `PYTHONPATH=.:tests python docs/pictures.py`.

It needs `dot`, matplotlib, and for the page Playwright and chromium.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pages import blocks

import minigrad as mg
from models.picture import fresh, pair, save, variables
from models.window import score

HERE = Path(__file__).parent


def window(path: Path) -> None:
    """The slides' score of one window, and its gradients."""
    rng = np.random.default_rng(1)
    U, W, b = (mg.Tensor(rng.normal(size=n).round(1), name) for n, name in ((3, "U"), ((3, 2), "W"), (3, "b")))
    x = mg.Tensor(rng.normal(size=2).round(1), "x")
    with mg.trace_source():
        s = score(U, W, b, x)
    s.backward()
    mg.draw(s, inputs=[x], rankdir="TB").save(path)


def line_and_curve(path: Path) -> None:
    """The plot of the story's second page, drawn by the code there."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "minigrad"  # the same file for the same picture
    namespace: dict[str, Any] = {}
    for block in blocks((HERE / "2-layer.md").read_text(encoding="utf-8")):
        exec(block, namespace)
    namespace["figure"].savefig(path, metadata={"Date": None})


def page(path: Path) -> None:
    """The page of the slides' two windows, half-way through the backward pass."""
    from playwright.sync_api import sync_playwright

    tensors = variables(fresh())
    J = pair(*tensors)
    J.backward()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        replay = save(J, tensors[3:], Path(folder) / "backprop.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1180, "height": 890}, reduced_motion="reduce")
        view.goto(replay.as_uri())
        for _ in range(17):
            view.keyboard.press("ArrowRight")
        view.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    line_and_curve(HERE / "line-and-curve.svg")
    window(HERE / "window.svg")
    page(HERE / "replay.png")
